/* SPDX-License-Identifier: Apache-2.0 */
/* See recompute.h. */
#include "graph/recompute.h"

#include "graph/infer.h"
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct recompute {
    struct assay_graph *graph;
    int n_forward, n_nodes, n_values; /* before anything was added */
    int *maker;                       /* [n_values]: the forward node that makes it; -1 = none */
    int *last;                        /* [n_values]: the last forward node that reads it */
    bool *read_back;                  /* [n_values]: by the backward pass */
    bool *from_data;                  /* [n_values]: depends on what a batch brings */
    int *segment;                     /* [n_forward] */
    bool *kept;                       /* [n_values] */
    int *copy;                        /* [n_values]: the value computed again, or the barrier before a kept one; -1 = not yet */
    int *copy_segment;                /* [n_values]: whose barrier that is */
    int *numbers;                     /* [n_values]: for one copy */
    bool *needed;                     /* [n_forward]: for one demand */
    struct assay_node **order;        /* the new order of nodes */
    int n_order, order_room;
    int n_copies;
    struct assay_arena arena;
};

static int64_t size_of(const struct assay_graph *graph, int value)
{
    const struct assay_type *type = &graph->values[value].type;
    return assay_type_is_known(type) ? assay_type_bytes(type) : 0;
}

static bool is_layer(const struct assay_node *node)
{
    static const char *const types[] = {"Attention", "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"};
    for (size_t i = 0; i < ASSAY_COUNT(types); i++)
        if (strcmp(node->type, types[i]) == 0)
            return true;
    return false;
}

/* A copy would draw other numbers, or is more than one op: such nodes run once. */
static bool runs_once(const struct assay_graph *graph, const struct assay_node *node)
{
    bool has_body = false;
    for (int i = 0; i < node->n_attrs; i++)
        has_body |= node->attrs[i].graph != NULL;
    return !node->op || has_body || (node->op->flags & ASSAY_OP_RANDOM) ||
           ((node->op->flags & ASSAY_OP_RANDOM_IN_TRAINING) && assay_op_is_random(graph, node));
}

/* ---- what is known of values */

static void read_value(struct recompute *r, int value, int node)
{
    if (value < 0)
        return;
    if (node < r->n_forward)
        r->last[value] = node;
    else
        r->read_back[value] = true;
}

static void find_uses(struct recompute *r, int n_data)
{
    const struct assay_graph *graph = r->graph;
    for (int v = 0; v < r->n_values; v++)
        r->maker[v] = r->last[v] = r->copy[v] = r->copy_segment[v] = -1;
    for (int i = 0; i < n_data; i++)
        r->from_data[graph->inputs[i]] = true;
    for (int k = 0; k < r->n_nodes; k++) {
        const struct assay_node *node = graph->nodes[k];
        bool any = false;
        for (int i = 0; i < node->n_inputs; i++) {
            read_value(r, node->inputs[i], k);
            any |= node->inputs[i] >= 0 && r->from_data[node->inputs[i]];
        }
        for (int a = 0; a < node->n_attrs; a++) {
            const struct assay_graph *body = node->attrs[a].graph;
            for (int v = 0; body && v < body->n_values; v++)
                if (body->values[v].outer >= 0) {
                    r->kept[body->values[v].outer] = true; /* a body's captures are not written anew */
                    any = true;
                    read_value(r, body->values[v].outer, k);
                }
        }
        for (int i = 0; i < node->n_outputs && k < r->n_forward; i++)
            if (node->outputs[i] >= 0) {
                r->maker[node->outputs[i]] = k;
                r->from_data[node->outputs[i]] = any;
            }
    }
}

/* ---- cuts */

/* crossing[i]: bytes of activations that nodes before i make and nodes from i on read, in the forward pass. weight[i]: bytes that
 * the backward pass reads of what nodes before i make. */
static void find_crossings(const struct recompute *r, int64_t *crossing, int64_t *weight)
{
    for (int v = 0; v < r->n_values; v++) {
        int maker = r->maker[v];
        if (maker < 0 || !r->from_data[v])
            continue;
        int64_t size = size_of(r->graph, v);
        if (r->read_back[v])
            weight[maker + 1] += size;
        if (r->last[v] > maker) {
            crossing[maker + 1] += size;
            crossing[r->last[v] + 1] -= size;
        }
    }
    for (int i = 1; i <= r->n_forward + 1; i++) {
        crossing[i] += crossing[i - 1];
        weight[i] += weight[i - 1];
    }
}

