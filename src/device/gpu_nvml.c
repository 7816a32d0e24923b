/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA GPUs by NVML, which comes with the driver: loaded at run time, with the few declarations that are needed (NVML API
 * Reference; CUDA Driver API for the number of multiprocessors, which NVML does not tell). */
#include "device/internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef void *nvml_device;

struct nvml_pci {
    char old_bus_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};
struct nvml_memory {
    unsigned long long total, free, used;
};

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_text)(int);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, nvml_device *);
    int (*name)(nvml_device, char *, unsigned);
    int (*driver)(char *, unsigned);
    int (*memory)(nvml_device, struct nvml_memory *);
    int (*pci)(nvml_device, struct nvml_pci *);
    int (*energy)(nvml_device, unsigned long long *);
};

static bool find(void *library, const char *name, void *function_pointer)
{
    void *symbol = dlsym(library, name);
    memcpy(function_pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void nvml_close(struct nvml *nvml)
{
    if (nvml->shutdown)
        nvml->shutdown();
    if (nvml->library)
        dlclose(nvml->library);
}

/* Loads and starts it; false with the reason, and nothing to close. */
static bool nvml_open(struct nvml *nvml, char reason[ASSAY_GPU_TEXT])
{
    *nvml = (struct nvml){.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
    if (!nvml->library) {
        snprintf(reason, ASSAY_GPU_TEXT, "there is no NVIDIA driver (libnvidia-ml.so.1)");
        return false;
    }
    int (*shutdown)(void);
    void *library = nvml->library;
    find(library, "nvmlDeviceGetTotalEnergyConsumption", &nvml->energy);
    find(library, "nvmlDeviceGetPciInfo_v3", &nvml->pci);
    if (!find(library, "nvmlInit_v2", &nvml->init) || !find(library, "nvmlShutdown", &shutdown) ||
        !find(library, "nvmlErrorString", &nvml->error_text) || !find(library, "nvmlDeviceGetCount_v2", &nvml->count) ||
        !find(library, "nvmlDeviceGetHandleByIndex_v2", &nvml->by_index) || !find(library, "nvmlDeviceGetName", &nvml->name) ||
        !find(library, "nvmlSystemGetDriverVersion", &nvml->driver) || !find(library, "nvmlDeviceGetMemoryInfo", &nvml->memory)) {
        snprintf(reason, ASSAY_GPU_TEXT, "libnvidia-ml.so.1 lacks a function; is the driver very old");
        nvml_close(nvml);
        return false;
    }
    int st = nvml->init();
    if (st != 0) {
        snprintf(reason, ASSAY_GPU_TEXT, "NVML says \"%s\"", nvml->error_text(st));
        nvml_close(nvml);
        return false;
    }
    nvml->shutdown = shutdown;
    return true;
}

/* Streaming multiprocessors of the GPU with this PCI address; 0 if CUDA does not tell. */
static int count_multiprocessors(const char *bus_id)
{
    enum { MULTIPROCESSOR_COUNT = 16 };
    int (*init)(unsigned), (*by_bus_id)(int *, const char *), (*attribute)(int *, int, int), device, n = 0;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return 0;
    if (!find(library, "cuInit", &init) || !find(library, "cuDeviceGetByPCIBusId", &by_bus_id) ||
        !find(library, "cuDeviceGetAttribute", &attribute) || init(0) != 0 || by_bus_id(&device, bus_id) != 0 ||
        attribute(&n, MULTIPROCESSOR_COUNT, device) != 0)
        n = 0;
    return n;
}

int assay_gpu_nvml(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT])
{
    struct nvml nvml;
    if (!nvml_open(&nvml, reason))
        return 0;
    unsigned count = 0;
    char driver[ASSAY_GPU_TEXT] = "";
    nvml.count(&count);
    nvml.driver(driver, sizeof driver);
    int n = 0;
    for (unsigned i = 0; i < count && n < limit; i++) {
        nvml_device device;
        struct assay_gpu_record *record = &records[n];
        if (nvml.by_index(i, &device) != 0 || nvml.name(device, record->name, sizeof record->name) != 0)
            continue;
        struct nvml_memory memory = {0};
        struct nvml_pci pci = {0};
        snprintf(record->vendor, sizeof record->vendor, "NVIDIA");
        snprintf(record->driver, sizeof record->driver, "%s", driver);
        if (nvml.memory(device, &memory) == 0)
            record->memory_bytes = (int64_t)memory.total;
        if (nvml.pci && nvml.pci(device, &pci) == 0) {
            pci.bus_id[sizeof pci.bus_id - 1] = 0;
            record->n_cores = count_multiprocessors(pci.bus_id);
        }
        n++;
    }
    if (n == 0)
        snprintf(reason, ASSAY_GPU_TEXT, "the NVIDIA driver has no GPU");
    nvml_close(&nvml);
    return n;
}

enum assay_status assay_nvml_energy(int index, int64_t *energy_mj, struct assay_error *err)
{
    struct nvml nvml;
    char reason[ASSAY_GPU_TEXT] = "";
    if (index < 0 || !nvml_open(&nvml, reason))
        return assay_error_set(err, ASSAY_ABSENT, "No energy counter for cuda:%d: %s.", index, reason);
    nvml_device device;
    unsigned long long millijoules = 0;
    enum assay_status st = ASSAY_OK;
    int code = nvml.by_index((unsigned)index, &device);
    if (code == 0 && nvml.energy)
        code = nvml.energy(device, &millijoules);
    if (!nvml.energy)
        st = assay_error_set(err, ASSAY_ABSENT, "No energy counter for cuda:%d: the driver has none.", index);
    else if (code != 0)
        st = assay_error_set(err, ASSAY_ABSENT, "No energy counter for cuda:%d: NVML says \"%s\".", index, nvml.error_text(code));
    *energy_mj = (int64_t)millijoules;
    nvml_close(&nvml);
    return st;
}
