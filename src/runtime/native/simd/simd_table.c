/* SPDX-License-Identifier: Apache-2.0 */
/* The tier's table of functions: see simd.h. */
#include "runtime/native/simd/simd_inside.h"

#define TABLE_JOIN2(tier) native_simd_##tier
#define TABLE_JOIN(tier) TABLE_JOIN2(tier)
extern const struct native_simd TABLE_JOIN(NATIVE_TIER);
const struct native_simd TABLE_JOIN(NATIVE_TIER) = {
#define X(type, name, arguments) .name = SIMD(name),
    NATIVE_SIMD_FUNCTIONS(X)
#undef X
};
