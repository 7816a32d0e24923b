/* SPDX-License-Identifier: Apache-2.0 */
/* Vector operations and row functions against libm in double, on every tier of instructions that this CPU has. */
#include "runtime/native/simd/testing.h"

#include "base/rng.h"
#include "base/test.h"
#include "graph/dtype.h"

#include <stdbool.h>
#include <stdint.h>

enum { N = 4099 /* a prime: every loop has a rest */ };

static void fill(float *x, double low, double high)
{
    for (int i = 0; i < N; i++)
        x[i] = (float)(low + (high - low) * i / (N - 1));
}

static double same(double x) { return x; }
static double negative(double x) { return -x; }
static double square(double x) { return x * x; }
static double cube(double x) { return x * x * x; }
static double inverse(double x) { return 1 / x; }
static double sign(double x) { return (x > 0) - (x < 0); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double softplus(double x) { return log1p(exp(-fabs(x))) + (x < 0 ? 0 : x); }
static double softsign(double x) { return x / (1 + fabs(x)); }
static double mish(double x) { return x * tanh(softplus(x)); }
static double gelu(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }
static double gelu_tanh(double x) { return 0.5 * x * (1 + tanh(M_SQRT2 * 0.5 * M_2_SQRTPI * (x + 0.044715 * x * x * x))); }
static double relu(double x) { return x < 0 ? 0 : x; }
static double hard_swish(double x) { return x * fmin(fmax(x / 6 + 0.5, 0), 1); }
static double swish(double x) { return x / (1 + exp(-1.5 * x)); }
static double leaky(double x) { return x < 0 ? 1.5 * x : x; }
static double elu(double x) { return x < 0 ? 1.5 * expm1(x) : x; }
static double hard_sigmoid(double x) { return fmin(fmax(1.5 * x + 2.5, 0), 1); }
static double clip(double x) { return fmin(fmax(x, 1.5), 2.5); }
static double linear(double x) { return 1.5 * x + 2.5; }

/* Tolerances: `ulps` of the result, or `absolute` where the result is small against what it is the difference of. */
static const struct {
    enum native_vector_op op;
    double (*oracle)(double x);
    double low, high, ulps, absolute;
} functions[] = {
    {NATIVE_V_COPY_F, same, -10, 10, 0, 0},
    {NATIVE_V_NEG, negative, -10, 10, 0, 0},
    {NATIVE_V_ABS, fabs, -10, 10, 0, 0},
    {NATIVE_V_SIGN, sign, -10, 10, 0, 0},
    {NATIVE_V_SQRT, sqrt, 0, 1e6, 0.5, 0},
    {NATIVE_V_SQUARE, square, -1e6, 1e6, 0.5, 0},
    {NATIVE_V_CUBE, cube, -1e6, 1e6, 2, 0},
    {NATIVE_V_RECIPROCAL, inverse, 1e-3, 1e6, 0.5, 0},
    {NATIVE_V_FLOOR, floor, -100, 100, 0, 0},
    {NATIVE_V_CEIL, ceil, -100, 100, 0, 0},
    {NATIVE_V_ROUND, rint, -100, 100, 0, 0},
    {NATIVE_V_EXP, exp, -86.9, 88.7, 2, 0},
    {NATIVE_V_LOG, log, 1e-6, 10, 2, 1e-7},
    {NATIVE_V_LOG, log, 1e-6, 3e38, 2, 0},
    {NATIVE_V_SIN, sin, -100, 100, 1, 1e-7},
    {NATIVE_V_COS, cos, -100, 100, 1, 1e-7},
    {NATIVE_V_ERF, erf, -6, 6, 6, 0},
    {NATIVE_V_TANH, tanh, -12, 12, 5, 0},
    {NATIVE_V_SIGMOID, sigmoid, -80, 80, 4, 0},
    {NATIVE_V_SOFTPLUS, softplus, -80, 80, 6, 0},
    {NATIVE_V_SOFTSIGN, softsign, -100, 100, 2, 0},
    {NATIVE_V_MISH, mish, -20, 80, 12, 0},
    {NATIVE_V_GELU, gelu, -6, 6, 5, 1e-6},
    {NATIVE_V_GELU_TANH, gelu_tanh, -6, 6, 5, 1e-6},
    {NATIVE_V_RELU, relu, -10, 10, 0, 0},
    {NATIVE_V_HARD_SWISH, hard_swish, -10, 10, 3, 1e-6},
    {NATIVE_V_SWISH, swish, -40, 40, 4, 1e-7},
    {NATIVE_V_LEAKY_RELU, leaky, -10, 10, 0.5, 0},
    {NATIVE_V_ELU, elu, -20, 20, 4, 0},
    {NATIVE_V_HARD_SIGMOID, hard_sigmoid, -10, 10, 1, 2e-7},
    {NATIVE_V_CLIP, clip, -10, 10, 0, 0},
    {NATIVE_V_LINEAR, linear, -10, 10, 1, 1e-6},
};

ASSAY_TEST(functions_are_those_of_libm_within_units_in_the_last_place_on_every_tier)
{
    static float x[N], y[N];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers), n_wrong = 0;
    for (int t = 0; t < n_tiers; t++)
        for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
            struct native_vector op = {.op = functions[f].op, .y = 1, .x = {0, -1, -1}, .a = 1.5f, .b = 2.5f};
            char *at[] = {(char *)x, (char *)y};
            fill(x, functions[f].low, functions[f].high);
            native_simd_of(tiers[t])->vector(&op, 1, at, N);
            bool right = true;
            for (int i = 0; i < N && right; i++) {
                double wanted = functions[f].oracle((double)x[i]);
                double ulp = ldexp(1, ilogb(fabs(wanted) > 1e-37 ? wanted : 1e-37) - 23);
                double allowed = functions[f].ulps * ulp * 1.001 + functions[f].absolute;
                right = fabs((double)y[i] - wanted) <= allowed;
                if (!right)
                    fprintf(stderr, "%s, function %d of %.9g is %.9g, not %.9g: %.1f ulp\n", native_isa_word(tiers[t]),
                            (int)op.op, (double)x[i], (double)y[i], wanted, fabs((double)y[i] - wanted) / ulp);
            }
            n_wrong += !right;
        }
    CHECK_INT(n_wrong, 0);
}

