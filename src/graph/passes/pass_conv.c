/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions take in what stands around them: before, the zeros of a Pad; behind, BatchNormalization and factors and terms of
 * a channel, which go into weights and bias (as new constants); then a residual and an activation, with which Conv becomes
 * assay.Conv.
 */
#include "graph/match.h"
#include "graph/pass.h"
#include "graph/passes/epilogue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is one number an output channel: y = factor · x + term */

struct affine {
    int64_t n;
    double *factor, *term; /* [n] */
    int y;                 /* what comes out */
};

static void affine_release(struct affine *a)
{
    free(a->factor);
    free(a->term);
}

static int64_t n_channels(const struct assay_match *match, int index)
{
    const struct assay_node *node = match->graph->nodes[index];
    const struct assay_tensor *w = assay_match_constant(match, node->inputs[1]);
    int64_t groups = assay_node_int(node, "group", 1);
    if (!w || w->type.dtype != ASSAY_F32 || w->type.rank < 3 || groups < 1)
        return 0;
    int64_t n = w->type.dims[0];
    if (assay_match_is(match, index, "ConvTranspose") && __builtin_mul_overflow(w->type.dims[1], groups, &n))
        return 0;
    /* A weight without elements may claim any number of channels. */
    return n <= assay_tensor_count(w) ? n : 0;
}

static bool read_batch_norm(const struct assay_match *match, const struct assay_node *node, struct affine *a)
{
    const struct assay_tensor *p[4];
    if (node->n_inputs != 5 || assay_node_int(node, "training_mode", 0))
        return false;
    for (int k = 0; k < 4; k++) {
        p[k] = assay_match_constant(match, node->inputs[1 + k]);
        if (!p[k] || p[k]->type.dtype != ASSAY_F32 || assay_tensor_count(p[k]) != a->n)
            return false;
    }
    double epsilon = (double)assay_node_float(node, "epsilon", 1e-5f);
    for (int64_t c = 0; c < a->n; c++) {
        a->factor[c] = assay_tensor_real(p[0], c) / sqrt(assay_tensor_real(p[3], c) + epsilon);
        a->term[c] = assay_tensor_real(p[1], c) - a->factor[c] * assay_tensor_real(p[2], c);
    }
    return true;
}

/* A constant with one number a channel, or one for all, for an image of this rank. */
static bool is_by_channel(const struct assay_tensor *t, int64_t n, int rank)
{
    if (t->type.dtype != ASSAY_F32 || t->type.rank > rank)
        return false;
    if (assay_tensor_count(t) == 1)
        return true;
    return assay_tensor_count(t) == n && t->type.rank >= rank - 1 && t->type.dims[t->type.rank - rank + 1] == n;
}

static bool read_constant(const struct assay_match *match, const struct assay_node *node, int y, int rank, struct affine *a)
{
    bool is_mul = strcmp(node->type, "Mul") == 0, is_div = strcmp(node->type, "Div") == 0;
    bool is_add = strcmp(node->type, "Add") == 0, is_sub = strcmp(node->type, "Sub") == 0;
    if (*node->domain || node->n_inputs != 2 || (!is_mul && !is_div && !is_add && !is_sub))
        return false;
    bool first = node->inputs[0] == y;
    const struct assay_tensor *t = assay_match_constant(match, node->inputs[first]);
    if (!t || (!first && (is_div || is_sub)) || !is_by_channel(t, a->n, rank))
        return false;
    bool one = assay_tensor_count(t) == 1;
    for (int64_t c = 0; c < a->n; c++) {
        double number = assay_tensor_real(t, one ? 0 : c);
        a->factor[c] = is_mul ? number : is_div ? 1 / number : 1;
        a->term[c] = is_add ? number : is_sub ? -number : 0;
    }
    return true;
}

/* What alone reads the convolution, if it is such. */
static bool find_affine(const struct assay_match *match, int index, struct affine *a)
{
    const struct assay_node *conv = match->graph->nodes[index];
    int y = conv->outputs[0], reader = assay_match_sole_reader(match, y);
    *a = (struct affine){.n = n_channels(match, index)};
    bool has_bias = conv->n_inputs > 2 && conv->inputs[2] >= 0;
    if (reader < 0 || match->graph->nodes[reader]->outputs[0] < 0 || a->n < 1 ||
        (has_bias && !assay_match_constant(match, conv->inputs[2])))
        return false;
    const struct assay_node *node = match->graph->nodes[reader];
    const struct assay_tensor *w = assay_match_constant(match, conv->inputs[1]);
    a->factor = assay_alloc((size_t)a->n * sizeof *a->factor);
    a->term = assay_alloc((size_t)a->n * sizeof *a->term);
    a->y = node->outputs[0];
    bool is_norm = assay_match_is(match, reader, "BatchNormalization") && node->inputs[0] == y;
    if (is_norm ? read_batch_norm(match, node, a) : read_constant(match, node, y, w->type.rank, a))
        return true;
    affine_release(a);
    return false;
}

