/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

/* A convolution of two dimensions. */
struct shape {
    int64_t batch, groups, in, out, size[2], kernel[2], stride[2], dilation[2], pads[4];
};

static const struct shape shapes[] = {
    {1, 1, 3, 5, {7, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}},   /* the usual */
    {2, 1, 4, 6, {6, 5}, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}},   /* pointwise */
    {2, 1, 2, 4, {9, 8}, {1, 1}, {2, 3}, {1, 1}, {0, 0, 0, 0}},   /* a point with strides has columns */
    {1, 6, 1, 1, {8, 11}, {3, 5}, {1, 2}, {1, 1}, {1, 2, 1, 2}},  /* depthwise */
    {2, 3, 2, 4, {9, 9}, {3, 2}, {2, 1}, {2, 3}, {2, 0, 1, 3}},   /* groups, strides, dilations, uneven padding */
    {1, 2, 1, 2, {5, 6}, {2, 2}, {1, 1}, {1, 1}, {0, 0, 0, 0}},   /* depthwise with a multiplier */
    {1, 1, 1, 4, {3, 3}, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}},   /* taps that lie in the padding only */
    {1, 1, 8, 4, {70, 130}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}} /* several tiles of columns */
};

static double value_at(int64_t i) { return (double)((i * 7919 + 11) % 23) - 11; }

/* Integers in floats, so that every sum is exact, from the definition. */
static double convolved(const struct shape *s, const double *x, const double *w, int64_t b, int64_t m, int64_t oh, int64_t ow)
{
    double sum = 0;
    int64_t group = m / s->out;
    for (int64_t c = 0; c < s->in; c++) {
        for (int64_t kh = 0; kh < s->kernel[0]; kh++) {
            for (int64_t kw = 0; kw < s->kernel[1]; kw++) {
                int64_t h = oh * s->stride[0] - s->pads[0] + kh * s->dilation[0];
                int64_t v = ow * s->stride[1] - s->pads[1] + kw * s->dilation[1];
                if (h < 0 || h >= s->size[0] || v < 0 || v >= s->size[1])
                    continue;
                sum += x[((b * s->groups * s->in + group * s->in + c) * s->size[0] + h) * s->size[1] + v] *
                       w[((m * s->in + c) * s->kernel[0] + kh) * s->kernel[1] + kw];
            }
        }
    }
    return sum;
}

static void attributes(struct fixture *f, const struct shape *s)
{
    fixture_int(f, "group", s->groups);
    fixture_ints(f, "strides", (int64_t *)s->stride, 2);
    fixture_ints(f, "dilations", (int64_t *)s->dilation, 2);
    fixture_ints(f, "pads", (int64_t *)s->pads, 4);
}

static double *values(int64_t n, int64_t seed, double offset)
{
    double *data = malloc((size_t)n * sizeof *data);
    for (int64_t i = 0; i < n; i++)
        data[i] = value_at(i + seed) + offset;
    return data;
}

/* Runs the op on `x_type` and compares each output; zero points as far from the values as `x_zero`. */
static void check_shape(const struct shape *s, const char *op, enum assay_dtype x_type, enum assay_dtype w_type, double x_zero)
{
    struct fixture f;
    char x_dims[64], w_dims[64];
    int64_t channels = s->groups * s->in, filters = s->groups * s->out;
    double *x = values(s->batch * channels * s->size[0] * s->size[1], 1, 0);
    double *w = values(filters * s->in * s->kernel[0] * s->kernel[1], 5, 0);
    double *stored = values(s->batch * channels * s->size[0] * s->size[1], 1, x_zero);
    bool is_float = assay_dtype_is_float(x_type);
    snprintf(x_dims, sizeof x_dims, "%lld,%lld,%lld,%lld", (long long)s->batch, (long long)channels, (long long)s->size[0],
             (long long)s->size[1]);
    snprintf(w_dims, sizeof w_dims, "%lld,%lld,%lld,%lld", (long long)filters, (long long)s->in, (long long)s->kernel[0],
             (long long)s->kernel[1]);
    fixture_init(&f, op);
    attributes(&f, s);
    fixture_input(&f, x_type, x_dims, stored);
    fixture_input(&f, w_type, w_dims, w);
    if (is_float) {
        char b_dims[32];
        snprintf(b_dims, sizeof b_dims, "%lld", (long long)filters);
        fixture_input(&f, x_type, b_dims, w);
    } else {
        fixture_input(&f, x_type, "", &x_zero);
    }
    CHECK_OK(fixture_run(&f), f.err);
    const int64_t *out = f.results[0].type.dims;
    int64_t wrong = 0, i = 0;
    for (int64_t b = 0; b < out[0]; b++)
        for (int64_t m = 0; m < out[1]; m++)
            for (int64_t h = 0; h < out[2]; h++)
                for (int64_t v = 0; v < out[3]; v++, i++)
                    wrong += assay_tensor_real(&f.results[0], i) != convolved(s, x, w, b, m, h, v) + (is_float ? w[m] : 0);
    free(x);
    free(w);
    free(stored);
    fixture_release(&f);
    CHECK(i > 0);
    CHECK_INT(wrong, 0);
}

