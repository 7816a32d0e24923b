/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control flow: If, Loop, Scan (its form since opset 9).
 *
 * At compile time the shape rules infer the bodies (assay_graph_infer_body). In a run (call->run_body is there) the types of the
 * outputs are left open, since a branch or an iteration may change them, and the kernels take what the bodies made. What a body
 * captures of the graph around it is the affair of whoever implements run_body.
 */
#include "graph/infer.h"
#include "graph/ops/move.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <stdlib.h>

static enum assay_status find_body(const struct assay_op_call *call, const char *name, int n_inputs, int n_outputs,
                                   struct assay_graph **body, struct assay_error *err)
{
    *body = assay_node_graph(call->node, name);
    if (!*body)
        return assay_error_set(err, ASSAY_INVALID, "it has no %s", name);
    if ((*body)->n_inputs != n_inputs || (*body)->n_outputs != n_outputs)
        return assay_error_set(err, ASSAY_INVALID, "its %s has %d inputs and %d outputs, where %d and %d belong", name,
                               (*body)->n_inputs, (*body)->n_outputs, n_inputs, n_outputs);
    return ASSAY_OK;
}

/* *type becomes what covers both: a dimension that differs is unknown. Returns whether it changed. */
static bool widen(struct assay_type *type, const struct assay_type *other)
{
    if (type->rank < 0)
        return false;
    if (other->rank != type->rank) {
        type->rank = -1;
        return true;
    }
    bool changed = false;
    for (int d = 0; d < type->rank; d++)
        if (type->dims[d] >= 0 && type->dims[d] != other->dims[d]) {
            type->dims[d] = -1;
            changed = true;
        }
    return changed;
}

static enum assay_status same_dtype(const struct assay_type *a, const struct assay_type *b, const char *what, int i,
                                    struct assay_error *err)
{
    if (a->dtype == b->dtype || a->dtype == ASSAY_NO_DTYPE || b->dtype == ASSAY_NO_DTYPE)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_INVALID, "%s %d is %s in one place and %s in another", what, i,
                           assay_dtype_word((int)a->dtype), assay_dtype_word((int)b->dtype));
}

static enum assay_status run_body(struct assay_op_call *call, struct assay_graph *body, const struct assay_tensor *inputs,
                                  struct assay_tensor *outputs, struct assay_error *err)
{
    if (!call->run_body)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its body can only run within a run of the whole graph");
    return call->run_body(call, body, body->n_inputs, inputs, body->n_outputs, outputs, err);
}

static enum assay_status read_condition(const struct assay_tensor *tensor, bool *value, struct assay_error *err)
{
    if (tensor->type.dtype != ASSAY_BOOL || assay_tensor_count(tensor) != 1)
        return assay_error_set(err, ASSAY_INVALID, "the condition must be one bool");
    *value = *(const bool *)tensor->data;
    return ASSAY_OK;
}

static void release_all(struct assay_tensor *tensors, int n)
{
    for (int i = 0; i < n; i++)
        assay_tensor_release(&tensors[i]);
}

/* A type whose unknown dimensions are 0, for the stacked output of no iteration at all. */
static enum assay_status type_of_none(struct assay_type *type, const struct assay_type *element, int i, struct assay_error *err)
{
    *type = *element;
    if (type->dtype == ASSAY_NO_DTYPE || type->rank < 0 || type->rank >= ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "output %d of no iterations is not supported: its type is not known", i);
    for (int d = 0; d < type->rank; d++)
        type->dims[d] = type->dims[d] < 0 ? 0 : type->dims[d];
    return ASSAY_OK;
}

/* element with a dimension put in at `axis`, which counts the new one. */
static enum assay_status stack_type(struct assay_type *type, const struct assay_type *element, int64_t axis, int64_t n,
                                    int *normalised, struct assay_error *err)
{
    *type = (struct assay_type){.dtype = element->dtype, .rank = -1};
    if (element->rank < 0)
        return ASSAY_OK;
    if (element->rank >= ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "a tensor of rank %d is not supported, %d is the limit", element->rank + 1,
                               ASSAY_MAX_RANK);
    enum assay_status st = assay_rule_axis(axis, element->rank + 1, normalised, err);
    if (st)
        return st;
    type->rank = element->rank + 1;
    for (int d = 0; d < type->rank; d++)
        type->dims[d] = d == *normalised ? n : element->dims[d < *normalised ? d : d - 1];
    return ASSAY_OK;
}

