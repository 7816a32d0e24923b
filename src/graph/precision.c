/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See precision.h. A node's kind (precision_kinds.c) says where it may run; three passes decide, and one rewrites
 * (precision_rewrite.c):
 *
 *   backward  what the readers of each value would like, before anybody has decided
 *   forward   each node runs in the low precision or in f32, by its kind and by what feeds it
 *   backward  what depends on constants alone follows its readers; a node between nodes of f32 joins them where no Cast is lost
 *
 * Each value has one home, the precision it is made in, and is cast once for the readers that want the other. Bodies of If, Loop
 * and Scan stay in f32, and so does what they capture.
 */
#include "graph/precision.h"

#include "graph/infer.h"
#include "graph/op.h"
#include "graph/precision_pass.h"

#include <math.h>
#include <stdlib.h>

/* ---- what cannot be converted */

static bool is_quantized(const struct assay_node *node)
{
    static const char *const types[] = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger",
                                        "ConvInteger",    "MatMulNBits",      "DynamicQuantizeMatMul"};
    for (size_t i = 0; i < ASSAY_COUNT(types); i++)
        if (strcmp(node->type, types[i]) == 0)
            return true;
    return strncmp(node->type, "QLinear", 7) == 0;
}

enum assay_status assay_graph_check_precision(const struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err)
{
    const char *word = assay_dtype_word((int)dtype);
    for (int i = 0; i < graph->n_nodes; i++)
        if (is_quantized(graph->nodes[i]))
            return assay_error_set(err, ASSAY_UNSUPPORTED, "the model is quantized (node '%s' is %s): it cannot become %s",
                                   graph->nodes[i]->name, graph->nodes[i]->type, word);
    for (int v = 0; v < graph->n_values; v++) {
        enum assay_dtype own = graph->values[v].type.dtype;
        if (own == ASSAY_F16 || own == ASSAY_BF16)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "the model is in %s already (value '%s'): it cannot become %s",
                                   assay_dtype_word((int)own), graph->values[v].name, word);
    }
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body) {
        enum assay_status st = assay_graph_check_precision(body, dtype, err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}

/* ---- marks and steps */

static bool fits(const struct pass *p, const struct assay_tensor *constant)
{
    const float *x = constant->data;
    int64_t n = assay_tensor_count(constant);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]) && fabsf(x[i]) > p->largest)
            return false;
    return n != 1 || x[0] == 0 || fabsf(x[0]) >= p->smallest; /* an epsilon must not become 0 */
}

/* A Cast from f32 to f32 moves its input, as Identity does. */
static void simplify(struct assay_graph *graph, struct assay_node *node)
{
    if (strcmp(node->type, "Cast") != 0 || *node->domain || node->n_inputs != 1 || node->inputs[0] < 0 ||
        graph->values[node->inputs[0]].type.dtype != ASSAY_F32 || assay_node_int(node, "to", 0) != ASSAY_F32)
        return;
    assay_node_remove_attr(node, "to");
    node->type = "Identity";
    node->op = assay_op_find("", "Identity");
}

static void classify(const struct pass *p, const struct assay_node *node, struct step *step)
{
    *step = (struct step){.kind = WIDE_KIND, .home = WIDE};
    const char *reduction = assay_node_string(node, "reduction", "none");
    if (strcmp(reduction, "none") != 0 || assay_node_int(node, "training_mode", 0))
        return;
    const struct op_kind *kind = assay_precision_find_kind(node, p->is_fused);
    if (kind) {
        step->kind = kind->kind;
        step->keep = kind->keep;
    }
}

static void mark_values(struct pass *p)
{
    struct assay_graph *graph = p->graph;
    for (int v = 0; v < p->n_values; v++) {
        const struct assay_value *value = &graph->values[v];
        bool is_constant = value->constant.data && !value->is_inferred;
        p->marks[v] = (struct mark){.low = -1, .wide = -1, .is_constant = is_constant, .is_exact = is_constant};
        if (value->type.dtype == ASSAY_F32)
            p->marks[v].home = is_constant ? FLEXIBLE : WIDE;
    }
    for (const struct assay_graph *body = graph->first_body; body; body = body->next_body)
        for (int v = 0; v < body->n_values; v++)
            if (body->values[v].outer >= 0)
                p->marks[body->values[v].outer].is_plain_output = true;
    for (int i = 0; i < p->n_nodes; i++) {
        simplify(graph, graph->nodes[i]);
        classify(p, graph->nodes[i], &p->steps[i]);
    }
}

