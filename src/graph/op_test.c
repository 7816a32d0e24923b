/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ops, and what assay_op_infer and assay_op_run promise for all of them. The ops here are made up. */
#include "base/test.h"
#include "graph/op.h"

/* Adds 1 to each element; its kernel knows f32 alone. */
static enum assay_status infer_same(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    call->outputs[0] = call->inputs[0];
    return ASSAY_OK;
}

static enum assay_status run_plus_one(struct assay_op_call *call, struct assay_error *err)
{
    if (call->data[0]->type.dtype != ASSAY_F32)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "not f32");
    for (int64_t i = 0; i < assay_tensor_count(call->data[0]); i++)
        ((float *)call->results[0].data)[i] = ((const float *)call->data[0]->data)[i] + 1.0f;
    return ASSAY_OK;
}

static enum assay_status infer_negative(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    call->outputs[0] = assay_type_make(ASSAY_F32, 1, (int64_t[]){-7});
    return ASSAY_OK;
}

static enum assay_status infer_endless(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    call->outputs[0] = assay_type_make(ASSAY_F32, 2, (int64_t[]){INT64_MAX, 4});
    return ASSAY_OK;
}

static enum assay_status infer_nothing(struct assay_op_call *call, struct assay_error *err)
{
    (void)call;
    (void)err;
    return ASSAY_OK;
}

static enum assay_status infer_dtype(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    call->outputs[0].dtype = call->inputs[0].dtype;
    return ASSAY_OK;
}

static enum assay_status run_nothing(struct assay_op_call *call, struct assay_error *err)
{
    (void)call;
    (void)err;
    return ASSAY_OK;
}

static enum assay_status run_failing(struct assay_op_call *call, struct assay_error *err)
{
    (void)call;
    return assay_error_set(err, ASSAY_INVALID, "index 9 is out of range");
}

static enum assay_status run_wrong_shape(struct assay_op_call *call, struct assay_error *err)
{
    assay_tensor_release(&call->results[0]);
    return assay_tensor_copy(&call->results[0], call->data[1], err);
}

static enum assay_status run_view(struct assay_op_call *call, struct assay_error *err)
{
    (void)err;
    CHECK(!call->results[0].data);
    assay_tensor_share(&call->results[0], call->data[0]);
    return ASSAY_OK;
}

static const struct assay_op plus_one = {"PlusOne", "", 1, 2, ASSAY_OP_VIA_F32, infer_same, run_plus_one, NULL};

struct one_node {
    struct assay_node node;
    int inputs[3], outputs[1];
    struct assay_type in_types[3], out_types[1];
    struct assay_tensor tensors[2], results[1];
    const struct assay_tensor *data[3];
    struct assay_arena scratch;
    struct assay_op_call call;
    struct assay_error err;
};

/* Inputs: [3] of `dtype` with 0.5, 1, 2000, and an i64[1]. */
static void one_node_init(struct one_node *one, enum assay_dtype dtype)
{
    *one = (struct one_node){.inputs = {0, 1, -1}};
    one->node = (struct assay_node){.name = "n1", .type = "PlusOne", .domain = "", .n_inputs = 2, .n_outputs = 1};
    one->node.inputs = one->inputs;
    one->node.outputs = one->outputs;
    assay_arena_init(&one->scratch);
    struct assay_type types[] = {assay_type_make(dtype, 1, (int64_t[]){3}), assay_type_make(ASSAY_I64, 1, (int64_t[]){1})};
    for (int i = 0; i < 2; i++) {
        CHECK_INT(assay_tensor_alloc(&one->tensors[i], &types[i], NULL), ASSAY_OK);
        one->data[i] = &one->tensors[i];
        one->in_types[i] = types[i];
    }
    for (int i = 0; i < 3; i++)
        assay_tensor_set_real(&one->tensors[0], i, (double[]){0.5, 1, 2000}[i]);
    assay_tensor_set_real(&one->tensors[1], 0, 5);
    one->call = (struct assay_op_call){.node = &one->node,
                                       .opset = 17,
                                       .n_inputs = 2,
                                       .n_outputs = 1,
                                       .inputs = one->in_types,
                                       .data = one->data,
                                       .outputs = one->out_types,
                                       .results = one->results,
                                       .scratch = &one->scratch};
}

static void one_node_release(struct one_node *one)
{
    for (int i = 0; i < 2; i++)
        assay_tensor_release(&one->tensors[i]);
    assay_tensor_release(&one->results[0]);
    assay_arena_release(&one->scratch);
}

ASSAY_TEST(every_op_of_the_table_is_complete_and_found_by_its_name)
{
    int n = 0;
    for (const struct assay_op *op; (op = assay_op_at(n)); n++) {
        CHECK(op->type && op->domain && op->infer && op->run);
        CHECK(op->min_inputs >= 0 && (op->max_inputs == -1 || op->max_inputs >= op->min_inputs));
        if (assay_op_find(op->domain, op->type) != op)
            fprintf(stderr, "%s is twice in the table\n", op->type);
        CHECK(assay_op_find(op->domain, op->type) == op);
    }
    CHECK(n > 0);
    CHECK(!assay_op_find("", "NoSuchOp"));
    CHECK(!assay_op_find("no.such.domain", assay_op_at(0)->type));
}