/* Infers a body whose first n_states outputs (after n_before) come back as inputs (after n_in_before), widening the states' types
 * until they hold for every iteration. outputs[body->n_outputs]. */
static enum assay_status infer_iterated(struct assay_graph *body, struct assay_type *inputs, int first_in,
                                        struct assay_type *outputs, int first_out, int n_states, struct assay_error *err)
{
    /* Each round that changes something makes a dimension or a rank unknown; a few rounds do for all bodies but odd ones, whose
     * states then count as unknown. */
    enum { ROUNDS = 4 };
    for (int round = 0;; round++) {
        enum assay_status st = assay_graph_infer_body(body, body->n_inputs, inputs, NULL, body->n_outputs, outputs, err);
        if (st || round > ROUNDS)
            return st;
        bool changed = false;
        for (int i = 0; i < n_states; i++) {
            struct assay_type *state = &inputs[first_in + i];
            st = same_dtype(state, &outputs[first_out + i], "state", i, err);
            if (st)
                return st;
            changed |= widen(state, &outputs[first_out + i]);
            if (round == ROUNDS)
                state->rank = -1;
        }
        if (!changed)
            return ASSAY_OK;
    }
}

/* ---- If */

static enum assay_status infer_if(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_graph *branches[2];
    enum assay_status st = find_body(call, "then_branch", 0, call->n_outputs, &branches[0], err);
    if (!st)
        st = find_body(call, "else_branch", 0, call->n_outputs, &branches[1], err);
    const struct assay_tensor *known = assay_rule_data(call, 0);
    bool condition = false;
    if (!st && known)
        st = read_condition(known, &condition, err);
    if (st || call->run_body)
        return st;
    if (known) /* the other branch may be for shapes that this model doesn't have now */
        return assay_graph_infer_body(branches[condition ? 0 : 1], 0, NULL, NULL, call->n_outputs, call->outputs, err);
    struct assay_type *other = assay_arena_array(call->scratch, (size_t)call->n_outputs, sizeof *other);
    st = assay_graph_infer_body(branches[0], 0, NULL, NULL, call->n_outputs, call->outputs, err);
    enum assay_status st_other = assay_graph_infer_body(branches[1], 0, NULL, NULL, call->n_outputs, other, err);
    if (st && st_other)
        return st;
    /* A branch that cannot run at these shapes makes no result: if there is one, it is the other's. */
    for (int i = 0; i < call->n_outputs; i++) {
        if (st)
            call->outputs[i] = other[i];
        if (st || st_other)
            continue;
        enum assay_status differ = same_dtype(&call->outputs[i], &other[i], "output", i, err);
        if (differ)
            return differ;
        if (call->outputs[i].dtype == ASSAY_NO_DTYPE)
            call->outputs[i].dtype = other[i].dtype;
        widen(&call->outputs[i], &other[i]);
    }
    return ASSAY_OK;
}

static enum assay_status run_if(struct assay_op_call *call, struct assay_error *err)
{
    bool condition;
    struct assay_graph *body;
    enum assay_status st = read_condition(call->data[0], &condition, err);
    if (!st)
        st = find_body(call, condition ? "then_branch" : "else_branch", 0, call->n_outputs, &body, err);
    return st ? st : run_body(call, body, NULL, call->results, err);
}

/* ---- Loop: inputs M, condition, states; body (iteration, condition, states) -> (condition, states, elements of scan outputs) */

struct loop {
    struct assay_graph *body;
    int n_states, n_scans;
    bool has_limit, has_condition; /* given and, when `known`, with these values */
    bool known;
    int64_t limit;
    bool condition;
};

