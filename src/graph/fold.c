/* SPDX-License-Identifier: Apache-2.0 */
/* Constant folding (infer.h): nodes that can run before the run, and If whose condition is known. */
#include "graph/infer.h"
#include "graph/known.h"

#include <stdlib.h>

/* What a fold may spend, so that a small file cannot ask for hours or for all memory. */
struct budget {
    int64_t limit_bytes;       /* a result */
    int64_t left_bytes;        /* all results together */
    int64_t left_weight_bytes; /* all weights made of weights */
    double left_flops;
};
enum { TOTAL_RESULTS = 64 /* total bytes, in units of limit_bytes */ };
static const double total_flops = 1e10, node_flops = 1e9;

/* A weight kept in 8 bits is to stay so: runtimes fuse its DequantizeLinear into the op that uses it. */
static bool is_kept(const struct assay_node *node) { return strcmp(node->type, "DequantizeLinear") == 0; }

/* A tensor that the file has: no more to keep as a constant than as a node. */
static bool is_stored(const struct assay_node *node)
{
    return strcmp(node->type, "Constant") == 0 && !*node->domain && assay_node_attr(node, "value");
}

/* A weight that arithmetic (weight norm) or a move (gates in another order) makes of weights, and that is no larger than what it
 * is made of, which as a rule goes. */
static bool is_weight(const struct assay_op_call *call, int64_t *size)
{
    static const char *const types[] = {"Add",     "Div",   "Mul",   "Sub",     "Concat",
                                        "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"};
    bool is_listed = false;
    int64_t of_bytes = 0;
    for (size_t i = 0; i < ASSAY_COUNT(types); i++)
        is_listed |= strcmp(call->node->type, types[i]) == 0 && !*call->node->domain;
    *size = 0;
    for (int i = 0; i < call->n_outputs; i++) {
        int64_t bytes = assay_type_bytes(&call->outputs[i]);
        if (bytes < 0)
            return false;
        *size += bytes;
    }
    for (int k = 0; k < call->n_inputs && is_listed; k++)
        of_bytes += call->data[k] ? assay_tensor_bytes(call->data[k]) : 0;
    return is_listed && *size <= of_bytes;
}

static bool is_affordable(const struct assay_op_call *call, struct budget *budget)
{
    int64_t bytes = 0, weight_bytes = 0;
    if (is_stored(call->node))
        return true;
    bool made_of_weights = is_weight(call, &weight_bytes) && weight_bytes <= budget->left_weight_bytes;
    for (int i = 0; i < call->n_outputs && !made_of_weights; i++) {
        int64_t size = assay_type_bytes(&call->outputs[i]);
        /* A size that only the run can tell (NonZero) is bounded by the inputs' sizes times a small factor. */
        for (int k = 0; size < 0 && k < call->n_inputs; k++)
            if (call->data[k] && assay_tensor_bytes(call->data[k]) > budget->limit_bytes / 64)
                return false;
        if (size > budget->limit_bytes)
            return false;
        bytes += size > 0 ? size : 0;
    }
    struct assay_cost cost;
    assay_op_cost(call->node->op, call, &cost);
    if (cost.flops > node_flops || cost.flops > budget->left_flops || bytes > budget->left_bytes)
        return false;
    budget->left_flops -= cost.flops;
    budget->left_bytes -= bytes;
    budget->left_weight_bytes -= made_of_weights ? weight_bytes : 0;
    return true;
}

/* True if the node's results are constants now. */
static bool fold_node(struct assay_graph *graph, const struct assay_node *node, struct budget *budget,
                      struct assay_arena *scratch)
{
    struct assay_op_call call;
    if (!assay_graph_known_call(&call, graph, node, scratch) || is_kept(node) || assay_op_infer(node->op, &call, NULL) ||
        !is_affordable(&call, budget) || assay_op_run(node->op, &call, NULL))
        return false;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] < 0) {
            assay_tensor_release(&call.results[i]);
            continue;
        }
        struct assay_value *value = &graph->values[node->outputs[i]];
        assay_tensor_release(&value->constant);
        value->constant = call.results[i];
        value->type = value->constant.type;
        value->is_inferred = false;
        value->producer = -1;
    }
    return true;
}

