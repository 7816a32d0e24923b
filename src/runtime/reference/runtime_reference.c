/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference runtime: the oracle. It runs the graph node by node, in order, on one thread, with the kernels of graph/ops,
 * without fusing, reordering or sharing memory cleverly, so that what it computes can be read off the standard. Values are freed
 * after their last use.
 */
#include "base/clock.h"
#include "graph/infer.h"
#include "graph/op.h"
#include "runtime/bind.h"
#include "runtime/kernels.h"
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32 /* bodies within bodies */ };

/* What is known of a graph or body before it runs: when its values die. */
struct plan {
    const struct assay_graph *graph;
    int *last_use;       /* [n_values]: index of the last node that reads it, INT_MAX for graph outputs, -1 if nobody does */
    struct plan *bodies; /* of the nodes' graph attributes, in order of appearance */
    int n_bodies;
};

/* A graph in execution. */
struct frame {
    const struct plan *plan;
    struct assay_tensor *values; /* [n_values]; empty: not made yet, dead, or constant */
    struct frame *outer;
    int depth;
};

struct assay_program {
    struct assay_arena arena;  /* plans, profile */
    struct assay_graph *graph; /* our copy, sorted and with inferred types */
    struct plan plan;
    struct assay_tensor *inputs;  /* [n_inputs], borrowing or, for states after a run, owning */
    struct assay_tensor *outputs; /* [n_outputs] of the last run */
    struct assay_arena scratch;
    bool is_bound, profile;
    int n_runs;
    int64_t run_start_ns;
    struct assay_cost cost; /* of the node that ran last, for the profile */
    struct assay_op_time *times;
    int n_times, time_room;
};

enum { FOREVER = 0x7fffffff };

/* Uses of outer values by a body count as uses by the node that has the body. */
static void mark_captures(const struct assay_graph *body, int *last_use, int node)
{
    for (int v = 0; v < body->n_values; v++)
        if (body->values[v].outer >= 0)
            last_use[body->values[v].outer] = node;
}

static void make_plan(struct assay_arena *arena, struct plan *plan, const struct assay_graph *graph)
{
    plan->graph = graph;
    plan->last_use = assay_arena_array(arena, (size_t)graph->n_values, sizeof *plan->last_use);
    for (int v = 0; v < graph->n_values; v++)
        plan->last_use[v] = -1;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0)
                plan->last_use[node->inputs[k]] = i;
        for (int k = 0; k < node->n_attrs; k++)
            if (node->attrs[k].kind == ASSAY_ATTR_GRAPH) {
                mark_captures(node->attrs[k].graph, plan->last_use, i);
                plan->n_bodies++;
            }
    }
    for (int i = 0; i < graph->n_outputs; i++)
        plan->last_use[graph->outputs[i]] = FOREVER;
    plan->bodies = assay_arena_array(arena, (size_t)plan->n_bodies, sizeof *plan->bodies);
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_attrs; k++)
            if (graph->nodes[i]->attrs[k].kind == ASSAY_ATTR_GRAPH)
                make_plan(arena, &plan->bodies[n++], graph->nodes[i]->attrs[k].graph);
}

static const struct plan *find_plan(const struct plan *plan, const struct assay_graph *body)
{
    for (int i = 0; i < plan->n_bodies; i++)
        if (plan->bodies[i].graph == body)
            return &plan->bodies[i];
    return NULL;
}

/* The contents of a value, borrowed; NULL if there are none. */
static const struct assay_tensor *value_of(const struct frame *frame, int value)
{
    const struct assay_value *v = &frame->plan->graph->values[value];
    if (v->constant.data)
        return &v->constant;
    if (v->outer >= 0)
        return value_of(frame->outer, v->outer);
    return frame->values[value].data ? &frame->values[value] : NULL;
}

struct run_context {
    struct assay_program *program;
    struct frame *frame;
};

static enum assay_status run_frame(struct assay_program *program, struct frame *frame, struct assay_error *err);

static enum assay_status take_outputs(struct frame *frame, struct assay_tensor *outputs, struct assay_error *err)
{
    const struct assay_graph *graph = frame->plan->graph;
    for (int i = 0; i < graph->n_outputs; i++) {
        const struct assay_tensor *t = value_of(frame, graph->outputs[i]);
        if (!t)
            return assay_error_set(err, ASSAY_INVALID, "graph '%s': nothing made its output '%s'", graph->name,
                                   graph->values[graph->outputs[i]].name);
        assay_tensor_share(&outputs[i], t);
    }
    return ASSAY_OK;
}

