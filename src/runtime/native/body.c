/* SPDX-License-Identifier: Apache-2.0 */
/* See body.h. */
#include "runtime/native/body.h"

#include "graph/infer.h"
#include "graph/pass.h"
#include "runtime/native/program.h"

#include <stdlib.h>

enum { MAX_DEPTH = 32 /* bodies within bodies */, FOLD_BYTES = 1 << 24 };

struct body {
    const struct assay_graph *graph; /* of the node's attribute */
    struct native_program *program;  /* NULL until it is run */
    int *captures;                   /* of the program's inputs after the body's own: places among the node's captures */
    int n_captures;
};

struct native_bodies {
    struct native_program *parent;
    const struct assay_graph *graph; /* that the node is in */
    const int *captures;
    int n_captures;
    const struct assay_tensor *const *captured; /* [n_captures] */
    struct body *bodies;
    int n_bodies;
};

int native_captures(struct assay_arena *arena, const struct assay_graph *graph, const struct assay_node *node, int **captures)
{
    int n = 0, room = 0;
    *captures = NULL;
    for (int k = 0; k < node->n_attrs; k++) {
        const struct assay_graph *body = node->attrs[k].kind == ASSAY_ATTR_GRAPH ? node->attrs[k].graph : NULL;
        for (int v = 0; body && v < body->n_values; v++) {
            int outer = body->values[v].outer, i = 0;
            if (outer < 0 || graph->values[outer].constant.data)
                continue;
            while (i < n && (*captures)[i] != outer)
                i++;
            if (i < n)
                continue;
            if (n == room) {
                *captures = assay_arena_grow(arena, *captures, (size_t)room, room ? 2 * (size_t)room : 8, sizeof **captures);
                room = room ? 2 * room : 8;
            }
            (*captures)[n++] = outer;
        }
    }
    return n;
}

struct native_bodies *native_bodies_open(const struct native_build *build)
{
    const struct assay_node *node = build->node;
    int n = 0;
    for (int k = 0; k < node->n_attrs; k++)
        n += node->attrs[k].kind == ASSAY_ATTR_GRAPH;
    if (n == 0)
        return NULL;
    struct native_bodies *bodies = assay_arena_alloc(build->arena, sizeof *bodies);
    *bodies = (struct native_bodies){.parent = build->program,
                                     .graph = build->graph,
                                     .captures = build->captures,
                                     .n_captures = build->n_captures,
                                     .bodies = assay_arena_array(build->arena, (size_t)n, sizeof *bodies->bodies)};
    for (int k = 0; k < node->n_attrs; k++)
        if (node->attrs[k].kind == ASSAY_ATTR_GRAPH) {
            const struct assay_graph *graph = node->attrs[k].graph;
            int *captures = assay_arena_array(build->arena, (size_t)graph->n_values, sizeof *captures);
            bodies->bodies[bodies->n_bodies++] = (struct body){.graph = graph, .captures = captures};
        }
    return bodies;
}

static void close_program(struct body *body)
{
    if (body->program)
        native_program_clear(body->program);
    free(body->program);
    body->program = NULL;
    body->n_captures = 0;
}

void native_bodies_close(struct native_bodies *bodies)
{
    for (int i = 0; bodies && i < bodies->n_bodies; i++)
        close_program(&bodies->bodies[i]);
}

void native_bodies_bind(struct native_bodies *bodies, const struct assay_tensor *const *captured) { bodies->captured = captured; }

/* ---- from a body to a program */

/* What is known beforehand of a value that is `now` like this; what it contradicts may change from run to run. */
static struct assay_type declared_type(const struct assay_type *known, const struct assay_type *now)
{
    struct assay_type type = *now;
    for (int d = 0; d < type.rank; d++)
        if (known->rank != now->rank || known->dims[d] != now->dims[d])
            type.dims[d] = -1;
    return type;
}

static int place_of(const struct native_bodies *bodies, int outer)
{
    int i = 0;
    while (bodies->captures[i] != outer)
        i++;
    return i;
}

/* A graph of its own with the body's values under the same numbers. */
static struct assay_graph *copy_body(const struct native_bodies *bodies, struct body *body, const struct assay_tensor *inputs)
{
    const struct assay_graph *from = body->graph;
    struct assay_graph *graph = assay_graph_open(from->name);
    int *numbers = assay_alloc((size_t)from->n_values * sizeof *numbers);
    graph->opset = from->opset;
    graph->ir_version = from->ir_version;
    for (int v = 0; v < from->n_values; v++) {
        const struct assay_value *value = &from->values[v];
        const struct assay_tensor *constant = value->constant.data && !value->is_inferred ? &value->constant : NULL;
        if (value->outer >= 0 && bodies->graph->values[value->outer].constant.data)
            constant = &bodies->graph->values[value->outer].constant;
        numbers[v] =
            constant ? assay_graph_add_constant(graph, value->name, constant) : assay_graph_add_value(graph, value->name, NULL);
    }
    for (int i = 0; i < from->n_inputs; i++) {
        const struct assay_type *known = &from->values[from->inputs[i]].type;
        graph->values[numbers[from->inputs[i]]].type = declared_type(known, &inputs[i].type);
        assay_graph_add_input(graph, numbers[from->inputs[i]]);
    }
    for (int v = 0; v < from->n_values; v++) {
        int outer = from->values[v].outer;
        if (outer < 0 || graph->values[numbers[v]].constant.data)
            continue;
        int place = place_of(bodies, outer);
        graph->values[numbers[v]].type = declared_type(&bodies->graph->values[outer].type, &bodies->captured[place]->type);
        body->captures[body->n_captures++] = place;
        assay_graph_add_input(graph, numbers[v]);
    }
    for (int i = 0; i < from->n_nodes; i++)
        if (from->nodes[i])
            assay_graph_copy_node(graph, from->nodes[i], numbers);
    for (int i = 0; i < from->n_outputs; i++)
        assay_graph_add_output(graph, numbers[from->outputs[i]]);
    free(numbers);
    return graph;
}