/* erf and tanh end where they are 1 but for some units in the last place. */
static bool near(float got, float limit) { return got == limit || fabsf(got - limit) <= 3e-7f; }

ASSAY_TEST(infinities_go_to_limits_and_nan_stays_nan)
{
    static const struct {
        enum native_vector_op op;
        float at_minus, at_plus;
    } limits[] = {
        {NATIVE_V_EXP, 0, INFINITY},      {NATIVE_V_ERF, -1, 1},
        {NATIVE_V_TANH, -1, 1},           {NATIVE_V_SIGMOID, 0, 1},
        {NATIVE_V_SOFTPLUS, 0, INFINITY}, {NATIVE_V_RELU, 0, INFINITY},
        {NATIVE_V_ELU, -1.5f, INFINITY},  {NATIVE_V_CLIP, 1.5f, 2.5f},
        {NATIVE_V_SQRT, NAN, INFINITY},   {NATIVE_V_LOG, NAN, INFINITY},
        {NATIVE_V_RECIPROCAL, 0, 0},
    };
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    for (int t = 0; t < n_tiers; t++)
        for (size_t f = 0; f < sizeof limits / sizeof *limits; f++) {
            float x[24], y[24];
            for (int i = 0; i < 24; i++)
                x[i] = i % 3 == 0 ? -INFINITY : i % 3 == 1 ? INFINITY : NAN;
            struct native_vector op = {.op = limits[f].op, .y = 1, .x = {0, -1, -1}, .a = 1.5f, .b = 2.5f};
            char *at[] = {(char *)x, (char *)y};
            native_simd_of(tiers[t])->vector(&op, 1, at, 24);
            for (int i = 0; i < 24; i += 3) {
                CHECK(isnan(limits[f].at_minus) ? isnan(y[i]) : near(y[i], limits[f].at_minus));
                CHECK(near(y[i + 1], limits[f].at_plus));
                CHECK(isnan(y[i + 2]));
            }
        }
}