/* Segments of about the same weight: each cut stands where least crosses, within a third of a segment of its even place; of
 * places with as little the nearest. */
static void cut(struct recompute *r, int n_segments)
{
    size_t room = (size_t)r->n_forward + 2;
    int64_t *crossing = assay_arena_array(&r->arena, room, sizeof *crossing);
    int64_t *weight = assay_arena_array(&r->arena, room, sizeof *weight);
    find_crossings(r, crossing, weight);
    double total = (double)weight[r->n_forward], length = total / n_segments;
    int from = 1, segment = 0, begin = 0;
    for (int s = 1; s < n_segments; s++) {
        int best = -1;
        double even = length * s, best_distance = 0;
        while (from < r->n_forward && (double)weight[from] < even - length / 3)
            from++;
        for (int i = from; i < r->n_forward && (double)weight[i] <= even + length / 3; i++) {
            double distance = fabs((double)weight[i] - even);
            if (best < 0 || crossing[i] < crossing[best] || (crossing[i] == crossing[best] && distance < best_distance)) {
                best = i;
                best_distance = distance;
            }
        }
        if (best <= begin)
            continue;
        for (int i = begin; i < best; i++)
            r->segment[i] = segment;
        begin = best;
        from = best + 1;
        segment++;
    }
    for (int i = begin; i < r->n_forward; i++)
        r->segment[i] = segment;
}

static void decide(struct recompute *r)
{
    const struct assay_graph *graph = r->graph;
    int last_segment = r->n_forward ? r->segment[r->n_forward - 1] : 0;
    for (int v = 0; v < r->n_values; v++) {
        int maker = r->maker[v];
        r->kept[v] |= maker < 0 || !r->from_data[v] || graph->values[v].is_output || graph->values[v].constant.data ||
                      r->segment[maker] == last_segment || runs_once(graph, graph->nodes[maker]) ||
                      (r->last[v] >= 0 && r->segment[r->last[v]] != r->segment[maker]);
    }
}

/* ---- copies */

static void put(struct recompute *r, struct assay_node *node)
{
    if (r->n_order == r->order_room) {
        r->order_room = 2 * r->order_room + 256;
        r->order = assay_realloc(r->order, (size_t)r->order_room * sizeof(struct assay_node *));
    }
    r->order[r->n_order++] = node;
}

/* What a copy reads in place of `value`, in a segment whose copies begin after the value `after`. */
static int stand_in(struct recompute *r, int value, int segment, int after)
{
    struct assay_graph *graph = r->graph;
    if (!r->kept[value])
        return r->copy[value];
    if (!r->from_data[value] || graph->values[value].constant.data)
        return value;
    if (r->copy[value] < 0 || r->copy_segment[value] != segment) {
        int barrier = assay_graph_add_value(graph, graph->values[value].name, &graph->values[value].type);
        put(r, assay_graph_add_node(graph, "Barrier", "assay", 2, (const int[]){value, after}, 1, &barrier));
        r->copy[value] = barrier;
        r->copy_segment[value] = segment;
    }
    return r->copy[value];
}

static void copy_node(struct recompute *r, int index, int after)
{
    struct assay_graph *graph = r->graph;
    const struct assay_node *node = graph->nodes[index];
    for (int i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] >= 0)
            r->numbers[node->inputs[i]] = stand_in(r, node->inputs[i], r->segment[index], after);
    for (int i = 0; i < node->n_outputs; i++) {
        int value = node->outputs[i];
        if (value < 0)
            continue;
        r->numbers[value] = assay_graph_add_value(graph, graph->values[value].name, &graph->values[value].type);
        if (!r->kept[value])
            r->copy[value] = r->numbers[value];
    }
    struct assay_node *copy = assay_graph_copy_node(graph, node, r->numbers);
    copy->name = assay_arena_printf(&graph->arena, "%s/again", *node->name ? node->name : node->type);
    put(r, copy);
    r->n_copies++;
}

