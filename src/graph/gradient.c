/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gradient.h. The nodes between what is asked for and the loss are walked from the last to the first; each value keeps a list
 * of what its readers contributed, summed when its own maker's turn comes.
 */
#include "graph/gradient.h"

#include "graph/infer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- for rules */

int g_input(const struct assay_gradient *g, int i) { return i < g->node->n_inputs ? g->node->inputs[i] : -1; }
int g_output(const struct assay_gradient *g, int i) { return i < g->node->n_outputs ? g->node->outputs[i] : -1; }
bool g_wants(const struct assay_gradient *g, int i) { return i < g->node->n_inputs && g->wanted[i]; }
const struct assay_type *g_type(const struct assay_gradient *g, int i) { return e_type(g->e, g_input(g, i)); }

const struct assay_tensor *g_constant(const struct assay_gradient *g, int i)
{
    int value = g_input(g, i);
    if (value < 0 || !g->e->graph->values[value].constant.data)
        return NULL;
    return &g->e->graph->values[value].constant;
}

int g_need_output(struct assay_gradient *g, int i)
{
    struct assay_graph *graph = g->e->graph;
    struct assay_node *node = (struct assay_node *)g->node;
    if (g->e->status)
        return -1;
    if (i >= node->n_outputs) {
        int *outputs = assay_arena_array(&graph->arena, (size_t)i + 1, sizeof *outputs);
        for (int k = 0; k <= i; k++)
            outputs[k] = k < node->n_outputs ? node->outputs[k] : -1;
        node->outputs = outputs;
        node->n_outputs = i + 1;
    }
    if (node->outputs[i] < 0) {
        int first = node->outputs[0];
        int value = assay_graph_add_value(graph, first >= 0 ? graph->values[first].name : node->type, NULL);
        node->outputs[i] = value;
        e_type(g->e, value); /* settles what was emitted before */
        g->e->open = node;
    }
    return node->outputs[i];
}

int g_sum_to(struct assay_emit *e, int gradient, int like)
{
    struct assay_type from = *e_type(e, gradient), to = *e_type(e, like);
    int64_t axes[ASSAY_MAX_RANK];
    size_t n = 0;
    if (e->status || gradient < 0)
        return -1;
    int lead = from.rank - to.rank;
    ASSAY_ASSERT(lead >= 0);
    for (int d = 0; d < from.rank; d++)
        if (d < lead || (to.dims[d - lead] == 1 && from.dims[d] != 1))
            axes[n++] = d;
    if (n)
        gradient = e_reduce(e, "ReduceSum", gradient, true, n, axes);
    return e_reshape_like(e, gradient, like);
}

void g_set(struct assay_gradient *g, int i, int gradient)
{
    if (g_wants(g, i))
        g->in[i] = g_sum_to(g->e, gradient, g_input(g, i));
}

/* ---- the walk */

struct contribution {
    int gradient;
    struct contribution *next;
};

struct walk {
    struct assay_emit e;
    int n_values;                        /* before anything was emitted */
    bool *depends;                       /* [n_values]: on a wrt, through differentiable ops */
    bool *leads;                         /* [n_values]: to the loss */
    int *gradient;                       /* [n_values]: summed; -1 = not yet, or zero */
    struct contribution **contributions; /* [n_values] */
    struct assay_arena arena;
};

static bool carries(const struct assay_graph *graph, int value)
{
    return value >= 0 && assay_dtype_is_float(graph->values[value].type.dtype);
}

static bool is_flat(const struct assay_node *node) { return node->op && (node->op->flags & ASSAY_OP_FLAT); }

/* What no rule emits, as sums of what rules did. Names tell the backward pass from the forward one. */
static const char between[] = "gradient";

/* Whether what the node's bodies take from around them depends on a wrt. */
static bool captures_what_depends(const struct walk *w, const struct assay_node *node)
{
    for (int a = 0; a < node->n_attrs; a++) {
        const struct assay_graph *body = node->attrs[a].graph;
        for (int v = 0; body && v < body->n_values; v++)
            if (carries(w->e.graph, body->values[v].outer) && w->depends[body->values[v].outer])
                return true;
    }
    return false;
}

/* What depends on a wrt, what leads to the loss: gradients flow where both hold. */

