/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profile of a program: when each step ran, and what it cost by its op (graph/op.h) at the shapes that it ran with.
 *
 * A step's time ends where the next one's begins, so that waking the threads and looking at the clock belong to steps, and only
 * what a run does before and after its steps is outside. Costs are found when a step is first recorded, and again when the inputs
 * of the program have grown by a sixteenth.
 */
#include "base/clock.h"
#include "runtime/native/program.h"

#include <stdlib.h>
#include <string.h>

struct native_note {
    const char *name, *type; /* they outlive the specialisation */
    double flops, bytes;
    enum assay_dtype dtype;
    int64_t size; /* of the program's inputs when the cost was found */
};

/* ---- the cost of a step */

static const struct assay_tensor *state_input(const struct native_program *p, const struct assay_graph *graph, int value,
                                              bool is_output)
{
    for (int i = 0; i < graph->n_states; i++) {
        const struct assay_state *state = &graph->states[i];
        if (value == (is_output ? graph->outputs[state->output] : graph->inputs[state->input]))
            return &p->inputs[state->input];
    }
    return NULL;
}

/* As it was in the run; of a value that the kernel did not look at, as the graph has it, or the cache's state. */
static struct assay_type type_of(const struct native_program *p, int value, const struct assay_tensor *tensor)
{
    const struct assay_graph *graph = p->current->graph;
    if (value < 0)
        return (struct assay_type){.rank = -1};
    if (tensor && assay_type_is_known(&tensor->type))
        return tensor->type;
    const struct assay_tensor *state = state_input(p, graph, value, false);
    return state && !assay_type_is_known(&graph->values[value].type) ? state->type : graph->values[value].type;
}

/* What rules look into: shapes and axes, and no activations, which may have been written over. */
static const struct assay_tensor *contents_of(const struct native_program *p, const struct native_step *step, int k)
{
    enum { LONGEST = 64 };
    int value = step->node->inputs[k];
    const struct assay_tensor *tensor = step->args.in[k],
                              *constant = value >= 0 ? &p->current->graph->values[value].constant : NULL;
    if (constant && constant->data)
        return constant;
    bool is_small = tensor && tensor->data && tensor->type.dtype == ASSAY_I64 && assay_type_is_known(&tensor->type) &&
                    assay_tensor_count(tensor) <= LONGEST;
    return is_small && k != step->kernel.in_place ? tensor : NULL;
}

static void make_call(struct assay_op_call *call, const struct native_program *p, const struct native_step *step,
                      struct assay_arena *scratch)
{
    const struct assay_node *node = step->node;
    const struct assay_tensor **data = assay_arena_array(scratch, (size_t)node->n_inputs, sizeof *data);
    bool known = true;
    *call = (struct assay_op_call){
        .node = node,
        .opset = p->current->graph->opset,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs,
        .inputs = assay_arena_array(scratch, (size_t)node->n_inputs, sizeof *call->inputs),
        .outputs = assay_arena_array(scratch, (size_t)node->n_outputs, sizeof *call->outputs),
        .data = data,
        .scratch = scratch,
    };
    for (int k = 0; k < node->n_inputs; k++) {
        call->inputs[k] = type_of(p, node->inputs[k], step->args.in[k]);
        data[k] = contents_of(p, step, k);
    }
    for (int k = 0; k < node->n_outputs; k++) {
        call->outputs[k] = type_of(p, node->outputs[k], step->args.out[k]);
        known &= node->outputs[k] < 0 || assay_type_is_known(&call->outputs[k]);
    }
    if (!known)
        assay_op_infer(node->op, call, NULL); /* what it cannot tell stays unknown, and costs nothing */
}

static bool is_known(const struct assay_op_call *call)
{
    for (int k = 0; k < call->n_inputs; k++)
        if (call->node->inputs[k] >= 0 && !assay_type_is_known(&call->inputs[k]))
            return false;
    for (int k = 0; k < call->n_outputs; k++)
        if (call->node->outputs[k] >= 0 && !assay_type_is_known(&call->outputs[k]))
            return false;
    return true;
}

static bool has_body(const struct assay_node *node)
{
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].graph && strcmp(node->type, "Fused") != 0)
            return true;
    return false;
}