ASSAY_TEST(every_path_gives_the_sums_of_the_definition)
{
    for (size_t i = 0; i < ASSAY_COUNT(shapes); i++) {
        check_shape(&shapes[i], "Conv", ASSAY_F32, ASSAY_F32, 0);
        check_shape(&shapes[i], "Conv", ASSAY_F64, ASSAY_F64, 0);
    }
}

ASSAY_TEST(integer_padding_is_the_zero_point)
{
    for (size_t i = 0; i < ASSAY_COUNT(shapes); i++) {
        check_shape(&shapes[i], "ConvInteger", ASSAY_U8, ASSAY_I8, 100);
        check_shape(&shapes[i], "ConvInteger", ASSAY_I8, ASSAY_I8, -7);
    }
}

ASSAY_TEST(one_and_three_dimensions_work)
{
    struct fixture f;
    fixture_init(&f, "Conv");
    fixture_input(&f, ASSAY_F32, "1,1,4", VALUES(1, 2, 3, 4));
    fixture_input(&f, ASSAY_F32, "1,1,2", VALUES(1, 10));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,3", 0, 21, 32, 43);
    fixture_release(&f);
    fixture_init(&f, "Conv");
    fixture_input(&f, ASSAY_F32, "1,1,2,2,2", VALUES(1, 2, 3, 4, 5, 6, 7, 8));
    fixture_input(&f, ASSAY_F32, "1,1,2,1,2", VALUES(1, 1, 1, 1));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,1,2,1", 0, 1 + 2 + 5 + 6, 3 + 4 + 7 + 8);
    fixture_release(&f);
}

ASSAY_TEST(qlinear_conv_scales_each_channel)
{
    struct fixture f;
    fixture_init(&f, "QLinearConv");
    fixture_input(&f, ASSAY_U8, "1,1,1,2", VALUES(12, 14));
    fixture_input(&f, ASSAY_F32, "", VALUES(0.5));
    fixture_input(&f, ASSAY_U8, "", VALUES(10));
    fixture_input(&f, ASSAY_I8, "2,1,1,1", VALUES(3, -3));
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_I8, "2", VALUES(0, 0));
    fixture_input(&f, ASSAY_F32, "", VALUES(2));
    fixture_input(&f, ASSAY_U8, "", VALUES(20));
    fixture_input(&f, ASSAY_I32, "2", VALUES(8, -8));
    CHECK_OK(fixture_run(&f), f.err);
    /* (2 · 3 + 8) / 4 = 3.5 → 4; (4 · 3 + 8) / 4 = 5; (2 · -3 - 8) / 2 = -7; (4 · -3 - 8) / 2 = -10 */
    CHECK_RESULT(&f, 0, ASSAY_U8, "1,2,1,2", 0, 24, 25, 13, 10);
    fixture_release(&f);
}

ASSAY_TEST(channels_and_groups_must_agree)
{
    struct fixture f;
    fixture_init(&f, "Conv");
    fixture_int(&f, "group", 2);
    fixture_input(&f, ASSAY_F32, "1,3,1", VALUES(1, 2, 3));
    fixture_input(&f, ASSAY_F32, "2,1,1", VALUES(1, 2));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "3 channels");
    fixture_release(&f);
    fixture_init(&f, "Conv");
    fixture_int(&f, "group", 0);
    fixture_input(&f, ASSAY_F32, "1,2,1", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "2,2,1", VALUES(1, 2, 3, 4));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "groups");
    fixture_release(&f);
}

