/* SPDX-License-Identifier: Apache-2.0 */
/* Devices by OpenCL, loaded at run time, with the few declarations that are needed (OpenCL 1.2 specification, table 4.3). */
#include "device/internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum {
    DEVICE_TYPE = 0x1000,
    DEVICE_MAX_COMPUTE_UNITS = 0x1002,
    DEVICE_GLOBAL_MEM_SIZE = 0x101f,
    DEVICE_NAME = 0x102b,
    DEVICE_VENDOR = 0x102c,
    DRIVER_VERSION = 0x102d,
};
static const uint64_t type_cpu = 1 << 1, type_all = 0xffffffff;

struct opencl {
    int32_t (*platforms)(uint32_t, void **, uint32_t *);
    int32_t (*devices)(void *, uint64_t, uint32_t, void **, uint32_t *);
    int32_t (*info)(void *, uint32_t, size_t, void *, size_t *);
};

static bool find(void *library, const char *name, void *function_pointer)
{
    void *symbol = dlsym(library, name);
    memcpy(function_pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void read_text(const struct opencl *cl, void *device, uint32_t what, char text[ASSAY_GPU_TEXT])
{
    if (cl->info(device, what, ASSAY_GPU_TEXT - 1, text, NULL) != 0)
        text[0] = 0;
    text[ASSAY_GPU_TEXT - 1] = 0;
}

static void read_device(const struct opencl *cl, void *device, struct assay_gpu_record *record)
{
    uint64_t type = 0, memory = 0;
    uint32_t n_units = 0;
    read_text(cl, device, DEVICE_NAME, record->name);
    read_text(cl, device, DEVICE_VENDOR, record->vendor);
    read_text(cl, device, DRIVER_VERSION, record->driver);
    cl->info(device, DEVICE_TYPE, sizeof type, &type, NULL);
    cl->info(device, DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL);
    cl->info(device, DEVICE_MAX_COMPUTE_UNITS, sizeof n_units, &n_units, NULL);
    record->memory_bytes = memory < INT64_MAX ? (int64_t)memory : 0;
    record->n_cores = n_units < INT32_MAX ? (int32_t)n_units : 0;
    record->is_software = (type & type_cpu) != 0;
}

int assay_gpu_opencl(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT])
{
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    struct opencl cl;
    if (!library || !find(library, "clGetPlatformIDs", &cl.platforms) || !find(library, "clGetDeviceIDs", &cl.devices) ||
        !find(library, "clGetDeviceInfo", &cl.info)) {
        snprintf(reason, ASSAY_GPU_TEXT, "there is no OpenCL (libOpenCL.so.1)");
        return 0;
    }
    void *platforms[16], *devices[ASSAY_GPU_LIMIT];
    uint32_t n_platforms = 0;
    int n = 0;
    if (cl.platforms(ASSAY_COUNT(platforms), platforms, &n_platforms) != 0)
        n_platforms = 0;
    for (uint32_t p = 0; p < n_platforms && p < ASSAY_COUNT(platforms); p++) {
        uint32_t n_devices = 0;
        if (cl.devices(platforms[p], type_all, ASSAY_GPU_LIMIT, devices, &n_devices) != 0)
            continue;
        for (uint32_t d = 0; d < n_devices && d < ASSAY_GPU_LIMIT && n < limit; d++)
            read_device(&cl, devices[d], &records[n++]);
    }
    if (n == 0)
        snprintf(reason, ASSAY_GPU_TEXT, n_platforms ? "no driver of OpenCL has a device" : "no driver is installed for OpenCL");
    return n;
}
