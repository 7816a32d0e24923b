/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/ops/gemm.h"

#include "base/test.h"

/* Sizes around the edges of tiles (4, 8, 12, 24), panels (48) and blocks (240, 256, 480). */
static const int64_t sizes[][3] = {{1, 1, 1},   {1, 25, 7},    {3, 5, 2},      {4, 12, 1},    {8, 24, 257}, {9, 23, 256},
                                   {47, 49, 3}, {481, 241, 5}, {49, 250, 513}, {2, 500, 300}, {5, 3, 0}};

/* Small numbers from a fixed sequence, fractions that are not exact sums of powers of two. */
static double number_at(int64_t i) { return (double)((i * 7919 + 13) % 1009) / 131.0 - 3.7; }

static float *floats(int64_t n)
{
    float *data = malloc((size_t)(n + 1) * sizeof *data);
    for (int64_t i = 0; i < n; i++)
        data[i] = (float)number_at(i);
    return data;
}

static struct assay_matrix matrix(const void *data, int64_t rows, int64_t columns, int transposed)
{
    return transposed ? (struct assay_matrix){data, 1, rows} : (struct assay_matrix){data, columns, 1};
}

static void check_f32(const int64_t size[3], const struct assay_gemm_kernel *kernel, int transposed)
{
    int64_t m = size[0], n = size[1], k = size[2];
    float *a = floats(m * k), *b = floats(k * n), *add = floats(n), *c = floats(m * n);
    struct assay_gemm gemm = {.m = m, .n = n, .k = k, .a_type = ASSAY_F32, .b_type = ASSAY_F32, .alpha = 0.5, .beta = 2};
    gemm.a = matrix(a, m, k, transposed & 1);
    gemm.b = matrix(b, k, n, transposed >> 1);
    gemm.add = (struct assay_matrix){add, 0, 1};
    gemm.c = c;
    gemm.c_row_stride = n;
    gemm.kernel = kernel;
    struct assay_error err;
    CHECK_OK(assay_gemm_run(&gemm, &err), err);
    int64_t wrong = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)a[i * gemm.a.row_stride + p * gemm.a.column_stride] *
                       (double)b[p * gemm.b.row_stride + j * gemm.b.column_stride];
            wrong += c[i * n + j] != (float)(0.5 * sum + 2 * (double)add[j]);
        }
    free(a);
    free(b);
    free(add);
    free(c);
    CHECK_INT(wrong, 0);
}

ASSAY_TEST(each_kernel_gives_the_sum_in_order_of_k_to_the_bit)
{
    for (int kernel = 0; assay_gemm_kernel_at(kernel); kernel++)
        for (size_t i = 0; i < ASSAY_COUNT(sizes); i++)
            for (int transposed = 0; transposed < 4; transposed++)
                check_f32(sizes[i], assay_gemm_kernel_at(kernel), transposed);
}

ASSAY_TEST(f64_gives_the_unfused_sum_to_the_bit)
{
    int64_t m = 7, n = 30, k = 300;
    double *a = malloc((size_t)(m * k) * sizeof *a), *b = malloc((size_t)(k * n) * sizeof *b), *c = malloc(sizeof *c * 210);
    for (int64_t i = 0; i < m * k; i++)
        a[i] = number_at(i);
    for (int64_t i = 0; i < k * n; i++)
        b[i] = number_at(i + 5);
    struct assay_gemm gemm = {.m = m, .n = n, .k = k, .a_type = ASSAY_F64, .b_type = ASSAY_F64, .alpha = 1};
    gemm.a = matrix(a, m, k, 0);
    gemm.b = matrix(b, k, n, 0);
    gemm.c = c;
    gemm.c_row_stride = n;
    struct assay_error err;
    CHECK_OK(assay_gemm_run(&gemm, &err), err);
    int wrong = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += a[i * k + p] * b[p * n + j];
            wrong += c[i * n + j] != sum;
        }
    free(a);
    free(b);
    free(c);
    CHECK_INT(wrong, 0);
}

static void check_integers(const int64_t size[3], const struct assay_gemm_kernel *kernel)
{
    int64_t m = size[0], n = size[1], k = size[2];
    uint8_t *a = malloc((size_t)(m * k + 1));
    int8_t *b = malloc((size_t)(k * n + 1));
    int32_t *c = malloc((size_t)(m * n) * sizeof *c), *zeros = malloc((size_t)n * sizeof *zeros);
    for (int64_t i = 0; i < m * k; i++)
        a[i] = (uint8_t)(i * 31 % 256);
    for (int64_t i = 0; i < k * n; i++)
        b[i] = (int8_t)(i * 57 % 256 - 128);
    for (int64_t i = 0; i < n; i++)
        zeros[i] = (int32_t)(i % 255 - 127);
    int32_t zero = 200;
    struct assay_gemm gemm = {.m = m, .n = n, .k = k, .a_type = ASSAY_U8, .b_type = ASSAY_I8, .a_zero = &zero, .b_zero = zeros};
    gemm.b_zero_stride = 1;
    gemm.a = matrix(a, m, k, 0);
    gemm.b = matrix(b, k, n, 1);
    gemm.c = c;
    gemm.c_row_stride = n;
    gemm.kernel = kernel;
    struct assay_error err;
    CHECK_OK(assay_gemm_run(&gemm, &err), err);
    int64_t wrong = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += ((int64_t)a[i * k + p] - zero) * ((int64_t)b[j * k + p] - zeros[j]);
            wrong += c[i * n + j] != sum;
        }
    free(a);
    free(b);
    free(c);
    free(zeros);
    CHECK_INT(wrong, 0);
}

ASSAY_TEST(eight_bit_integers_with_zero_points_are_exact)
{
    for (int kernel = 0; assay_gemm_kernel_at(kernel); kernel++)
        for (size_t i = 0; i < ASSAY_COUNT(sizes); i++)
            check_integers(sizes[i], assay_gemm_kernel_at(kernel));
}

ASSAY_TEST(a_sum_beyond_32_bits_wraps_around)
{
    enum { K = 40000 };
    uint8_t *ones = malloc(K);
    memset(ones, 255, K);
    int32_t c = 0;
    struct assay_gemm gemm = {.m = 1, .n = 1, .k = K, .a_type = ASSAY_U8, .b_type = ASSAY_U8, .c = &c, .c_row_stride = 1};
    gemm.a = (struct assay_matrix){ones, K, 1};
    gemm.b = (struct assay_matrix){ones, 1, K};
    struct assay_error err;
    enum assay_status st = assay_gemm_run(&gemm, &err);
    free(ones);
    CHECK_INT(st, ASSAY_OK);
    CHECK_INT(c, (int32_t)(uint32_t)(65025LL * K));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_kernel_gives_the_sum_in_order_of_k_to_the_bit),
                ASSAY_TEST_ENTRY(f64_gives_the_unfused_sum_to_the_bit),
                ASSAY_TEST_ENTRY(eight_bit_integers_with_zero_points_are_exact),
                ASSAY_TEST_ENTRY(a_sum_beyond_32_bits_wraps_around))
