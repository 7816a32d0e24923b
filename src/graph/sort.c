/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of nodes and what is left over (graph.h): topological sort, schedule and sweep.
 *
 * Both walk with stacks of their own, since a file decides how long a chain of nodes is; only bodies within bodies recurse, and
 * the loader limits their depth. A node depends on its inputs and on all that its bodies capture.
 */
#include "graph/graph.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* For each node, the values that it needs: items[start[i]] … items[start[i + 1] - 1]. */
struct needs {
    int *start, *items;
};

static int n_captures(const struct assay_graph *body)
{
    int n = 0;
    for (int i = 0; i < body->n_values; i++)
        n += body->values[i].outer >= 0;
    return n;
}

static void needs_init(struct needs *needs, const struct assay_graph *graph)
{
    size_t n = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        n += (size_t)node->n_inputs;
        for (int a = 0; a < node->n_attrs; a++)
            n += node->attrs[a].graph ? (size_t)n_captures(node->attrs[a].graph) : 0;
    }
    needs->start = assay_alloc(((size_t)graph->n_nodes + 1) * sizeof *needs->start);
    needs->items = assay_alloc(n * sizeof *needs->items);
    int at = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        needs->start[i] = at;
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0)
                needs->items[at++] = node->inputs[k];
        for (int a = 0; a < node->n_attrs; a++) {
            const struct assay_graph *body = node->attrs[a].graph;
            for (int v = 0; body && v < body->n_values; v++)
                if (body->values[v].outer >= 0)
                    needs->items[at++] = body->values[v].outer;
        }
    }
    needs->start[graph->n_nodes] = at;
}

static void needs_release(struct needs *needs)
{
    free(needs->start);
    free(needs->items);
}

static enum assay_status set_producers(struct assay_graph *graph, struct assay_error *err)
{
    for (int i = 0; i < graph->n_values; i++)
        graph->values[i].producer = -1;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_outputs; k++) {
            if (node->outputs[k] < 0)
                continue;
            struct assay_value *value = &graph->values[node->outputs[k]];
            if (value->producer >= 0 || value->is_input || (value->constant.data && !value->is_inferred) || value->outer >= 0)
                return assay_error_set(err, ASSAY_INVALID,
                                       "value '%s' is made twice: node %d ('%s', %s) makes it, and so does %s", value->name, i,
                                       node->name, node->type,
                                       value->producer >= 0 ? "an earlier node"
                                       : value->is_input    ? "the caller, as a graph input"
                                       : value->outer >= 0  ? "the graph around this one"
                                                            : "an initializer");
            value->producer = i;
        }
    }
    return ASSAY_OK;
}

static bool exists(const struct assay_value *value)
{
    return value->producer >= 0 || value->is_input || value->constant.data || value->outer >= 0;
}

static enum assay_status check_made(const struct assay_graph *graph, const struct needs *needs, struct assay_error *err)
{
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = needs->start[i]; k < needs->start[i + 1]; k++) {
            const struct assay_value *value = &graph->values[needs->items[k]];
            if (!exists(value))
                return assay_error_set(err, ASSAY_INVALID, "node '%s' (%s) uses value '%s', which nobody makes",
                                       graph->nodes[i]->name, graph->nodes[i]->type, value->name);
        }
    for (int i = 0; i < graph->n_outputs; i++)
        if (!exists(&graph->values[graph->outputs[i]]))
            return assay_error_set(err, ASSAY_INVALID, "graph output '%s' is a value that nobody makes",
                                   graph->values[graph->outputs[i]].name);
    return ASSAY_OK;
}

/* Depth first from each node in the order given, so that a graph already in order stays as it is. Writes the new order. */
static enum assay_status order_nodes(const struct assay_graph *graph, const struct needs *needs, int *order,
                                     struct assay_error *err)
{
    enum { NEW, OPEN, DONE };
    size_t n = (size_t)graph->n_nodes;
    unsigned char *state = assay_alloc(n);
    int *stack = assay_alloc(n * sizeof *stack), *next = assay_alloc(n * sizeof *next);
    enum assay_status st = ASSAY_OK;
    int n_done = 0;
    for (int root = 0; root < graph->n_nodes; root++) {
        int depth = 0;
        if (state[root] == NEW) {
            state[root] = OPEN;
            next[root] = needs->start[root];
            stack[depth++] = root;
        }
        while (depth > 0) {
            int node = stack[depth - 1];
            if (next[node] == needs->start[node + 1]) {
                state[node] = DONE;
                order[n_done++] = node;
                depth--;
                continue;
            }
            int before = graph->values[needs->items[next[node]++]].producer;
            if (before < 0 || state[before] == DONE)
                continue;
            if (state[before] == OPEN) {
                st = assay_error_set(err, ASSAY_INVALID,
                                     "the graph has a cycle: node '%s' (%s) needs a result of node '%s' (%s), "
                                     "which needs its own in turn",
                                     graph->nodes[node]->name, graph->nodes[node]->type, graph->nodes[before]->name,
                                     graph->nodes[before]->type);
                goto done;
            }
            state[before] = OPEN;
            next[before] = needs->start[before];
            stack[depth++] = before;
        }
    }
done:
    free(next);
    free(stack);
    free(state);
    return st;
}

