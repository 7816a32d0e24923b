/* SPDX-License-Identifier: Apache-2.0 */
/* See isa.h. */
#include "runtime/native/isa.h"

#include <string.h>

static const char *const words[NATIVE_N_ISAS] = {"portable", "neon",        "sse4.1",      "avx2",
                                                 "avx512",   "avx512_vnni", "avx512_bf16", "amx"};

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

bool native_isa_is_here(enum native_isa isa) { return isa != NATIVE_ISA_NEON && isa <= native_isa_best(); }
#elif defined(__aarch64__)
enum native_isa native_isa_best(void) { return NATIVE_ISA_NEON; }

/* Its plain C is NEON too, so that portable is no tier of its own. */
bool native_isa_is_here(enum native_isa isa) { return isa == NATIVE_ISA_NEON; }
#else
enum native_isa native_isa_best(void) { return NATIVE_ISA_PORTABLE; }

bool native_isa_is_here(enum native_isa isa) { return isa == NATIVE_ISA_PORTABLE; }
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
            return native_isa_is_here(*isa)
                       ? ASSAY_OK
                       : assay_error_set(err, ASSAY_UNSUPPORTED, "this CPU has no %s, its best tier is %s", word, words[best]);
        }
    return assay_error_set(err, ASSAY_INVALID,
                           "there is no instruction set tier '%s': it is one of sse4.1, avx2, avx512, "
                           "avx512_vnni, avx512_bf16, amx, neon",
                           word);
}
