/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of elementwise ops become assay.Fused, so that memory is walked once: from the last op up, each maker joins all of whose
 * readers are in, so that nothing outside sees what is made within. Floats, and their codes of 8 bits; operands have the shape of
 * the result, as far as dimensions are known, or are constants that broadcast. Numbers become constants of the body. Codes are
 * read where they are needed, also by several: DequantizeLinear joins each of its readers.
 */
#include "graph/match.h"
#include "graph/pass.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 32, MAX_INPUTS = 8 };

static const char *const unary[] = {"Abs",   "Ceil",       "Clip",        "Cos",       "Elu",       "Erf",     "Exp",
                                    "Floor", "Gelu",       "HardSigmoid", "HardSwish", "LeakyRelu", "Log",     "Mish",
                                    "Neg",   "Reciprocal", "Relu",        "Round",     "Selu",      "Sigmoid", "Sign",
                                    "Sin",   "Softplus",   "Softsign",    "Sqrt",      "Swish",     "Tanh"};
static const char *const binary[] = {"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"};

struct group {
    int nodes[MAX_NODES], n_nodes; /* from the last up */
    int y;                         /* what the last makes */
};

static bool is_listed(const char *const *list, size_t n, const char *type)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], type) == 0)
            return true;
    return false;
}

static bool is_small_float(enum assay_dtype dtype) { return dtype == ASSAY_F32 || dtype == ASSAY_F16 || dtype == ASSAY_BF16; }

static bool is_code(enum assay_dtype dtype) { return dtype == ASSAY_U8 || dtype == ASSAY_I8; }

static bool is_dequantize(const struct assay_node *node) { return strcmp(node->type, "DequantizeLinear") == 0; }

/* Ops whose inputs behind the first are numbers that never change. */
static bool is_coding(const struct assay_node *node) { return is_dequantize(node) || strcmp(node->type, "QuantizeLinear") == 0; }

/* Whether an operand goes with a result: of its shape, or a constant that it broadcasts over. */
static bool goes_with(const struct assay_match *match, int operand, int y)
{
    const struct assay_type *t = &match->graph->values[operand].type, *whole = &match->graph->values[y].type;
    if (!assay_match_constant(match, operand))
        return assay_match_same_dims(match, operand, y);
    for (int d = 0; d < t->rank; d++)
        if (t->dims[d] != 1 && t->dims[d] != whole->dims[whole->rank - t->rank + d])
            return false;
    return t->rank <= whole->rank;
}

/* Between f32 and codes of 8 bits, of one scale. */
static bool fits_coding(const struct assay_match *match, const struct assay_node *node, int y)
{
    const struct assay_value *values = match->graph->values;
    int real = is_dequantize(node) ? node->outputs[0] : node->inputs[0];
    int codes = is_dequantize(node) ? node->inputs[0] : node->outputs[0];
    for (int k = 1; k < node->n_inputs; k++) {
        const struct assay_tensor *number = node->inputs[k] < 0 ? NULL : assay_match_constant(match, node->inputs[k]);
        if (!number || assay_tensor_count(number) != 1 || (k == 1 && number->type.dtype != ASSAY_F32))
            return false;
    }
    return values[real].type.dtype == ASSAY_F32 && is_code(values[codes].type.dtype) && goes_with(match, node->inputs[0], y) &&
           !assay_node_int(node, "block_size", 0);
}

/* An op that may join a group whose result is y. */
static bool fits(const struct assay_match *match, int index, int y)
{
    const struct assay_node *node = match->graph->nodes[index];
    const struct assay_value *values = match->graph->values;
    bool is_unary = is_listed(unary, ASSAY_COUNT(unary), node->type), is_clip = strcmp(node->type, "Clip") == 0;
    bool is_binary = is_listed(binary, ASSAY_COUNT(binary), node->type) && node->n_inputs == 2;
    if (*node->domain || node->n_outputs != 1 || node->outputs[0] < 0 || (!is_unary && !is_binary && !is_coding(node)))
        return false;
    if (values[y].type.rank < 0 || !assay_match_same_dims(match, node->outputs[0], y))
        return false;
    if (is_coding(node))
        return fits_coding(match, node, y);
    enum assay_dtype dtype = values[node->outputs[0]].type.dtype;
    if (!is_small_float(dtype))
        return false;
    double number;
    for (int k = 0; k < node->n_inputs; k++) {
        int x = node->inputs[k];
        if (x < 0 && is_clip)
            continue;
        if (x < 0 || (is_clip && k > 0 && !assay_match_scalar(match, x, &number)) || values[x].type.dtype != dtype ||
            !goes_with(match, x, y))
            return false;
    }
    return true;
}

static int n_reads(const struct assay_match *match, const struct group *g, int value);

/* Whether somebody outside reads what it makes too, so that it stays there as well. */
static bool is_copied(const struct assay_match *match, const struct group *g, const struct assay_node *node)
{
    return is_dequantize(node) && node->outputs[0] != g->y &&
           match->n_uses[node->outputs[0]] != n_reads(match, g, node->outputs[0]);
}

