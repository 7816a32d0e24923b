/* SPDX-License-Identifier: Apache-2.0 */
/* See analysis.h: costs, histogram and weights. Precision, family and modality are guessed in guess.c. */
#include "model/analysis.h"

#include "graph/plan_memory.h"
#include "model/guess.h"
#include "model/weights.h"

#include <math.h>
#include <stdlib.h>

/* ---- costs */

static void add_cost(struct assay_cost *sum, const struct assay_cost *cost, double times)
{
    sum->flops += times * cost->flops;
    sum->bytes_read += times * cost->bytes_read;
    sum->bytes_written += times * cost->bytes_written;
}

/* What is known of a cost. IMPOSSIBLE: a node contradicts the shapes it gets, so it cannot run. */
enum knowledge { KNOWN, UNKNOWN, IMPOSSIBLE };

static enum knowledge node_cost(const struct assay_graph *graph, const struct assay_node *node, struct assay_cost *cost,
                                struct assay_arena *scratch);

/* The sum is of what is known. */
static enum knowledge graph_cost(const struct assay_graph *graph, struct assay_cost *sum, struct assay_arena *scratch)
{
    enum knowledge worst = KNOWN;
    *sum = (struct assay_cost){0};
    for (int i = 0; i < graph->n_nodes; i++) {
        struct assay_cost cost;
        enum knowledge knowledge = node_cost(graph, graph->nodes[i], &cost, scratch);
        if (knowledge > worst)
            worst = knowledge;
        add_cost(sum, &cost, 1);
    }
    return worst;
}

static bool has_body(const struct assay_node *node)
{
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].graph)
            return true;
    return false;
}

/* How often a Scan runs its body: the length of its last input along its axis; -1 if not known. */
static int64_t scan_length(const struct assay_graph *graph, const struct assay_node *node)
{
    int64_t n_scanned = assay_node_int(node, "num_scan_inputs", 0);
    if (n_scanned < 1 || n_scanned > node->n_inputs || node->inputs[node->n_inputs - 1] < 0)
        return -1;
    const struct assay_type *type = &graph->values[node->inputs[node->n_inputs - 1]].type;
    size_t n_axes;
    const int64_t *axes = assay_node_ints(node, "scan_input_axes", &n_axes);
    int64_t axis = (int64_t)n_axes == n_scanned ? axes[n_axes - 1] : 0;
    axis += axis < 0 ? type->rank : 0;
    return axis >= 0 && axis < type->rank ? type->dims[axis] : -1;
}

/* What a node with bodies runs. */
struct choice {
    const struct assay_graph *body; /* NULL = not known */
    double times;
    enum knowledge knowledge;
    struct assay_cost cost; /* of one run of the body */
};

/* The branch that the condition chooses, if that is known; else the only one that can run; else the dearer. */
static void choose_branch(const struct assay_graph *graph, const struct assay_node *node, struct choice *choice,
                          struct assay_arena *scratch)
{
    const struct assay_graph *a = assay_node_graph(node, "then_branch"), *b = assay_node_graph(node, "else_branch");
    const struct assay_tensor *condition =
        node->n_inputs && node->inputs[0] >= 0 ? &graph->values[node->inputs[0]].constant : NULL;
    if (!a || !b)
        return;
    if (condition && condition->data && assay_tensor_count(condition) == 1) {
        choice->body = assay_tensor_int(condition, 0) ? a : b;
        choice->knowledge = graph_cost(choice->body, &choice->cost, scratch);
        return;
    }
    struct assay_cost cost_a, cost_b;
    enum knowledge knows_a = graph_cost(a, &cost_a, scratch), knows_b = graph_cost(b, &cost_b, scratch);
    bool takes_b = knows_a == IMPOSSIBLE || (knows_b != IMPOSSIBLE && cost_b.flops > cost_a.flops);
    if (knows_a != IMPOSSIBLE && knows_b != IMPOSSIBLE && (knows_a == UNKNOWN || knows_b == UNKNOWN))
        return;
    choice->body = takes_b ? b : a;
    choice->knowledge = takes_b ? knows_b : knows_a;
    choice->cost = takes_b ? cost_b : cost_a;
}

static struct choice choose_body(const struct assay_graph *graph, const struct assay_node *node, struct assay_arena *scratch)
{
    struct choice choice = {.times = 1, .knowledge = UNKNOWN};
    int64_t length = -1;
    if (*node->domain)
        return choice;
    if (strcmp(node->type, "If") == 0)
        choose_branch(graph, node, &choice, scratch);
    else if (strcmp(node->type, "Scan") == 0)
        length = scan_length(graph, node);
    if (length >= 0 && assay_node_graph(node, "body")) {
        choice.times = (double)length;
        choice.body = assay_node_graph(node, "body");
        choice.knowledge = graph_cost(choice.body, &choice.cost, scratch);
    }
    return choice;
}