ASSAY_TEST(a_kernel_of_f32_serves_the_16_bit_floats)
{
    static const enum assay_dtype dtypes[] = {ASSAY_F32, ASSAY_F16, ASSAY_BF16};
    static const double wanted[3][3] = {
        {1.5, 2, 2001}, {1.5, 2, 2001}, {1.5, 2, 2000}}; /* bf16 has 8 bits: 2001 rounds to 2000 */
    for (int d = 0; d < 3; d++) {
        struct one_node one;
        one_node_init(&one, dtypes[d]);
        CHECK_OK(assay_op_run(&plus_one, &one.call, &one.err), one.err);
        CHECK_INT(one.results[0].type.dtype, dtypes[d]);
        for (int i = 0; i < 3; i++)
            CHECK_NEAR(assay_tensor_real(&one.results[0], i), wanted[d][i], 0);
        one_node_release(&one);
    }
}

static void check_run_fails(const struct assay_op *op, enum assay_status status, const char *part)
{
    struct one_node one;
    one_node_init(&one, ASSAY_F32);
    CHECK_INT(assay_op_run(op, &one.call, &one.err), status);
    CHECK_CONTAINS(one.err.message, "PlusOne 'n1': ");
    CHECK_CONTAINS(one.err.message, part);
    CHECK(!one.results[0].data);
    one_node_release(&one);
}

ASSAY_TEST(what_a_rule_or_a_kernel_gets_wrong_is_a_status_with_the_node)
{
    check_run_fails(&(struct assay_op){"A", "", 1, 2, 0, infer_negative, run_nothing, NULL}, ASSAY_INVALID, "negative");
    check_run_fails(&(struct assay_op){"A", "", 1, 2, 0, infer_endless, run_nothing, NULL}, ASSAY_INVALID, "overflows");
    check_run_fails(&(struct assay_op){"A", "", 1, 2, 0, infer_nothing, run_nothing, NULL}, ASSAY_INVALID, "does not know");
    check_run_fails(&(struct assay_op){"A", "", 1, 2, 0, infer_dtype, run_nothing, NULL}, ASSAY_CRASHED, "left output 0 empty");
    check_run_fails(&(struct assay_op){"A", "", 1, 2, 0, infer_same, run_wrong_shape, NULL}, ASSAY_CRASHED, "disagree");
    check_run_fails(&(struct assay_op){"A", "", 1, 2, 0, infer_same, run_failing, NULL}, ASSAY_INVALID, "index 9");
    check_run_fails(&(struct assay_op){"A", "", 1, 2, ASSAY_OP_VIA_F32, infer_same, run_failing, NULL}, ASSAY_INVALID, "index 9");
}

ASSAY_TEST(the_number_of_inputs_is_checked)
{
    check_run_fails(&(struct assay_op){"A", "", 1, 1, 0, infer_same, run_nothing, NULL}, ASSAY_INVALID, "wants 1 to 1");
    check_run_fails(&(struct assay_op){"A", "", 3, -1, 0, infer_same, run_nothing, NULL}, ASSAY_INVALID, "at least 3");
    struct one_node one;
    one_node_init(&one, ASSAY_F32);
    one.call.n_inputs = one.node.n_inputs = 3;
    struct assay_op op = {"A", "", 3, 3, 0, infer_same, run_nothing, NULL};
    CHECK_INT(assay_op_infer(&op, &one.call, &one.err), ASSAY_INVALID);
    CHECK_CONTAINS(one.err.message, "input 2 is not given");
    one_node_release(&one);
}

ASSAY_TEST(a_view_shares_its_inputs_bytes)
{
    struct one_node one;
    one_node_init(&one, ASSAY_F32);
    struct assay_op op = {"A", "", 1, 2, ASSAY_OP_VIEW, infer_same, run_view, NULL};
    CHECK_OK(assay_op_run(&op, &one.call, &one.err), one.err);
    CHECK(one.results[0].data == one.tensors[0].data);
    one_node_release(&one);
}

ASSAY_TEST(the_default_cost_is_the_bytes_of_inputs_and_outputs)
{
    struct one_node one;
    struct assay_cost cost;
    one_node_init(&one, ASSAY_F32);
    CHECK_OK(assay_op_infer(&plus_one, &one.call, &one.err), one.err);
    assay_op_cost(&plus_one, &one.call, &cost);
    CHECK_NEAR(cost.bytes_read, 3 * 4 + 8, 0);
    CHECK_NEAR(cost.bytes_written, 3 * 4, 0);
    CHECK_NEAR(cost.flops, 0, 0);
    one_node_release(&one);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_op_of_the_table_is_complete_and_found_by_its_name),
                ASSAY_TEST_ENTRY(a_kernel_of_f32_serves_the_16_bit_floats),
                ASSAY_TEST_ENTRY(what_a_rule_or_a_kernel_gets_wrong_is_a_status_with_the_node),
                ASSAY_TEST_ENTRY(the_number_of_inputs_is_checked), ASSAY_TEST_ENTRY(a_view_shares_its_inputs_bytes),
                ASSAY_TEST_ENTRY(the_default_cost_is_the_bytes_of_inputs_and_outputs))