static enum assay_status read_loop(const struct assay_op_call *call, struct loop *loop, struct assay_error *err)
{
    *loop = (struct loop){.n_states = call->n_inputs > 2 ? call->n_inputs - 2 : 0,
                          .has_limit = assay_rule_has_input(call, 0),
                          .has_condition = assay_rule_has_input(call, 1),
                          .limit = INT64_MAX,
                          .condition = true};
    loop->n_scans = call->n_outputs - loop->n_states;
    if (loop->n_scans < 0)
        return assay_error_set(err, ASSAY_INVALID, "%d inputs do not go with %d outputs", call->n_inputs, call->n_outputs);
    enum assay_status st = find_body(call, "body", 2 + loop->n_states, 1 + call->n_outputs, &loop->body, err);
    if (!st)
        st = assay_rule_all_given(call, 2, err);
    if (st)
        return st;
    const struct assay_tensor *limit = assay_rule_data(call, 0), *condition = assay_rule_data(call, 1);
    loop->known = (limit || !loop->has_limit) && (condition || !loop->has_condition);
    if (limit) {
        if (limit->type.dtype != ASSAY_I64 || assay_tensor_count(limit) != 1)
            return assay_error_set(err, ASSAY_INVALID, "the trip count must be one i64");
        loop->limit = assay_tensor_int(limit, 0);
        loop->limit = loop->limit < 0 ? 0 : loop->limit;
    }
    if (!loop->has_limit && !loop->has_condition)
        return assay_error_set(err, ASSAY_INVALID, "with neither trip count nor condition it never ends");
    return condition ? read_condition(condition, &loop->condition, err) : ASSAY_OK;
}

/* The iteration number or the condition as the body declares it: a scalar, or one element of rank 1. */
static struct assay_type scalar_for(const struct assay_graph *body, int input, enum assay_dtype dtype)
{
    const int64_t one = 1;
    return assay_type_make(dtype, body->values[body->inputs[input]].type.rank == 1, &one);
}

static enum assay_status infer_loop(struct assay_op_call *call, struct assay_error *err)
{
    struct loop loop;
    enum assay_status st = read_loop(call, &loop, err);
    if (st || call->run_body)
        return st;
    struct assay_type *inputs = assay_arena_array(call->scratch, 2 + (size_t)loop.n_states, sizeof *inputs);
    struct assay_type *outputs = assay_arena_array(call->scratch, 1 + (size_t)call->n_outputs, sizeof *outputs);
    inputs[0] = scalar_for(loop.body, 0, ASSAY_I64);
    inputs[1] = scalar_for(loop.body, 1, ASSAY_BOOL);
    for (int i = 0; i < loop.n_states; i++)
        inputs[2 + i] = call->inputs[2 + i];
    st = infer_iterated(loop.body, inputs, 2, outputs, 1, loop.n_states, err);
    if (st)
        return st;
    for (int i = 0; i < loop.n_states; i++)
        call->outputs[i] = inputs[2 + i];
    int64_t trips = loop.known && loop.has_limit && !loop.has_condition ? loop.limit : -1;
    for (int i = loop.n_states; i < call->n_outputs && !st; i++) {
        int axis;
        st = stack_type(&call->outputs[i], &outputs[1 + i], 0, trips, &axis, err);
    }
    return st;
}

/* A scan output of a loop that grows by one element an iteration. */
struct stack {
    struct assay_tensor tensor; /* with room for more elements than there are */
    struct assay_type element;
    int64_t n, room;
};

static enum assay_status push(struct stack *stack, const struct assay_tensor *element, int output, struct assay_error *err)
{
    if (stack->n == 0)
        stack->element = element->type;
    if (!assay_type_equal(&stack->element, &element->type))
        return assay_error_set(err, ASSAY_INVALID, "output %d changes its type between iterations", output);
    if (stack->n == stack->room) {
        struct assay_tensor grown;
        struct assay_type type;
        int axis;
        int64_t room = stack->room ? 2 * stack->room : 4;
        enum assay_status st = stack_type(&type, &element->type, 0, room, &axis, err);
        if (!st)
            st = assay_tensor_alloc(&grown, &type, err);
        if (st)
            return st;
        if (stack->n)
            memcpy(grown.data, stack->tensor.data, (size_t)(stack->n * assay_tensor_bytes(element)));
        assay_tensor_release(&stack->tensor);
        stack->tensor = grown;
        stack->room = room;
    }
    int64_t bytes = assay_tensor_bytes(element);
    memcpy((char *)stack->tensor.data + stack->n++ * bytes, element->data, (size_t)bytes);
    return ASSAY_OK;
}