/* Reads that end when the group is one node. */
static int n_reads(const struct assay_match *match, const struct group *g, int value)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct assay_node *node = match->graph->nodes[g->nodes[i]];
        bool reads = false;
        for (int k = 0; k < node->n_inputs; k++)
            reads |= node->inputs[k] == value;
        if (!reads || is_copied(match, g, node))
            continue;
        for (int k = 0; k < node->n_inputs; k++)
            n += node->inputs[k] == value;
    }
    return n;
}

static int n_inputs(const struct assay_match *match, const struct group *g, int *inputs)
{
    int n = 0;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const struct assay_node *node = match->graph->nodes[g->nodes[i]];
        for (int k = 0; k < node->n_inputs; k++) {
            int value = node->inputs[k], maker = value >= 0 ? match->graph->values[value].producer : -1;
            double number;
            bool is_known = value < 0 || (k > 0 && is_coding(node)) || assay_match_scalar(match, value, &number);
            for (int j = 0; j < g->n_nodes; j++)
                is_known |= maker >= 0 && g->nodes[j] == maker;
            for (int j = 0; j < n && !is_known; j++)
                is_known = inputs[j] == value;
            if (!is_known && n == MAX_INPUTS)
                return MAX_INPUTS + 1;
            if (!is_known)
                inputs[n++] = value;
        }
    }
    return n;
}

/* The latest maker of what the group reads that may join: by then all its readers that can have joined have. */
static int next_to_join(const struct assay_match *match, const struct group *g)
{
    int best = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct assay_node *node = match->graph->nodes[g->nodes[i]];
        for (int k = 0; k < node->n_inputs; k++) {
            int value = node->inputs[k], maker = value >= 0 ? match->graph->values[value].producer : -1;
            /* Sorted: a group's members come later than what it may yet take in, or are in it. */
            if (maker <= best || maker >= g->nodes[0] || !match->graph->nodes[maker])
                continue;
            bool is_in = false;
            for (int j = 0; j < g->n_nodes; j++)
                is_in |= g->nodes[j] == maker;
            bool is_free = match->n_uses[value] == n_reads(match, g, value) || is_dequantize(match->graph->nodes[maker]);
            if (!is_in && is_free && fits(match, maker, g->y))
                best = maker;
        }
    }
    return best;
}

static void find_group(const struct assay_match *match, int index, struct group *g)
{
    int inputs[MAX_INPUTS];
    *g = (struct group){.nodes = {index}, .n_nodes = 1, .y = match->graph->nodes[index]->outputs[0]};
    while (g->n_nodes < MAX_NODES) {
        int next = next_to_join(match, g);
        if (next < 0)
            return;
        g->nodes[g->n_nodes++] = next;
        if (n_inputs(match, g, inputs) > MAX_INPUTS) {
            g->n_nodes--;
            return;
        }
    }
}

static int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* numbers: [n_values], all -1, before and after. */
static void fuse(struct assay_match *match, struct group *g, int *numbers)
{
    struct assay_graph *graph = match->graph, *body = assay_graph_open_body(graph, "fused");
    int inputs[MAX_INPUTS], n = n_inputs(match, g, inputs);
    qsort(g->nodes, (size_t)g->n_nodes, sizeof *g->nodes, compare_ints);
    for (int k = 0; k < n; k++) {
        numbers[inputs[k]] = assay_graph_add_value(body, graph->values[inputs[k]].name, &graph->values[inputs[k]].type);
        assay_graph_add_input(body, numbers[inputs[k]]);
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[g->nodes[i]];
        for (int k = 0; k < node->n_inputs; k++) {
            int value = node->inputs[k];
            if (value >= 0 && numbers[value] < 0) /* a number */
                numbers[value] = assay_graph_add_constant(body, graph->values[value].name, &graph->values[value].constant);
        }
        int y = node->outputs[0];
        numbers[y] = assay_graph_add_value(body, graph->values[y].name, &graph->values[y].type);
        assay_graph_copy_node(body, node, numbers);
    }
    assay_graph_add_output(body, numbers[g->y]);
    for (int i = 0; i < g->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[g->nodes[i]];
        numbers[node->outputs[0]] = -1;
        for (int k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] >= 0)
                numbers[node->inputs[k]] = -1;
    }
    struct assay_node *node = assay_match_remake(match, g->y, "Fused", "assay", n, inputs);
    assay_node_set_graph(graph, node, "body", body);
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    struct assay_match match;
    assay_match_open(&match, graph);
    int *numbers = assay_alloc(((size_t)graph->n_values + 1) * sizeof *numbers);
    for (int v = 0; v < graph->n_values; v++)
        numbers[v] = -1;
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        struct group g;
        int inputs[MAX_INPUTS];
        const struct assay_node *node = graph->nodes[i];
        if (!node || node->n_outputs < 1 || node->outputs[0] < 0 || !fits(&match, i, node->outputs[0]))
            continue;
        find_group(&match, i, &g);
        if (g.n_nodes < 2 || n_inputs(&match, &g, inputs) < 1)
            continue;
        fuse(&match, &g, numbers);
        ++*n_changes;
    }
    free(numbers);
    return assay_match_finish(&match, *n_changes, err);
}

const struct assay_pass assay_pass_elementwise = {.name = "elementwise",
                                                  .about = "trees of elementwise ops become assay.Fused: one walk over memory",
                                                  .is_last = true,
                                                  .run = run};