/* The branch that an If with a known condition takes, NULL if that is not known. */
static struct assay_graph *chosen_branch(const struct assay_graph *graph, const struct assay_node *node)
{
    if (strcmp(node->type, "If") != 0 || *node->domain || node->n_inputs != 1 || node->inputs[0] < 0)
        return NULL;
    const struct assay_tensor *condition = &graph->values[node->inputs[0]].constant;
    if (!condition->data || assay_tensor_count(condition) != 1)
        return NULL;
    struct assay_graph *branch = assay_node_graph(node, assay_tensor_int(condition, 0) ? "then_branch" : "else_branch");
    return branch && branch->n_inputs == 0 && branch->n_outputs == node->n_outputs ? branch : NULL;
}

/* Puts a branch's nodes into the graph in place of its If, whose outputs they then make. */
static void inline_branch(struct assay_graph *graph, const struct assay_node *node, const struct assay_graph *branch)
{
    int *numbers = assay_alloc((size_t)branch->n_values * sizeof *numbers);
    for (int i = 0; i < branch->n_values; i++)
        numbers[i] = -1;
    for (int i = 0; i < branch->n_nodes; i++)
        for (int k = 0; k < branch->nodes[i]->n_outputs; k++)
            if (branch->nodes[i]->outputs[k] >= 0)
                numbers[branch->nodes[i]->outputs[k]] = -2;
    for (int i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] >= 0 && numbers[branch->outputs[i]] == -2)
            numbers[branch->outputs[i]] = node->outputs[i];
    for (int i = 0; i < branch->n_values; i++) {
        const struct assay_value *value = &branch->values[i];
        if (value->outer >= 0)
            numbers[i] = value->outer;
        else if (numbers[i] == -2)
            numbers[i] = assay_graph_add_value(graph, value->name, &value->type);
        else if (numbers[i] == -1 && value->constant.data)
            numbers[i] = assay_graph_add_constant(graph, value->name, &value->constant);
    }
    for (int i = 0; i < branch->n_nodes; i++)
        assay_graph_copy_node(graph, branch->nodes[i], numbers);
    /* An output that is a capture, a constant, or a second name of the same result. */
    for (int i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] >= 0 && numbers[branch->outputs[i]] != node->outputs[i])
            assay_graph_add_node(graph, "Identity", "", 1, &numbers[branch->outputs[i]], 1, &node->outputs[i]);
    free(numbers);
}

/* One pass over the nodes in order. *n_inlined counts the Ifs that were opened: their nodes then stand at the end. */
static void fold_pass(struct assay_graph *graph, struct budget *budget, int *n_inlined)
{
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    int n_nodes = graph->n_nodes;
    for (int i = 0; i < n_nodes; i++, assay_arena_clear(&scratch)) {
        struct assay_node *node = graph->nodes[i];
        const struct assay_graph *branch = chosen_branch(graph, node);
        if (branch) {
            inline_branch(graph, node, branch);
            assay_graph_drop_node(graph, i);
            ++*n_inlined;
        } else if (fold_node(graph, node, budget, &scratch)) {
            assay_graph_drop_node(graph, i);
        }
    }
    assay_arena_release(&scratch);
}

static enum assay_status fold(struct assay_graph *graph, struct budget *budget, struct assay_error *err)
{
    int n_inlined;
    do {
        n_inlined = 0;
        fold_pass(graph, budget, &n_inlined);
        enum assay_status st = assay_graph_sort(graph, err);
        if (st)
            return st;
    } while (n_inlined);
    for (struct assay_graph *body = graph->first_body; body; body = body->next_body) {
        assay_graph_refresh_captures(body);
        enum assay_status st = fold(body, budget, err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

enum assay_status assay_graph_fold(struct assay_graph *graph, int64_t limit_bytes, struct assay_error *err)
{
    struct budget budget = {.limit_bytes = limit_bytes, .left_flops = total_flops};
    if (__builtin_mul_overflow(limit_bytes, (int64_t)TOTAL_RESULTS, &budget.left_bytes))
        budget.left_bytes = INT64_MAX;
    for (int v = 0; v < graph->n_values; v++)
        if (graph->values[v].constant.data)
            budget.left_weight_bytes += assay_tensor_bytes(&graph->values[v].constant);
    enum assay_status st = fold(graph, &budget, err);
    if (!st)
        assay_graph_sweep(graph);
    return st;
}
