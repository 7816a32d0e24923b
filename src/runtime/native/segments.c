/* SPDX-License-Identifier: Apache-2.0 */
/* Where a program is cut because shapes are known only once nodes have run, and how the rest is run: see program.h. */
#include "graph/op.h"
#include "runtime/native/body.h"
#include "runtime/native/program.h"

#include <math.h>
#include <stdlib.h>

/* Making a node's step takes about as long as that many FLOPs or bytes on reference kernels. */
static const double work_of_making = 2e4;

/* ---- the cut */

/* A node waits if an input waits (`late`), or has a shape that another node will tell. */
static bool waits(struct native_special *s, const struct assay_node *node, const bool *late)
{
    const struct assay_value *values = s->graph->values;
    for (int k = 0; k < node->n_inputs; k++)
        if (node->inputs[k] >= 0 && (late[node->inputs[k]] || !assay_type_is_known(&values[node->inputs[k]].type)))
            return true;
    int *captures, n_captures = native_captures(&s->arena, s->graph, node, &captures);
    for (int k = 0; k < n_captures; k++)
        if (late[captures[k]] || !assay_type_is_known(&values[captures[k]].type))
            return true;
    return false;
}

const bool *native_cut(const struct native_program *program, struct native_special *s)
{
    const struct assay_graph *graph = s->graph;
    bool *behind = assay_arena_array(&s->arena, (size_t)graph->n_nodes, sizeof *behind), *late, any = false;
    if (program->segment + 1 >= NATIVE_MAX_SEGMENTS)
        return NULL;
    for (int d = 0; d < s->n_dims; d++)
        if (s->dims[d] < 0)
            return NULL;
    late = assay_alloc((size_t)graph->n_values * sizeof *late);
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        behind[i] = waits(s, node, late);
        for (int k = 0; behind[i] && k < node->n_outputs; k++)
            if (node->outputs[k] >= 0)
                late[node->outputs[k]] = true;
        any |= behind[i];
    }
    free(late);
    return any ? behind : NULL;
}

/* ---- the rest as a program */

enum use { UNUSED, READ, MADE }; /* of a value, by the rest */

static void mark_uses(const struct assay_graph *graph, const bool *behind, unsigned char *uses)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        if (!behind[i])
            continue;
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0 && uses[node->inputs[k]] == UNUSED)
                uses[node->inputs[k]] = READ;
        for (int k = 0; k < node->n_attrs; k++) {
            const struct assay_graph *body = node->attrs[k].kind == ASSAY_ATTR_GRAPH ? node->attrs[k].graph : NULL;
            for (int v = 0; body && v < body->n_values; v++)
                if (body->values[v].outer >= 0 && uses[body->values[v].outer] == UNUSED)
                    uses[body->values[v].outer] = READ;
        }
        for (int k = 0; k < node->n_outputs; k++)
            if (node->outputs[k] >= 0)
                uses[node->outputs[k]] = MADE;
    }
}

static struct assay_graph *copy_rest(const struct assay_graph *from, const bool *behind)
{
    struct assay_graph *graph = assay_graph_open(from->name);
    unsigned char *uses = assay_alloc((size_t)from->n_values);
    int *numbers = assay_alloc((size_t)from->n_values * sizeof *numbers);
    graph->opset = from->opset;
    graph->ir_version = from->ir_version;
    mark_uses(from, behind, uses);
    for (int v = 0; v < from->n_values; v++) {
        const struct assay_value *value = &from->values[v];
        bool is_constant = uses[v] == READ && value->constant.data;
        numbers[v] = is_constant ? assay_graph_add_constant(graph, value->name, &value->constant)
                                 : assay_graph_add_value(graph, value->name, NULL);
        if (uses[v] == READ && !is_constant)
            assay_graph_add_input(graph, numbers[v]);
    }
    for (int i = 0; i < from->n_nodes; i++)
        if (behind[i])
            assay_graph_copy_node(graph, from->nodes[i], numbers);
    for (int i = 0; i < from->n_outputs; i++)
        if (uses[from->outputs[i]] == MADE) {
            uses[from->outputs[i]] = READ; /* once */
            assay_graph_add_output(graph, numbers[from->outputs[i]]);
        }
    free(numbers);
    free(uses);
    return graph;
}

