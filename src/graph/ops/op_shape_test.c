/* SPDX-License-Identifier: Apache-2.0 */
/* Wanted values by hand from the standard's text. */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

/* Runs op on f32 data of that shape with a list of i64; the result's type as text. */
static const char *shape_of(const char *op, const char *dims, const char *list_dims, const double *list, int64_t allow_zero)
{
    static char text[600];
    struct fixture f;
    fixture_init(&f, op);
    static const double zeros[1000];
    fixture_input(&f, ASSAY_F32, dims, zeros);
    if (list)
        fixture_input(&f, ASSAY_I64, list_dims, list);
    if (allow_zero)
        fixture_int(&f, "allowzero", 1);
    if (fixture_run(&f)) {
        snprintf(text, sizeof text, "%s", f.err.message);
    } else {
        CHECK(f.results[0].data == f.tensors[0].data); /* a view */
        assay_type_text(&f.results[0].type, text, sizeof text);
    }
    fixture_release(&f);
    return text;
}

ASSAY_TEST(reshape_copies_zeros_and_fills_minus_one)
{
    CHECK_TEXT(shape_of("Reshape", "2,3,4", "3", VALUES(4, 2, 3), 0), "f32[4,2,3]");
    CHECK_TEXT(shape_of("Reshape", "2,3,4", "2", VALUES(0, -1), 0), "f32[2,12]");
    CHECK_TEXT(shape_of("Reshape", "2,3,4", "4", VALUES(2, 0, 1, -1), 0), "f32[2,3,1,4]");
    CHECK_TEXT(shape_of("Reshape", "0,3,4", "3", VALUES(3, 4, 0), 1), "f32[3,4,0]");
    CHECK_TEXT(shape_of("Reshape", "0,3", "2", VALUES(0, -1), 0), "f32[0,3]");
    CHECK_TEXT(shape_of("Reshape", "1,1", "0", VALUES(0), 0), "f32[]");
}

