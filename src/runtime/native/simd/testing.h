/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the vector loops: the tiers that this CPU has. */
#ifndef ASSAY_RUNTIME_NATIVE_SIMD_TESTING_H
#define ASSAY_RUNTIME_NATIVE_SIMD_TESTING_H

#include "runtime/native/simd/simd.h"

/* The tiers with vector loops of their own; their number. */
static inline int testing_tiers(enum native_isa tiers[NATIVE_N_ISAS])
{
    int n = 0;
    for (int i = 0; i < NATIVE_N_ISAS; i++) {
        enum native_isa isa = (enum native_isa)i;
        if (native_isa_is_here(isa) && (n == 0 || native_simd_of(isa) != native_simd_of(tiers[n - 1])))
            tiers[n++] = isa;
    }
    return n;
}

#endif