static void release_frame(struct frame *frame)
{
    for (int v = 0; v < frame->plan->graph->n_values; v++)
        assay_tensor_release(&frame->values[v]);
    free(frame->values);
}

static enum assay_status run_body(struct assay_op_call *call, struct assay_graph *body, int n_inputs,
                                  const struct assay_tensor *inputs, int n_outputs, struct assay_tensor *outputs,
                                  struct assay_error *err)
{
    struct run_context *context = call->run_context;
    struct frame frame = {
        .plan = find_plan(context->frame->plan, body), .outer = context->frame, .depth = context->frame->depth + 1};
    ASSAY_ASSERT(frame.plan);
    if (frame.depth > MAX_DEPTH)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "graph bodies are nested deeper than %d", MAX_DEPTH);
    if (n_inputs != body->n_inputs || n_outputs != body->n_outputs)
        return assay_error_set(err, ASSAY_INVALID, "the body '%s' has %d inputs and %d outputs where its node needs %d and %d",
                               body->name, body->n_inputs, body->n_outputs, n_inputs, n_outputs);
    frame.values = assay_alloc((size_t)body->n_values * sizeof *frame.values);
    for (int i = 0; i < n_inputs; i++)
        assay_tensor_share(&frame.values[body->inputs[i]], &inputs[i]);
    enum assay_status st = run_frame(context->program, &frame, err);
    if (!st)
        st = take_outputs(&frame, outputs, err);
    release_frame(&frame);
    return st;
}

static void record(struct assay_program *program, const struct frame *frame, int index, int64_t start_ns)
{
    const struct assay_node *node = frame->plan->graph->nodes[index];
    if (program->n_times == program->time_room) {
        program->time_room = program->time_room ? 2 * program->time_room : 256;
        program->times = assay_realloc(program->times, (size_t)program->time_room * sizeof *program->times);
    }
    program->times[program->n_times++] = (struct assay_op_time){
        .run = program->n_runs,
        .name = node->name,
        .type = node->type,
        .node = frame->depth == 0 ? index : -1,
        .start_ns = start_ns - program->run_start_ns,
        .wall_ns = assay_clock_ns() - start_ns,
        .flops = program->cost.flops,
        .bytes = program->cost.bytes_read + program->cost.bytes_written,
    };
}

/* Moves the results into the frame, and frees what nobody reads after this node. */
static void settle(struct frame *frame, int index, struct assay_tensor *results)
{
    const struct assay_graph *graph = frame->plan->graph;
    const struct assay_node *node = graph->nodes[index];
    for (int k = 0; k < node->n_outputs; k++) {
        if (node->outputs[k] >= 0 && frame->plan->last_use[node->outputs[k]] >= 0)
            frame->values[node->outputs[k]] = results[k];
        else
            assay_tensor_release(&results[k]);
    }
    for (int k = 0; k < node->n_inputs; k++)
        if (node->inputs[k] >= 0 && frame->plan->last_use[node->inputs[k]] == index)
            assay_tensor_release(&frame->values[node->inputs[k]]);
    for (int k = 0; k < node->n_attrs; k++) {
        const struct assay_graph *body = node->attrs[k].kind == ASSAY_ATTR_GRAPH ? node->attrs[k].graph : NULL;
        for (int v = 0; body && v < body->n_values; v++)
            if (body->values[v].outer >= 0 && frame->plan->last_use[body->values[v].outer] == index)
                assay_tensor_release(&frame->values[body->values[v].outer]);
    }
}

/* At the shapes that it ran with; of a node with bodies none, since its bodies' nodes have theirs. */
static void find_cost(struct assay_program *program, const struct assay_op_call *call)
{
    bool known = true;
    for (int k = 0; k < call->n_outputs; k++)
        known &= call->node->outputs[k] < 0 || assay_type_is_known(&call->outputs[k]);
    for (int k = 0; k < call->node->n_attrs; k++)
        known &= !call->node->attrs[k].graph;
    program->cost = (struct assay_cost){0};
    if (known)
        assay_op_cost(call->node->op, call, &program->cost);
}