/* Both ends of a state change together. A pair that cannot keeps all states in f32: an end that something else needs in f32 by
 * its name, or an output that no node makes. */
static bool can_keep_states_low(const struct pass *p)
{
    const struct assay_graph *graph = p->graph;
    for (int s = 0; s < graph->n_states; s++) {
        int input = graph->inputs[graph->states[s].input], output = graph->outputs[graph->states[s].output];
        const struct mark *from = &p->marks[output], *to = &p->marks[input];
        if (from->home == NO_HOME && to->home == NO_HOME)
            continue;
        if (from->home != WIDE || to->home != WIDE || from->is_plain_output || to->is_plain_output ||
            (output != input && graph->values[output].producer < 0))
            return false;
    }
    return true;
}

static void mark_states(struct pass *p)
{
    struct assay_graph *graph = p->graph;
    bool *is_state = assay_alloc((size_t)graph->n_outputs);
    for (int s = 0; s < graph->n_states; s++)
        is_state[graph->states[s].output] = true;
    for (int i = 0; i < graph->n_outputs; i++)
        if (!is_state[i])
            p->marks[graph->outputs[i]].is_plain_output = true;
    free(is_state);
    bool can = can_keep_states_low(p);
    for (int s = 0; s < graph->n_states; s++) {
        struct mark *from = &p->marks[graph->outputs[graph->states[s].output]];
        struct mark *to = &p->marks[graph->inputs[graph->states[s].input]];
        if (!can) {
            from->is_plain_output = true;
        } else if (to->home != NO_HOME) {
            from->is_state_output = true;
            to->home = LOW;
            to->is_derived = true;
        }
    }
}

/* ---- backward: wishes */

static int n_floats(const struct pass *p, int i)
{
    int n = 0;
    for (int k = 0; k < p->graph->nodes[i]->n_inputs; k++)
        n += follower(p, i, k) != NULL;
    return n;
}

/* An embedding: its table is a weight. */
static bool is_lookup(const struct pass *p, int i)
{
    const struct assay_node *node = p->graph->nodes[i];
    if (strcmp(node->type, "Gather") != 0 || node->n_inputs < 1 || node->inputs[0] < 0)
        return false;
    return p->marks[node->inputs[0]].is_constant && p->graph->values[node->inputs[0]].type.rank >= 2;
}

static void wish(struct pass *p)
{
    bool *refused = assay_alloc((size_t)p->n_values), *asked = assay_alloc((size_t)p->n_values);
    for (int v = 0; v < p->n_values; v++) {
        refused[v] = p->marks[v].is_plain_output;
        asked[v] = p->marks[v].wants_low = p->marks[v].is_state_output && !refused[v];
    }
    for (int i = p->n_nodes - 1; i >= 0; i--) {
        const struct assay_node *node = p->graph->nodes[i];
        const struct step *step = &p->steps[i];
        bool follows = step->kind == MOVE || step->kind == CHEAP;
        bool low = follows || step->kind == COMPUTE;
        bool must_fit = step->kind == CHEAP || n_floats(p, i) > 1;
        bool angle = strcmp(node->type, "Sin") == 0 || strcmp(node->type, "Cos") == 0;
        for (int k = 0; k < node->n_outputs; k++) {
            const struct mark *m = made(p, i, k);
            low &= !m || !follows || m->wants_low;
            angle |= m && step->kind != WIDE_KIND && m->reaches_angle;
            must_fit |= m && m->must_fit;
        }
        for (int k = 0; k < node->n_inputs && step->kind != ANY_KIND; k++) {
            int v = node->inputs[k];
            if (v < 0 || p->marks[v].home == NO_HOME)
                continue;
            p->marks[v].reaches_angle |= angle;
            p->marks[v].must_fit |= follows && must_fit && !is_lookup(p, i);
            asked[v] = true;
            refused[v] |= !low || !follower(p, i, k);
            p->marks[v].wants_low = !refused[v];
        }
    }
    free(asked);
    free(refused);
}

