/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

static enum assay_status run_three(struct fixture *f, const char *op, enum assay_dtype dtype)
{
    fixture_init(f, op);
    fixture_input(f, dtype, "2", VALUES(3, 1));
    fixture_input(f, dtype, "2,1", VALUES(2, 5));
    fixture_input(f, dtype, "", VALUES(4));
    return fixture_run(f);
}

ASSAY_TEST(any_number_of_inputs_broadcasts)
{
    struct fixture f;
    CHECK_OK(run_three(&f, "Max", ASSAY_I16), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I16, "2,2", 0, 4, 4, 5, 5);
    fixture_release(&f);
    CHECK_OK(run_three(&f, "Min", ASSAY_U64), f.err);
    CHECK_RESULT(&f, 0, ASSAY_U64, "2,2", 0, 2, 1, 3, 1);
    fixture_release(&f);
    CHECK_OK(run_three(&f, "Sum", ASSAY_F64), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F64, "2,2", 0, 9, 7, 12, 10);
    fixture_release(&f);
    CHECK_OK(run_three(&f, "Mean", ASSAY_F16), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F16, "2,2", 2e-3, 3, 7 / 3., 4, 10 / 3.); /* f16 has 11 bits */
    fixture_release(&f);
}

ASSAY_TEST(one_input_is_copied)
{
    struct fixture f;
    fixture_init(&f, "Mean");
    fixture_input(&f, ASSAY_F32, "2", VALUES(3, NAN));
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, 3, NAN);
    fixture_release(&f);
}

ASSAY_TEST(a_nan_on_either_side_wins)
{
    for (int min = 0; min < 2; min++) {
        struct fixture f;
        fixture_init(&f, min ? "Min" : "Max");
        fixture_input(&f, ASSAY_F32, "2", VALUES(NAN, 1));
        fixture_input(&f, ASSAY_F32, "2", VALUES(1, NAN));
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_RESULT(&f, 0, ASSAY_F32, "2", 0, NAN, NAN);
        fixture_release(&f);
    }
}

ASSAY_TEST(sum_of_integers_is_unsupported)
{
    struct fixture f;
    CHECK_FAILS(run_three(&f, "Sum", ASSAY_I32), ASSAY_UNSUPPORTED, f, "i32");
    fixture_release(&f);
}

ASSAY_TEST(lists_of_operands_have_gradients)
{
    static const char *const types[] = {"Max", "Min", "Mean", "Sum"};
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, "2,3", -1, 1), y = probe_input(&p, "3", -1, 1), z = probe_input(&p, "2,1", -1, 1);
        probe_output(&p, e_op(&p.e, types[seed % 4], (int)(seed / 4) + 1, (const int[]){x, y, z}));
        probe_output(&p, e_op(&p.e, "Sum", E_VALUES(x, y, z)));
        probe_check(&p);
        probe_release(&p);
    }
}

/* PyTorch's maximum halves the gradient there; so do central differences. */
ASSAY_TEST(equal_operands_of_max_share_its_gradient)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "1", 1, 1), y = probe_input(&p, "1", 1, 1);
    probe_output(&p, e_op(&p.e, "Max", E_VALUES(x, y)));
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(any_number_of_inputs_broadcasts), ASSAY_TEST_ENTRY(one_input_is_copied),
                ASSAY_TEST_ENTRY(a_nan_on_either_side_wins), ASSAY_TEST_ENTRY(sum_of_integers_is_unsupported),
                ASSAY_TEST_ENTRY(lists_of_operands_have_gradients), ASSAY_TEST_ENTRY(equal_operands_of_max_share_its_gradient))