/* True if all results of a node are known before the run, so that it costs nothing. */
static bool is_known_before(const struct assay_graph *graph, const struct assay_node *node)
{
    for (int i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] >= 0 && !assay_graph_is_fixed(graph, node->outputs[i]))
            return false;
    return true;
}

/* UNKNOWN if a type that is needed is not known. */
static enum knowledge make_call(struct assay_op_call *call, const struct assay_graph *graph, const struct assay_node *node,
                                struct assay_arena *scratch)
{
    size_t n_in = (size_t)node->n_inputs, n_out = (size_t)node->n_outputs;
    const struct assay_tensor **data = assay_arena_array(scratch, n_in, sizeof *data);
    *call = (struct assay_op_call){
        .node = node,
        .opset = graph->opset,
        .n_inputs = node->n_inputs,
        .n_outputs = node->n_outputs,
        .inputs = assay_arena_array(scratch, n_in, sizeof *call->inputs),
        .data = data,
        .outputs = assay_arena_array(scratch, n_out, sizeof *call->outputs),
        .scratch = scratch,
    };
    for (int i = 0; i < node->n_inputs; i++) {
        int value = node->inputs[i];
        call->inputs[i] = value < 0 ? (struct assay_type){.rank = -1} : graph->values[value].type;
        if (value < 0)
            continue;
        if (!assay_type_is_known(&call->inputs[i]))
            return UNKNOWN;
        if (graph->values[value].constant.data)
            data[i] = &graph->values[value].constant;
    }
    enum assay_status st = assay_op_infer(node->op, call, NULL);
    if (st)
        return st == ASSAY_INVALID ? IMPOSSIBLE : UNKNOWN;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] >= 0 && !assay_type_is_known(&call->outputs[i]))
            call->outputs[i] = graph->values[node->outputs[i]].type;
        if (node->outputs[i] >= 0 && !assay_type_is_known(&call->outputs[i]))
            return UNKNOWN;
    }
    return KNOWN;
}

static enum knowledge node_cost(const struct assay_graph *graph, const struct assay_node *node, struct assay_cost *cost,
                                struct assay_arena *scratch)
{
    *cost = (struct assay_cost){0};
    if (!node->op)
        return UNKNOWN;
    if (is_known_before(graph, node))
        return KNOWN;
    if (has_body(node)) {
        struct choice choice = choose_body(graph, node, scratch);
        if (choice.knowledge == KNOWN)
            add_cost(cost, &choice.cost, choice.times);
        return choice.knowledge;
    }
    struct assay_op_call call;
    enum knowledge knowledge = make_call(&call, graph, node, scratch);
    if (knowledge)
        return knowledge;
    assay_op_cost(node->op, &call, cost);
    if (isfinite(cost->flops) && cost->flops >= 0 && isfinite(cost->bytes_read) && isfinite(cost->bytes_written))
        return KNOWN;
    *cost = (struct assay_cost){0};
    return UNKNOWN;
}

/* ---- the histogram */

struct tally {
    struct assay_op_count *lines; /* a line a node */
    size_t n, room;
    struct assay_arena *scratch;
};

/* Lines for a graph's nodes, those of bodies after them. times: how often it runs, 0 for a branch that does not count, NaN if not
 * known. */
static void tally_graph(struct tally *tally, const struct assay_graph *graph, double times)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        struct assay_cost cost = {0};
        bool known = times == 0 || (!isnan(times) && node_cost(graph, node, &cost, tally->scratch) == KNOWN);
        if (tally->n == tally->room) {
            tally->room = 2 * tally->room + 64;
            tally->lines = assay_realloc(tally->lines, tally->room * sizeof *tally->lines);
        }
        struct assay_op_count *line = &tally->lines[tally->n++];
        *line = (struct assay_op_count){.type = node->type, .domain = node->domain, .n = 1, .n_unknown = !known};
        if (!has_body(node)) {
            line->flops = known ? times * cost.flops : 0;
            line->bytes = known ? times * (cost.bytes_read + cost.bytes_written) : 0;
            continue;
        }
        struct choice choice = choose_body(graph, node, tally->scratch);
        for (int k = 0; k < node->n_attrs; k++) {
            const struct assay_graph *body = node->attrs[k].graph;
            bool is_counted = times != 0 && body == choice.body;
            if (body)
                tally_graph(tally, body, is_counted ? times * choice.times : choice.body || times == 0 ? 0 : NAN);
        }
    }
}

static int by_op(const void *a, const void *b)
{
    const struct assay_op_count *x = a, *y = b;
    int order = strcmp(x->type, y->type);
    return order ? order : strcmp(x->domain, y->domain);
}

