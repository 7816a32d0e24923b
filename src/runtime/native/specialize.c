/* SPDX-License-Identifier: Apache-2.0 */
/* From a graph to steps, at given input dimensions: nodes with their kernels (choose_kernel.c), layouts, memory. */
#include "graph/plan_memory.h"
#include "runtime/native/program.h"

#include <stdlib.h>
#include <string.h>

/* Activations begin APART: a kernel that writes one line behind where it reads, as addresses go within a page, waits for its own
 * stores. */
enum { GIVE_BYTES = 1 << 14, APART = 256 };

/* ---- slots and steps */

struct maker {
    struct native_program *program;
    struct native_special *s;
    const bool *behind; /* native_cut's */
    int *last_node; /* [n_values]: the last node that reads it, FOREVER for outputs and what the rest reads, -1 if nobody does */
    int *n_needs;   /* [n_values]: readers that may still want its bytes; NULL: no constant is given back */
};
enum { FOREVER = 0x7fffffff };

static int add_slot(struct maker *m, int value, const struct assay_type *type, enum native_layout layout, enum native_place place)
{
    struct native_special *s = m->s;
    if (s->n_slots == s->slot_room) {
        int room = s->slot_room ? 2 * s->slot_room : 256;
        s->slots = assay_arena_grow(&s->arena, s->slots, (size_t)s->slot_room, (size_t)room, sizeof *s->slots);
        s->slot_room = room;
    }
    struct native_slot *slot = &s->slots[s->n_slots];
    *slot = (struct native_slot){.layout = layout, .place = place, .value = value, .view_of = -1};
    slot->last_node = m->last_node[value];
    slot->first = slot->last = s->n_steps;
    slot->tensor.type = *type;
    s->slot_of[value][layout] = s->n_slots;
    return s->n_slots++;
}

static int root_of(const struct native_special *s, int slot)
{
    while (s->slots[slot].view_of >= 0)
        slot = s->slots[slot].view_of;
    return slot;
}

static void make_view(struct maker *m, int slot, int of)
{
    struct native_special *s = m->s;
    int root = root_of(s, of);
    s->slots[slot].place = NATIVE_VIEW;
    s->slots[slot].view_of = root;
    if (s->slots[root].last_node < m->last_node[s->slots[slot].value])
        s->slots[root].last_node = m->last_node[s->slots[slot].value];
}

static struct native_step *add_step(struct maker *m, const struct assay_node *node, const struct native_kernel *kernel, int n_in,
                                    int n_out)
{
    struct native_special *s = m->s;
    if (s->n_steps == s->step_room) {
        int room = s->step_room ? 2 * s->step_room : 256;
        s->steps = assay_arena_grow(&s->arena, s->steps, (size_t)s->step_room, (size_t)room, sizeof *s->steps);
        s->step_room = room;
    }
    struct native_step *step = &s->steps[s->n_steps++];
    *step = (struct native_step){.node = node, .kernel = *kernel, .n_in = n_in, .n_out = n_out};
    step->in_slots = assay_arena_array(&s->arena, (size_t)n_in, sizeof *step->in_slots);
    step->out_slots = assay_arena_array(&s->arena, (size_t)n_out, sizeof *step->out_slots);
    for (int k = 0; k < n_in; k++)
        step->in_slots[k] = -1;
    for (int k = 0; k < n_out; k++)
        step->out_slots[k] = -1;
    if (kernel->scratch_bytes > s->scratch_bytes)
        s->scratch_bytes = kernel->scratch_bytes;
    return step;
}

/* The slot of a value in a layout, reordered if it lies otherwise. */
static int slot_for(struct maker *m, int value, enum native_layout layout)
{
    struct native_special *s = m->s;
    int have = s->slot_of[value][layout], from = s->slot_of[value][!layout];
    if (have >= 0)
        return have;
    ASSAY_ASSERT(from >= 0);
    struct assay_type type = s->slots[from].tensor.type;
    struct native_kernel kernel =
        native_reorder_kernel(&type, !layout, layout, m->program->n_threads, m->program->isa, &s->arena);
    int to = add_slot(m, value, &type, layout, NATIVE_WORKSPACE);
    struct native_step *step = add_step(m, NULL, &kernel, 1, 1);
    step->in_slots[0] = from;
    step->out_slots[0] = to;
    if (kernel.is_view)
        make_view(m, to, from);
    return to;
}

