/* SPDX-License-Identifier: Apache-2.0 */
/* See match.h. */
#include "graph/match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void count_use(struct assay_match *match, int value, int node)
{
    if (value < 0)
        return;
    match->n_uses[value]++;
    match->a_reader[value] = node;
}

void assay_match_open(struct assay_match *match, struct assay_graph *graph)
{
    *match = (struct assay_match){.graph = graph, .n_values = graph->n_values};
    match->n_uses = assay_alloc(((size_t)graph->n_values + 1) * sizeof *match->n_uses);
    match->a_reader = assay_alloc(((size_t)graph->n_values + 1) * sizeof *match->a_reader);
    for (int v = 0; v < graph->n_values; v++)
        match->a_reader[v] = -1;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; node && k < node->n_inputs; k++)
            count_use(match, node->inputs[k], i);
    }
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            count_use(match, body->values[v].outer, -1);
    for (int i = 0; i < graph->n_outputs; i++)
        count_use(match, graph->outputs[i], -1);
}

void assay_match_close(struct assay_match *match)
{
    free(match->n_uses);
    free(match->a_reader);
    *match = (struct assay_match){0};
}

int assay_match_maker(const struct assay_match *match, int value, const char *type)
{
    const struct assay_graph *graph = match->graph;
    int maker = value >= 0 && value < match->n_values && !graph->values[value].is_input ? graph->values[value].producer : -1;
    const struct assay_node *node = maker >= 0 ? graph->nodes[maker] : NULL;
    if (!node || node->n_outputs < 1 || node->outputs[0] != value)
        return -1;
    const char *dot = strchr(type, '.');
    if (!dot)
        return strcmp(node->type, type) == 0 && !*node->domain ? maker : -1;
    size_t n = (size_t)(dot - type);
    return strncmp(node->domain, type, n) == 0 && node->domain[n] == '\0' && strcmp(node->type, dot + 1) == 0 ? maker : -1;
}

int assay_match_sole_maker(const struct assay_match *match, int value, const char *type)
{
    return value >= 0 && value < match->n_values && match->n_uses[value] == 1 ? assay_match_maker(match, value, type) : -1;
}

int assay_match_sole_reader(const struct assay_match *match, int value)
{
    return value >= 0 && value < match->n_values && match->n_uses[value] == 1 ? match->a_reader[value] : -1;
}

const struct assay_tensor *assay_match_constant(const struct assay_match *match, int value)
{
    return value >= 0 && match->graph->values[value].constant.data ? &match->graph->values[value].constant : NULL;
}

bool assay_match_scalar(const struct assay_match *match, int value, double *number)
{
    const struct assay_tensor *t = assay_match_constant(match, value);
    if (!t || assay_tensor_count(t) != 1 || !assay_dtype_is_float(t->type.dtype))
        return false;
    *number = assay_tensor_real(t, 0);
    return true;
}

bool assay_match_is_scalar(const struct assay_match *match, int value, double number, double tolerance)
{
    double found;
    return assay_match_scalar(match, value, &found) && fabs(found - number) <= tolerance;
}

bool assay_match_with_scalar(const struct assay_match *match, int node, double *number, int *other)
{
    const struct assay_node *n = node >= 0 ? match->graph->nodes[node] : NULL;
    if (!n || n->n_inputs != 2)
        return false;
    for (int k = 0; k < 2; k++)
        if (assay_match_scalar(match, n->inputs[k], number)) {
            *other = n->inputs[!k];
            return true;
        }
    return false;
}
