/* SPDX-License-Identifier: Apache-2.0 */
/* See isa.h. */
#include "runtime/native/isa.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <string.h>

static const char *const words[NATIVE_N_ISAS] = {"portable", "sse4.1", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx"};

const char *native_isa_word(enum native_isa isa) { return words[isa]; }

#if defined(__x86_64__)
static bool has_amx(void)
{
    unsigned a = 7, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (d >> 24 & 1) && (d >> 25 & 1) && (d >> 22 & 1);
}

enum native_isa native_isa_best(void)
{
    if (!__builtin_cpu_supports("sse4.1"))
        return NATIVE_ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return NATIVE_ISA_SSE41;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return NATIVE_ISA_AVX2;
    if (!__builtin_cpu_supports("avx512vnni"))
        return NATIVE_ISA_AVX512;
    if (!__builtin_cpu_supports("avx512bf16"))
        return NATIVE_ISA_AVX512_VNNI;
    return has_amx() ? NATIVE_ISA_AMX : NATIVE_ISA_AVX512_BF16;
}
#else
enum native_isa native_isa_best(void) { return NATIVE_ISA_PORTABLE; }
#endif

enum assay_status native_isa_find(const char *word, enum native_isa *isa, struct assay_error *err)
{
    enum native_isa best = native_isa_best();
    *isa = best;
    if (!*word)
        return ASSAY_OK;
    for (int i = 0; i < NATIVE_N_ISAS; i++)
        if (strcmp(word, words[i]) == 0) {
            *isa = (enum native_isa)i;
            return *isa <= best
                       ? ASSAY_OK
                       : assay_error_set(err, ASSAY_UNSUPPORTED, "this CPU has no %s, its best tier is %s", word, words[best]);
        }
    return assay_error_set(err, ASSAY_INVALID,
                           "there is no instruction set tier '%s': it is one of sse4.1, avx2, avx512, "
                           "avx512_vnni, avx512_bf16, amx",
                           word);
}

static dnnl_cpu_isa_t library_isa(enum native_isa isa)
{
    switch (isa) {
    case NATIVE_ISA_SSE41:
        return dnnl_cpu_isa_sse41;
    case NATIVE_ISA_AVX2:
        return dnnl_cpu_isa_avx2;
    case NATIVE_ISA_AVX512:
        return dnnl_cpu_isa_avx512_core;
    case NATIVE_ISA_AVX512_VNNI:
        return dnnl_cpu_isa_avx512_core_vnni;
    case NATIVE_ISA_AVX512_BF16:
        return dnnl_cpu_isa_avx512_core_bf16;
    default:
        return dnnl_cpu_isa_all;
    }
}

enum assay_status native_isa_limit(enum native_isa isa, struct assay_error *err)
{
    dnnl_cpu_isa_t wanted = isa == native_isa_best() ? dnnl_cpu_isa_all : library_isa(isa);
    dnnl_status_t st = dnnl_set_max_cpu_isa(wanted);
    dnnl_cpu_isa_t got = dnnl_get_effective_cpu_isa();
    if (wanted == dnnl_cpu_isa_all ? st == dnnl_success || got >= library_isa(isa) : got == wanted)
        return ASSAY_OK;
    return assay_error_set(
        err, ASSAY_UNSUPPORTED,
        "oneDNN was told another instruction set tier than %s before in this process: run it in one of its own", words[isa]);
}