static void find_cost(const struct native_program *p, const struct native_step *step, struct native_note *note)
{
    const struct assay_node *node = step->node;
    struct assay_op_call call;
    struct assay_cost cost;
    struct assay_arena scratch;
    note->flops = note->bytes = 0;
    if (!node) {
        note->bytes = 2 * (double)assay_tensor_bytes(step->args.in[0]);
        return;
    }
    if (has_body(node)) /* its body's steps have their own */
        return;
    assay_arena_init(&scratch);
    make_call(&call, p, step, &scratch);
    if (call.n_inputs)
        note->dtype = call.inputs[0].dtype;
    if (is_known(&call)) {
        assay_op_cost(node->op, &call, &cost);
        note->flops = cost.flops;
        note->bytes = cost.bytes_read + cost.bytes_written;
        for (int k = 0; k < node->n_outputs; k++) { /* a cache is appended to, not written anew */
            bool is_cached = step->out_slots[k] >= 0 && p->current->slots[step->out_slots[k]].place == NATIVE_CACHE;
            const struct assay_tensor *past = is_cached ? state_input(p, p->current->graph, node->outputs[k], true) : NULL;
            note->bytes -= past ? (double)assay_tensor_bytes(past) : 0;
        }
    }
    assay_arena_release(&scratch);
}

static void note_step(struct native_program *p, struct native_program *root, struct native_step *step)
{
    if (!step->note) {
        step->note = assay_arena_alloc(&root->arena, sizeof *step->note);
        *step->note = (struct native_note){
            .name = assay_arena_strdup(&root->arena, step->node ? step->node->name : step->kernel.name),
            .type = step->node ? assay_arena_strdup(&root->arena, step->node->type) : "Reorder",
        };
    }
    step->note->size = p->run_size;
    find_cost(p, step, step->note);
}

/* ---- recording */

/* Of all inputs, which tells whether costs have changed. */
static int64_t size_of_inputs(const struct native_program *p)
{
    int64_t size = 0;
    for (int i = 0; i < p->graph->n_inputs; i++)
        size += assay_tensor_bytes(&p->inputs[i]);
    return size;
}

int64_t native_profile_start(struct native_program *p)
{
    p->run_start_ns = assay_clock_ns();
    return p->run_start_ns;
}

int64_t native_profile_now(void) { return assay_clock_ns(); }

int64_t native_profile_walk(struct native_program *program)
{
    program->run_size = size_of_inputs(program);
    return assay_clock_ns();
}

static struct assay_op_time *add_time(struct native_program *root, int64_t start_ns, int64_t end_ns)
{
    if (root->n_times == root->time_room) {
        root->time_room = root->time_room ? 2 * root->time_room : 4096;
        root->times = assay_realloc(root->times, (size_t)root->time_room * sizeof *root->times);
    }
    struct assay_op_time *time = &root->times[root->n_times++];
    *time = (struct assay_op_time){
        .run = root->n_runs, .node = -1, .start_ns = start_ns - root->run_start_ns, .wall_ns = end_ns - start_ns};
    return time;
}

int64_t native_profile_step(struct native_program *program, struct native_step *step, int64_t start_ns)
{
    struct native_program *root = program->root ? program->root : program;
    int64_t end_ns = assay_clock_ns();
    struct assay_op_time *time = add_time(root, start_ns, end_ns);
    bool is_old = !step->note || llabs(program->run_size - step->note->size) > step->note->size / 16;
    if (is_old)
        note_step(program, root, step);
    int64_t noted_ns = is_old ? assay_clock_ns() : end_ns;
    time->name = step->note->name;
    time->type = step->note->type;
    time->flops = step->note->flops;
    time->bytes = step->note->bytes;
    time->dtype = step->note->dtype;
    if (is_old) {
        time = add_time(root, end_ns, noted_ns);
        time->name = "(recording)";
        time->type = "";
    }
    return noted_ns;
}

int64_t native_profile_other(struct native_program *program, const char *name, int64_t start_ns)
{
    int64_t end_ns = assay_clock_ns();
    if (program->graph->n_states) {
        struct assay_op_time *time = add_time(program, start_ns, end_ns);
        time->name = name;
        time->type = "State";
    }
    return end_ns;
}
