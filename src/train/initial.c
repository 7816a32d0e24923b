/* SPDX-License-Identifier: Apache-2.0 */
/* See initial.h. Which layer a parameter belongs to is told by the nodes that read it, since names differ from family to family.
 */
#include "train/initial.h"

#include "base/rng.h"
#include "graph/gradient.h"

#include <math.h>
#include <string.h>

struct law {
    bool is_normal;
    double scale; /* deviation, or half the width; 0 = the parameter stays */
};

enum reader { READ_BY_OTHER, READ_BY_CONV, READ_BY_GATHER, READ_BY_RECURRENT };

static bool contains(const char *name, const char *part) { return strstr(name, part) != NULL; }

static enum reader reader_of(const struct assay_graph *graph, int value)
{
    for (int k = 0; k < graph->n_nodes; k++) {
        const struct assay_node *node = graph->nodes[k];
        for (int i = 0; i < node->n_inputs; i++) {
            if (node->inputs[i] != value)
                continue;
            if (strcmp(node->type, "Conv") == 0 || strcmp(node->type, "ConvTranspose") == 0)
                return READ_BY_CONV;
            if (strcmp(node->type, "Gather") == 0 && i == 0)
                return READ_BY_GATHER;
        }
    }
    const char *name = graph->values[value].name;
    bool is_recurrent =
        contains(name, "weight_ih") || contains(name, "weight_hh") || contains(name, "bias_ih") || contains(name, "bias_hh");
    return is_recurrent ? READ_BY_RECURRENT : READ_BY_OTHER;
}

static bool is_transformer(const struct assay_graph *graph)
{
    for (int k = 0; k < graph->n_nodes; k++)
        if (contains(graph->nodes[k]->type, "LayerNormalization") || contains(graph->nodes[k]->type, "RMSNormalization") ||
            contains(graph->nodes[k]->type, "Attention"))
            return true;
    return false;
}

static int count_projections(const struct assay_graph *graph)
{
    int n = 0;
    for (int v = 0; v < graph->n_values; v++)
        n += graph->values[v].constant.data && contains(graph->values[v].name, "c_proj.weight");
    return n;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static struct law law_of(const struct assay_graph *graph, int value, bool transformer, int n_projections)
{
    const struct assay_type *type = &graph->values[value].type;
    const char *name = graph->values[value].name;
    enum reader reader = reader_of(graph, value);
    double fan_in = type->rank > 1 ? (double)assay_type_count(type) / (double)type->dims[0] : 1;
    if (reader == READ_BY_RECURRENT) {
        /* The gates are packed in the first dimension, hidden rows each; the recurrent matrix has hidden columns. */
        int n_gates = contains(graph->name, "Gru") ? 3 : 4;
        return (struct law){false, 1 / sqrt(fmax(1, (double)type->dims[0] / n_gates))};
    }
    if (type->rank < 2)
        return (struct law){0};
    if (reader == READ_BY_CONV && type->rank > 2)
        return (struct law){true, sqrt(2 / fan_in)};
    if (transformer)
        return (struct law){true, ends_with(name, "c_proj.weight") ? 0.02 / sqrt(n_projections) : 0.02};
    return reader == READ_BY_GATHER ? (struct law){true, 1} : (struct law){false, 1 / sqrt(fan_in)};
}

static enum assay_status draw(struct assay_value *value, const struct law *law, uint64_t seed, struct assay_error *err)
{
    struct assay_tensor drawn;
    struct assay_rng rng;
    enum assay_status st = assay_tensor_alloc(&drawn, &value->type, err);
    if (st)
        return st;
    float *to = drawn.data;
    assay_rng_init(&rng, seed, assay_rng_stream(value->name));
    for (int64_t i = 0, n = assay_type_count(&value->type); i < n; i++)
        to[i] = (float)(law->scale * (law->is_normal ? assay_rng_normal(&rng) : 2 * assay_rng_uniform(&rng) - 1));
    assay_tensor_release(&value->constant);
    value->constant = drawn;
    return ASSAY_OK;
}

enum assay_status assay_initial_weights(struct assay_graph *graph, uint64_t seed, struct assay_error *err)
{
    bool transformer = is_transformer(graph);
    int n_projections = count_projections(graph);
    enum assay_status st = ASSAY_OK;
    for (int v = 0; v < graph->n_values && !st; v++) {
        struct assay_value *value = &graph->values[v];
        const char *word = assay_graph_metadata(graph, ASSAY_TRAINING_PARAMETER, value->name);
        if (!value->constant.data || value->type.dtype != ASSAY_F32 || !word || strcmp(word, "trained") != 0)
            continue;
        struct law law = law_of(graph, v, transformer, n_projections);
        if (law.scale > 0)
            st = draw(value, &law, seed, err);
    }
    return st;
}