/* Closes the gaps that dropped nodes left. */
static void pack_nodes(struct assay_graph *graph)
{
    int n = 0;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i])
            graph->nodes[n++] = graph->nodes[i];
    graph->n_nodes = n;
}

enum assay_status assay_graph_sort(struct assay_graph *graph, struct assay_error *err)
{
    pack_nodes(graph);
    struct needs needs = {0};
    int *order = NULL;
    enum assay_status st = set_producers(graph, err);
    if (st)
        return st;
    needs_init(&needs, graph);
    st = check_made(graph, &needs, err);
    if (st)
        goto done;
    order = assay_alloc((size_t)graph->n_nodes * sizeof *order);
    st = order_nodes(graph, &needs, order, err);
    if (st)
        goto done;
    struct assay_node **old = assay_alloc((size_t)graph->n_nodes * sizeof *old);
    if (graph->n_nodes)
        memcpy(old, graph->nodes, (size_t)graph->n_nodes * sizeof *old);
    for (int i = 0; i < graph->n_nodes; i++)
        graph->nodes[i] = old[order[i]];
    free(old);
    st = set_producers(graph, err);
    for (int i = 0; i < graph->n_nodes && !st; i++)
        for (int a = 0; a < graph->nodes[i]->n_attrs && !st; a++)
            if (graph->nodes[i]->attrs[a].graph) {
                st = assay_graph_sort(graph->nodes[i]->attrs[a].graph, err);
                if (st)
                    st = assay_error_prefix(err, st, "in the body '%s' of node '%s' (%s)", graph->nodes[i]->attrs[a].name,
                                            graph->nodes[i]->name, graph->nodes[i]->type);
            }
done:
    free(order);
    needs_release(&needs);
    return st;
}

/* ---- schedule */

enum { MOST_READERS = 64, MOST_NEEDS = 64 }; /* of a value and a node that are looked at: time stays in proportion to the nodes */

struct schedule {
    const struct assay_graph *graph;
    struct needs needs;
    int *first, *readers; /* of value v: readers[first[v]] … readers[first[v + 1] - 1], one for each use */
    int *root;            /* [n_values]: the value whose bytes it is */
    int *n_left;          /* [n_values]: of a root: uses to come, views' included */
    int *pair;            /* [n_values]: of a state's output: its input; else -1 */
    bool *stays;          /* [n_values]: of a root: its bytes are not given back within a run */
    int *n_waits;         /* [n_nodes]: uses of values that are not made yet */
    bool *done;           /* [n_nodes] */
    int *order, n_order;
};

static bool is_view(const struct assay_graph *graph, const struct assay_node *node)
{
    if (!node->op || !(node->op->flags & ASSAY_OP_VIEW) || node->n_inputs < 1 || node->n_outputs < 1 || node->inputs[0] < 0 ||
        node->outputs[0] < 0)
        return false;
    const struct assay_type *from = &graph->values[node->inputs[0]].type, *to = &graph->values[node->outputs[0]].type;
    return from->dtype == to->dtype && assay_type_count(from) == assay_type_count(to);
}

static void find_readers(struct schedule *s)
{
    int n_uses = s->needs.start[s->graph->n_nodes];
    for (int i = 0; i < n_uses; i++)
        s->first[s->needs.items[i] + 1]++;
    for (int v = 0; v < s->graph->n_values; v++)
        s->first[v + 1] += s->first[v];
    int *at = assay_alloc(((size_t)s->graph->n_values + 1) * sizeof *at);
    for (int k = 0; k < s->graph->n_nodes; k++)
        for (int i = s->needs.start[k]; i < s->needs.start[k + 1]; i++) {
            int value = s->needs.items[i];
            s->readers[s->first[value] + at[value]++] = k;
            s->n_waits[k] += s->graph->values[value].producer >= 0;
        }
    free(at);
}