/* ---- forward: decisions */

static bool is_unfit(struct pass *p, int v)
{
    struct mark *m = &p->marks[v];
    if (m->is_constant && m->must_fit && !m->is_checked)
        m->unfit = !fits(p, &p->graph->values[v].constant);
    m->is_checked = true;
    return m->unfit;
}

/* What feeds a node. */
struct feed {
    int n_low, n_wide; /* inputs, without the flexible ones */
    bool unfit, wide_is_derived, is_derived, is_exact, wants_low, reaches_angle;
};

static struct feed feed_of(struct pass *p, int i)
{
    const struct assay_node *node = p->graph->nodes[i];
    struct feed feed = {.is_exact = true, .wants_low = true};
    for (int k = 0; k < node->n_inputs; k++) {
        struct mark *m = follower(p, i, k);
        if (!m)
            continue;
        feed.unfit |= p->steps[i].kind != COMPUTE && is_unfit(p, node->inputs[k]);
        feed.n_low += m->home == LOW;
        feed.n_wide += m->home == WIDE;
        feed.wide_is_derived |= m->home == WIDE && m->is_derived;
        feed.is_derived |= m->is_derived;
        feed.is_exact &= m->is_exact;
    }
    for (int k = 0; k < node->n_outputs; k++) {
        const struct mark *m = made(p, i, k);
        feed.wants_low &= !m || m->wants_low;
        feed.reaches_angle |= m && m->reaches_angle;
    }
    return feed;
}

static enum home decide(struct pass *p, int i, const struct feed *feed)
{
    switch (p->steps[i].kind) {
    case WIDE_KIND:
    case ANY_KIND:
        return WIDE;
    case COMPUTE: /* but not a product of positions and frequencies: bf16 cannot count beyond 256 */
        return feed->is_exact && feed->reaches_angle ? WIDE : LOW;
    case MOVE:
        if (is_lookup(p, i) && !feed->reaches_angle)
            return LOW;
        break;
    case CHEAP:
        break;
    }
    if (feed->n_low + feed->n_wide == 0)
        return FLEXIBLE;
    if (feed->unfit) /* a mask's lowest number, of which low arithmetic would make infinity, and NaN in time */
        return WIDE;
    if (p->steps[i].kind == MOVE)
        return feed->n_wide == 0 || feed->wants_low ? LOW : WIDE;
    /* What does not come from a low value (a table of positions) is as good as a constant. */
    return feed->n_wide == 0 || (feed->n_low > 0 && feed->wants_low && !feed->wide_is_derived) ? LOW : WIDE;
}

static void settle(struct pass *p)
{
    for (int i = 0; i < p->n_nodes; i++) {
        struct feed feed = feed_of(p, i);
        enum home home = p->steps[i].home = decide(p, i, &feed);
        for (int k = 0; k < p->graph->nodes[i]->n_outputs; k++) {
            struct mark *m = made(p, i, k);
            if (!m)
                continue;
            m->home = home;
            m->unfit = home == FLEXIBLE && feed.unfit;
            m->is_derived = home == LOW || feed.is_derived || feed.n_low > 0;
            m->is_exact = home != LOW && feed.is_exact;
        }
    }
}

/* ---- backward: corrections */

static void count_readers(struct pass *p, int i, int by)
{
    const struct assay_node *node = p->graph->nodes[i];
    if (p->steps[i].kind == ANY_KIND || p->steps[i].home == FLEXIBLE)
        return;
    for (int k = 0; k < node->n_inputs; k++) {
        int v = node->inputs[k];
        if (v < 0 || p->marks[v].home == NO_HOME)
            continue;
        *(p->steps[i].home == LOW && follower(p, i, k) ? &p->marks[v].n_low : &p->marks[v].n_wide) += by;
    }
}

static void move_home(struct pass *p, int i, enum home home)
{
    count_readers(p, i, -1);
    p->steps[i].home = home;
    for (int k = 0; k < p->graph->nodes[i]->n_outputs; k++)
        if (made(p, i, k))
            made(p, i, k)->home = home;
    count_readers(p, i, 1);
}