static enum assay_status run_node(struct assay_program *program, struct frame *frame, int index, struct assay_error *err)
{
    const struct assay_graph *graph = frame->plan->graph;
    const struct assay_node *node = graph->nodes[index];
    struct run_context context = {program, frame};
    /* Taken from the heap, since a body runs within and clears the scratch arena. */
    size_t n_in = (size_t)node->n_inputs, n_out = (size_t)node->n_outputs;
    struct assay_type *types = assay_alloc((n_in + n_out) * sizeof *types);
    const struct assay_tensor **data = assay_alloc(n_in * sizeof *data);
    struct assay_tensor *results = assay_alloc(n_out * sizeof *results);
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    struct assay_op_call call = {
        .node = node,
        .opset = graph->opset,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs,
        .inputs = types,
        .data = data,
        .outputs = types + n_in,
        .results = results,
        .scratch = &scratch,
        .run_body = run_body,
        .run_context = &context,
    };
    enum assay_status st = ASSAY_OK;
    for (int k = 0; k < node->n_inputs; k++) {
        types[k].rank = -1;
        if (node->inputs[k] < 0)
            continue;
        data[k] = value_of(frame, node->inputs[k]);
        if (!data[k]) {
            st = assay_error_set(err, ASSAY_INVALID, "%s '%s': nothing made its input '%s'", node->type, node->name,
                                 graph->values[node->inputs[k]].name);
            goto done;
        }
        types[k] = data[k]->type;
    }
    st = assay_op_run(node->op, &call, err);
    if (!st && program->profile)
        find_cost(program, &call);
    if (!st)
        settle(frame, index, results);
done:
    assay_arena_release(&scratch);
    free(results);
    free(data);
    free(types);
    return st;
}

static bool is_unread_transpose(const struct plan *plan, int index)
{
    const struct assay_node *node = plan->graph->nodes[index];
    return strcmp(node->type, "Transpose") == 0 && node->outputs[0] >= 0 && plan->last_use[node->outputs[0]] < 0;
}

static enum assay_status run_frame(struct assay_program *program, struct frame *frame, struct assay_error *err)
{
    for (int i = 0; i < frame->plan->graph->n_nodes; i++) {
        int64_t start_ns = program->profile ? assay_clock_ns() : 0;
        if (is_unread_transpose(frame->plan, i))
            continue;
        enum assay_status st = run_node(program, frame, i, err);
        if (st)
            return st;
        if (program->profile)
            record(program, frame, i, start_ns);
    }
    return ASSAY_OK;
}

static void list(struct assay_platform_list *platforms)
{
    assay_platform_add(platforms, &(struct assay_platform){.name = "cpu/reference",
                                                           .device = "cpu",
                                                           .runtime = "reference",
                                                           .variant = "",
                                                           .version = "1",
                                                           .available = true,
                                                           .reason = ""});
}

/* The matrix behind a Transpose of a constant one; -1 if the value is none. */
static int behind_transpose(const struct assay_graph *graph, int value)
{
    int maker = value >= 0 ? graph->values[value].producer : -1;
    const struct assay_node *node = maker >= 0 ? graph->nodes[maker] : NULL;
    if (!node || strcmp(node->type, "Transpose") != 0 || *node->domain || graph->values[value].type.rank != 2)
        return -1;
    size_t n;
    const int64_t *perm = assay_node_ints(node, "perm", &n);
    bool swaps = !perm || (n == 2 && perm[0] == 1 && perm[1] == 0);
    return swaps && graph->values[node->inputs[0]].constant.data ? node->inputs[0] : -1;
}

/* A product with a transposed constant reads it where it lies (assay.Linear: the same product, element by element), so that no
 * copy of a weight is made in each run. The only thing that this runtime does not take as it is written. */
static void read_weights_in_place(struct assay_graph *graph)
{
    const struct assay_op *linear = assay_op_find("assay", "Linear");
    for (int i = 0; i < graph->n_nodes; i++) {
        struct assay_node *node = graph->nodes[i];
        int weight = strcmp(node->type, "MatMul") == 0 && !*node->domain ? behind_transpose(graph, node->inputs[1]) : -1;
        enum assay_dtype dtype = weight >= 0 ? graph->values[weight].type.dtype : ASSAY_NO_DTYPE;
        if (dtype != ASSAY_F32 && dtype != ASSAY_F16 && dtype != ASSAY_BF16)
            continue;
        node->inputs[1] = weight;
        node->op = linear;
        assay_node_set_int(graph, node, "trans_weight", 1);
    }
}

static void release_tensors(struct assay_tensor *tensors, int n)
{
    for (int i = 0; tensors && i < n; i++)
        assay_tensor_release(&tensors[i]);
}

static void release(struct assay_program *program)
{
    if (!program)
        return;
    release_tensors(program->inputs, program->graph->n_inputs);
    release_tensors(program->outputs, program->graph->n_outputs);
    assay_graph_close(program->graph);
    free(program->times);
    assay_arena_release(&program->arena);
    free(program);
}