static void schedule_open(struct schedule *s, const struct assay_graph *graph)
{
    size_t n_values = (size_t)graph->n_values + 2, n_nodes = (size_t)graph->n_nodes + 1;
    *s = (struct schedule){.graph = graph};
    needs_init(&s->needs, graph);
    s->first = assay_alloc(n_values * sizeof *s->first);
    s->readers = assay_alloc(((size_t)s->needs.start[graph->n_nodes] + 1) * sizeof *s->readers);
    s->root = assay_alloc(n_values * sizeof *s->root);
    s->n_left = assay_alloc(n_values * sizeof *s->n_left);
    s->pair = assay_alloc(n_values * sizeof *s->pair);
    s->stays = assay_alloc(n_values * sizeof *s->stays);
    s->n_waits = assay_alloc(n_nodes * sizeof *s->n_waits);
    s->done = assay_alloc(n_nodes * sizeof *s->done);
    s->order = assay_alloc(n_nodes * sizeof *s->order);
    find_readers(s);
    for (int v = 0; v < graph->n_values; v++) {
        s->root[v] = v;
        s->pair[v] = -1;
    }
    for (int k = 0; k < graph->n_nodes; k++)
        if (is_view(graph, graph->nodes[k]))
            s->root[graph->nodes[k]->outputs[0]] = s->root[graph->nodes[k]->inputs[0]];
    for (int v = 0; v < graph->n_values; v++) {
        const struct assay_value *value = &graph->values[v];
        s->stays[s->root[v]] |= value->is_output || value->producer < 0 || value->constant.data;
        s->n_left[s->root[v]] += s->first[v + 1] - s->first[v];
    }
    for (int i = 0; i < graph->n_states; i++)
        s->pair[graph->outputs[graph->states[i].output]] = graph->inputs[graph->states[i].input];
}

static void schedule_release(struct schedule *s)
{
    needs_release(&s->needs);
    free(s->first);
    free(s->readers);
    free(s->root);
    free(s->n_left);
    free(s->pair);
    free(s->stays);
    free(s->n_waits);
    free(s->done);
    free(s->order);
}

/* Whether nobody but this node will read the root from now on. */
static bool ends(const struct schedule *s, int node, int root)
{
    int n = 0;
    for (int i = s->needs.start[node]; i < s->needs.start[node + 1]; i++)
        n += s->root[s->needs.items[i]] == root;
    return n > 0 && n == s->n_left[root];
}

static bool is_first_use(const struct schedule *s, int node, int use)
{
    for (int i = s->needs.start[node]; i < use; i++)
        if (s->root[s->needs.items[i]] == s->root[s->needs.items[use]])
            return false;
    return true;
}

/* Whether the node gives back more bytes than it takes. What it makes of a state that it is the last to read lies in that. */
static bool frees_memory(const struct schedule *s, int index)
{
    const struct assay_node *node = s->graph->nodes[index];
    int64_t freed = 0;
    if (is_view(s->graph, node) || s->needs.start[index + 1] - s->needs.start[index] > MOST_NEEDS)
        return false;
    for (int i = s->needs.start[index]; i < s->needs.start[index + 1]; i++) {
        int root = s->root[s->needs.items[i]];
        int64_t size = assay_type_bytes(&s->graph->values[root].type);
        if (size > 0 && size < INT64_MAX / (2 * MOST_NEEDS) && !s->stays[root] && is_first_use(s, index, i) &&
            ends(s, index, root))
            freed += size;
    }
    for (int k = 0; k < node->n_outputs && freed > 0; k++) {
        int value = node->outputs[k], pair = value < 0 ? -1 : s->pair[value];
        if (value < 0 || (pair >= 0 && ends(s, index, pair)))
            continue;
        int64_t size = assay_type_bytes(&s->graph->values[value].type);
        freed = size < 0 || size > freed ? 0 : freed - size;
    }
    return freed > 0;
}