/* Whether all that node i makes is read in one precision only. */
static bool is_read_only(const struct pass *p, int i, enum home home)
{
    bool is_read = false;
    for (int k = 0; k < p->graph->nodes[i]->n_outputs; k++) {
        const struct mark *m = made(p, i, k);
        if (!m)
            continue;
        if ((home == LOW ? m->n_wide : m->n_low) > 0)
            return false;
        is_read |= (home == LOW ? m->n_low : m->n_wide) > 0;
    }
    return is_read;
}

/* Whether node i could read f32 without a further Cast. */
static bool has_wide_inputs(const struct pass *p, int i)
{
    for (int k = 0; k < p->graph->nodes[i]->n_inputs; k++) {
        const struct mark *m = follower(p, i, k);
        if (m && !m->is_constant && m->home == LOW && m->n_wide == 0)
            return false;
    }
    return true;
}

/* Probabilities may be smaller than any number of f16; their logits are cast as well as they. */
static bool is_probability(const struct pass *p, int i) { return strcmp(p->graph->nodes[i]->type, "Sigmoid") == 0; }

static void correct(struct pass *p)
{
    for (int v = 0; v < p->n_values; v++) {
        p->marks[v].n_wide += p->marks[v].is_plain_output;
        p->marks[v].n_low += p->marks[v].is_state_output;
    }
    for (int i = 0; i < p->n_nodes; i++)
        count_readers(p, i, 1);
    for (int i = p->n_nodes - 1; i >= 0; i--) {
        enum kind kind = p->steps[i].kind;
        if (p->steps[i].home == FLEXIBLE)
            move_home(p, i, is_read_only(p, i, LOW) ? LOW : WIDE);
        else if (p->steps[i].home == LOW && (kind == MOVE || kind == CHEAP) && !is_lookup(p, i) && is_read_only(p, i, WIDE) &&
                 (has_wide_inputs(p, i) || is_probability(p, i)))
            move_home(p, i, WIDE);
        else if (is_source(p, i) && is_read_only(p, i, LOW))
            move_home(p, i, LOW);
    }
}

/* ---- the whole */

static bool has_low_compute(const struct pass *p)
{
    for (int i = 0; i < p->n_nodes; i++)
        for (int k = 0; p->steps[i].kind == COMPUTE && p->steps[i].home == LOW && k < p->graph->nodes[i]->n_outputs; k++)
            if (made(p, i, k))
                return true;
    return false;
}

static enum assay_status set_precision(struct assay_graph *graph, enum assay_dtype dtype, bool is_fused, struct assay_error *err)
{
    ASSAY_ASSERT(!graph->outer && (dtype == ASSAY_F16 || dtype == ASSAY_BF16));
    enum assay_status st = assay_graph_infer(graph, err);
    if (!st)
        st = assay_graph_check_precision(graph, dtype, err);
    if (st)
        return st;
    struct pass p = {
        .graph = graph,
        .dtype = dtype,
        .is_fused = is_fused,
        .largest = dtype == ASSAY_F16 ? 65504.0F : assay_bf16_to_f32(0x7f7f),
        .smallest = dtype == ASSAY_F16 ? 0x1p-24F : 0,
        .n_values = graph->n_values,
        .n_nodes = graph->n_nodes,
        .marks = assay_alloc(((size_t)graph->n_values + 1) * sizeof *p.marks),
        .steps = assay_alloc(((size_t)graph->n_nodes + 1) * sizeof *p.steps),
    };
    mark_values(&p);
    mark_states(&p);
    wish(&p);
    settle(&p);
    correct(&p);
    if (has_low_compute(&p))
        st = assay_precision_rewrite(&p, err);
    else
        st = assay_error_set(
            err, ASSAY_UNSUPPORTED,
            "the model has no product or convolution in f32 that could run in %s (bodies of If, Loop and Scan stay "
            "as they are)",
            assay_dtype_word((int)dtype));
    free(p.steps);
    free(p.marks);
    return st;
}

enum assay_status assay_graph_set_precision(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err)
{
    return set_precision(graph, dtype, false, err);
}

enum assay_status assay_graph_set_precision_fused(struct assay_graph *graph, enum assay_dtype dtype, struct assay_error *err)
{
    return set_precision(graph, dtype, true, err);
}