static enum assay_status check_options(const struct assay_compile_options *options, struct assay_error *err)
{
    if (options->n_options)
        return assay_error_set(err, ASSAY_INVALID, "the reference runtime has no option '%s'", options->options[0].name);
    if (options->isa && *options->isa)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the reference runtime has no instruction set tiers ('%s')", options->isa);
    return ASSAY_OK;
}

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    if (options->n_threads != 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the reference runtime has one thread, not %d", options->n_threads);
    enum assay_status st = check_options(options, err);
    if (st)
        return st;
    struct assay_program *p = assay_alloc(sizeof *p);
    assay_arena_init(&p->arena);
    p->profile = options->profile;
    p->graph = assay_graph_clone(graph);
    p->inputs = assay_arena_array(&p->arena, (size_t)graph->n_inputs, sizeof *p->inputs);
    p->outputs = assay_arena_array(&p->arena, (size_t)graph->n_outputs, sizeof *p->outputs);
    st = assay_kernels_support_all(p->graph, err);
    if (!st)
        st = assay_graph_sort(p->graph, err);
    if (!st)
        st = assay_graph_infer(p->graph, err);
    if (st) {
        release(p);
        return st;
    }
    read_weights_in_place(p->graph);
    make_plan(&p->arena, &p->plan, p->graph);
    *program = p;
    return ASSAY_OK;
}

static enum assay_status bind(struct assay_program *program, const struct assay_tensor *inputs, struct assay_error *err)
{
    enum assay_status st = assay_bind_check(program->graph, inputs, program->is_bound, err);
    if (st)
        return st;
    for (int i = 0; i < program->graph->n_inputs; i++) {
        if (!inputs[i].data)
            continue;
        assay_tensor_release(&program->inputs[i]);
        assay_tensor_borrow(&program->inputs[i], &inputs[i].type, inputs[i].data);
    }
    program->is_bound = true;
    return ASSAY_OK;
}

/* The outputs that are states become the next run's inputs. One that borrows is an input passed through, whose bytes are the
 * caller's until the next bind alone. */
static enum assay_status move_states(struct assay_program *program, struct assay_error *err)
{
    for (int s = 0; s < program->graph->n_states; s++) {
        const struct assay_state *state = &program->graph->states[s];
        struct assay_tensor *output = &program->outputs[state->output], kept;
        if (!output->buffer) {
            enum assay_status st = assay_tensor_copy(&kept, output, err);
            if (st)
                return st;
            *output = kept;
        }
        assay_tensor_release(&program->inputs[state->input]);
        assay_tensor_share(&program->inputs[state->input], output);
    }
    return ASSAY_OK;
}

static enum assay_status run(struct assay_program *program, struct assay_error *err)
{
    const struct assay_graph *graph = program->graph;
    struct frame frame = {.plan = &program->plan};
    program->run_start_ns = program->profile ? assay_clock_ns() : 0;
    release_tensors(program->outputs, graph->n_outputs);
    frame.values = assay_alloc((size_t)graph->n_values * sizeof *frame.values);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_tensor_share(&frame.values[graph->inputs[i]], &program->inputs[i]);
    enum assay_status st = run_frame(program, &frame, err);
    if (!st)
        st = take_outputs(&frame, program->outputs, err);
    release_frame(&frame);
    if (!st)
        st = move_states(program, err);
    program->n_runs++;
    return st;
}

static enum assay_status output(struct assay_program *program, int index, struct assay_tensor *tensor, struct assay_error *err)
{
    ASSAY_ASSERT(index >= 0 && index < program->graph->n_outputs);
    const struct assay_tensor *t = &program->outputs[index];
    if (!t->data)
        return assay_error_set(err, ASSAY_INVALID, "output %d was asked for before a run", index);
    assay_tensor_borrow(tensor, &t->type, t->data);
    return ASSAY_OK;
}

static enum assay_status profile(struct assay_program *program, const struct assay_op_time **times, int *n_times,
                                 struct assay_error *err)
{
    (void)err;
    *times = program->times;
    *n_times = program->n_times;
    return ASSAY_OK;
}

const struct assay_runtime assay_runtime_reference = {
    .name = "reference",
    .max_threads = 1,
    .is_reference = true,
    .list = list,
    .supports = assay_kernels_support,
    .check_options = check_options,
    .compile = compile,
    .bind = bind,
    .run = run,
    .output = output,
    .profile = profile,
    .release = release,
};