/* ---- nodes */

/* Whether output 0 may take the bytes of an input: nobody else reads them, and both are as large. */
static bool may_overwrite(const struct maker *m, const struct native_step *step, int input, const struct assay_type *type,
                          int node)
{
    const struct native_special *s = m->s;
    int slot = step->in_slots[input];
    if (slot < 0)
        return false;
    int root = root_of(s, slot);
    if (s->slots[root].place != NATIVE_WORKSPACE || s->slots[root].last_node != node ||
        assay_type_bytes(&s->slots[slot].tensor.type) != assay_type_bytes(type))
        return false;
    for (int k = 0; k < step->n_in; k++)
        if (k != input && step->in_slots[k] >= 0 && root_of(s, step->in_slots[k]) == root)
            return false;
    return true;
}

/* A constant that has been packed for all its readers, and that no other specialisation will ask for, is freed at once, so that
 * it and its packed form are together in memory for as short as can be. */
static void give_back(struct maker *m, const struct native_build *build)
{
    const struct assay_node *node = build->node;
    struct assay_graph *graph = m->s->graph, *whole = m->program->graph;
    for (int k = 0; m->n_needs && k < node->n_inputs; k++) {
        int v = node->inputs[k];
        if (v < 0 || v >= whole->n_values || !build->unneeded[k] || !build->packed[k] || --m->n_needs[v] ||
            graph->values[v].is_inferred)
            continue;
        struct assay_tensor *here = &graph->values[v].constant, *there = &whole->values[v].constant;
        if (!here->data || here->data != there->data || assay_tensor_bytes(here) < GIVE_BYTES)
            continue;
        m->s->slots[m->s->slot_of[v][NATIVE_PLAIN]].tensor.data = NULL;
        assay_tensor_release(here);
        assay_tensor_release(there);
    }
}

static void count_needs(struct maker *m)
{
    const struct assay_graph *graph = m->s->graph;
    m->n_needs = assay_arena_array(&m->s->arena, (size_t)graph->n_values, sizeof *m->n_needs);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_inputs; k++)
            if (graph->nodes[i]->inputs[k] >= 0)
                m->n_needs[graph->nodes[i]->inputs[k]]++;
    for (int i = 0; i < graph->n_outputs; i++)
        m->n_needs[graph->outputs[i]]++;
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            if (body->values[v].outer >= 0)
                m->n_needs[body->values[v].outer]++;
}

/* Whether the output is written where a state has its input: nobody reads that later, through whatever view. */
static bool moves_state(struct maker *m, const struct native_build *build, const struct native_step *step, int output, int node)
{
    const struct native_special *s = m->s;
    int input = build->kernel.state_inputs ? build->kernel.state_inputs[output] : -1;
    int state = input >= 0 ? native_state_of(build, input, output) : -1;
    if (state < 0 || step->in_slots[input] < 0)
        return false;
    const struct native_slot *root = &s->slots[root_of(s, step->in_slots[input])];
    if (root->place != NATIVE_INPUT || root->last_node != node || step->in_slots[input] != root - s->slots)
        return false;
    s->moves[state] = true;
    return true;
}