/* Computes a value again, with all that it needs of its segment. */
static void demand(struct recompute *r, int value, int after)
{
    int last = r->maker[value], first = last;
    r->needed[last] = true;
    for (int k = last; k >= 0 && r->segment[k] == r->segment[last]; k--) {
        const struct assay_node *node = r->graph->nodes[k];
        for (int i = 0; r->needed[k] && i < node->n_inputs; i++) {
            int input = node->inputs[i];
            if (input >= 0 && !r->kept[input] && r->copy[input] < 0)
                r->needed[r->maker[input]] = true;
        }
        first = k;
    }
    for (int k = first; k <= last; k++) {
        if (r->needed[k])
            copy_node(r, k, after);
        r->needed[k] = false;
    }
}

/* A gradient that a backward node reads: it is there before the node is. -1 = it reads none. */
static int gradient_read(const struct recompute *r, const struct assay_node *node)
{
    for (int i = 0; i < node->n_inputs; i++) {
        int value = node->inputs[i];
        if (value >= 0 && value < r->n_values && r->maker[value] < 0 && !r->graph->values[value].is_input &&
            !r->graph->values[value].constant.data)
            return value;
    }
    return -1;
}

static void rewrite_backward(struct recompute *r)
{
    struct assay_graph *graph = r->graph;
    int after = -1;
    for (int k = 0; k < r->n_nodes; k++) {
        struct assay_node *node = graph->nodes[k];
        int read = k < r->n_forward ? -1 : gradient_read(r, node);
        after = read >= 0 ? read : after;
        for (int i = 0; k >= r->n_forward && i < node->n_inputs && after >= 0; i++) {
            int value = node->inputs[i];
            if (value < 0 || value >= r->n_values || r->kept[value])
                continue;
            if (r->copy[value] < 0)
                demand(r, value, after);
            node->inputs[i] = r->copy[value];
        }
        put(r, node);
    }
}

static int count_layers(const struct assay_graph *graph, int n_forward)
{
    int n = 0;
    for (int k = 0; k < n_forward; k++)
        n += is_layer(graph->nodes[k]);
    return n;
}

static void allot(struct recompute *r)
{
    size_t n_values = (size_t)r->n_values + 1, n_forward = (size_t)r->n_forward + 1;
    int **const numbers[] = {&r->maker, &r->last, &r->copy, &r->copy_segment, &r->numbers};
    bool **const flags[] = {&r->read_back, &r->from_data, &r->kept};
    assay_arena_init(&r->arena);
    for (size_t i = 0; i < ASSAY_COUNT(numbers); i++)
        *numbers[i] = assay_arena_array(&r->arena, n_values, sizeof(int));
    for (size_t i = 0; i < ASSAY_COUNT(flags); i++)
        *flags[i] = assay_arena_array(&r->arena, n_values, sizeof(bool));
    r->segment = assay_arena_array(&r->arena, n_forward, sizeof *r->segment);
    r->needed = assay_arena_array(&r->arena, n_forward, sizeof *r->needed);
}

enum assay_status assay_graph_recompute(struct assay_graph *graph, int n_forward, int n_data, int n_segments, int *n_copies,
                                        struct assay_error *err)
{
    struct recompute r = {.graph = graph, .n_forward = n_forward, .n_nodes = graph->n_nodes, .n_values = graph->n_values};
    ASSAY_ASSERT(n_forward <= graph->n_nodes && n_data <= graph->n_inputs);
    if (n_segments == ASSAY_RECOMPUTE_AUTO)
        n_segments = (int)lround(sqrt(count_layers(graph, n_forward)));
    if (n_copies)
        *n_copies = 0;
    if (n_segments < 2 || n_forward < 2)
        return ASSAY_OK;
    if (n_segments > n_forward)
        n_segments = n_forward;
    allot(&r);
    find_uses(&r, n_data);
    cut(&r, n_segments);
    decide(&r);
    rewrite_backward(&r);
    ASSAY_ASSERT(r.n_order == graph->n_nodes);
    memcpy(graph->nodes, r.order, (size_t)r.n_order * sizeof *r.order);
    if (n_copies)
        *n_copies = r.n_copies;
    free(r.order);
    assay_arena_release(&r.arena);
    enum assay_status st = assay_graph_sort(graph, err);
    return st ? st : assay_graph_infer(graph, err);
}