/* The elements pushed, as a tensor of their number. */
static enum assay_status take_stack(struct stack *stack, const struct assay_type *inferred, int output, struct assay_tensor *to,
                                    struct assay_error *err)
{
    enum assay_status st = stack->n ? ASSAY_OK : type_of_none(&stack->element, inferred, output, err);
    struct assay_type type;
    int axis;
    if (!st)
        st = stack_type(&type, &stack->element, 0, stack->n, &axis, err);
    if (!st)
        st = assay_tensor_alloc(to, &type, err);
    if (!st && stack->n)
        memcpy(to->data, stack->tensor.data, (size_t)assay_tensor_bytes(to));
    return st;
}

static enum assay_status run_loop(struct assay_op_call *call, struct assay_error *err)
{
    struct loop loop;
    enum assay_status st = read_loop(call, &loop, err);
    if (st)
        return st;
    int n_in = 2 + loop.n_states, n_out = 1 + call->n_outputs;
    struct assay_tensor *inputs = assay_arena_array(call->scratch, (size_t)n_in, sizeof *inputs);
    struct assay_tensor *outputs = assay_arena_array(call->scratch, (size_t)n_out, sizeof *outputs);
    struct stack *stacks = assay_arena_array(call->scratch, (size_t)loop.n_scans, sizeof *stacks);
    const struct assay_type counter = scalar_for(loop.body, 0, ASSAY_I64), flag = scalar_for(loop.body, 1, ASSAY_BOOL);
    for (int i = 0; i < loop.n_states; i++)
        assay_tensor_share(&inputs[2 + i], call->data[2 + i]);
    for (int64_t trip = 0; trip < loop.limit && (loop.condition || !loop.has_condition); trip++) {
        /* New tensors each time: a body may hand its inputs on as outputs. */
        st = assay_tensor_alloc(&inputs[0], &counter, err);
        if (!st)
            st = assay_tensor_alloc(&inputs[1], &flag, err);
        if (st)
            goto done;
        *(int64_t *)inputs[0].data = trip;
        *(bool *)inputs[1].data = loop.condition;
        st = run_body(call, loop.body, inputs, outputs, err);
        if (!st)
            st = read_condition(&outputs[0], &loop.condition, err);
        for (int i = 0; i < loop.n_states && !st; i++)
            st = same_dtype(&inputs[2 + i].type, &outputs[1 + i].type, "state", i, err);
        for (int i = 0; i < loop.n_scans && !st; i++)
            st = push(&stacks[i], &outputs[1 + loop.n_states + i], loop.n_states + i, err);
        if (st)
            goto done;
        release_all(inputs, n_in);
        for (int i = 0; i < loop.n_states; i++) {
            inputs[2 + i] = outputs[1 + i];
            outputs[1 + i] = (struct assay_tensor){0};
        }
        release_all(outputs, n_out);
    }
    for (int i = 0; i < loop.n_states; i++)
        assay_tensor_share(&call->results[i], &inputs[2 + i]);
    for (int i = 0; i < loop.n_scans && !st; i++) {
        int output = loop.n_states + i;
        const struct assay_type *inferred = &loop.body->values[loop.body->outputs[1 + output]].type;
        st = take_stack(&stacks[i], inferred, output, &call->results[output], err);
    }
done:
    release_all(inputs, n_in);
    release_all(outputs, n_out);
    for (int i = 0; i < loop.n_scans; i++)
        assay_tensor_release(&stacks[i].tensor);
    return st;
}

/* ---- Scan: inputs states, sequences; body (states, elements of sequences) -> (states, elements of scan outputs) */

struct scan {
    struct assay_graph *body;
    int n_states, n_inputs, n_outputs; /* inputs and outputs that are scanned */
};

