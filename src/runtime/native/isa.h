/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction set tiers of the native runtime: each is a platform of its own to measure (`--isa`). A tier has all that the ones
 * before it have on the same architecture.
 */
#ifndef ASSAY_RUNTIME_NATIVE_ISA_H
#define ASSAY_RUNTIME_NATIVE_ISA_H

#include "base/status.h"

#include <stdbool.h>

enum native_isa {
    NATIVE_ISA_PORTABLE,    /* plain C: other processors */
    NATIVE_ISA_NEON,        /* "neon": every aarch64 processor */
    NATIVE_ISA_SSE41,       /* "sse4.1" */
    NATIVE_ISA_AVX2,        /* "avx2": with FMA */
    NATIVE_ISA_AVX512,      /* "avx512": F, BW, DQ, VL */
    NATIVE_ISA_AVX512_VNNI, /* "avx512_vnni" */
    NATIVE_ISA_AVX512_BF16, /* "avx512_bf16" */
    NATIVE_ISA_AMX,         /* "amx": int8 and bf16 tiles */
    NATIVE_N_ISAS
};

const char *native_isa_word(enum native_isa isa);
/* The best tier of this CPU. */
enum native_isa native_isa_best(void);
bool native_isa_is_here(enum native_isa isa);
/* word "" = the best. ASSAY_INVALID: no such tier; ASSAY_UNSUPPORTED: this CPU does not have it. */
enum assay_status native_isa_find(const char *word, enum native_isa *isa, struct assay_error *err);
/* Keeps oneDNN to the tier. It can be told once in a process: ASSAY_UNSUPPORTED if it was told another. */
enum assay_status native_isa_limit(enum native_isa isa, struct assay_error *err);

#endif