static int by_flops(const void *a, const void *b)
{
    const struct assay_op_count *x = a, *y = b;
    if (x->flops != y->flops)
        return x->flops < y->flops ? 1 : -1;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return by_op(a, b);
}

static void make_histogram(struct assay_analysis *analysis, const struct assay_graph *graph, struct assay_arena *scratch)
{
    struct tally tally = {.scratch = scratch};
    tally_graph(&tally, graph, 1);
    qsort(tally.lines, tally.n, sizeof *tally.lines, by_op);
    size_t n = 0;
    for (size_t i = 0; i < tally.n; i++) {
        struct assay_op_count *line = &tally.lines[i];
        if (n == 0 || by_op(&tally.lines[n - 1], line) != 0) {
            tally.lines[n++] = *line;
            continue;
        }
        struct assay_op_count *sum = &tally.lines[n - 1];
        sum->n++;
        sum->n_unknown += line->n_unknown;
        sum->flops += line->flops;
        sum->bytes += line->bytes;
    }
    qsort(tally.lines, n, sizeof *tally.lines, by_flops);
    analysis->ops = assay_arena_array(&analysis->arena, n, sizeof *analysis->ops);
    analysis->n_ops = (int)n;
    for (size_t i = 0; i < n; i++) {
        analysis->ops[i] = tally.lines[i];
        analysis->ops[i].type = assay_arena_strdup(&analysis->arena, tally.lines[i].type);
        analysis->ops[i].domain = assay_arena_strdup(&analysis->arena, tally.lines[i].domain);
    }
    free(tally.lines);
}

/* ---- all of it */

static void add_weight(void *context, const struct assay_tensor *weight, bool is_parameter)
{
    struct assay_analysis *analysis = context;
    analysis->weight_bytes += assay_tensor_bytes(weight);
    analysis->parameters += is_parameter ? assay_tensor_count(weight) : 0;
}

static void take_stated_parameters(struct assay_analysis *analysis, const struct assay_graph *graph)
{
    for (int i = 0; i < graph->n_metadata; i++) {
        const char *text = graph->metadata[i].s;
        size_t n = strspn(text, "0123456789");
        if (strcmp(graph->metadata[i].name, "parameters") != 0 || n == 0 || n > 18 || text[n])
            continue;
        analysis->parameters = strtoll(text, NULL, 10);
        analysis->parameters_why = "stated by the file";
    }
}

/* The op of the first node whose cost is not known, in a body where that is the cause; NULL if all are known. */
static const char *first_unknown(const struct assay_graph *graph, struct assay_arena *scratch)
{
    struct assay_cost cost;
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        if (node_cost(graph, node, &cost, scratch) == KNOWN)
            continue;
        for (int k = 0; k < node->n_attrs; k++) {
            const char *inner = node->attrs[k].graph ? first_unknown(node->attrs[k].graph, scratch) : NULL;
            if (inner)
                return inner;
        }
        return node->type;
    }
    return NULL;
}

static void sum_costs(struct assay_analysis *analysis, const struct assay_graph *graph, struct assay_arena *scratch)
{
    analysis->n_nodes = graph->n_nodes;
    analysis->node_costs = assay_arena_array(&analysis->arena, (size_t)graph->n_nodes, sizeof *analysis->node_costs);
    for (int i = 0; i < graph->n_nodes; i++, assay_arena_clear(scratch)) {
        struct assay_cost *cost = &analysis->node_costs[i];
        if (node_cost(graph, graph->nodes[i], cost, scratch)) {
            *cost = (struct assay_cost){0};
            analysis->n_unknown++;
        }
        analysis->flops += cost->flops;
        analysis->bytes += cost->bytes_read + cost->bytes_written;
    }
    if (analysis->n_unknown)
        analysis->unknown_op = assay_arena_strdup(&analysis->arena, first_unknown(graph, scratch));
    if (analysis->n_nodes > 0 && analysis->n_unknown == analysis->n_nodes)
        analysis->flops = analysis->bytes = NAN;
}

void assay_analysis_init(struct assay_analysis *analysis, const struct assay_graph *graph)
{
    *analysis = (struct assay_analysis){0};
    assay_arena_init(&analysis->arena);
    struct assay_arena scratch;
    assay_arena_init(&scratch);
    sum_costs(analysis, graph, &scratch);
    make_histogram(analysis, graph, &scratch);
    assay_weights_visit(graph, add_weight, analysis);
    analysis->parameters_why = "counted";
    take_stated_parameters(analysis, graph);
    assay_guess(analysis, graph);
    assay_arena_release(&scratch);
}

void assay_analysis_release(struct assay_analysis *analysis)
{
    if (analysis)
        assay_arena_release(&analysis->arena);
}