ASSAY_TEST(small_floats_convert_like_the_scalar_functions)
{
    static uint16_t all[65536], back[65536];
    static float x[65536];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    for (int t = 0; t < n_tiers; t++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            char *at[] = {(char *)all, (char *)x, (char *)back};
            const struct native_vector ops[] = {{.op = bf16 ? NATIVE_V_LOAD_BF16 : NATIVE_V_LOAD_F16, .y = 1, .x = {0}},
                                                {.op = bf16 ? NATIVE_V_STORE_BF16 : NATIVE_V_STORE_F16, .y = 2, .x = {1}}};
            native_simd_of(tiers[t])->vector(ops, 2, at, 65536);
            for (int i = 0; i < 65536; i++) {
                float wanted = bf16 ? assay_bf16_to_f32(all[i]) : assay_f16_to_f32(all[i]);
                CHECK(isnan(wanted) ? isnan(x[i]) : x[i] == wanted);
                CHECK(isnan(wanted) || back[i] == all[i]);
            }
        }
}

ASSAY_TEST(floats_become_integers_as_cast_says)
{
    const float x[] = {1.9f, -1.9f, 3e38f, -3e38f, NAN, 0, -0.5f, 0x1.fffffep62f};
    const int64_t wanted[] = {1, -1, INT64_MAX, INT64_MIN, 0, 0, 0, 9223371487098961920};
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    for (int t = 0; t < n_tiers; t++) {
        int64_t y[8];
        char *at[] = {(char *)x, (char *)y};
        native_simd_of(tiers[t])->vector(&(struct native_vector){.op = NATIVE_V_F_TO_I, .y = 1, .x = {0}}, 1, at, 8);
        for (int i = 0; i < 8; i++)
            CHECK_INT(y[i], wanted[i]);
    }
}

/* ---- rows */

static void randomize(float *x, int n, double mean, double deviation)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 7, (uint64_t)n);
    for (int i = 0; i < n; i++)
        x[i] = (float)(mean + deviation * assay_rng_normal(&rng));
}

ASSAY_TEST(normalised_rows_are_those_of_two_passes_in_double)
{
    static float x[N], scale[N], bias[N], y[N];
    static const int lengths[] = {1, 3, 16, 64, 768, N};
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    randomize(scale, N, 1, 0.2);
    randomize(bias, N, 0, 0.5);
    for (int t = 0; t < n_tiers; t++)
        for (int l = 0; l < 6; l++) {
            int n = lengths[l];
            double mean = 0, variance = 0, squares = 0, got_mean, got_variance;
            randomize(x, n, 30, 2); /* a mean that is large against the deviation */
            for (int i = 0; i < n; i++) {
                mean += (double)x[i] / n;
                squares += (double)x[i] * (double)x[i] / n;
            }
            for (int i = 0; i < n; i++)
                variance += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
            native_simd_of(tiers[t])->moments(x, n, &got_mean, &got_variance);
            CHECK_NEAR(got_mean, mean, 1e-6 * 30);
            CHECK_NEAR(got_variance, variance, 2e-6 * variance + 1e-9);
            native_simd_of(tiers[t])->layer_norm(y, x, scale, bias, n, 1e-5f);
            for (int i = 0; i < n; i++)
                CHECK_NEAR(y[i], ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)scale[i] + (double)bias[i],
                           n == 1 ? 1e-3 : 1e-5);
            native_simd_of(tiers[t])->rms_norm(y, x, scale, n, 1e-5f);
            for (int i = 0; i < n; i++)
                CHECK_NEAR(y[i], (double)x[i] / sqrt(squares + 1e-5) * (double)scale[i], 2e-6);
        }
}

ASSAY_TEST(softmax_of_masked_rows_adds_up_to_one)
{
    static float x[N], y[N], logs[N];
    static const int lengths[] = {1, 2, 17, 128, N};
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    for (int t = 0; t < n_tiers; t++)
        for (int l = 0; l < 5; l++)
            for (int mask = 0; mask < 3; mask++) {
                int n = lengths[l];
                double sum = 0, most = -INFINITY;
                randomize(x, n, 0, 20);
                for (int i = 1; i < n && mask > 0; i += 2)
                    x[i] = mask == 1 ? -INFINITY : -3.4028234663852886e38f;
                for (int i = 0; i < n; i++)
                    most = fmax(most, (double)x[i]);
                for (int i = 0; i < n; i++)
                    sum += exp((double)x[i] - most);
                native_simd_of(tiers[t])->softmax(y, x, n, 1);
                native_simd_of(tiers[t])->log_softmax(logs, x, n);
                for (int i = 0; i < n; i++) {
                    CHECK_NEAR(y[i], exp((double)x[i] - most) / sum, 5e-7);
                    if (x[i] > -1e38f)
                        CHECK_NEAR(logs[i], (double)x[i] - most - log(sum), 2e-5);
                }
            }
}