static void find_path(struct walk *w, int loss, int n, const int *wrt)
{
    const struct assay_graph *graph = w->e.graph;
    for (int i = 0; i < n; i++)
        w->depends[wrt[i]] = true;
    for (int k = 0; k < graph->n_nodes; k++) {
        const struct assay_node *node = graph->nodes[k];
        bool any = captures_what_depends(w, node);
        for (int i = 0; i < node->n_inputs && !is_flat(node); i++)
            any |= carries(graph, node->inputs[i]) && w->depends[node->inputs[i]];
        for (int i = 0; i < node->n_outputs; i++)
            if (any && carries(graph, node->outputs[i]))
                w->depends[node->outputs[i]] = true;
    }
    w->leads[loss] = true;
    for (int k = graph->n_nodes - 1; k >= 0; k--) {
        const struct assay_node *node = graph->nodes[k];
        bool any = false;
        for (int i = 0; i < node->n_outputs; i++)
            any |= node->outputs[i] >= 0 && w->leads[node->outputs[i]] && w->depends[node->outputs[i]];
        for (int i = 0; i < node->n_inputs && any; i++)
            if (carries(graph, node->inputs[i]))
                w->leads[node->inputs[i]] = true;
        for (int a = 0; a < node->n_attrs && any; a++)
            for (int v = 0; node->attrs[a].graph && v < node->attrs[a].graph->n_values; v++)
                if (carries(graph, node->attrs[a].graph->values[v].outer))
                    w->leads[node->attrs[a].graph->values[v].outer] = true;
    }
}

static void contribute(struct walk *w, int value, int gradient)
{
    struct contribution *c = assay_arena_alloc(&w->arena, sizeof *c);
    *c = (struct contribution){.gradient = gradient, .next = w->contributions[value]};
    w->contributions[value] = c;
}

/* The sum of what the readers of a value contributed; -1 = nothing. */
static int gradient_of(struct walk *w, int value)
{
    if (value < 0 || w->gradient[value] >= 0 || !w->contributions[value])
        return value < 0 ? -1 : w->gradient[value];
    int n = 0;
    for (const struct contribution *c = w->contributions[value]; c; c = c->next)
        n++;
    int *terms = assay_arena_array(&w->arena, (size_t)n, sizeof *terms);
    for (const struct contribution *c = w->contributions[value]; c; c = c->next)
        terms[--n] = c->gradient; /* in the order in which they came */
    for (const struct contribution *c = w->contributions[value]; c; c = c->next)
        n++;
    int sum = n == 1 ? terms[0] : e_op(&w->e, n == 2 ? "Add" : "Sum", n, terms);
    w->gradient[value] = sum;
    return sum;
}

/* The rule's answer must fit its inputs: a wrong rule is our bug, told where it is. */
static void take(struct walk *w, const struct assay_gradient *g)
{
    for (int i = 0; i < g->node->n_inputs && !w->e.status; i++) {
        if (!g->wanted[i] || g->in[i] < 0)
            continue;
        struct assay_type got = *e_type(&w->e, g->in[i]), input = *e_type(&w->e, g->node->inputs[i]);
        if (!w->e.status && !assay_type_equal(&got, &input)) {
            char a[160], b[160];
            e_fail(&w->e, ASSAY_INVALID, "its gradient of input %d is %s, and the input %s", i,
                   assay_type_text(&got, a, sizeof a), assay_type_text(&input, b, sizeof b));
        }
        if (!w->e.status)
            contribute(w, g->node->inputs[i], g->in[i]);
    }
}

static void go_back(struct walk *w, const struct assay_node *node)
{
    const struct assay_graph *graph = w->e.graph;
    size_t room = (size_t)(node->n_inputs + node->n_outputs) + 1;
    int *out = assay_arena_array(&w->arena, room, sizeof *out), *in = out + node->n_outputs;
    bool *wanted = assay_arena_array(&w->arena, room, sizeof *wanted), any_out = false, any_in = captures_what_depends(w, node);
    char scope[256];
    for (int i = 0; i < node->n_inputs; i++) {
        int value = node->inputs[i];
        wanted[i] = carries(graph, value) && w->depends[value] && !is_flat(node);
        any_in |= wanted[i];
        in[i] = -1;
    }
    for (int i = 0; i < node->n_outputs; i++) {
        out[i] = any_in && carries(graph, node->outputs[i]) ? gradient_of(w, node->outputs[i]) : -1;
        any_out |= out[i] >= 0;
    }
    if (!any_in || !any_out)
        return;
    snprintf(scope, sizeof scope, "%s/gradient", *node->name ? node->name : node->type);
    w->e.scope = scope;
    for (int i = 0; i < node->n_outputs + node->n_inputs; i++) {
        int value = i < node->n_outputs ? node->outputs[i] : node->inputs[i - node->n_outputs];
        if (value >= 0 && !assay_type_is_known(&graph->values[value].type))
            e_fail(&w->e, ASSAY_INVALID, "the shape of '%s' is not known: give each free dimension a size",
                   graph->values[value].name);
    }
    struct assay_gradient g = {.e = &w->e, .node = node, .out = out, .wanted = wanted, .in = in};
    if (!node->op || !node->op->gradient)
        e_fail(&w->e, ASSAY_UNSUPPORTED, "%s has no gradient", node->type);
    else if (!w->e.status)
        node->op->gradient(&g);
    take(w, &g);
    assay_emit_finish(&w->e);
    w->e.scope = between;
}

