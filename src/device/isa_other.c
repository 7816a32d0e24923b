/* SPDX-License-Identifier: Apache-2.0 */
/* Architectures of which nothing particular is known. */
#if !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__)
#include "device/internal.h"

#include <string.h>

int assay_isa_list(const char **names, int limit)
{
    (void)names;
    (void)limit;
    return 0;
}

void assay_isa_cpu_name(char *vendor, size_t vendor_size, char *name, size_t name_size)
{
    memset(vendor, 0, vendor_size);
    memset(name, 0, name_size);
}

void assay_isa_hypervisor(char *name, size_t size) { memset(name, 0, size); }
#endif
