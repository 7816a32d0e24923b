/* SPDX-License-Identifier: Apache-2.0 */
/* x86: kernels for the peak of each precision and instruction set; see peak.h. */
#if defined(__x86_64__)
#include "device/peak.h"

#include <emmintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef float f32x4 __attribute__((vector_size(16)));
typedef double f64x2 __attribute__((vector_size(16)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef double f64x4 __attribute__((vector_size(32)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef double f64x8 __attribute__((vector_size(64)));

/* A pair of 1.0 in bfloat16 and in half precision, and four 1 in int8. */
enum { BF16_ONES = 0x3f803f80, F16_ONES = 0x3c003c00, INT8_ONES = 0x01010101, INT16_ONES = 0x00010001 };

/* c += a · b by one instruction, on 14 accumulators. */
#define START(i) vector c##i = {0};
#define STEP(i) __asm__ volatile(INSTRUCTION " %2, %1, %0" : "+v"(c##i) : "v"(a), "v"(b));
#define KERNEL(name, features, type, value_a, value_b)                                                                           \
    __attribute__((target(features))) static void name(int64_t n_iterations)                                                     \
    {                                                                                                                            \
        typedef type vector;                                                                                                     \
        const vector a = (vector){0} + (value_a), b = (vector){0} + (value_b);                                                   \
        PEAK_EACH_14(START)                                                                                                      \
        for (int64_t n = 0; n < n_iterations; n++) {                                                                             \
            PEAK_EACH_14(STEP)                                                                                                   \
        }                                                                                                                        \
    }

#define INSTRUCTION "vfmadd231ps"
KERNEL(f32_avx2, "avx2,fma", f32x8, 0.7f, 0.3f)
KERNEL(f32_avx512, "avx512f", f32x16, 0.7f, 0.3f)
#undef INSTRUCTION
#define INSTRUCTION "vfmadd231pd"
KERNEL(f64_avx2, "avx2,fma", f64x4, 0.7, 0.3)
KERNEL(f64_avx512, "avx512f", f64x8, 0.7, 0.3)
#undef INSTRUCTION
#define INSTRUCTION "vfmadd231ph"
KERNEL(f16_avx512, "avx512f", i32x16, F16_ONES, F16_ONES)
#undef INSTRUCTION
#define INSTRUCTION "vdpbf16ps"
KERNEL(bf16_avx512, "avx512f", i32x16, BF16_ONES, BF16_ONES)
#undef INSTRUCTION
#define INSTRUCTION "vpdpbusd"
KERNEL(int8_avx512, "avx512f", i32x16, INT8_ONES, INT8_ONES)
#undef INSTRUCTION
#define INSTRUCTION "%{vex%} vpdpbusd"
KERNEL(int8_avx_vnni, "avx2", i32x8, INT8_ONES, INT8_ONES)
#undef INSTRUCTION
#undef STEP

/* Before VNNI: products of bytes to words, words to double words, and the sum; three instructions. */
#define STEP(i)                                                                                                                  \
    __asm__ volatile("vpmaddubsw %2, %2, %1\n\tvpmaddwd %3, %1, %1\n\tvpaddd %1, %0, %0"                                         \
                     : "+x"(c##i), "=&x"(product)                                                                                \
                     : "x"(a), "x"(b));
__attribute__((target("avx2"))) static void int8_avx2(int64_t n_iterations)
{
    typedef i32x8 vector;
    const vector a = (vector){0} + INT8_ONES, b = (vector){0} + INT16_ONES;
    vector product;
    PEAK_EACH_7(START)
    for (int64_t n = 0; n < n_iterations; n++) {
        PEAK_EACH_7(STEP)
    }
}
#undef STEP
#undef START

/* SSE has no fused instruction: seven chains of products and seven of sums, which most CPUs run side by side. */
#define START(i) vector c##i = {0}, d##i = a;
#define STEP(i) __asm__ volatile(ADD " %2, %0\n\t" MULTIPLY " %2, %1" : "+x"(c##i), "+x"(d##i) : "x"(a));
#define KERNEL_SSE(name, type)                                                                                                   \
    static void name(int64_t n_iterations)                                                                                       \
    {                                                                                                                            \
        typedef type vector;                                                                                                     \
        const vector a = (vector){0} + 1;                                                                                        \
        PEAK_EACH_7(START)                                                                                                       \
        for (int64_t n = 0; n < n_iterations; n++) {                                                                             \
            PEAK_EACH_7(STEP)                                                                                                    \
        }                                                                                                                        \
    }
#define ADD "addps"
#define MULTIPLY "mulps"
KERNEL_SSE(f32_sse, f32x4)
#undef ADD
#undef MULTIPLY
#define ADD "addpd"
#define MULTIPLY "mulpd"
KERNEL_SSE(f64_sse, f64x2)

/* ---- AMX: 16 rows of 64 bytes a tile; four accumulators (0-3) hide the latency of the one unit */

/* Permission for the tiles' state (Linux, Documentation/x86/xstate.rst), then the tiles' shape, which is the thread's own. */
static bool amx_prepare(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) != 0)
        return false;
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t column_bytes[16];
        uint8_t rows[16];
    } shape __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 6; i++) {
        shape.column_bytes[i] = 64;
        shape.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0\n\ttilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\ttilezero %%tmm5"
                     :
                     : "m"(shape));
    return true;
}

#define FOUR_TILES(instruction)                                                                                                  \
    instruction " %%tmm5, %%tmm4, %%tmm0\n\t" instruction " %%tmm5, %%tmm4, %%tmm1\n\t" instruction                              \
                " %%tmm5, %%tmm4, %%tmm2\n\t" instruction " %%tmm5, %%tmm4, %%tmm3"

static void bf16_amx(int64_t n_iterations)
{
    for (int64_t n = 0; n < n_iterations; n++)
        __asm__ volatile(FOUR_TILES("tdpbf16ps")::);
}

static void int8_amx(int64_t n_iterations)
{
    for (int64_t n = 0; n < n_iterations; n++)
        __asm__ volatile(FOUR_TILES("tdpbssd")::);
}

/* The last column: accumulators x lanes x 2 (product and sum) x products a lane. */
const struct assay_peak_kernel assay_peak_kernels[] = {
    {"f32", "sse", "sse2", NULL, f32_sse, 7 * 4 * 2},
    {"f32", "avx2", "avx2 fma", NULL, f32_avx2, 14 * 8 * 2},
    {"f32", "avx512", "avx512f", NULL, f32_avx512, 14 * 16 * 2},
    {"f64", "sse", "sse2", NULL, f64_sse, 7 * 2 * 2},
    {"f64", "avx2", "avx2 fma", NULL, f64_avx2, 14 * 4 * 2},
    {"f64", "avx512", "avx512f", NULL, f64_avx512, 14 * 8 * 2},
    {"f16", "avx512_fp16", "avx512_fp16", NULL, f16_avx512, 14 * 32 * 2},
    {"bf16", "avx512_bf16", "avx512_bf16", NULL, bf16_avx512, 14 * 16 * 2 * 2},
    {"bf16", "amx_bf16", "amx_tile amx_bf16", amx_prepare, bf16_amx, 4 * 16 * 16 * 2 * 32},
    {"int8", "avx2", "avx2", NULL, int8_avx2, 7 * 8 * 2 * 4},
    {"int8", "avx_vnni", "avx_vnni", NULL, int8_avx_vnni, 14 * 8 * 2 * 4},
    {"int8", "avx512_vnni", "avx512_vnni", NULL, int8_avx512, 14 * 16 * 2 * 4},
    {"int8", "amx_int8", "amx_tile amx_int8", amx_prepare, int8_amx, 4 * 16 * 16 * 2 * 64},
};
const int assay_n_peak_kernels = (int)ASSAY_COUNT(assay_peak_kernels);

static void triad_nontemporal(double *a, const double *b, const double *c, double s, size_t n)
{
    __m128d factor = _mm_set1_pd(s);
    for (size_t i = 0; i < n; i += 2)
        _mm_stream_pd(a + i, _mm_add_pd(_mm_load_pd(b + i), _mm_mul_pd(factor, _mm_load_pd(c + i))));
    _mm_sfence();
}
void (*const assay_triad_nontemporal)(double *a, const double *b, const double *c, double s, size_t n) = triad_nontemporal;
#endif
