/* SPDX-License-Identifier: Apache-2.0 */
/* Common subexpressions: of nodes that do the same with the same inputs, the first stands for all. Small constants of the same
 * contents are one input. */
#include "graph/match.h"
#include "graph/op.h"
#include "graph/pass.h"

#include <stdlib.h>
#include <string.h>

enum { CONSTANT_BYTES = 256 };

/* Open addressing over node numbers or value numbers; 0 = free. */
struct table {
    int *slots;
    uint32_t mask;
};

static void table_open(struct table *table, int n)
{
    uint32_t size = 16;
    while (size < 2 * (uint32_t)n)
        size *= 2;
    table->slots = assay_alloc(size * sizeof *table->slots);
    table->mask = size - 1;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

/* ---- constants */

static bool is_small(const struct assay_value *value)
{
    return value->constant.data && !value->is_inferred && !value->is_input && !value->is_output && value->outer < 0 &&
           assay_tensor_bytes(&value->constant) <= CONSTANT_BYTES;
}

static bool equal_constants(const struct assay_tensor *a, const struct assay_tensor *b)
{
    return assay_type_equal(&a->type, &b->type) && memcmp(a->data, b->data, (size_t)assay_tensor_bytes(a)) == 0;
}

/* first[v]: the first value of the same contents. */
static void find_constants(const struct assay_graph *graph, int *first)
{
    struct table table;
    table_open(&table, graph->n_values);
    for (int v = 0; v < graph->n_values; v++) {
        const struct assay_tensor *t = &graph->values[v].constant;
        first[v] = v;
        if (!is_small(&graph->values[v]))
            continue;
        uint64_t hash = mix(14695981039346656037u, t->data, (size_t)assay_tensor_bytes(t));
        for (uint32_t at = (uint32_t)(hash ^ hash >> 32) & table.mask;; at = (at + 1) & table.mask) {
            int *slot = &table.slots[at];
            if (*slot == 0)
                *slot = v + 1;
            else if (!equal_constants(&graph->values[*slot - 1].constant, t))
                continue;
            first[v] = *slot - 1;
            break;
        }
    }
    free(table.slots);
}

/* ---- nodes */

static bool equal_attrs(const struct assay_attr *a, const struct assay_attr *b)
{
    if (strcmp(a->name, b->name) != 0 || a->kind != b->kind || a->n != b->n)
        return false;
    switch (a->kind) {
    case ASSAY_ATTR_INT:
        return a->i == b->i;
    case ASSAY_ATTR_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ASSAY_ATTR_STRING:
        return memcmp(a->s, b->s, a->n) == 0;
    case ASSAY_ATTR_INTS:
        return memcmp(a->ints, b->ints, a->n * sizeof *a->ints) == 0;
    case ASSAY_ATTR_FLOATS:
        return memcmp(a->floats, b->floats, a->n * sizeof *a->floats) == 0;
    default:
        return false;
    }
}

static bool equal_nodes(const struct assay_node *a, const struct assay_node *b)
{
    if (a->op != b->op || a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs || a->n_attrs != b->n_attrs)
        return false;
    for (int k = 0; k < a->n_inputs; k++)
        if (a->inputs[k] != b->inputs[k])
            return false;
    for (int k = 0; k < a->n_outputs; k++)
        if ((a->outputs[k] < 0) != (b->outputs[k] < 0))
            return false;
    for (int k = 0; k < a->n_attrs; k++)
        if (!equal_attrs(&a->attrs[k], &b->attrs[k]))
            return false;
    return true;
}

static uint64_t node_hash(const struct assay_node *node)
{
    uint64_t hash = mix(14695981039346656037u, node->type, strlen(node->type));
    hash = mix(hash, node->inputs, (size_t)node->n_inputs * sizeof *node->inputs);
    for (int k = 0; k < node->n_attrs; k++)
        hash = mix(hash, &node->attrs[k].i, sizeof node->attrs[k].i);
    return hash;
}

static bool merge(struct assay_match *match, struct table *table, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *node = graph->nodes[index];
    if (!node->op || node->n_outputs != 1 || node->outputs[0] < 0 || assay_op_is_random(graph, node))
        return false;
    uint64_t hash = node_hash(node);
    for (uint32_t at = (uint32_t)(hash ^ hash >> 32) & table->mask;; at = (at + 1) & table->mask) {
        int *slot = &table->slots[at];
        if (*slot == 0) {
            *slot = index + 1;
            return false;
        }
        const struct assay_node *other = graph->nodes[*slot - 1];
        if (other && equal_nodes(other, node))
            return assay_match_alias(match, index, node->outputs[0], other->outputs[0]);
    }
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    struct table table;
    int n = graph->n_nodes, *first = assay_alloc(((size_t)graph->n_values + 1) * sizeof *first);
    find_constants(graph, first);
    assay_match_open(&match, graph);
    table_open(&table, n);
    for (int i = 0; i < n; i++) {
        struct assay_node *node = graph->nodes[i];
        if (!node)
            continue;
        assay_match_renew(&match, i);
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0)
                node->inputs[k] = first[node->inputs[k]];
        *n_changes += merge(&match, &table, i);
    }
    free(table.slots);
    free(first);
    return assay_match_finish(&match, *n_changes, err);
}

const struct assay_pass assay_pass_common = {
    .name = "common", .about = "nodes that do the same with the same inputs become one", .run = run};
