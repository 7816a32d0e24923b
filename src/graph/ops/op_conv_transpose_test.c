/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(each_input_stamps_the_kernel)
{
    struct fixture f;
    fixture_init(&f, "ConvTranspose");
    fixture_ints(&f, "strides", (int64_t[]){2}, 1);
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 2, 3));
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 10, 100));
    fixture_input(&f, ASSAY_F32, "1", VALUES(0.5));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,7", 0, 1.5, 10.5, 102.5, 20.5, 203.5, 30.5, 300.5);
    fixture_release(&f);
}

struct shape {
    int64_t groups, in, out, size[2], kernel[2], stride[2], dilation[2], pads[4], extra[2];
};
static const struct shape shapes[] = {{1, 3, 2, {4, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0, 0}},
                                      {1, 4, 3, {5, 4}, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}},
                                      {2, 2, 3, {3, 6}, {3, 2}, {2, 3}, {2, 1}, {1, 0, 2, 1}, {1, 2}},
                                      {3, 1, 1, {6, 6}, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}, {0, 0}},
                                      {1, 70, 40, {9, 40}, {3, 3}, {1, 2}, {1, 1}, {0, 0, 0, 0}, {0, 0}}};

static double value_at(int64_t i) { return (double)((i * 7919 + 11) % 17) - 8; }

static int64_t random_input(struct fixture *f, int64_t a, int64_t b, int64_t h, int64_t w, int64_t seed)
{
    char dims[64];
    int64_t n = a * b * h * w;
    double *values = malloc((size_t)n * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        values[i] = value_at(i + seed);
    snprintf(dims, sizeof dims, "%lld,%lld,%lld,%lld", (long long)a, (long long)b, (long long)h, (long long)w);
    fixture_input(f, ASSAY_F64, dims, values);
    free(values);
    return n;
}

static void attributes(struct fixture *f, const struct shape *s)
{
    fixture_int(f, "group", s->groups);
    fixture_ints(f, "strides", (int64_t *)s->stride, 2);
    fixture_ints(f, "dilations", (int64_t *)s->dilation, 2);
    fixture_ints(f, "pads", (int64_t *)s->pads, 4);
}

/* <ConvTranspose(x, w), z> = <x, Conv(z, w)>: the one is the other's transpose. Integers, so that both are exact. */
static void check_adjoint(const struct shape *s)
{
    struct fixture t, c;
    fixture_init(&t, "ConvTranspose");
    attributes(&t, s);
    fixture_ints(&t, "output_padding", (int64_t *)s->extra, 2);
    int64_t n_x = random_input(&t, 2, s->groups * s->in, s->size[0], s->size[1], 1);
    random_input(&t, s->groups * s->in, s->out, s->kernel[0], s->kernel[1], 3);
    CHECK_OK(fixture_run(&t), t.err);
    const int64_t *out = t.results[0].type.dims;
    fixture_init(&c, "Conv");
    attributes(&c, s);
    int64_t n_z = random_input(&c, 2, s->groups * s->out, out[2], out[3], 7);
    random_input(&c, s->groups * s->in, s->out, s->kernel[0], s->kernel[1], 3);
    CHECK_OK(fixture_run(&c), c.err);
    CHECK_INT(assay_tensor_count(&t.results[0]), n_z);
    CHECK_INT(assay_tensor_count(&c.results[0]), n_x);
    double left = 0, right = 0;
    for (int64_t i = 0; i < n_z; i++)
        left += assay_tensor_real(&t.results[0], i) * value_at(i + 7);
    for (int64_t i = 0; i < n_x; i++)
        right += assay_tensor_real(&c.results[0], i) * value_at(i + 1);
    fixture_release(&t);
    fixture_release(&c);
    CHECK_NEAR(left, right, 0);
}

ASSAY_TEST(it_is_the_transpose_of_conv)
{
    for (size_t i = 0; i < ASSAY_COUNT(shapes); i++)
        check_adjoint(&shapes[i]);
}

ASSAY_TEST(output_shape_takes_its_padding_from_the_beginning)
{
    struct fixture f;
    fixture_init(&f, "ConvTranspose");
    fixture_ints(&f, "output_shape", (int64_t[]){4}, 1);
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 2, 3));
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 10, 100));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,1,4", 0, 12, 123, 230, 300);
    fixture_release(&f);
}

ASSAY_TEST(an_output_beyond_reach_is_refused)
{
    struct fixture f;
    fixture_init(&f, "ConvTranspose");
    fixture_ints(&f, "output_shape", (int64_t[]){9}, 1);
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 2, 3));
    fixture_input(&f, ASSAY_F32, "1,1,3", VALUES(1, 10, 100));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "reach");
    fixture_release(&f);
}

ASSAY_TEST(transposed_convolutions_have_gradients)
{
    for (uint64_t seed = 0; seed < 18; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int groups = 1 + (int)(seed & 1), two = seed % 3 != 0;
        size_t n = two ? 2 : 1;
        int x = probe_input(&p, two ? "2,4,3,4" : "2,4,5", -1, 1);
        int w = probe_input(&p, two ? "4,3,2,3" : "4,3,3", -1, 1), bias = probe_input(&p, groups == 2 ? "6" : "3", -1, 1);
        int64_t stride = 1 + (int64_t)(seed % 3), dilation = 1 + (int64_t)(seed / 3 % 2);
        int y = e_op(&p.e, "ConvTranspose", E_VALUES(x, w, bias));
        e_set_int(&p.e, "group", groups);
        e_set_ints(&p.e, "strides", n, (int64_t[]){stride, 2});
        e_set_ints(&p.e, "dilations", n, (int64_t[]){dilation, 1});
        if (seed % 4 == 1)
            e_set_ints(&p.e, "pads", 2 * n, (int64_t[]){1, 0, 0, 1});
        if (seed % 4 == 2)
            e_set_text(&p.e, "auto_pad", dilation == 1 && stride == 1 ? "SAME_LOWER" : "VALID");
        if (seed % 4 == 3)
            e_set_ints(&p.e, "output_padding", n, (int64_t[]){1, 1});
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(each_input_stamps_the_kernel), ASSAY_TEST_ENTRY(it_is_the_transpose_of_conv),
                ASSAY_TEST_ENTRY(output_shape_takes_its_padding_from_the_beginning),
                ASSAY_TEST_ENTRY(an_output_beyond_reach_is_refused), ASSAY_TEST_ENTRY(transposed_convolutions_have_gradients))