static void add_node(struct maker *m, int index)
{
    struct native_special *s = m->s;
    const struct assay_node *node = s->graph->nodes[index];
    struct native_build build;
    native_choose_kernel(m->program, s, node, &build);
    int n_in = node->n_inputs + build.n_captures;
    int *in = assay_arena_array(&s->arena, (size_t)n_in, sizeof *in);
    for (int k = 0; k < node->n_inputs; k++)
        in[k] = node->inputs[k] < 0 || build.unneeded[k] ? -1 : slot_for(m, node->inputs[k], build.in_layouts[k]);
    for (int k = 0; k < build.n_captures; k++)
        in[node->n_inputs + k] = slot_for(m, build.captures[k], NATIVE_PLAIN);
    struct native_step *step = add_step(m, node, &build.kernel, n_in, node->n_outputs);
    int number = s->n_steps - 1;
    memcpy(step->in_slots, in, (size_t)n_in * sizeof *in);
    for (int k = 0; k < node->n_outputs; k++) {
        if (node->outputs[k] < 0)
            continue;
        bool known = assay_type_is_known(&build.outputs[k]);
        enum native_place place = build.unmade[k] ? NATIVE_CACHE : known ? NATIVE_WORKSPACE : NATIVE_OWN;
        int slot = add_slot(m, node->outputs[k], &build.outputs[k], build.out_layouts[k], place);
        s->slots[slot].first = s->slots[slot].last = number;
        step->out_slots[k] = slot;
        if (k == 0 && build.kernel.is_view)
            make_view(m, slot, step->in_slots[0]);
        else if (k == 0 && build.kernel.in_place >= 0 && known &&
                 may_overwrite(m, step, build.kernel.in_place, &build.outputs[0], index))
            make_view(m, slot, step->in_slots[build.kernel.in_place]);
        else if (moves_state(m, &build, step, k, index))
            make_view(m, slot, step->in_slots[build.kernel.state_inputs[k]]);
    }
    give_back(m, &build);
}

/* ---- memory */

static void find_last_nodes(struct maker *m)
{
    const struct assay_graph *graph = m->s->graph;
    for (int v = 0; v < graph->n_values; v++)
        m->last_node[v] = -1;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0)
                m->last_node[node->inputs[k]] = i;
        for (int k = 0; k < node->n_attrs; k++) {
            const struct assay_graph *body = node->attrs[k].kind == ASSAY_ATTR_GRAPH ? node->attrs[k].graph : NULL;
            for (int v = 0; body && v < body->n_values; v++)
                if (body->values[v].outer >= 0)
                    m->last_node[body->values[v].outer] = i;
        }
    }
    for (int i = 0; i < graph->n_outputs; i++)
        m->last_node[graph->outputs[i]] = FOREVER;
    for (int i = 0; m->s->rest && i < m->s->rest->graph->n_inputs; i++)
        m->last_node[m->s->rest->graph->inputs[i]] = FOREVER;
}

/* Which steps a slot must outlive, then an offset for each. */
static void place_slots(struct native_special *s)
{
    for (int i = 0; i < s->n_steps; i++)
        for (int k = 0; k < s->steps[i].n_in + s->steps[i].n_out; k++) {
            const struct native_step *step = &s->steps[i];
            int slot = k < step->n_in ? step->in_slots[k] : step->out_slots[k - step->n_in];
            if (slot >= 0)
                s->slots[root_of(s, slot)].last = i;
        }
    for (int i = 0; i < s->graph->n_outputs; i++)
        s->slots[root_of(s, s->output_slots[i])].last = s->n_steps;
    for (int i = 0; s->rest && i < s->rest->graph->n_inputs; i++)
        s->slots[root_of(s, s->rest_inputs[i])].last = s->n_steps;
    struct assay_memory_buffer *buffers = assay_alloc((size_t)s->n_slots * sizeof *buffers);
    int n = 0;
    for (int i = 0; i < s->n_slots; i++)
        if (s->slots[i].place == NATIVE_WORKSPACE)
            buffers[n++] = (struct assay_memory_buffer){.value = i,
                                                        .first = s->slots[i].first,
                                                        .last = s->slots[i].last,
                                                        .size_bytes = assay_type_bytes(&s->slots[i].tensor.type)};
    s->workspace_bytes = assay_memory_place(buffers, n, APART);
    for (int i = 0; i < n; i++)
        s->slots[buffers[i].value].offset = buffers[i].offset;
    free(buffers);
}