static void perform(struct schedule *s, int index)
{
    const struct assay_node *node = s->graph->nodes[index];
    s->done[index] = true;
    s->order[s->n_order++] = index;
    for (int i = s->needs.start[index]; i < s->needs.start[index + 1]; i++)
        s->n_left[s->root[s->needs.items[i]]]--;
    for (int k = 0; k < node->n_outputs; k++)
        for (int i = node->outputs[k] < 0 ? 0 : s->first[node->outputs[k]];
             i < (node->outputs[k] < 0 ? 0 : s->first[node->outputs[k] + 1]); i++)
            s->n_waits[s->readers[i]]--;
}

/* The readers of a value that was made or read just now: those that are ready and free memory are next. */
static void perform_readers(struct schedule *s, int value)
{
    if (value < 0 || s->first[value + 1] - s->first[value] > MOST_READERS)
        return;
    for (int i = s->first[value]; i < s->first[value + 1]; i++) {
        int reader = s->readers[i];
        if (!s->done[reader] && s->n_waits[reader] == 0 && frees_memory(s, reader))
            perform(s, reader);
    }
}

void assay_graph_schedule(struct assay_graph *graph)
{
    struct schedule s;
    schedule_open(&s, graph);
    for (int k = 0, next = 0; k < graph->n_nodes; k++) {
        if (s.done[k])
            continue;
        perform(&s, k);
        for (; next < s.n_order; next++) {
            const struct assay_node *node = graph->nodes[s.order[next]];
            for (int i = 0; i < node->n_inputs; i++)
                perform_readers(&s, node->inputs[i]);
            for (int i = 0; i < node->n_outputs; i++)
                perform_readers(&s, node->outputs[i]);
        }
    }
    struct assay_node **old = assay_alloc(((size_t)graph->n_nodes + 1) * sizeof *old);
    if (graph->n_nodes)
        memcpy(old, graph->nodes, (size_t)graph->n_nodes * sizeof *old);
    for (int i = 0; i < graph->n_nodes; i++) {
        graph->nodes[i] = old[s.order[i]];
        for (int k = 0; k < graph->nodes[i]->n_outputs; k++)
            if (graph->nodes[i]->outputs[k] >= 0)
                graph->values[graph->nodes[i]->outputs[k]].producer = i;
    }
    free(old);
    schedule_release(&s);
}

/* ---- sweep */

/* Marks the nodes and values that lead to a graph output. `used` and `live` come zeroed. */
static void mark(const struct assay_graph *graph, const struct needs *needs, bool *used, bool *live)
{
    int *stack = assay_alloc(((size_t)graph->n_values + 1) * sizeof *stack), depth = 0;
    for (int i = 0; i < graph->n_outputs; i++)
        if (!used[graph->outputs[i]]) {
            used[graph->outputs[i]] = true;
            stack[depth++] = graph->outputs[i];
        }
    while (depth > 0) {
        int node = graph->values[stack[--depth]].producer;
        if (node < 0 || live[node])
            continue;
        live[node] = true;
        for (int k = needs->start[node]; k < needs->start[node + 1]; k++)
            if (!used[needs->items[k]]) {
                used[needs->items[k]] = true;
                stack[depth++] = needs->items[k];
            }
    }
    free(stack);
}

void assay_graph_sweep(struct assay_graph *graph)
{
    pack_nodes(graph);
    for (int i = 0; i < graph->n_values; i++)
        graph->values[i].producer = -1;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        for (int k = 0; k < node->n_outputs; k++)
            if (node->outputs[k] >= 0)
                graph->values[node->outputs[k]].producer = i;
        /* Bodies first: a capture that a body no longer needs keeps nothing alive out here. */
        for (int a = 0; a < node->n_attrs; a++)
            if (node->attrs[a].graph)
                assay_graph_sweep(node->attrs[a].graph);
    }
    struct needs needs;
    needs_init(&needs, graph);
    bool *used = assay_alloc((size_t)graph->n_values), *live = assay_alloc((size_t)graph->n_nodes);
    mark(graph, &needs, used, live);
    for (int i = 0; i < graph->n_nodes; i++)
        if (!live[i])
            assay_graph_drop_node(graph, i);
    for (int i = 0; i < graph->n_values; i++)
        if (!used[i]) {
            assay_tensor_release(&graph->values[i].constant);
            graph->values[i].outer = -1;
        }
    free(live);
    free(used);
    needs_release(&needs);
    pack_nodes(graph);
    for (int i = 0; i < graph->n_values; i++)
        graph->values[i].producer = -1;
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_outputs; k++)
            if (graph->nodes[i]->outputs[k] >= 0)
                graph->values[graph->nodes[i]->outputs[k]].producer = i;
}
