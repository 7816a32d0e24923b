/* SPDX-License-Identifier: Apache-2.0 */
/* See static.h. Which values get codes is decided here, and their ranges found; static_insert.c writes the nodes. */
#include "quant/static_inside.h"

#include "graph/infer.h"
#include "graph/match.h"
#include "graph/pass.h"
#include "runtime/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t FOLD_BYTES = INT64_C(1) << 30; /* weights that are stored transposed */

/* Ops that move data or choose among it: what they make has the scale of what they read. */
static const char *const movers[] = {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "MaxPool"};

static bool is_one_of(const struct assay_node *node, const char *const *types, size_t n)
{
    for (size_t i = 0; i < n && !*node->domain; i++)
        if (strcmp(node->type, types[i]) == 0)
            return true;
    return false;
}

static bool is_type(const struct assay_node *node, const char *type) { return is_one_of(node, &type, 1); }

static bool varies(const struct assay_match *match, int value)
{
    return value >= 0 && match->graph->values[value].type.dtype == ASSAY_F32 && !assay_match_constant(match, value);
}

static bool is_weight(const struct assay_match *match, int value, int least_rank, int most_rank)
{
    const struct assay_tensor *t = value < 0 ? NULL : assay_match_constant(match, value);
    return t && t->type.dtype == ASSAY_F32 && t->type.rank >= least_rank && t->type.rank <= most_rank &&
           assay_tensor_count(t) > 0;
}

enum assay_quant_product assay_quant_product_of(const struct assay_match *match, const struct assay_node *node)
{
    if (node->n_inputs < 2 || !varies(match, node->inputs[0]))
        return ASSAY_QUANT_NONE;
    bool biased = node->n_inputs > 2 && node->inputs[2] >= 0;
    if (is_type(node, "Conv") && is_weight(match, node->inputs[1], 3, 5) && (!biased || is_weight(match, node->inputs[2], 1, 1)))
        return ASSAY_QUANT_CONV;
    if (is_type(node, "MatMul") && is_weight(match, node->inputs[1], 2, 2))
        return ASSAY_QUANT_MATMUL;
    if (is_type(node, "Gemm") && is_weight(match, node->inputs[1], 2, 2) &&
        (!biased || is_weight(match, node->inputs[2], 1, 1)) && !assay_node_int(node, "transA", 0) &&
        assay_node_float(node, "alpha", 1) == 1 && assay_node_float(node, "beta", 1) == 1)
        return ASSAY_QUANT_GEMM;
    return ASSAY_QUANT_NONE;
}

/* Additions of what has one shape, pools, concatenations of what varies. */
static bool is_joined(const struct assay_match *match, const struct assay_node *node)
{
    static const char *const types[] = {"Add", "AveragePool", "GlobalAveragePool", "Concat"};
    if (!is_one_of(node, types, ASSAY_COUNT(types)))
        return false;
    for (int k = 0; k < node->n_inputs; k++)
        if (!varies(match, node->inputs[k]))
            return false;
    return !is_type(node, "Add") || assay_match_same_shape(match, node->inputs[0], node->inputs[1]);
}

/* ---- marking */

static void mark(struct assay_quant_static *quant, int value)
{
    quant->n_marked += !quant->values[value].marked;
    quant->values[value].marked = true;
}

static const struct assay_node *sole_reader(const struct assay_match *match, int value)
{
    int reader = assay_match_sole_reader(match, value);
    return reader >= 0 ? match->graph->nodes[reader] : NULL;
}

/* Whether saturating codes that begin at zero, and end at the greatest number seen, do the same. */
static bool is_saturation(const struct assay_match *match, const struct assay_node *node, int x)
{
    double low;
    if (is_type(node, "Relu"))
        return true;
    return is_type(node, "Clip") && node->inputs[0] == x && node->n_inputs > 1 && node->inputs[1] >= 0 &&
           assay_match_scalar(match, node->inputs[1], &low) && low == 0 &&
           (node->n_inputs < 3 || node->inputs[2] < 0 || assay_match_constant(match, node->inputs[2]));
}

/* What such a node makes gets codes where its value ends up: behind the bias of a MatMul, and behind what saturates. */
static void mark_result(struct assay_quant_static *quant, const struct assay_match *match, const struct assay_node *node)
{
    int y = node->outputs[0];
    const struct assay_node *next = sole_reader(match, y);
    if (next && is_type(node, "MatMul") && is_type(next, "Add") && next->outputs[0] >= 0 &&
        is_weight(match, next->inputs[next->inputs[0] == y], 1, 1)) {
        y = next->outputs[0];
        next = sole_reader(match, y);
    }
    if (next && next->outputs[0] >= 0 && is_saturation(match, next, y)) {
        quant->values[next->outputs[0]].instead = y;
        y = next->outputs[0];
    }
    mark(quant, y);
}

static void mark_all(struct assay_quant_static *quant, const struct assay_match *match)
{
    const struct assay_graph *graph = quant->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        bool is_product = node->n_outputs == 1 && assay_quant_product_of(match, node) != ASSAY_QUANT_NONE;
        bool joins = node->n_outputs == 1 && !is_product && is_joined(match, node);
        for (int k = 0; k < node->n_inputs && (joins || (is_product && k < 1)); k++)
            mark(quant, node->inputs[k]);
        if (is_product || joins)
            mark_result(quant, match, node);
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        int x = node->n_inputs > 0 ? node->inputs[0] : -1;
        if (x < 0 || node->n_outputs != 1 || !quant->values[x].marked || !is_one_of(node, movers, ASSAY_COUNT(movers)))
            continue;
        mark(quant, node->outputs[0]);
        quant->values[node->outputs[0]].same_as = x;
    }
}