/* Exporters cut and join the weights of recurrent cells in the body that uses them. */
static enum assay_status fold_weights(struct assay_graph *graph, struct assay_error *err)
{
    enum assay_status st = assay_graph_sort(graph, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    return st ? st : assay_graph_fold(graph, FOLD_BYTES, err);
}

static enum assay_status open_program(const struct native_bodies *bodies, struct body *body, const struct assay_tensor *inputs,
                                      struct assay_error *err)
{
    struct native_program *parent = bodies->parent, *p = assay_alloc(sizeof *p);
    assay_arena_init(&p->arena);
    p->root = parent->root ? parent->root : parent;
    p->depth = parent->depth + 1;
    p->pool = parent->pool;
    p->n_threads = parent->n_threads;
    p->isa = parent->isa;
    p->profile = parent->profile;
    p->graph = copy_body(bodies, body, inputs);
    p->inputs = assay_arena_array(&p->arena, (size_t)p->graph->n_inputs, sizeof *p->inputs);
    p->outputs = assay_arena_array(&p->arena, (size_t)p->graph->n_outputs, sizeof *p->outputs);
    body->program = p;
    enum assay_status st = ASSAY_OK;
    if (p->depth > MAX_DEPTH)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "graph bodies are nested deeper than %d", MAX_DEPTH);
    if (!st)
        st = fold_weights(p->graph, err);
    if (!st)
        st = assay_graph_optimize(p->graph, NULL, err);
    if (st)
        close_program(body);
    return st;
}

/* ---- runs */

static bool fits(const struct assay_type *declared, const struct assay_type *type)
{
    bool same = declared->dtype == type->dtype && declared->rank == type->rank;
    for (int d = 0; same && d < type->rank; d++)
        same = declared->dims[d] < 0 || declared->dims[d] == type->dims[d];
    return same;
}

static const struct assay_tensor *input_of(const struct native_bodies *bodies, const struct body *body,
                                           const struct assay_tensor *inputs, int i)
{
    return i < body->graph->n_inputs ? &inputs[i] : bodies->captured[body->captures[i - body->graph->n_inputs]];
}

static bool program_fits(const struct native_bodies *bodies, const struct body *body, const struct assay_tensor *inputs)
{
    const struct assay_graph *graph = body->program->graph;
    for (int i = 0; i < graph->n_inputs; i++)
        if (!fits(&graph->values[graph->inputs[i]].type, &input_of(bodies, body, inputs, i)->type))
            return false;
    return true;
}

static enum assay_status take_output(const struct native_program *p, int i, struct assay_tensor *output, struct assay_error *err)
{
    const struct assay_tensor *made = &p->current->slots[p->current->output_slots[i]].tensor;
    if (!made->buffer)
        return assay_tensor_copy(output, made, err);
    assay_tensor_share(output, made);
    return ASSAY_OK;
}

enum assay_status native_bodies_run(struct assay_op_call *call, struct assay_graph *graph, int n_inputs,
                                    const struct assay_tensor *inputs, int n_outputs, struct assay_tensor *outputs,
                                    struct assay_error *err)
{
    struct native_bodies *bodies = call->run_context;
    struct body *body = bodies->bodies;
    enum assay_status st = ASSAY_OK;
    while (body->graph != graph)
        body++;
    if (n_inputs != graph->n_inputs || n_outputs != graph->n_outputs)
        return assay_error_set(err, ASSAY_INVALID, "the body '%s' has %d inputs and %d outputs where its node needs %d and %d",
                               graph->name, graph->n_inputs, graph->n_outputs, n_inputs, n_outputs);
    if (body->program && !program_fits(bodies, body, inputs))
        close_program(body);
    if (!body->program)
        st = open_program(bodies, body, inputs, err);
    if (st)
        return st;
    struct native_program *p = body->program;
    for (int i = 0; i < p->graph->n_inputs; i++) {
        const struct assay_tensor *input = input_of(bodies, body, inputs, i);
        assay_tensor_borrow(&p->inputs[i], &input->type, input->data);
    }
    st = native_specialize(p, err);
    if (!st)
        st = native_run_steps(p, err);
    for (int i = 0; i < n_outputs && !st; i++)
        st = take_output(p, i, &outputs[i], err);
    return st;
}