ASSAY_TEST(reshape_refuses_what_does_not_fit)
{
    CHECK_CONTAINS(shape_of("Reshape", "2,3", "2", VALUES(4, 2), 0), "6 elements do not fit a shape of 8");
    CHECK_CONTAINS(shape_of("Reshape", "2,3", "2", VALUES(-1, 4), 0), "cannot be spread");
    CHECK_CONTAINS(shape_of("Reshape", "2,3", "2", VALUES(-1, -1), 0), "more than one");
    CHECK_CONTAINS(shape_of("Reshape", "2,3", "2", VALUES(-2, 3), 0), "is -2");
    CHECK_CONTAINS(shape_of("Reshape", "2,3", "3", VALUES(2, 3, 0), 0), "rank 2");
    CHECK_CONTAINS(shape_of("Reshape", "0,3", "2", VALUES(0, -1), 1), "allowzero");
    CHECK_CONTAINS(shape_of("Reshape", "2,3", "3", VALUES(-1, 0x1p40, 0x1p40), 0), "overflows");
    CHECK_CONTAINS(shape_of("Reshape", "1", "11", VALUES(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 0), "longer");
}

ASSAY_TEST(squeeze_and_unsqueeze_take_axes_from_both_ends)
{
    CHECK_TEXT(shape_of("Squeeze", "1,3,1,5", "1", VALUES(0), 0), "f32[3,1,5]");
    CHECK_TEXT(shape_of("Squeeze", "1,3,1,5", "1", VALUES(-2), 0), "f32[1,3,5]");
    CHECK_TEXT(shape_of("Squeeze", "1,3,1,5", NULL, NULL, 0), "f32[3,5]");
    CHECK_CONTAINS(shape_of("Squeeze", "1,3", "1", VALUES(1), 0), "is 3, not 1");
    CHECK_CONTAINS(shape_of("Squeeze", "1,3", "1", VALUES(2), 0), "axis 2");
    CHECK_CONTAINS(shape_of("Squeeze", "1,3", "2", VALUES(0, -2), 0), "twice");
    CHECK_TEXT(shape_of("Unsqueeze", "3,4", "3", VALUES(4, 0, -3), 0), "f32[1,3,1,4,1]");
    CHECK_CONTAINS(shape_of("Unsqueeze", "3,4", "1", VALUES(3), 0), "axis 3");
    CHECK_CONTAINS(shape_of("Unsqueeze", "1,1,1,1,1,1,1,1,1,1", "1", VALUES(0), 0), "rank 11 is not supported");
    CHECK_CONTAINS(shape_of("Unsqueeze", "3", NULL, NULL, 0), "no axes");
}

ASSAY_TEST(flatten_makes_two_dimensions_at_any_axis)
{
    static const char *const wanted[] = {"f32[1,24]", "f32[2,12]", "f32[6,4]", "f32[24,1]"};
    for (int64_t axis = -3; axis <= 3; axis++) {
        struct fixture f;
        char text[64];
        fixture_init(&f, "Flatten");
        fixture_unknown_input(&f, ASSAY_F32, "2,3,4");
        fixture_int(&f, "axis", axis);
        CHECK_OK(fixture_infer(&f), f.err);
        CHECK_TEXT(assay_type_text(&f.outputs[0], text, sizeof text), wanted[axis < 0 ? axis + 3 : axis]);
        f.attrs[0].i = 4;
        CHECK_FAILS(fixture_infer(&f), ASSAY_INVALID, f, "axis 4");
        fixture_release(&f);
    }
}

ASSAY_TEST(shape_clamps_start_and_end)
{
    static const struct {
        int64_t start, end;
        int n, first;
    } cases[] = {{0, 9, 3, 2}, {1, 9, 2, 3}, {-1, 9, 1, 4}, {-9, -1, 2, 2}, {2, 1, 0, 0}, {INT64_MIN, INT64_MAX, 3, 2}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        fixture_init(&f, "Shape");
        fixture_input(&f, ASSAY_BF16, "2,3,4", (const double[24]){0});
        fixture_int(&f, "start", cases[i].start);
        fixture_int(&f, "end", cases[i].end);
        CHECK_OK(fixture_run(&f), f.err);
        CHECK_INT(assay_tensor_count(&f.results[0]), cases[i].n);
        if (cases[i].n)
            CHECK_INT(assay_tensor_int(&f.results[0], 0), cases[i].first);
        fixture_release(&f);
    }
    struct fixture f;
    fixture_init(&f, "Size");
    fixture_input(&f, ASSAY_U8, "2,3,4", (const double[24]){0});
    CHECK_OK(fixture_run(&f), f.err);
    CHECK_RESULT(&f, 0, ASSAY_I64, "", 0, 24);
    fixture_release(&f);
}

/* What the rule says where contents and dimensions are open. */
static const char *inferred(const char *op, const char *dims, const char *list_dims, const double *list)
{
    static char text[600];
    struct fixture f;
    fixture_init(&f, op);
    fixture_unknown_input(&f, ASSAY_F32, dims);
    if (list)
        fixture_input(&f, ASSAY_I64, list_dims, list);
    else
        fixture_unknown_input(&f, ASSAY_I64, list_dims);
    if (fixture_infer(&f))
        snprintf(text, sizeof text, "%s", f.err.message);
    else
        assay_type_text(&f.outputs[0], text, sizeof text);
    fixture_release(&f);
    return text;
}

ASSAY_TEST(rules_say_what_they_know_of_open_shapes)
{
    CHECK_TEXT(inferred("Reshape", "?,12,64", "3", VALUES(0, -1, 32)), "f32[?,24,32]");
    CHECK_TEXT(inferred("Reshape", "?,12,64", "2", VALUES(-1, 64)), "f32[?,64]");
    CHECK_TEXT(inferred("Reshape", "?,12", "3", NULL), "f32[?,?,?]");
    CHECK_TEXT(inferred("Reshape", "?,12", "?", NULL), "f32[...]");
    CHECK_CONTAINS(inferred("Reshape", "?,12", "11", NULL), "not supported");
    CHECK_TEXT(inferred("Squeeze", "?,1,4", "1", VALUES(0)), "f32[1,4]");
    CHECK_TEXT(inferred("Squeeze", "?,1,4", "1", NULL), "f32[?,?]");
    CHECK_TEXT(inferred("Unsqueeze", "?,4", "1", VALUES(0)), "f32[1,?,4]");
    CHECK_TEXT(inferred("Unsqueeze", "?,4", "2", NULL), "f32[?,?,?,?]");
}

ASSAY_TEST(views_have_gradients_of_the_shape_before)
{
    struct probe p;
    probe_init(&p, 1);
    int x = probe_input(&p, "2,1,3", -1, 1);
    probe_output(&p, e_unary(&p.e, "Identity", x));
    probe_output(&p, e_reshape(&p.e, x, E_INTS(3, -1)));
    probe_output(&p, e_unary(&p.e, "Flatten", x));
    probe_output(&p, e_squeeze(&p.e, x, E_INTS(1)));
    probe_output(&p, e_unsqueeze(&p.e, x, E_INTS(0, -1)));
    probe_check(&p);
    probe_release(&p);
}

ASSAY_TEST(nothing_flows_back_through_stop_gradient)
{
    struct assay_error err;
    struct assay_graph *graph = assay_graph_open("g");
    struct assay_emit e = assay_emit_make(graph, "", &err);
    int gradients[2], inputs[2];
    for (int i = 0; i < 2; i++)
        inputs[i] = testing_input(graph, "x", ASSAY_F32, 0, NULL);
    int loss = e_mul(&e, e_own(&e, "StopGradient", E_VALUES(inputs[0])), inputs[1]);
    CHECK_OK(assay_emit_finish(&e), err);
    CHECK_OK(assay_graph_differentiate(graph, loss, -1, 2, inputs, gradients, &err), err);
    CHECK_INT(gradients[0], -1);
    CHECK(gradients[1] >= 0);
    assay_graph_add_output(graph, gradients[1]);
    CHECK_OK(assay_graph_expand(graph, NULL, &err), err);
    for (int k = 0; k < graph->n_nodes; k++)
        CHECK_TEXT(graph->nodes[k]->domain, "");
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(reshape_copies_zeros_and_fills_minus_one), ASSAY_TEST_ENTRY(reshape_refuses_what_does_not_fit),
                ASSAY_TEST_ENTRY(squeeze_and_unsqueeze_take_axes_from_both_ends),
                ASSAY_TEST_ENTRY(flatten_makes_two_dimensions_at_any_axis), ASSAY_TEST_ENTRY(shape_clamps_start_and_end),
                ASSAY_TEST_ENTRY(rules_say_what_they_know_of_open_shapes),
                ASSAY_TEST_ENTRY(views_have_gradients_of_the_shape_before),
                ASSAY_TEST_ENTRY(nothing_flows_back_through_stop_gradient))