ASSAY_TEST(reductions_are_those_of_double_and_keep_nan)
{
    static float x[100003];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers), n = 100003;
    randomize(x, n, 1, 1);
    double sum = 0, squares = 0, absolute = 0, most = -INFINITY, least = INFINITY;
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        absolute += fabs((double)x[i]);
        at = (double)x[i] > most ? i : at;
        most = fmax(most, (double)x[i]);
        least = fmin(least, (double)x[i]);
    }
    for (int t = 0; t < n_tiers; t++) {
        const struct native_simd *simd = native_simd_of(tiers[t]);
        CHECK_NEAR(simd->reduce(x, n, NATIVE_SUM), sum, 1e-6 * sum);
        CHECK_NEAR(simd->reduce(x, n, NATIVE_SUM_SQUARES), squares, 1e-6 * squares);
        CHECK_NEAR(simd->reduce(x, n, NATIVE_SUM_ABS), absolute, 1e-6 * absolute);
        CHECK(simd->reduce(x, n, NATIVE_MAX) == most);
        CHECK(simd->reduce(x, n, NATIVE_MIN) == least);
        CHECK_INT(simd->arg_max(x, n), at);
        float kept = x[77];
        x[77] = NAN;
        CHECK(isnan(simd->reduce(x, n, NATIVE_MAX)) && isnan(simd->reduce(x, n, NATIVE_MIN)));
        CHECK_INT(simd->arg_max(x, n), 77);
        x[77] = kept;
    }
}

ASSAY_TEST(a_transpose_turns_every_element_whatever_its_size)
{
    static const int shapes[][2] = {{1, 1},  {8, 8},  {16, 24}, {5, 7},  {33, 9}, {64, 50},
                                    {61, 2}, {60, 3}, {53, 4},  {2, 60}, {3, 47}, {4, 33}};
    static unsigned char x[64 * 64 * 8], y[64 * 64 * 8];
    enum native_isa tiers[NATIVE_N_ISAS];
    int n_tiers = testing_tiers(tiers);
    for (int i = 0; i < (int)sizeof x; i++)
        x[i] = (unsigned char)(i * 37 + i / 256);
    for (int t = 0; t < n_tiers; t++)
        for (int size = 1; size <= 8; size *= 2)
            for (int s = 0; s < 2 * (int)ASSAY_COUNT(shapes); s++) {
                int rows = shapes[s / 2][0], columns = shapes[s / 2][1];
                int y_step = s % 2 ? rows : 64, x_step = s % 2 ? columns : 60; /* with and without gaps */
                memset(y, 0, sizeof y);
                native_simd_of(tiers[t])->transpose(y, x, rows, columns, y_step, x_step, size);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++)
                        CHECK(memcmp(y + (c * y_step + r) * size, x + (r * x_step + c) * size, (size_t)size) == 0);
                CHECK(s % 2 == 0 || y[rows * columns * size] == 0);
            }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(functions_are_those_of_libm_within_units_in_the_last_place_on_every_tier),
                ASSAY_TEST_ENTRY(infinities_go_to_limits_and_nan_stays_nan),
                ASSAY_TEST_ENTRY(small_floats_convert_like_the_scalar_functions),
                ASSAY_TEST_ENTRY(floats_become_integers_as_cast_says),
                ASSAY_TEST_ENTRY(normalised_rows_are_those_of_two_passes_in_double),
                ASSAY_TEST_ENTRY(softmax_of_masked_rows_adds_up_to_one),
                ASSAY_TEST_ENTRY(reductions_are_those_of_double_and_keep_nan),
                ASSAY_TEST_ENTRY(a_transpose_turns_every_element_whatever_its_size))
