/* SPDX-License-Identifier: Apache-2.0 */
/* x86: features, name and hypervisor from cpuid. A feature counts only if the operating system saves its registers (XCR0). */
#if defined(__x86_64__) || defined(__i386__)
#include "device/internal.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };
enum { XMM_YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };

static const struct {
    const char *name;
    unsigned leaf, subleaf;
    int reg, bit;
    unsigned state; /* of XCR0 */
} features[] = {
    {"sse2", 1, 0, EDX, 26, 0},         {"ssse3", 1, 0, ECX, 9, 0},          {"sse4.1", 1, 0, ECX, 19, 0},
    {"sse4.2", 1, 0, ECX, 20, 0},       {"avx", 1, 0, ECX, 28, XMM_YMM},     {"f16c", 1, 0, ECX, 29, XMM_YMM},
    {"fma", 1, 0, ECX, 12, XMM_YMM},    {"avx2", 7, 0, EBX, 5, XMM_YMM},     {"avx_vnni", 7, 1, EAX, 4, XMM_YMM},
    {"avx512f", 7, 0, EBX, 16, ZMM},    {"avx512dq", 7, 0, EBX, 17, ZMM},    {"avx512bw", 7, 0, EBX, 30, ZMM},
    {"avx512vl", 7, 0, EBX, 31, ZMM},   {"avx512_vbmi", 7, 0, ECX, 1, ZMM},  {"avx512_vnni", 7, 0, ECX, 11, ZMM},
    {"avx512_bf16", 7, 1, EAX, 5, ZMM}, {"avx512_fp16", 7, 0, EDX, 23, ZMM}, {"amx_tile", 7, 0, EDX, 24, TILES},
    {"amx_int8", 7, 0, EDX, 25, TILES}, {"amx_bf16", 7, 0, EDX, 22, TILES},
};

/* All zero for a leaf that the CPU does not have. */
static void cpuid(unsigned leaf, unsigned subleaf, unsigned reg[4])
{
    memset(reg, 0, 4 * sizeof *reg);
    __get_cpuid_count(leaf, subleaf, &reg[EAX], &reg[EBX], &reg[ECX], &reg[EDX]);
}

static unsigned saved_state(void)
{
    unsigned reg[4], low, high;
    cpuid(1, 0, reg);
    if (!(reg[ECX] & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

int assay_isa_list(const char **names, int limit)
{
    unsigned state = saved_state(), reg[4];
    int n = 0;
    for (size_t i = 0; i < ASSAY_COUNT(features) && n < limit; i++) {
        unsigned last_subleaf[4];
        cpuid(features[i].leaf, 0, last_subleaf);
        if (features[i].subleaf > 0 && features[i].subleaf > last_subleaf[EAX])
            continue;
        cpuid(features[i].leaf, features[i].subleaf, reg);
        if ((reg[features[i].reg] >> features[i].bit & 1) && (state & features[i].state) == features[i].state)
            names[n++] = features[i].name;
    }
    return n;
}

/* Copies what is printable, without spaces around it. */
static void copy_name(char *out, size_t size, const char *text, size_t n)
{
    while (n && *text == ' ')
        text++, n--;
    size_t length = 0;
    for (size_t i = 0; i < n && text[i] >= ' ' && text[i] <= '~' && length + 1 < size; i++)
        out[length++] = text[i];
    while (length && out[length - 1] == ' ')
        length--;
    out[length] = 0;
}

void assay_isa_cpu_name(char *vendor, size_t vendor_size, char *name, size_t name_size)
{
    unsigned reg[4], brand[12] = {0};
    cpuid(0, 0, reg);
    unsigned letters[3] = {reg[EBX], reg[EDX], reg[ECX]};
    copy_name(vendor, vendor_size, (const char *)letters, sizeof letters);
    cpuid(0x80000000, 0, reg);
    if (reg[EAX] >= 0x80000004)
        for (unsigned i = 0; i < 3; i++)
            cpuid(0x80000002 + i, 0, brand + 4 * i);
    copy_name(name, name_size, (const char *)brand, sizeof brand);
}

void assay_isa_hypervisor(char *name, size_t size)
{
    static const struct {
        const char *signature, *name;
    } known[] = {{"KVMKVMKVM", "kvm"},     {"Microsoft Hv", "hyper-v"},   {"VMwareVMware", "vmware"},
                 {"XenVMMXenVMM", "xen"},  {"TCGTCGTCGTCG", "qemu"},      {"bhyve bhyve ", "bhyve"},
                 {"ACRNACRNACRN", "acrn"}, {"VBoxVBoxVBox", "virtualbox"}};
    unsigned reg[4];
    cpuid(1, 0, reg);
    if (!(reg[ECX] >> 31)) {
        snprintf(name, size, "none");
        return;
    }
    unsigned ignored;
    __cpuid(0x40000000, ignored, reg[0], reg[1], reg[2]); /* above the range that __get_cpuid_count allows */
    (void)ignored;
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strncmp((const char *)reg, known[i].signature, strlen(known[i].signature)) == 0) {
            snprintf(name, size, "%s", known[i].name);
            return;
        }
    snprintf(name, size, "unknown hypervisor");
}
#endif