static enum assay_status refuse_quantized(const struct assay_graph *graph, struct assay_error *err)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (strstr(graph->nodes[i]->type, "QuantizeLinear") || strncmp(graph->nodes[i]->type, "QLinear", 7) == 0)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "the model is quantized already (node '%s' is %s)",
                                   graph->nodes[i]->name, graph->nodes[i]->type);
    return ASSAY_OK;
}

enum assay_status assay_quant_static_open(struct assay_quant_static *quant, struct assay_graph *graph, struct assay_error *err)
{
    *quant = (struct assay_quant_static){.graph = graph};
    enum assay_status st = assay_graph_sort(graph, err);
    if (!st)
        st = refuse_quantized(graph, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st)
        st = assay_graph_fold(graph, FOLD_BYTES, err);
    if (!st)
        st = assay_graph_infer(graph, err);
    if (!st)
        st = assay_graph_fold_affine(graph, err);
    if (st)
        return st;
    struct assay_match match;
    quant->n_values = graph->n_values;
    quant->values = assay_alloc(((size_t)graph->n_values + 1) * sizeof *quant->values);
    for (int v = 0; v < graph->n_values; v++)
        quant->values[v] = (struct assay_quant_value){.same_as = -1, .instead = -1, .low = 0, .high = 0};
    assay_match_open(&match, graph);
    mark_all(quant, &match);
    assay_match_close(&match);
    if (quant->n_marked == 0) {
        assay_quant_static_close(quant);
        return assay_error_set(err, ASSAY_UNSUPPORTED, "the model has no convolution or product of f32 with constant weights");
    }
    return ASSAY_OK;
}

void assay_quant_static_close(struct assay_quant_static *quant)
{
    if (!quant)
        return;
    free(quant->values);
    *quant = (struct assay_quant_static){0};
}

/* ---- calibration */

/* A copy of the graph at the inputs' shapes, whose outputs, behind its own, are the values with codes. */
static enum assay_status open_probe(const struct assay_quant_static *quant, const struct assay_tensor *inputs,
                                    struct assay_graph **probe, struct assay_error *err)
{
    struct assay_arena arena;
    size_t n = 0;
    *probe = assay_graph_clone(quant->graph);
    assay_arena_init(&arena);
    struct assay_binding *bindings = assay_arena_array(&arena, (size_t)(*probe)->n_inputs * ASSAY_MAX_RANK, sizeof *bindings);
    for (int i = 0; i < (*probe)->n_inputs; i++)
        for (int d = 0; d < inputs[i].type.rank; d++)
            bindings[n++] = (struct assay_binding){
                assay_arena_printf(&arena, "%s:%d", (*probe)->values[(*probe)->inputs[i]].name, d), inputs[i].type.dims[d]};
    for (int v = 0; v < quant->n_values; v++)
        if (quant->values[v].marked && quant->values[v].same_as < 0)
            assay_graph_add_output(*probe, v);
    enum assay_status st = assay_graph_sort(*probe, err);
    if (!st)
        st = assay_graph_bind(*probe, bindings, n, err);
    if (!st)
        st = assay_graph_infer(*probe, err);
    assay_arena_release(&arena);
    if (st)
        assay_graph_close(*probe);
    return st;
}

static enum assay_status widen(struct assay_quant_static *quant, int value, const struct assay_tensor *seen,
                               struct assay_error *err)
{
    struct assay_quant_value *v = &quant->values[value];
    for (int64_t i = 0; i < assay_tensor_count(seen); i++) {
        float x = ((const float *)seen->data)[i];
        if (!isfinite(x))
            return assay_error_set(err, ASSAY_INVALID, "value '%s' is not finite in calibration, so that it has no range",
                                   quant->graph->values[value].name);
        v->low = x < v->low ? x : v->low;
        v->high = x > v->high ? x : v->high;
    }
    return ASSAY_OK;
}

enum assay_status assay_quant_static_calibrate(struct assay_quant_static *quant, const struct assay_tensor *inputs,
                                               struct assay_error *err)
{
    struct assay_arena arena;
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_graph *probe;
    struct assay_program *program = NULL;
    int own_outputs = quant->graph->n_outputs, at = own_outputs;
    enum assay_status st = open_probe(quant, inputs, &probe, err);
    if (st)
        return st;
    assay_arena_init(&arena);
    st = assay_platform_find(&arena, "cpu/reference", &platform, &runtime, err);
    struct assay_compile_options options = {.platform = &platform, .n_threads = 1, .isa = "", .optimization = 3};
    if (!st)
        st = runtime->compile(probe, &options, &program, err);
    if (!st)
        st = runtime->bind(program, inputs, err);
    if (!st)
        st = runtime->run(program, err);
    for (int v = 0; v < quant->n_values && !st; v++)
        if (quant->values[v].marked && quant->values[v].same_as < 0) {
            struct assay_tensor seen;
            st = runtime->output(program, at++, &seen, err);
            if (!st)
                st = widen(quant, v, &seen, err);
        }
    if (program)
        runtime->release(program);
    assay_graph_close(probe);
    assay_arena_release(&arena);
    quant->n_samples += !st;
    return st;
}