ASSAY_TEST(a_kernel_larger_than_the_input_is_refused)
{
    struct fixture f;
    fixture_init(&f, "Conv");
    fixture_input(&f, ASSAY_F32, "1,1,2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 2, 3));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "does not fit");
    fixture_release(&f);
}

ASSAY_TEST(the_batch_may_be_unknown)
{
    struct fixture f;
    fixture_init(&f, "Conv");
    fixture_ints(&f, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    fixture_unknown_input(&f, ASSAY_F32, "?,3,32,?");
    fixture_unknown_input(&f, ASSAY_F32, "8,3,3,3");
    CHECK_OK(fixture_infer(&f), f.err);
    CHECK_INT(f.outputs[0].dims[0], -1);
    CHECK_INT(f.outputs[0].dims[1], 8);
    CHECK_INT(f.outputs[0].dims[2], 32);
    CHECK_INT(f.outputs[0].dims[3], -1);
    fixture_release(&f);
}

/* Any dimensions, groups, kernels, strides, dilations, padding. */
ASSAY_TEST(convolutions_have_gradients)
{
    static const char *const auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct probe p;
        char x_dims[64], w_dims[64], bias_dims[32];
        int64_t strides[3], dilations[3], pads[6], n[3], k[3];
        probe_init(&p, seed);
        int n_dims = 1 + (int)(seed % 3), groups = 1 + (int)assay_rng_below(&p.rng, 3), at = 0, w_at = 0;
        int in = seed % 4 == 1 ? 1 : 2, out = seed % 4 == 2 ? 1 : 1 + (int)assay_rng_below(&p.rng, 5);
        const char *auto_pad = auto_pads[seed < 24 ? 0 : seed % 4];
        at = snprintf(x_dims, sizeof x_dims, "2,%d", in * groups);
        w_at = snprintf(w_dims, sizeof w_dims, "%d,%d", out * groups, in);
        for (int d = 0; d < n_dims; d++) {
            n[d] = 3 + (int64_t)assay_rng_below(&p.rng, 5);
            k[d] = 1 + (int64_t)assay_rng_below(&p.rng, 3);
            strides[d] = 1 + (int64_t)assay_rng_below(&p.rng, 3);
            dilations[d] = *auto_pad == 'N' && n[d] > 4 ? 1 + (int64_t)assay_rng_below(&p.rng, 2) : 1;
            pads[d] = (int64_t)assay_rng_below(&p.rng, 3);
            pads[n_dims + d] = (int64_t)assay_rng_below(&p.rng, 3);
            at += snprintf(x_dims + at, sizeof x_dims - (size_t)at, ",%d", (int)n[d]);
            w_at += snprintf(w_dims + w_at, sizeof w_dims - (size_t)w_at, ",%d", (int)k[d]);
        }
        snprintf(bias_dims, sizeof bias_dims, "%d", out * groups);
        int x = probe_input(&p, x_dims, -1, 1), w = probe_input(&p, w_dims, -1, 1), bias = probe_input(&p, bias_dims, -1, 1);
        int y = e_op(&p.e, "Conv", E_VALUES(x, w, bias));
        e_set_int(&p.e, "group", groups);
        e_set_ints(&p.e, "strides", (size_t)n_dims, strides);
        if (*auto_pad == 'N') {
            e_set_ints(&p.e, "pads", 2 * (size_t)n_dims, pads);
            e_set_ints(&p.e, "dilations", (size_t)n_dims, dilations);
        } else {
            e_set_text(&p.e, "auto_pad", auto_pad);
        }
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

/* Tiles of columns, many channels: against the sums in f64, from f32 that hold the numbers exactly. */
ASSAY_TEST(gradients_in_f32_are_those_in_f64)
{
    for (size_t i = 0; i < ASSAY_COUNT(shapes); i++) {
        const struct shape *s = &shapes[i];
        struct assay_tensor results[2][2] = {0};
        for (int wide = 0; wide < 2; wide++) {
            enum assay_dtype dtype = wide ? ASSAY_F64 : ASSAY_F32;
            struct fixture f;
            int64_t n_x = s->batch * s->groups * s->in * s->size[0] * s->size[1], out[2];
            int64_t n_w = s->groups * s->out * s->in * s->kernel[0] * s->kernel[1];
            char x_dims[64], w_dims[64], y_dims[64];
            for (int d = 0; d < 2; d++)
                out[d] = (s->size[d] + s->pads[d] + s->pads[2 + d] - (s->kernel[d] - 1) * s->dilation[d] - 1) / s->stride[d] + 1;
            int64_t n_y = s->batch * s->groups * s->out * out[0] * out[1];
            int64_t x_shape[] = {s->batch, s->groups * s->in, s->size[0], s->size[1]};
            snprintf(x_dims, sizeof x_dims, "%d,%d,%d,%d", (int)x_shape[0], (int)x_shape[1], (int)x_shape[2], (int)x_shape[3]);
            snprintf(w_dims, sizeof w_dims, "%d,%d,%d,%d", (int)(s->groups * s->out), (int)s->in, (int)s->kernel[0],
                     (int)s->kernel[1]);
            snprintf(y_dims, sizeof y_dims, "%d,%d,%d,%d", (int)s->batch, (int)(s->groups * s->out), (int)out[0], (int)out[1]);
            double *x = values(n_x, 1, 0), *w = values(n_w, 5, 0), *dy = values(n_y, 9, 0);
            for (int k = 0; k < 2; k++) {
                fixture_init(&f, k ? "ConvGradientWeight" : "ConvGradientInput");
                f.node.domain = "assay";
                attributes(&f, s);
                fixture_ints(&f, k ? "kernel_shape" : "input_shape", k ? (int64_t *)s->kernel : x_shape, k ? 2 : 4);
                fixture_input(&f, dtype, k ? x_dims : y_dims, k ? x : dy);
                fixture_input(&f, dtype, k ? y_dims : w_dims, k ? dy : w);
                CHECK_OK(fixture_run(&f), f.err);
                assay_tensor_share(&results[wide][k], &f.results[0]);
                fixture_release(&f);
            }
            free(x);
            free(w);
            free(dy);
        }
        for (int k = 0; k < 2; k++) {
            for (int64_t j = 0; j < assay_tensor_count(&results[1][k]); j++)
                CHECK_NEAR(assay_tensor_real(&results[0][k], j), assay_tensor_real(&results[1][k], j), 0);
            assay_tensor_release(&results[0][k]);
            assay_tensor_release(&results[1][k]);
        }
    }
}

ASSAY_TEST(a_gradient_that_does_not_fit_its_convolution_is_refused)
{
    static double zeros[64];
    int64_t shape[] = {1, 1, 4}, kernel[] = {2}, wrong_rank[] = {1, 4}, huge[] = {1, 1, -4};
    const struct {
        const char *type, *a, *b, *attribute;
        int64_t *ints;
        size_t n;
        const char *part;
    } cases[] = {
        {"ConvGradientInput", "1,1,2", "1,1,2", "input_shape", shape, 3, "2 points where the window has 3"},
        {"ConvGradientInput", "1,1,3", "1,2,2", "input_shape", shape, 3, "do not go together"},
        {"ConvGradientInput", "1,1,3", "1,1,2", "input_shape", wrong_rank, 2, "3 to 5 dimensions"},
        {"ConvGradientInput", "1,1,3", "1,1,2", "input_shape", huge, 3, "is -4"},
        {"ConvGradientInput", "2,1,3", "1,1,2", "input_shape", shape, 3, "batch"},
        {"ConvGradientWeight", "1,1,4", "1,1,4", "kernel_shape", kernel, 1, "4 points where the window has 3"},
        {"ConvGradientWeight", "1,1,4", "1,1,3", "strides", kernel, 1, "kernel_shape"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, cases[i].type);
        f.node.domain = "assay";
        fixture_ints(&f, cases[i].attribute, cases[i].ints, cases[i].n);
        fixture_input(&f, ASSAY_F32, cases[i].a, zeros);
        fixture_input(&f, ASSAY_F32, cases[i].b, zeros);
        CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, cases[i].part);
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_path_gives_the_sums_of_the_definition),
                ASSAY_TEST_ENTRY(integer_padding_is_the_zero_point), ASSAY_TEST_ENTRY(one_and_three_dimensions_work),
                ASSAY_TEST_ENTRY(qlinear_conv_scales_each_channel), ASSAY_TEST_ENTRY(channels_and_groups_must_agree),
                ASSAY_TEST_ENTRY(a_kernel_larger_than_the_input_is_refused), ASSAY_TEST_ENTRY(the_batch_may_be_unknown),
                ASSAY_TEST_ENTRY(convolutions_have_gradients), ASSAY_TEST_ENTRY(gradients_in_f32_are_those_in_f64),
                ASSAY_TEST_ENTRY(a_gradient_that_does_not_fit_its_convolution_is_refused))
