/* SPDX-License-Identifier: Apache-2.0 */
/* See op.h: the table of ops, and what is common to all of them when a rule or a kernel is called. */
#include "graph/op.h"

#define ASSAY_OP_FAMILY(name) extern const struct assay_op assay_ops_##name[];
#include "graph/op_table.def"
#undef ASSAY_OP_FAMILY

static const struct assay_op *const families[] = {
#define ASSAY_OP_FAMILY(name) assay_ops_##name,
#include "graph/op_table.def"
#undef ASSAY_OP_FAMILY
    NULL,
};

const struct assay_op *assay_op_find(const char *domain, const char *type)
{
    for (size_t f = 0; families[f]; f++)
        for (const struct assay_op *op = families[f]; op->type; op++)
            if (strcmp(op->type, type) == 0 && strcmp(op->domain, domain) == 0)
                return op;
    return NULL;
}

const struct assay_op *assay_op_at(int i)
{
    for (size_t f = 0; families[f]; f++)
        for (const struct assay_op *op = families[f]; op->type; op++)
            if (i-- == 0)
                return op;
    return NULL;
}

/* Puts the op and the node before the sentence of a failure. */
static enum assay_status blame(const struct assay_op_call *call, enum assay_status st, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    if (node->name && *node->name)
        return assay_error_prefix(err, st, "%s '%s'", node->type, node->name);
    return assay_error_prefix(err, st, "%s", node->type);
}

enum assay_status assay_op_check_inputs(const struct assay_op *op, const struct assay_node *node, struct assay_error *err)
{
    if (op->max_inputs < 0 && node->n_inputs < op->min_inputs)
        return assay_error_set(err, ASSAY_INVALID, "it has %d inputs, the standard wants at least %d", node->n_inputs,
                               op->min_inputs);
    if (op->max_inputs >= 0 && (node->n_inputs < op->min_inputs || node->n_inputs > op->max_inputs))
        return assay_error_set(err, ASSAY_INVALID, "it has %d inputs, the standard wants %d to %d", node->n_inputs,
                               op->min_inputs, op->max_inputs);
    for (int i = 0; i < op->min_inputs; i++)
        if (node->inputs[i] < 0)
            return assay_error_set(err, ASSAY_INVALID, "its input %d is not given", i);
    return ASSAY_OK;
}

/* A rule's arithmetic on a file's numbers can leave negative or overflowing dimensions: nobody after it shall meet them. */
static enum assay_status check_outputs(struct assay_op_call *call, struct assay_error *err)
{
    for (int i = 0; i < call->n_outputs; i++) {
        const struct assay_type *type = &call->outputs[i];
        char text[256];
        if (type->rank > ASSAY_MAX_RANK)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "its output %d would have %d dimensions, more than %d", i, type->rank,
                                   ASSAY_MAX_RANK);
        for (int d = 0; d < type->rank; d++)
            if (type->dims[d] < -1)
                return assay_error_set(err, ASSAY_INVALID, "its output %d would have a negative size in dimension %d", i, d);
        if (assay_type_is_known(type) && assay_type_bytes(type) == INT64_MAX)
            return assay_error_set(err, ASSAY_INVALID, "its output %d would be %s, whose size overflows", i,
                                   assay_type_text(type, text, sizeof text));
    }
    return ASSAY_OK;
}

/* Kernels move elements of whole bytes: made by one of them, 4 bits would be none. */
static enum assay_status check_packed(const struct assay_op *op, enum assay_dtype dtype, int output, struct assay_error *err)
{
    if (!assay_dtype_is_packed(dtype) || op->flags & ASSAY_OP_TAKES_4_BITS)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its output %d is of 4 bits: only constants are", output);
}

static enum assay_status infer_types(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err)
{
    for (int i = 0; i < call->n_outputs; i++)
        call->outputs[i] = (struct assay_type){.rank = -1};
    enum assay_status st = assay_op_check_inputs(op, call->node, err);
    for (int i = 0; i < call->n_inputs && !st; i++)
        if (assay_dtype_is_packed(call->inputs[i].dtype) && !(op->flags & ASSAY_OP_TAKES_4_BITS))
            st = assay_error_set(err, ASSAY_UNSUPPORTED, "its input %d is of 4 bits: only DequantizeLinear reads those", i);
    if (!st && call->n_outputs < 1)
        st = assay_error_set(err, ASSAY_INVALID, "it has no outputs");
    if (!st)
        st = op->infer(call, err);
    for (int i = 0; i < call->n_outputs && !st; i++)
        st = check_packed(op, call->outputs[i].dtype, i, err);
    return st ? st : check_outputs(call, err);
}

enum assay_status assay_op_infer(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err)
{
    struct assay_arena arena, *given = call->scratch;
    assay_arena_init(&arena);
    call->scratch = given ? given : &arena;
    enum assay_status st = infer_types(op, call, err);
    call->scratch = given;
    assay_arena_release(&arena);
    return st ? blame(call, st, err) : ASSAY_OK;
}

