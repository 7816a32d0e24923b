/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit ARM on Linux: features from the auxiliary vector, the name from /proc/cpuinfo. */
#if defined(__aarch64__)
#include "device/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

/* Bits of AT_HWCAP and AT_HWCAP2 (Linux, Documentation/arm64/elf_hwcaps.rst). */
static const struct {
    const char *name;
    int word, bit;
} features[] = {{"neon", 1, 1}, {"fp16", 1, 10}, {"dotprod", 1, 20}, {"sve", 1, 22},
                {"sve2", 2, 1}, {"i8mm", 2, 13}, {"bf16", 2, 14},    {"sme", 2, 23}};

int assay_isa_list(const char **names, int limit)
{
    unsigned long words[3] = {0, getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
    int n = 0;
    for (size_t i = 0; i < ASSAY_COUNT(features) && n < limit; i++)
        if (words[features[i].word] >> features[i].bit & 1)
            names[n++] = features[i].name;
    return n;
}

/* Main ID register (ARM's list of implementers, the manuals of the cores). */
static const struct {
    int implementer, part;
    const char *vendor, *name;
} cores[] = {
    {0x41, 0xd03, "ARM", "Cortex-A53"},   {0x41, 0xd05, "ARM", "Cortex-A55"},  {0x41, 0xd08, "ARM", "Cortex-A72"},
    {0x41, 0xd0b, "ARM", "Cortex-A76"},   {0x41, 0xd41, "ARM", "Cortex-A78"},  {0x41, 0xd0c, "ARM", "Neoverse-N1"},
    {0x41, 0xd40, "ARM", "Neoverse-V1"},  {0x41, 0xd49, "ARM", "Neoverse-N2"}, {0x41, 0xd4f, "ARM", "Neoverse-V2"},
    {0xc0, 0xac3, "Ampere", "AmpereOne"}, {0x46, 0x001, "Fujitsu", "A64FX"},   {0x48, 0xd01, "HiSilicon", "Kunpeng-920"},
    {0x43, 0x0af, "Cavium", "ThunderX2"},
};

void assay_isa_cpu_name(char *vendor, size_t vendor_size, char *name, size_t name_size)
{
    char text[4096], implementer[32], part[32];
    vendor[0] = name[0] = 0;
    if (!assay_proc_read("/proc/cpuinfo", text, sizeof text) ||
        !assay_proc_field(text, "CPU implementer", implementer, sizeof implementer) ||
        !assay_proc_field(text, "CPU part", part, sizeof part))
        return;
    long who = strtol(implementer, NULL, 16), what = strtol(part, NULL, 16);
    snprintf(vendor, vendor_size, "implementer 0x%02lx", who);
    snprintf(name, name_size, "ARM core 0x%02lx/0x%03lx", who, what);
    for (size_t i = 0; i < ASSAY_COUNT(cores); i++)
        if (cores[i].implementer == who && cores[i].part == what) {
            snprintf(vendor, vendor_size, "%s", cores[i].vendor);
            snprintf(name, name_size, "%s", cores[i].name);
        }
}

void assay_isa_hypervisor(char *name, size_t size)
{
    /* There is no instruction to ask; device trees of virtual machines name it ("linux,kvm"). */
    char line[64];
    name[0] = 0;
    if (assay_proc_line("/proc/device-tree/hypervisor/compatible", line, sizeof line))
        snprintf(name, size, "%s", line);
}
#endif