enum assay_status assay_graph_differentiate(struct assay_graph *graph, int loss, int seed, int n, const int *wrt, int *gradients,
                                            struct assay_error *err)
{
    struct walk w = {.e = assay_emit_make(graph, between, err), .n_values = graph->n_values};
    size_t n_values = (size_t)graph->n_values;
    int n_nodes = graph->n_nodes;
    if (assay_type_count(&graph->values[loss].type) != 1 || !carries(graph, loss))
        return assay_error_set(err, ASSAY_INVALID, "a loss is one number; '%s' is not", graph->values[loss].name);
    assay_arena_init(&w.arena);
    w.depends = assay_arena_array(&w.arena, n_values, sizeof *w.depends);
    w.leads = assay_arena_array(&w.arena, n_values, sizeof *w.leads);
    w.gradient = assay_arena_array(&w.arena, n_values, sizeof *w.gradient);
    w.contributions = assay_arena_array(&w.arena, n_values, sizeof(struct contribution *));
    for (size_t v = 0; v < n_values; v++)
        w.gradient[v] = -1;
    find_path(&w, loss, n, wrt);
    for (size_t v = 0; v < n_values; v++)
        w.depends[v] = w.depends[v] && w.leads[v];
    contribute(&w, loss, seed >= 0 ? seed : e_full(&w.e, 1, loss));
    for (int k = n_nodes - 1; k >= 0 && !w.e.status; k--)
        go_back(&w, graph->nodes[k]);
    for (int i = 0; i < n; i++)
        gradients[i] = gradient_of(&w, wrt[i]);
    enum assay_status st = assay_emit_finish(&w.e);
    assay_arena_release(&w.arena);
    if (!st)
        st = assay_graph_sort(graph, err);
    return st;
}

/* ---- ops of our own as standard ones */

/* And standard ones in a training mode that runtimes for inference do not have. */
static bool is_to_be_expanded(const struct assay_node *node)
{
    return strcmp(node->domain, "assay") == 0 || (node->op && node->op->expand && assay_node_int(node, "training_mode", 0));
}

enum assay_status assay_graph_expand(struct assay_graph *graph, bool (*keep)(const struct assay_node *node),
                                     struct assay_error *err)
{
    struct assay_emit e = assay_emit_make(graph, "", err);
    int n_nodes = graph->n_nodes, n_expanded = 0;
    for (int k = 0; k < n_nodes && !e.status; k++) {
        const struct assay_node *node = graph->nodes[k];
        int outputs[16];
        if (!is_to_be_expanded(node) || (keep && keep(node)))
            continue;
        e.scope = *node->name ? node->name : node->type;
        if (!node->op || !node->op->expand || node->n_outputs > 16) {
            e_fail(&e, ASSAY_UNSUPPORTED, "%s cannot be written in standard ops", node->type);
            break;
        }
        for (int i = 0; i < node->n_outputs; i++)
            outputs[i] = -1;
        node->op->expand(&e, node, outputs);
        assay_emit_finish(&e);
        for (int i = 0; i < node->n_outputs && !e.status; i++)
            if (node->outputs[i] >= 0)
                assay_graph_replace_uses(graph, node->outputs[i], outputs[i]);
        assay_graph_drop_node(graph, k);
        n_expanded++;
    }
    if (e.status || !n_expanded)
        return e.status;
    assay_graph_sweep(graph);
    enum assay_status st = assay_graph_sort(graph, err);
    return st ? st : assay_graph_infer(graph, err);
}