static enum assay_status read_scan(const struct assay_op_call *call, struct scan *scan, struct assay_error *err)
{
    int64_t n = assay_node_int(call->node, "num_scan_inputs", 0);
    if (n < 1 || n > call->n_inputs || call->n_inputs - n > call->n_outputs)
        return assay_error_set(err, ASSAY_INVALID, "%" PRId64 " scan inputs do not go with %d inputs and %d outputs", n,
                               call->n_inputs, call->n_outputs);
    enum assay_status st = assay_rule_all_given(call, 0, err);
    if (st)
        return st;
    scan->n_inputs = (int)n;
    scan->n_states = call->n_inputs - scan->n_inputs;
    scan->n_outputs = call->n_outputs - scan->n_states;
    static const char *const names[] = {"scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"};
    for (int i = 0; i < 4; i++) {
        size_t length, wanted = (size_t)(i < 2 ? scan->n_inputs : scan->n_outputs);
        const int64_t *list = assay_node_ints(call->node, names[i], &length);
        if (list && length != wanted)
            return assay_error_set(err, ASSAY_INVALID, "%s has %zu numbers instead of %zu", names[i], length, wanted);
        for (size_t k = 0; list && i % 2 == 1 && k < length; k++)
            if (list[k] != 0 && list[k] != 1)
                return assay_error_set(err, ASSAY_INVALID, "%s may hold 0 and 1 only", names[i]);
    }
    return find_body(call, "body", call->n_inputs, call->n_outputs, &scan->body, err);
}

/* The i-th number of a list that read_scan has checked; 0 if there is no list. */
static int64_t listed(const struct assay_op_call *call, const char *name, int i)
{
    size_t n;
    const int64_t *list = assay_node_ints(call->node, name, &n);
    return list ? list[i] : 0;
}

/* The type of an element of sequence i; its length into *n. */
static enum assay_status element_type(const struct assay_op_call *call, const struct scan *scan, int i, struct assay_type *type,
                                      int *axis, int64_t *n, struct assay_error *err)
{
    *type = call->inputs[scan->n_states + i];
    if (type->rank < 0)
        return ASSAY_OK;
    enum assay_status st = assay_rule_axis(listed(call, "scan_input_axes", i), type->rank, axis, err);
    if (!st)
        st = assay_rule_merge_dim(n, type->dims[*axis], "the length of the sequences", err);
    if (st)
        return st;
    type->rank--;
    for (int d = *axis; d < type->rank; d++)
        type->dims[d] = type->dims[d + 1];
    return ASSAY_OK;
}

static enum assay_status infer_scan(struct assay_op_call *call, struct assay_error *err)
{
    struct scan scan;
    enum assay_status st = read_scan(call, &scan, err);
    if (st || call->run_body)
        return st;
    struct assay_type *inputs = assay_arena_array(call->scratch, (size_t)call->n_inputs, sizeof *inputs);
    struct assay_type *outputs = assay_arena_array(call->scratch, (size_t)call->n_outputs, sizeof *outputs);
    int axis;
    int64_t length = -1;
    for (int i = 0; i < scan.n_states; i++)
        inputs[i] = call->inputs[i];
    for (int i = 0; i < scan.n_inputs && !st; i++)
        st = element_type(call, &scan, i, &inputs[scan.n_states + i], &axis, &length, err);
    if (!st)
        st = infer_iterated(scan.body, inputs, 0, outputs, 0, scan.n_states, err);
    for (int i = 0; i < scan.n_states && !st; i++)
        call->outputs[i] = inputs[i];
    for (int i = 0; i < scan.n_outputs && !st; i++)
        st = stack_type(&call->outputs[scan.n_states + i], &outputs[scan.n_states + i], listed(call, "scan_output_axes", i),
                        length, &axis, err);
    return st;
}

/* Both ways between a whole tensor and its part at `index` along `axis`. */
static void move_part(struct assay_tensor *whole, int axis, int64_t index, struct assay_tensor *part, bool into_whole)
{
    if (assay_tensor_count(part) == 0)
        return;
    size_t size = assay_dtype_size(part->type.dtype);
    struct assay_move_side outer, inner;
    assay_move_dense(&outer, whole->data, whole->type.rank, whole->type.dims, size);
    assay_move_dense(&inner, part->data, part->type.rank, part->type.dims, size);
    outer.data += index * outer.strides[axis];
    for (int d = axis; d < part->type.rank; d++)
        outer.strides[d] = outer.strides[d + 1];
    assay_move(into_whole ? &outer : &inner, into_whole ? &inner : &outer, part->type.rank, part->type.dims, size);
}

