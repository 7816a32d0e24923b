/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

/* exp(k) / (1 + e + e²) and their logarithms */
static const double P[3] = {0.09003057317038046, 0.24472847105479767, 0.6652409557748218};
static const double LOG_P[3] = {-2.4076059644443806, -1.4076059644443806, -0.4076059644443806};

static void run(struct fixture *f, const char *op, enum assay_dtype dtype, int axis, const char *dims, const double *values)
{
    fixture_init(f, op);
    fixture_int(f, "axis", axis);
    fixture_input(f, dtype, dims, values);
    CHECK_OK(fixture_run(f), f->err);
}

ASSAY_TEST(softmax_along_the_last_and_another_axis)
{
    struct fixture f;
    run(&f, "Softmax", ASSAY_F64, -1, "2,3", VALUES(0, 1, 2, 12, 11, 10));
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,3", 1e-15, P[0], P[1], P[2], P[2], P[1], P[0]);
    fixture_release(&f);
    run(&f, "Softmax", ASSAY_F32, 0, "3,2", VALUES(0, 12, 1, 11, 2, 10));
    CHECK_RESULT(&f, 0, ASSAY_F32, "3,2", 1e-7, P[0], P[2], P[1], P[1], P[2], P[0]);
    fixture_release(&f);
    run(&f, "LogSoftmax", ASSAY_F32, 1, "1,3,1", VALUES(1000, 1001, 1002));
    CHECK_RESULT(&f, 0, ASSAY_F32, "1,3,1", 3e-7, LOG_P[0], LOG_P[1], LOG_P[2]);
    fixture_release(&f);
    run(&f, "LogSoftmax", ASSAY_F64, 0, "3,2", VALUES(0, 2, 1, 1, 2, 0));
    CHECK_RESULT(&f, 0, ASSAY_F64, "3,2", 1e-15, LOG_P[0], LOG_P[2], LOG_P[1], LOG_P[1], LOG_P[2], LOG_P[0]);
    fixture_release(&f);
    run(&f, "Softmax", ASSAY_F16, 0, "3", VALUES(0, 1, 2));
    CHECK_RESULT(&f, 0, ASSAY_F16, "3", 3e-4, P[0], P[1], P[2]); /* f16 has 11 bits */
    fixture_release(&f);
}

ASSAY_TEST(a_masked_element_gets_nothing)
{
    struct fixture f;
    run(&f, "Softmax", ASSAY_F32, 0, "2", VALUES(-INFINITY, 5));
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, 0, 1);
    fixture_release(&f);
}

ASSAY_TEST(hardmax_marks_the_first_of_the_largest)
{
    struct fixture f;
    run(&f, "Hardmax", ASSAY_F32, 1, "2,3", VALUES(1, 3, 3, 2, 1, 0));
    CHECK_RESULT(&f, 0, ASSAY_F32, "2,3", 0, 0, 1, 0, 1, 0, 0);
    fixture_release(&f);
    run(&f, "Hardmax", ASSAY_F64, 0, "2,2", VALUES(1, 3, 3, 2));
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,2", 0, 0, 1, 1, 0);
    fixture_release(&f);
}

ASSAY_TEST(no_elements_and_no_such_axis)
{
    struct fixture f;
    run(&f, "Softmax", ASSAY_F32, 1, "2,0", NULL);
    CHECK_INT(assay_tensor_count(&f.results[0]), 0);
    fixture_release(&f);
    fixture_init(&f, "Softmax");
    fixture_int(&f, "axis", 7);
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "axis 7");
    fixture_release(&f);
}

ASSAY_TEST(softmax_and_its_logarithm_have_gradients)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,4,3", -3, 3), y = e_unary(&p.e, seed & 1 ? "LogSoftmax" : "Softmax", x);
        e_set_int(&p.e, "axis", (int64_t)(seed / 2) - 1);
        probe_output(&p, y);
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST(a_softmax_gradient_of_another_shape_is_refused)
{
    struct fixture f;
    fixture_init(&f, "SoftmaxGradient");
    f.node.domain = "assay";
    fixture_input(&f, ASSAY_F32, "2", VALUES(1, 2));
    fixture_input(&f, ASSAY_F32, "3", VALUES(1, 2, 3));
    CHECK_FAILS(fixture_run(&f), ASSAY_INVALID, f, "dimension of dy and y");
    fixture_release(&f);
}

/* With probabilities 1/4 and 3/4, by hand. */
ASSAY_TEST(softmax_gradients_of_f32_have_their_known_values)
{
    for (int logarithm = 0; logarithm < 2; logarithm++) {
        struct fixture f;
        fixture_init(&f, logarithm ? "LogSoftmaxGradient" : "SoftmaxGradient");
        f.node.domain = "assay";
        fixture_input(&f, ASSAY_F32, "2,1", VALUES(1, 0));
        fixture_input(&f, ASSAY_F32, "2,1", logarithm ? VALUES(log(0.25), log(0.75)) : VALUES(0.25, 0.75));
        fixture_int(&f, "axis", 0);
        CHECK_OK(fixture_run(&f), f.err);
        if (logarithm)
            CHECK_RESULT(&f, 0, ASSAY_F32, "2,1", 1e-6, 0.75, -0.75);
        else
            CHECK_RESULT(&f, 0, ASSAY_F32, "2,1", 1e-6, 0.1875, -0.1875);
        fixture_release(&f);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(softmax_along_the_last_and_another_axis), ASSAY_TEST_ENTRY(a_masked_element_gets_nothing),
                ASSAY_TEST_ENTRY(hardmax_marks_the_first_of_the_largest), ASSAY_TEST_ENTRY(no_elements_and_no_such_axis),
                ASSAY_TEST_ENTRY(softmax_and_its_logarithm_have_gradients),
                ASSAY_TEST_ENTRY(a_softmax_gradient_of_another_shape_is_refused),
                ASSAY_TEST_ENTRY(softmax_gradients_of_f32_have_their_known_values))