static enum assay_status run_kernel(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < call->n_outputs && !st; i++)
        if (!(op->flags & ASSAY_OP_VIEW) && assay_type_is_known(&call->outputs[i]))
            st = assay_tensor_alloc(&call->results[i], &call->outputs[i], err);
    if (st)
        return st;
    st = op->run(call, err);
    for (int i = 0; i < call->n_outputs && !st; i++) {
        const struct assay_tensor *result = &call->results[i];
        bool is_wanted = call->node->outputs[i] >= 0;
        if (!result->data && is_wanted && call->outputs[i].dtype == ASSAY_NO_DTYPE)
            st = assay_error_set(err, ASSAY_INVALID, "it has an output %d, which the standard does not know", i);
        else if (!result->data && is_wanted)
            st = assay_error_set(err, ASSAY_CRASHED, "its kernel left output %d empty, which is a fault of Assay", i);
        else if (result->data && assay_type_is_known(&call->outputs[i]) && !assay_type_equal(&result->type, &call->outputs[i]))
            st = assay_error_set(err, ASSAY_CRASHED,
                                 "its kernel and its shape rule disagree on output %d, which is a fault of "
                                 "Assay",
                                 i);
        else if (result->data) /* of a body, whose types the rule may not have known */
            st = check_packed(op, result->type.dtype, i, err);
    }
    return st;
}

static bool is_half(enum assay_dtype dtype) { return dtype == ASSAY_F16 || dtype == ASSAY_BF16; }

static bool has_half_input(const struct assay_op_call *call)
{
    for (int i = 0; i < call->n_inputs; i++)
        if (is_half(call->inputs[i].dtype))
            return true;
    return false;
}

/* The rule has set call->outputs for the 16-bit types. Runs the same node on f32 copies and rounds the results once. */
static enum assay_status run_via_f32(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err)
{
    size_t n = (size_t)call->n_inputs;
    struct assay_tensor *wide = assay_arena_array(call->scratch, n, sizeof *wide);
    const struct assay_tensor **data = assay_arena_array(call->scratch, n, sizeof *data);
    struct assay_op_call inner = *call;
    inner.inputs = assay_arena_array(call->scratch, n, sizeof *inner.inputs);
    inner.outputs = assay_arena_array(call->scratch, (size_t)call->n_outputs, sizeof *inner.outputs);
    inner.data = data;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < call->n_inputs && !st; i++) {
        inner.inputs[i] = call->inputs[i];
        data[i] = call->data[i];
        if (!is_half(call->inputs[i].dtype))
            continue;
        inner.inputs[i].dtype = ASSAY_F32;
        if (!call->data[i])
            continue;
        st = assay_tensor_convert(&wide[i], call->data[i], ASSAY_F32, err);
        data[i] = &wide[i];
    }
    if (!st)
        st = infer_types(op, &inner, err);
    if (!st)
        st = run_kernel(op, &inner, err);
    for (int i = 0; i < call->n_outputs && !st; i++) {
        enum assay_dtype dtype = call->outputs[i].dtype;
        struct assay_tensor *result = &call->results[i], narrow;
        if (!result->data || dtype == ASSAY_NO_DTYPE || dtype == result->type.dtype)
            continue;
        st = assay_tensor_convert(&narrow, result, dtype, err);
        if (!st) {
            assay_tensor_release(result);
            *result = narrow;
        }
    }
    for (int i = 0; i < call->n_inputs; i++)
        assay_tensor_release(&wide[i]);
    return st;
}

enum assay_status assay_op_run(const struct assay_op *op, struct assay_op_call *call, struct assay_error *err)
{
    for (int i = 0; i < call->n_outputs; i++)
        call->results[i] = (struct assay_tensor){0};
    enum assay_status st = infer_types(op, call, err);
    if (!st)
        st = (op->flags & ASSAY_OP_VIA_F32) && has_half_input(call) ? run_via_f32(op, call, err) : run_kernel(op, call, err);
    if (!st)
        return ASSAY_OK;
    for (int i = 0; i < call->n_outputs; i++)
        assay_tensor_release(&call->results[i]);
    return blame(call, st, err);
}

bool assay_op_is_random(const struct assay_graph *graph, const struct assay_node *node)
{
    unsigned flags = node->op ? node->op->flags : 0;
    if (!(flags & ASSAY_OP_RANDOM_IN_TRAINING))
        return flags & ASSAY_OP_RANDOM;
    if (node->n_inputs < 3 || node->inputs[2] < 0)
        return false;
    const struct assay_tensor *mode = &graph->values[node->inputs[2]].constant;
    return !mode->data || assay_tensor_count(mode) != 1 || assay_tensor_int(mode, 0) != 0;
}

void assay_op_cost(const struct assay_op *op, const struct assay_op_call *call, struct assay_cost *cost)
{
    *cost = (struct assay_cost){0};
    for (int i = 0; i < call->n_inputs; i++)
        if (assay_type_is_known(&call->inputs[i]))
            cost->bytes_read += (double)assay_type_bytes(&call->inputs[i]);
    for (int i = 0; i < call->n_outputs; i++)
        if (assay_type_is_known(&call->outputs[i]))
            cost->bytes_written += (double)assay_type_bytes(&call->outputs[i]);
    if (op->cost)
        op->cost(call, cost);
}
