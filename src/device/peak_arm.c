/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit ARM: kernels for the peak of each precision and instruction set; see peak.h. The vectors' content is the same 128 bits
 * for the instruction, so one type serves all. */
#if defined(__aarch64__)
#include "device/peak.h"

typedef uint32_t bits128 __attribute__((vector_size(16)));

/* The compilers name some of the extensions differently, and GNU's assembler wants them on the architecture that brought them. */
#if defined(__clang__)
#define BASE "neon"
#define HALF "fullfp16"
#define TARGET(feature) __attribute__((target(feature)))
#else
#define BASE "simd"
#define HALF "fp16"
#define TARGET(feature) __attribute__((target("arch=armv8.2-a+" feature)))
#endif

#define START(i) bits128 c##i = {0};
#define STEP(i) __asm__ volatile(INSTRUCTION : "+w"(c##i) : "w"(a), "w"(b));
#define KERNEL(name, feature, value)                                                                                             \
    TARGET(feature) static void name(int64_t n_iterations)                                                                       \
    {                                                                                                                            \
        const bits128 a = (bits128){0} + (value), b = a;                                                                         \
        PEAK_EACH_24(START)                                                                                                      \
        for (int64_t n = 0; n < n_iterations; n++) {                                                                             \
            PEAK_EACH_24(STEP)                                                                                                   \
        }                                                                                                                        \
    }

/* 1.0 in single precision, twice in half precision and bfloat16; f64 gets a number near 0.008; four 1 in int8. */
enum { F32_ONE = 0x3f800000, F16_ONES = 0x3c003c00, BF16_ONES = 0x3f803f80, INT8_ONES = 0x01010101 };

#define INSTRUCTION "fmla %0.4s, %1.4s, %2.4s"
KERNEL(f32_neon, BASE, F32_ONE)
#undef INSTRUCTION
#define INSTRUCTION "fmla %0.2d, %1.2d, %2.2d"
KERNEL(f64_neon, BASE, F32_ONE)
#undef INSTRUCTION
#define INSTRUCTION "fmla %0.8h, %1.8h, %2.8h"
KERNEL(f16_neon, HALF, F16_ONES)
#undef INSTRUCTION
#define INSTRUCTION "bfdot %0.4s, %1.8h, %2.8h"
KERNEL(bf16_bfdot, "bf16", BF16_ONES)
#undef INSTRUCTION
#define INSTRUCTION "bfmmla %0.4s, %1.8h, %2.8h"
KERNEL(bf16_bfmmla, "bf16", BF16_ONES)
#undef INSTRUCTION
#define INSTRUCTION "sdot %0.4s, %1.16b, %2.16b"
KERNEL(int8_dotprod, "dotprod", INT8_ONES)
#undef INSTRUCTION
#define INSTRUCTION "smmla %0.4s, %1.16b, %2.16b"
KERNEL(int8_i8mm, "i8mm", INT8_ONES)

/* The last column: accumulators x lanes x 2 (product and sum) x products a lane. */
const struct assay_peak_kernel assay_peak_kernels[] = {
    {"f32", "neon", "neon", NULL, f32_neon, 24 * 4 * 2},
    {"f64", "neon", "neon", NULL, f64_neon, 24 * 2 * 2},
    {"f16", "neon_fp16", "fp16", NULL, f16_neon, 24 * 8 * 2},
    {"bf16", "bfdot", "bf16", NULL, bf16_bfdot, 24 * 4 * 2 * 2},
    {"bf16", "bfmmla", "bf16", NULL, bf16_bfmmla, 24 * 4 * 2 * 4},
    {"int8", "dotprod", "dotprod", NULL, int8_dotprod, 24 * 4 * 2 * 4},
    {"int8", "i8mm", "i8mm", NULL, int8_i8mm, 24 * 4 * 2 * 8},
};
const int assay_n_peak_kernels = (int)ASSAY_COUNT(assay_peak_kernels);
void (*const assay_triad_nontemporal)(double *a, const double *b, const double *c, double s, size_t n) = NULL;
#endif