/* The weight with each output channel times its factor. */
static enum assay_status scale_weight(const struct assay_tensor *w, const struct affine *a, bool transposed, int64_t groups,
                                      struct assay_tensor *scaled, struct assay_error *err)
{
    enum assay_status st = assay_tensor_alloc(scaled, &w->type, err);
    if (st)
        return st;
    int64_t inner = 1, per_group = w->type.dims[1], n_in = w->type.dims[0];
    for (int d = transposed ? 2 : 1; d < w->type.rank; d++)
        inner *= w->type.dims[d];
    const float *from = w->data;
    float *to = scaled->data;
    for (int64_t i = 0, n = assay_tensor_count(w) / (inner ? inner : 1); i < n; i++) {
        /* [in, out / groups, …]: inputs of group g lead to its outputs. */
        int64_t channel = transposed ? i / per_group / (n_in / groups) * per_group + i % per_group : i;
        for (int64_t k = 0; k < inner; k++)
            to[i * inner + k] = (float)((double)from[i * inner + k] * a->factor[channel]);
    }
    return ASSAY_OK;
}

static enum assay_status scale_bias(const struct assay_tensor *bias, const struct affine *a, struct assay_tensor *scaled,
                                    struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &a->n);
    enum assay_status st = assay_tensor_alloc(scaled, &type, err);
    for (int64_t c = 0; c < a->n && !st; c++)
        ((float *)scaled->data)[c] = (float)((bias ? assay_tensor_real(bias, c) : 0) * a->factor[c] + a->term[c]);
    return st;
}

static bool needs_weight(const struct affine *a)
{
    for (int64_t c = 0; c < a->n; c++)
        if (a->factor[c] != 1)
            return true;
    return false;
}

/* Makes `y` by the same convolution with other inputs. */
static struct assay_node *remake(struct assay_match *match, int index, int y, const char *domain, int n_inputs, const int *inputs)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *conv = graph->nodes[index];
    const char *name = conv->name, *type = conv->type;
    /* The list outlives the node, which goes when its result is made otherwise. */
    int n = conv->n_attrs;
    const struct assay_attr *attrs = assay_arena_memdup(&graph->arena, conv->attrs, (size_t)n * sizeof *attrs);
    struct assay_node *node = assay_match_remake(match, y, type, domain, n_inputs, inputs);
    node->name = name;
    for (int i = 0; i < n; i++) {
        if (attrs[i].kind == ASSAY_ATTR_INT)
            assay_node_set_int(graph, node, attrs[i].name, attrs[i].i);
        else if (attrs[i].kind == ASSAY_ATTR_INTS)
            assay_node_set_ints(graph, node, attrs[i].name, attrs[i].ints, attrs[i].n);
        else if (attrs[i].kind == ASSAY_ATTR_STRING)
            assay_node_set_string(graph, node, attrs[i].name, attrs[i].s);
    }
    return node;
}

static enum assay_status fold_affine(struct assay_match *match, int index, const struct affine *a, struct assay_error *err)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *conv = graph->nodes[index];
    struct assay_tensor weight = {0}, bias = {0};
    bool has_bias = conv->n_inputs > 2 && conv->inputs[2] >= 0, transposed = strcmp(conv->type, "ConvTranspose") == 0;
    int inputs[3] = {conv->inputs[0], conv->inputs[1], -1};
    enum assay_status st = ASSAY_OK;
    if (needs_weight(a)) {
        st = scale_weight(assay_match_constant(match, conv->inputs[1]), a, transposed, assay_node_int(conv, "group", 1), &weight,
                          err);
        if (!st)
            inputs[1] = assay_match_add_constant(match, graph->values[conv->inputs[1]].name, &weight);
    }
    if (!st)
        st = scale_bias(has_bias ? assay_match_constant(match, conv->inputs[2]) : NULL, a, &bias, err);
    if (!st) {
        inputs[2] = assay_match_add_constant(match, "bias", &bias);
        remake(match, index, a->y, "", 3, inputs);
    }
    assay_tensor_release(&weight);
    assay_tensor_release(&bias);
    return st;
}

/* ---- before: Pad */

static bool is_zero(const struct assay_match *match, const struct assay_node *pad)
{
    double value = 0;
    return strcmp(assay_node_string(pad, "mode", "constant"), "constant") == 0 &&
           (pad->n_inputs < 3 || pad->inputs[2] < 0 || (assay_match_scalar(match, pad->inputs[2], &value) && value == 0)) &&
           (pad->n_inputs < 4 || pad->inputs[3] < 0);
}

