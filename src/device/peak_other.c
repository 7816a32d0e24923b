/* SPDX-License-Identifier: Apache-2.0 */
/* Architectures without kernels of their own: scalar fused multiply-adds, as the compiler writes them. */
#if !defined(__x86_64__) && !defined(__aarch64__)
#include "device/peak.h"

#define START(i) type c##i = 0;
#define STEP(i) c##i = __builtin_choose_expr(sizeof(type) == 4, __builtin_fmaf(a, b, c##i), __builtin_fma(a, b, c##i));
#define KEEP(i) __asm__ volatile("" ::"m"(c##i));
#define KERNEL(name, real)                                                                                                       \
    static void name(int64_t n_iterations)                                                                                       \
    {                                                                                                                            \
        typedef real type;                                                                                                       \
        type a = (type)0.7, b = (type)0.3;                                                                                       \
        __asm__ volatile("" : "+m"(a), "+m"(b));                                                                                 \
        PEAK_EACH_14(START)                                                                                                      \
        for (int64_t n = 0; n < n_iterations; n++) {                                                                             \
            PEAK_EACH_14(STEP)                                                                                                   \
        }                                                                                                                        \
        PEAK_EACH_14(KEEP)                                                                                                       \
    }
KERNEL(f32_scalar, float)
KERNEL(f64_scalar, double)

const struct assay_peak_kernel assay_peak_kernels[] = {
    {"f32", "scalar", "", NULL, f32_scalar, 14 * 2},
    {"f64", "scalar", "", NULL, f64_scalar, 14 * 2},
};
const int assay_n_peak_kernels = (int)ASSAY_COUNT(assay_peak_kernels);
void (*const assay_triad_nontemporal)(double *a, const double *b, const double *c, double s, size_t n) = NULL;
#endif