static void link_args(struct native_special *s)
{
    for (int i = 0; i < s->n_steps; i++) {
        struct native_step *step = &s->steps[i];
        const struct assay_tensor **in = assay_arena_array(&s->arena, (size_t)step->n_in, sizeof *in);
        struct assay_tensor **out = assay_arena_array(&s->arena, (size_t)step->n_out, sizeof *out);
        for (int k = 0; k < step->n_in; k++)
            in[k] = step->in_slots[k] >= 0 ? &s->slots[step->in_slots[k]].tensor : NULL;
        for (int k = 0; k < step->n_out; k++)
            out[k] = step->out_slots[k] >= 0 ? &s->slots[step->out_slots[k]].tensor : NULL;
        step->args = (struct native_args){.kernel = &step->kernel, .in = in, .out = out};
    }
}

/* ---- all together */

/* What the rest takes and gives. */
static void add_rest(struct maker *m)
{
    struct native_special *s = m->s;
    const struct assay_graph *rest = s->rest->graph;
    s->rest_inputs = assay_arena_array(&s->arena, (size_t)rest->n_inputs, sizeof *s->rest_inputs);
    s->rest_outputs = assay_arena_array(&s->arena, (size_t)rest->n_outputs, sizeof *s->rest_outputs);
    for (int i = 0; i < rest->n_inputs; i++)
        s->rest_inputs[i] = slot_for(m, rest->inputs[i], NATIVE_PLAIN);
    for (int i = 0; i < rest->n_outputs; i++)
        s->rest_outputs[i] = add_slot(m, rest->outputs[i], &s->graph->values[rest->outputs[i]].type, NATIVE_PLAIN, NATIVE_REST);
}

enum assay_status native_make_steps(struct native_program *program, struct native_special *s, struct assay_error *err)
{
    struct assay_graph *graph = s->graph;
    struct maker m = {.program = program, .s = s, .behind = native_cut(program, s)};
    enum assay_status st = m.behind ? native_rest_open(program, s, m.behind, err) : ASSAY_OK;
    if (st)
        return st;
    m.last_node = assay_arena_array(&s->arena, (size_t)graph->n_values, sizeof *m.last_node);
    find_last_nodes(&m);
    if (program->gives_back)
        count_needs(&m);
    s->slot_of = assay_arena_array(&s->arena, (size_t)graph->n_values, sizeof *s->slot_of);
    for (int v = 0; v < graph->n_values; v++) {
        s->slot_of[v][NATIVE_PLAIN] = s->slot_of[v][NATIVE_NHWC] = -1;
        if (graph->values[v].constant.data && !graph->values[v].is_inferred) {
            int slot = add_slot(&m, v, &graph->values[v].type, NATIVE_PLAIN, NATIVE_CONSTANT);
            s->slots[slot].tensor.data = graph->values[v].constant.data;
            s->slots[slot].tensor.type = graph->values[v].constant.type;
        }
    }
    s->cache_uses = assay_arena_array(&s->arena, (size_t)graph->n_states, sizeof *s->cache_uses);
    s->moves = assay_arena_array(&s->arena, (size_t)graph->n_states, sizeof *s->moves);
    s->input_slots = assay_arena_array(&s->arena, (size_t)graph->n_inputs, sizeof *s->input_slots);
    s->output_slots = assay_arena_array(&s->arena, (size_t)graph->n_outputs, sizeof *s->output_slots);
    for (int i = 0; i < graph->n_inputs; i++)
        s->input_slots[i] = add_slot(&m, graph->inputs[i], &graph->values[graph->inputs[i]].type, NATIVE_PLAIN, NATIVE_INPUT);
    for (int i = 0; i < graph->n_nodes; i++)
        if (!m.behind || !m.behind[i])
            add_node(&m, i);
    if (s->rest)
        add_rest(&m);
    for (int i = 0; i < graph->n_outputs; i++)
        s->output_slots[i] = slot_for(&m, graph->outputs[i], NATIVE_PLAIN);
    place_slots(s);
    link_args(s);
    return ASSAY_OK;
}