/* The body's inputs of one step: the elements of the sequences. */
static enum assay_status take_elements(struct assay_op_call *call, const struct scan *scan, int64_t step, int64_t n_steps,
                                       struct assay_tensor *elements, struct assay_error *err)
{
    for (int i = 0; i < scan->n_inputs; i++) {
        struct assay_type type;
        int axis;
        int64_t n = n_steps;
        enum assay_status st = element_type(call, scan, i, &type, &axis, &n, err);
        if (!st)
            st = assay_tensor_alloc(&elements[i], &type, err);
        if (st)
            return st;
        int64_t index = listed(call, "scan_input_directions", i) ? n_steps - 1 - step : step;
        struct assay_tensor whole = *call->data[scan->n_states + i];
        move_part(&whole, axis, index, &elements[i], false);
    }
    return ASSAY_OK;
}

/* Puts an element of scan output i into the whole, which the first step allocates. */
static enum assay_status put_element(struct assay_op_call *call, const struct scan *scan, int i, int64_t step, int64_t n_steps,
                                     struct assay_tensor *element, struct assay_error *err)
{
    struct assay_tensor *whole = &call->results[scan->n_states + i];
    struct assay_type type;
    int axis;
    enum assay_status st = stack_type(&type, &element->type, listed(call, "scan_output_axes", i), n_steps, &axis, err);
    if (!st && !whole->data)
        st = assay_tensor_alloc(whole, &type, err);
    if (st)
        return st;
    if (!assay_type_equal(&whole->type, &type))
        return assay_error_set(err, ASSAY_INVALID, "output %d changes its type between iterations", scan->n_states + i);
    move_part(whole, axis, listed(call, "scan_output_directions", i) ? n_steps - 1 - step : step, element, true);
    return ASSAY_OK;
}

static enum assay_status run_scan(struct assay_op_call *call, struct assay_error *err)
{
    struct scan scan;
    enum assay_status st = read_scan(call, &scan, err);
    if (st)
        return st;
    struct assay_tensor *inputs = assay_arena_array(call->scratch, (size_t)call->n_inputs, sizeof *inputs);
    struct assay_tensor *outputs = assay_arena_array(call->scratch, (size_t)call->n_outputs, sizeof *outputs);
    int64_t n_steps = -1;
    for (int i = 0; i < scan.n_inputs && !st; i++) {
        struct assay_type type;
        int axis;
        st = element_type(call, &scan, i, &type, &axis, &n_steps, err);
    }
    for (int i = 0; i < scan.n_states; i++)
        assay_tensor_share(&inputs[i], call->data[i]);
    for (int64_t step = 0; step < n_steps && !st; step++) {
        st = take_elements(call, &scan, step, n_steps, inputs + scan.n_states, err);
        if (!st)
            st = run_body(call, scan.body, inputs, outputs, err);
        for (int i = 0; i < scan.n_states && !st; i++)
            st = same_dtype(&inputs[i].type, &outputs[i].type, "state", i, err);
        for (int i = 0; i < scan.n_outputs && !st; i++)
            st = put_element(call, &scan, i, step, n_steps, &outputs[scan.n_states + i], err);
        if (st)
            break;
        release_all(inputs, call->n_inputs);
        memcpy(inputs, outputs, (size_t)scan.n_states * sizeof *inputs);
        memset(outputs, 0, (size_t)scan.n_states * sizeof *outputs);
        release_all(outputs, call->n_outputs);
    }
    for (int i = 0; i < scan.n_states && !st; i++)
        assay_tensor_share(&call->results[i], &inputs[i]);
    for (int i = 0; i < scan.n_outputs && !st && n_steps == 0; i++) {
        struct assay_type none, type;
        int axis;
        st = type_of_none(&none, &scan.body->values[scan.body->outputs[scan.n_states + i]].type, scan.n_states + i, err);
        if (!st)
            st = stack_type(&type, &none, listed(call, "scan_output_axes", i), 0, &axis, err);
        if (!st)
            st = assay_tensor_alloc(&call->results[scan.n_states + i], &type, err);
    }
    release_all(inputs, call->n_inputs);
    release_all(outputs, call->n_outputs);
    return st;
}

const struct assay_op assay_ops_control[] = {
    {"If", "", 1, 1, 0, infer_if, run_if, NULL},
    {"Loop", "", 0, -1, 0, infer_loop, run_loop, NULL},
    {"Scan", "", 1, -1, 0, infer_scan, run_scan, NULL},
    {0},
};
