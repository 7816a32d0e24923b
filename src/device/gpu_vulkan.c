/* SPDX-License-Identifier: Apache-2.0 */
/* Devices by Vulkan, loaded at run time, with the few declarations that are needed (Vulkan 1.0 specification). */
#include "device/internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct instance_info {
    int32_t type; /* 1 */
    const void *next;
    uint32_t flags;
    const void *application;
    uint32_t n_layers;
    const char *const *layers;
    uint32_t n_extensions;
    const char *const *extensions;
};
struct properties {
    uint32_t api_version, driver_version, vendor_id, device_id;
    int32_t device_type;
    char name[256];
    uint8_t cache_uuid[16];
    uint64_t limits_and_more[256]; /* 524 bytes in version 1.0, of no interest here */
};
struct memory_properties {
    uint32_t n_types;
    struct {
        uint32_t flags, heap;
    } types[32];
    uint32_t n_heaps;
    struct {
        uint64_t size_bytes;
        uint32_t flags;
    } heaps[16];
};
enum { DEVICE_TYPE_CPU = 4, HEAP_DEVICE_LOCAL = 1 };

struct vulkan {
    int32_t (*create)(const struct instance_info *, const void *, void **);
    void (*destroy)(void *, const void *);
    int32_t (*devices)(void *, uint32_t *, void **);
    void (*properties)(void *, struct properties *);
    void (*memory)(void *, struct memory_properties *);
};

static bool find(void *library, const char *name, void *function_pointer)
{
    void *symbol = dlsym(library, name);
    memcpy(function_pointer, &symbol, sizeof symbol);
    return symbol != NULL;
}

static const char *vendor_name(uint32_t id)
{
    static const struct {
        uint32_t id;
        const char *name;
    } known[] = {{0x10de, "NVIDIA"},   {0x1002, "AMD"},         {0x8086, "Intel"}, {0x13b5, "ARM"},
                 {0x5143, "Qualcomm"}, {0x1010, "Imagination"}, {0x106b, "Apple"}, {0x10005, "Mesa"}};
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (known[i].id == id)
            return known[i].name;
    return "";
}

static void read_device(const struct vulkan *vk, void *device, struct assay_gpu_record *record)
{
    struct properties properties = {0};
    struct memory_properties memory = {0};
    vk->properties(device, &properties);
    vk->memory(device, &memory);
    snprintf(record->name, sizeof record->name, "%.*s", ASSAY_GPU_TEXT - 1, properties.name);
    snprintf(record->vendor, sizeof record->vendor, "%s", vendor_name(properties.vendor_id));
    snprintf(record->driver, sizeof record->driver, "0x%08x", properties.driver_version); /* its coding is the vendor's own */
    record->is_software = properties.device_type == DEVICE_TYPE_CPU;
    for (uint32_t i = 0; i < memory.n_heaps && i < ASSAY_COUNT(memory.heaps); i++)
        if ((memory.heaps[i].flags & HEAP_DEVICE_LOCAL) && memory.heaps[i].size_bytes < INT64_MAX / 16)
            record->memory_bytes += (int64_t)memory.heaps[i].size_bytes;
}

int assay_gpu_vulkan(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT])
{
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    struct vulkan vk;
    if (!library || !find(library, "vkCreateInstance", &vk.create) || !find(library, "vkDestroyInstance", &vk.destroy) ||
        !find(library, "vkEnumeratePhysicalDevices", &vk.devices) ||
        !find(library, "vkGetPhysicalDeviceProperties", &vk.properties) ||
        !find(library, "vkGetPhysicalDeviceMemoryProperties", &vk.memory)) {
        snprintf(reason, ASSAY_GPU_TEXT, "there is no Vulkan (libvulkan.so.1)");
        return 0;
    }
    void *instance = NULL, *devices[ASSAY_GPU_LIMIT];
    if (vk.create(&(struct instance_info){.type = 1}, NULL, &instance) != 0) {
        snprintf(reason, ASSAY_GPU_TEXT, "no driver is installed for Vulkan");
        return 0;
    }
    uint32_t n_devices = limit < ASSAY_GPU_LIMIT ? (uint32_t)limit : ASSAY_GPU_LIMIT;
    if (vk.devices(instance, &n_devices, devices) < 0)
        n_devices = 0;
    for (uint32_t i = 0; i < n_devices; i++)
        read_device(&vk, devices[i], &records[i]);
    if (n_devices == 0)
        snprintf(reason, ASSAY_GPU_TEXT, "no driver of Vulkan has a device");
    vk.destroy(instance, NULL);
    return (int)n_devices;
}
