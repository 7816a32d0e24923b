/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content hash of a graph (graph.h), made so that neither names nor the order of nodes count.
 *
 * Each value gets a digest: of an input, its place and declared type; of a constant, its type and bytes; of a node's output, the
 * node's type, attributes and inputs' digests. The graph's is that of its outputs' digests (a Merkle tree). Two equal nodes have
 * equal digests, so the number of nodes is hashed too: a model that computes a thing twice is not the one that computes it once.
 */
#include "graph/graph.h"

#include <stdlib.h>

typedef char digest[ASSAY_HASH_TEXT_SIZE];

static void hash_graph(const struct assay_graph *graph, int depth, const digest *outer, digest result);

static void hash_tensor(struct assay_hash *hash, const struct assay_tensor *tensor)
{
    assay_hash_u64(hash, tensor->type.dtype);
    assay_hash_u64(hash, (uint64_t)tensor->type.rank);
    for (int d = 0; d < tensor->type.rank; d++)
        assay_hash_u64(hash, (uint64_t)tensor->type.dims[d]);
    assay_hash_piece(hash, tensor->data, (size_t)assay_tensor_bytes(tensor));
}

/* Dimensions that have a name are open, whatever they are bound to now. */
static void hash_input(const struct assay_value *value, int depth, int place, digest result)
{
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "input");
    assay_hash_u64(&hash, (uint64_t)depth);
    assay_hash_u64(&hash, (uint64_t)place);
    /* What a body's input is follows from its node; inference writes it there. */
    if (depth == 0) {
        assay_hash_u64(&hash, value->type.dtype);
        assay_hash_u64(&hash, (uint64_t)value->type.rank);
        for (int d = 0; d < value->type.rank; d++)
            assay_hash_u64(&hash, value->dim_names && value->dim_names[d] ? UINT64_MAX : (uint64_t)value->type.dims[d]);
    }
    assay_hash_final(&hash, result);
}

static void hash_constant(const struct assay_tensor *tensor, digest result)
{
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "constant");
    hash_tensor(&hash, tensor);
    assay_hash_final(&hash, result);
}

static void hash_attr(struct assay_hash *hash, const struct assay_attr *attr, int depth, const digest *outer)
{
    assay_hash_text(hash, attr->name);
    assay_hash_u64(hash, attr->kind);
    assay_hash_u64(hash, attr->n);
    switch (attr->kind) {
    case ASSAY_ATTR_INT:
        assay_hash_u64(hash, (uint64_t)attr->i);
        break;
    case ASSAY_ATTR_FLOAT:
        assay_hash_piece(hash, &attr->f, sizeof attr->f);
        break;
    case ASSAY_ATTR_STRING:
        assay_hash_piece(hash, attr->s, attr->n);
        break;
    case ASSAY_ATTR_TENSOR:
        hash_tensor(hash, &attr->tensor);
        break;
    case ASSAY_ATTR_GRAPH: {
        digest body;
        hash_graph(attr->graph, depth + 1, outer, body);
        assay_hash_text(hash, body);
        break;
    }
    case ASSAY_ATTR_INTS:
        assay_hash_piece(hash, attr->ints, attr->n * sizeof *attr->ints);
        break;
    case ASSAY_ATTR_FLOATS:
        assay_hash_piece(hash, attr->floats, attr->n * sizeof *attr->floats);
        break;
    case ASSAY_ATTR_STRINGS:
        for (size_t i = 0; i < attr->n; i++)
            assay_hash_text(hash, attr->strings[i]);
        break;
    }
}

static int compare_attrs(const void *a, const void *b)
{
    const struct assay_attr *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void hash_node(const struct assay_node *node, int depth, const digest *values, digest result)
{
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "node");
    assay_hash_text(&hash, node->domain);
    assay_hash_text(&hash, node->type);
    const struct assay_attr **attrs = assay_alloc((size_t)node->n_attrs * sizeof *attrs);
    for (int i = 0; i < node->n_attrs; i++)
        attrs[i] = &node->attrs[i];
    if (node->n_attrs)
        qsort(attrs, (size_t)node->n_attrs, sizeof *attrs, compare_attrs);
    assay_hash_u64(&hash, (uint64_t)node->n_attrs);
    for (int i = 0; i < node->n_attrs; i++)
        hash_attr(&hash, attrs[i], depth, values);
    free(attrs);
    /* A missing input at the end is the same as none. */
    int n = node->n_inputs;
    while (n > 0 && node->inputs[n - 1] < 0)
        n--;
    assay_hash_u64(&hash, (uint64_t)n);
    for (int i = 0; i < n; i++)
        assay_hash_text(&hash, node->inputs[i] < 0 ? "" : values[node->inputs[i]]);
    assay_hash_final(&hash, result);
}

static void hash_output(const digest node, int index, digest result)
{
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, node);
    assay_hash_u64(&hash, (uint64_t)index);
    assay_hash_final(&hash, result);
}

/* The tensor of a Constant node, which is no more than another way to write a constant. */
static const struct assay_tensor *constant_of(const struct assay_node *node)
{
    if (strcmp(node->type, "Constant") != 0 || *node->domain || node->n_attrs != 1)
        return NULL;
    const struct assay_attr *attr = assay_node_attr(node, "value");
    return attr && attr->kind == ASSAY_ATTR_TENSOR ? &attr->tensor : NULL;
}

static void hash_graph(const struct assay_graph *graph, int depth, const digest *outer, digest result)
{
    digest *values = assay_alloc((size_t)graph->n_values * sizeof *values), node_digest;
    for (int i = 0; i < graph->n_values; i++) {
        const struct assay_value *value = &graph->values[i];
        if (value->outer >= 0)
            memcpy(values[i], outer[value->outer], sizeof values[i]);
        else if (value->constant.data && !value->is_inferred)
            hash_constant(&value->constant, values[i]);
    }
    for (int i = 0; i < graph->n_inputs; i++)
        hash_input(&graph->values[graph->inputs[i]], depth, i, values[graph->inputs[i]]);
    uint64_t n_nodes = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        if (!node)
            continue;
        const struct assay_tensor *constant = constant_of(node);
        n_nodes += !constant;
        if (!constant)
            hash_node(node, depth, (const digest *)values, node_digest);
        for (int k = 0; k < node->n_outputs; k++)
            if (node->outputs[k] >= 0) {
                if (constant)
                    hash_constant(constant, values[node->outputs[k]]);
                else
                    hash_output(node_digest, k, values[node->outputs[k]]);
            }
    }
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "graph");
    assay_hash_u64(&hash, n_nodes);
    assay_hash_u64(&hash, (uint64_t)graph->n_inputs);
    for (int i = 0; i < graph->n_inputs; i++)
        assay_hash_text(&hash, values[graph->inputs[i]]);
    assay_hash_u64(&hash, (uint64_t)graph->n_outputs);
    for (int i = 0; i < graph->n_outputs; i++)
        assay_hash_text(&hash, values[graph->outputs[i]]);
    assay_hash_u64(&hash, (uint64_t)graph->n_states);
    for (int i = 0; i < graph->n_states; i++) {
        assay_hash_u64(&hash, (uint64_t)graph->states[i].output);
        assay_hash_u64(&hash, (uint64_t)graph->states[i].input);
    }
    assay_hash_final(&hash, result);
    free(values);
}

void assay_graph_hash(const struct assay_graph *graph, char text[ASSAY_HASH_TEXT_SIZE])
{
    ASSAY_ASSERT(!graph->outer);
    hash_graph(graph, 0, NULL, text);
}