enum assay_status native_rest_open(struct native_program *program, struct native_special *s, const bool *behind,
                                   struct assay_error *err)
{
    struct native_program *rest = assay_alloc(sizeof *rest);
    assay_arena_init(&rest->arena);
    rest->whole = native_whole(program);
    rest->segment = program->segment + 1;
    rest->root = program->root ? program->root : program;
    rest->depth = program->depth;
    rest->pool = program->pool;
    rest->n_threads = program->n_threads;
    rest->isa = program->isa;
    rest->profile = program->profile;
    rest->graph = copy_rest(s->graph, behind);
    rest->inputs = assay_arena_array(&rest->arena, (size_t)rest->graph->n_inputs, sizeof *rest->inputs);
    rest->outputs = assay_arena_array(&rest->arena, (size_t)rest->graph->n_outputs, sizeof *rest->outputs);
    s->rest = rest;
    return assay_graph_sort(rest->graph, err);
}

void native_rest_close(struct native_program *rest)
{
    if (rest)
        native_program_clear(rest);
    free(rest);
}

enum assay_status native_rest_run(struct native_program *program, struct assay_error *err)
{
    const struct native_special *s = program->current;
    struct native_program *rest = s->rest;
    for (int i = 0; i < rest->graph->n_inputs; i++) {
        const struct assay_tensor *value = &s->slots[s->rest_inputs[i]].tensor;
        assay_tensor_borrow(&rest->inputs[i], &value->type, value->data);
    }
    enum assay_status st = native_specialize(rest, err);
    if (!st)
        st = native_run_steps(rest, err);
    for (int i = 0; !st && i < rest->graph->n_outputs; i++) {
        const struct assay_tensor *made = &rest->current->slots[rest->current->output_slots[i]].tensor;
        assay_tensor_borrow(&s->slots[s->rest_outputs[i]].tensor, &made->type, made->data);
    }
    return st;
}

/* ---- whether a rest is worth a specialisation */

void native_find_work(struct native_special *s)
{
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    for (int i = 0; i < s->n_steps; i++, assay_arena_clear(&scratch)) {
        const struct assay_node *node = s->steps[i].node;
        bool known = node != NULL;
        if (!node)
            continue;
        const struct assay_tensor **data = assay_arena_array(&scratch, (size_t)node->n_inputs, sizeof *data);
        struct assay_op_call call = {
            .node = node,
            .opset = s->graph->opset,
            .n_inputs = node->n_inputs,
            .n_outputs = node->n_outputs,
            .inputs = assay_arena_array(&scratch, (size_t)node->n_inputs, sizeof *call.inputs),
            .outputs = assay_arena_array(&scratch, (size_t)node->n_outputs, sizeof *call.outputs),
            .data = data,
            .scratch = &scratch,
        };
        for (int k = 0; k < node->n_inputs; k++) {
            const struct assay_value *value = node->inputs[k] >= 0 ? &s->graph->values[node->inputs[k]] : NULL;
            call.inputs[k] = value ? value->type : (struct assay_type){.rank = -1};
            data[k] = value && value->constant.data ? &value->constant : NULL;
            known &= !value || assay_type_is_known(&value->type);
        }
        for (int k = 0; k < node->n_outputs; k++) {
            const struct assay_value *value = node->outputs[k] >= 0 ? &s->graph->values[node->outputs[k]] : NULL;
            call.outputs[k] = value ? value->type : (struct assay_type){.rank = -1};
            known &= !value || assay_type_is_known(&value->type);
        }
        struct assay_cost cost = {0};
        if (known)
            assay_op_cost(node->op, &call, &cost);
        s->work += cost.flops + cost.bytes_read + cost.bytes_written;
    }
    assay_arena_release(&scratch);
}

static double work_of(const struct native_special *s)
{
    double most = 0;
    for (int i = 0; s->rest && i < s->rest->n_specials; i++) {
        double work = work_of(s->rest->specials[i]);
        most = work > most ? work : most;
    }
    return s->work + most;
}

/* Work grows with the square of a length at most, in what is this little. */
double native_rest_growth(const struct native_special *s) { return sqrt(work_of_making * s->graph->n_nodes / (work_of(s) + 1)); }