/* The padding of both, where a Pad with zeros of the spatial dimensions comes before, and only this convolution reads it. */
static bool take_pad(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    struct assay_node *conv = graph->nodes[index];
    int x = conv->inputs[0], maker = assay_match_sole_maker(match, x, "Pad"), rank = graph->values[x].type.rank;
    int64_t pads[2 * ASSAY_MAX_RANK], both[2 * ASSAY_MAX_RANK];
    size_t n;
    const int64_t *own = assay_node_ints(conv, "pads", &n);
    if (maker < 0 || rank < 3 || strcmp(assay_node_string(conv, "auto_pad", "NOTSET"), "NOTSET") != 0 ||
        (own && n != 2 * (size_t)(rank - 2)))
        return false;
    const struct assay_node *pad = graph->nodes[maker];
    if (!is_zero(match, pad) || assay_match_ints(match, pad->inputs[1], pads, 2 * ASSAY_MAX_RANK) != 2 * rank)
        return false;
    for (int d = 0; d < rank; d++) {
        if (d < 2 ? pads[d] != 0 || pads[rank + d] != 0 : pads[d] < 0 || pads[rank + d] < 0)
            return false;
        for (int end = 0; end < 2 && d >= 2; end++) {
            int at = end * (rank - 2) + d - 2;
            if (__builtin_add_overflow(own ? own[at] : 0, pads[end * rank + d], &both[at]))
                return false;
        }
    }
    int inputs[4] = {pad->inputs[0], -1, -1, -1};
    for (int k = 1; k < conv->n_inputs; k++)
        inputs[k] = conv->inputs[k];
    struct assay_node *node = remake(match, index, conv->outputs[0], conv->domain, conv->n_inputs, inputs);
    assay_node_set_ints(graph, node, "pads", both, 2 * (size_t)(rank - 2));
    return true;
}

/* ---- behind: residual and activation */

static bool take_epilogue(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *conv = graph->nodes[index];
    int inputs[4] = {-1, -1, -1, -1};
    struct assay_epilogue e;
    for (int k = 0; k < conv->n_inputs; k++)
        inputs[k] = conv->inputs[k];
    assay_epilogue_find(match, conv->outputs[0], inputs[3] < 0, &e);
    enum assay_dtype dtype = graph->values[conv->inputs[0]].type.dtype;
    bool is_float = dtype == ASSAY_F32 || dtype == ASSAY_F16 || dtype == ASSAY_BF16;
    if (e.n_nodes == 0 || !is_float || *assay_node_string(conv, "activation", "") || !assay_match_constant(match, inputs[1]))
        return false;
    inputs[3] = inputs[3] >= 0 ? inputs[3] : e.residual;
    struct assay_node *node = remake(match, index, e.y, "assay", inputs[3] >= 0 ? 4 : inputs[2] >= 0 ? 3 : 2, inputs);
    assay_epilogue_set(graph, node, &e);
    return true;
}

/* Each rule makes another node, which stands at the end: the next rule looks there. */
static enum assay_status fuse(struct assay_match *match, int index, bool with_epilogue, int *n_changes, struct assay_error *err)
{
    struct assay_graph *graph = match->graph;
    for (;;) {
        bool is_plain = assay_match_is(match, index, "Conv"), is_transposed = assay_match_is(match, index, "ConvTranspose");
        struct affine a;
        bool changed = false;
        if (!is_plain && !is_transposed && !assay_match_is(match, index, "assay.Conv"))
            return ASSAY_OK;
        if ((is_plain || is_transposed) && find_affine(match, index, &a)) {
            enum assay_status st = fold_affine(match, index, &a, err);
            affine_release(&a);
            if (st)
                return st;
            changed = true;
        }
        if (!changed && !is_transposed)
            changed = take_pad(match, index) || (with_epilogue && take_epilogue(match, index));
        if (!changed)
            return ASSAY_OK;
        ++*n_changes;
        index = graph->n_nodes - 1;
    }
}

static enum assay_status fuse_all(struct assay_graph *graph, bool with_epilogue, int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    enum assay_status st = ASSAY_OK;
    int n = graph->n_nodes;
    assay_match_open(&match, graph);
    for (int i = 0; i < n && !st; i++)
        if (graph->nodes[i])
            st = fuse(&match, i, with_epilogue, n_changes, err);
    if (st) {
        assay_match_close(&match);
        return st;
    }
    return assay_match_finish(&match, *n_changes, err);
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return fuse_all(graph, true, n_changes, err);
}

enum assay_status assay_graph_fold_affine(struct assay_graph *graph, struct assay_error *err)
{
    int n_changes = 0;
    return fuse_all(graph, false, &n_changes, err);
}

const struct assay_pass assay_pass_conv = {
    .name = "conv",
    .about = "Conv takes in a Pad of zeros, batch norm, bias, residual and activation; with the latter two it is assay.Conv",
    .run = run};
