/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention (ONNX opset 23) from its steps:
 *
 *     MatMul(Softmax(scale · MatMul(q, kᵀ), [Where(keep, …, lowest)], [+ mask]), v)
 *
 * on [batch, heads, length, d], or on [batch, groups, heads in a group, length, d], where queries share keys. Where heads were
 * split off by Reshape and Transpose, and are joined again behind, the op takes [batch, length, heads * d], and no transpose is
 * left; where keys and values are a Concat of past and new ones, it makes that too. Otherwise it takes what the products took.
 *
 * A Where with the lowest number becomes a mask that is added: next to it any score vanishes in rounding.
 */
#include "graph/match.h"
#include "graph/pass.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 8, MAX_TERMS = 3 };

struct scores {
    int q, kt;    /* what is multiplied, without scales */
    double scale; /* all factors together */
    int terms[MAX_TERMS], n_terms;
    int keep;         /* -1 = none */
    double fill;      /* what stands where keep says so */
    bool keep_is_not; /* … where it is true */
};

static const struct assay_type *type_of(const struct assay_match *match, int value) { return &match->graph->values[value].type; }

/* A value times or divided by a number, which only one node reads: the value before. */
static int without_scale(const struct assay_match *match, int value, double *scale)
{
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        int mul = assay_match_sole_maker(match, value, "Mul"), div = assay_match_sole_maker(match, value, "Div"), other;
        double number;
        if (mul >= 0 && assay_match_with_scalar(match, mul, &number, &other)) {
            *scale *= number;
        } else if (div >= 0 && assay_match_scalar(match, match->graph->nodes[div]->inputs[1], &number) && number != 0) {
            other = match->graph->nodes[div]->inputs[0];
            *scale /= number;
        } else {
            return value;
        }
        if (type_of(match, other)->rank != type_of(match, value)->rank)
            return value;
        value = other;
    }
    return value;
}

static bool read_product(const struct assay_match *match, int value, struct scores *s)
{
    const struct assay_type *type = type_of(match, value);
    int inner = without_scale(match, value, &s->scale), maker = assay_match_sole_maker(match, inner, "MatMul");
    if (maker < 0)
        return false;
    const struct assay_node *product = match->graph->nodes[maker];
    s->q = without_scale(match, product->inputs[0], &s->scale);
    s->kt = without_scale(match, product->inputs[1], &s->scale);
    int rank = type->rank;
    return (rank == 4 || rank == 5) && type_of(match, s->q)->rank == rank && type_of(match, s->kt)->rank == rank;
}

/* From the softmax up: masks, then Where, then scales and the product. */
static bool read_scores(const struct assay_match *match, int value, int depth, struct scores *s)
{
    struct scores before = *s;
    if (depth > MAX_DEPTH)
        return false;
    if (read_product(match, value, s))
        return true;
    *s = before;
    int add = assay_match_sole_maker(match, value, "Add"), where = assay_match_sole_maker(match, value, "Where");
    if (add >= 0 && s->keep < 0 && s->n_terms < MAX_TERMS) {
        const int *inputs = match->graph->nodes[add]->inputs;
        for (int k = 0; k < 2; k++) {
            s->terms[s->n_terms++] = inputs[!k];
            if (read_scores(match, inputs[k], depth + 1, s))
                return true;
            *s = before;
        }
    }
    if (where < 0 || s->keep >= 0)
        return false;
    const int *inputs = match->graph->nodes[where]->inputs;
    s->keep = inputs[0];
    s->keep_is_not = assay_match_scalar(match, inputs[1], &s->fill);
    if (!s->keep_is_not && !assay_match_scalar(match, inputs[2], &s->fill))
        return false;
    return s->fill <= -1e30 && read_product(match, inputs[s->keep_is_not ? 2 : 1], s);
}

/* ---- where heads come from */

static bool has_order(const struct assay_node *node, int rank, const int64_t *order)
{
    size_t n;
    const int64_t *perm = assay_node_ints(node, "perm", &n);
    return perm && n == (size_t)rank && memcmp(perm, order, (size_t)rank * sizeof *perm) == 0;
}

/* What is behind a Transpose in that order; -1 if it is none. */
static int behind(const struct assay_match *match, int value, int rank, const int64_t *order)
{
    int maker = assay_match_maker(match, value, "Transpose");
    return maker >= 0 && has_order(match->graph->nodes[maker], rank, order) ? match->graph->nodes[maker]->inputs[0] : -1;
}

static int behind_unsqueeze(const struct assay_match *match, int value, int64_t axis)
{
    int64_t axes;
    int maker = assay_match_maker(match, value, "Unsqueeze");
    const struct assay_node *node = maker >= 0 ? match->graph->nodes[maker] : NULL;
    return node && node->n_inputs == 2 && assay_match_ints(match, node->inputs[1], &axes, 1) == 1 && axes == axis
               ? node->inputs[0]
               : -1;
}

static const int64_t heads_order[] = {0, 2, 1, 3}, last_two[] = {0, 1, 3, 2}, heads_last[] = {0, 2, 3, 1};
static const int64_t grouped_q[] = {0, 2, 3, 1, 4}, grouped_k[] = {0, 1, 2, 4, 3}, grouped_y[] = {0, 3, 1, 2, 4};

struct attention {
    struct scores s;
    int y;       /* what the second product makes */
    int q, k, v; /* [batch, heads, length, d]; -1 = there is none such, but … */
    int q_split; /* … [batch, length, heads, d] or [batch, length, groups, heads, d]; -1 = none */
    int k_split, v_split;
    int past_key, past_value; /* -1 = none */
    int64_t heads, kv_heads, d, dv;
    bool is_grouped;
};

/* Keys or values as Concat of past and new, read here once and else an output of the graph at most. */
static bool read_past(const struct assay_match *match, int value, int *past, int *split)
{
    int maker = assay_match_maker(match, value, "Concat");
    const struct assay_node *node = maker >= 0 ? match->graph->nodes[maker] : NULL;
    int64_t axis = node ? assay_node_int(node, "axis", 0) : 0;
    if (!node || node->n_inputs != 2 || (axis != 2 && axis != -2) ||
        match->n_uses[value] != 1 + match->graph->values[value].is_output)
        return false;
    *past = node->inputs[0];
    *split = behind(match, node->inputs[1], 4, heads_order);
    return *split >= 0;
}

static void read_sides(const struct assay_match *match, struct attention *a)
{
    const struct scores *s = &a->s;
    a->q = a->k = a->q_split = a->k_split = a->v_split = a->past_key = a->past_value = -1;
    if (a->is_grouped) {
        int k = behind(match, s->kt, 5, grouped_k);
        a->q_split = behind(match, s->q, 5, grouped_q);
        a->k = k >= 0 ? behind_unsqueeze(match, k, 2) : -1;
        a->v = behind_unsqueeze(match, a->v, 2);
    } else {
        a->q = s->q;
        a->q_split = behind(match, s->q, 4, heads_order);
        a->k = behind(match, s->kt, 4, last_two);
        a->k_split = behind(match, s->kt, 4, heads_last);
    }
    if (a->v < 0 || (a->k < 0 && a->k_split < 0))
        return;
    bool past =
        a->k >= 0 && read_past(match, a->k, &a->past_key, &a->k_split) && read_past(match, a->v, &a->past_value, &a->v_split);
    if (past)
        return;
    a->past_key = a->past_value = -1;
    if (a->k >= 0)
        a->k_split = behind(match, a->k, 4, heads_order);
    a->v_split = behind(match, a->v, 4, heads_order);
}

/* Numbers of heads and their sizes, from [batch, length, heads, d] or [batch, heads, length, d]. */
static bool read_sizes(const struct assay_match *match, struct attention *a)
{
    const struct assay_type *q = type_of(match, a->q_split >= 0 ? a->q_split : a->q);
    const struct assay_type *k = type_of(match, a->k_split >= 0 ? a->k_split : a->k);
    const struct assay_type *v = type_of(match, a->v_split >= 0 ? a->v_split : a->v);
    int q_heads = a->q_split >= 0 ? 2 : 1, kv_heads = a->k_split >= 0 ? 2 : 1;
    if (k->rank != 4 || v->rank != 4)
        return false;
    a->heads = a->is_grouped ? q->dims[2] * q->dims[3] : q->dims[q_heads];
    a->kv_heads = k->dims[kv_heads];
    a->d = q->dims[q->rank - 1];
    a->dv = v->dims[3];
    bool batch = q->dims[0] == k->dims[0] && k->dims[0] == v->dims[0];
    bool dtypes = q->dtype == k->dtype && k->dtype == v->dtype &&
                  (q->dtype == ASSAY_F32 || q->dtype == ASSAY_F16 || q->dtype == ASSAY_BF16);
    return batch && dtypes && a->heads > 0 && a->kv_heads > 0 && a->heads % a->kv_heads == 0 && a->d > 0 && a->dv > 0 &&
           k->dims[3] == a->d && v->dims[a->v_split >= 0 ? 2 : 1] == a->kv_heads &&
           (!a->is_grouped || (q->dims[2] > 0 && q->dims[2] == a->kv_heads));
}

/* ---- the mask */

/* Without the groups' dimension; -1 if it is not one mask for all heads of a group. */
static int ungroup(struct assay_match *match, int mask)
{
    struct assay_type t = *type_of(match, mask);
    if (t.rank >= 0 && t.rank <= 2)
        return mask;
    if (t.rank != 5 || t.dims[1] != 1 || t.dims[2] != 1)
        return -1;
    int whole = behind_unsqueeze(match, mask, 1);
    if (whole >= 0)
        return whole;
    int inputs[] = {mask, assay_match_add_ints(match, "axes", (const int64_t[]){1}, 1)};
    t.rank = 4;
    memmove(t.dims + 1, t.dims + 2, 3 * sizeof *t.dims);
    return assay_match_add(match, "Squeeze", "", 2, inputs, "mask", &t);
}

/* Whether it broadcasts to the scores and does not make them larger, as far as that is known. */
static bool is_mask(const struct assay_match *match, const struct attention *a, int mask, enum assay_dtype dtype)
{
    const struct assay_type *t = type_of(match, mask), *q = type_of(match, a->q_split >= 0 ? a->q_split : a->q);
    int rank = a->is_grouped ? 5 : 4;
    if (t->rank < 0 || t->rank > rank || t->dtype != dtype)
        return false;
    if (a->is_grouped && t->rank > 2 && (t->rank != 5 || t->dims[1] != 1 || t->dims[2] != 1))
        return false;
    int64_t length = q->dims[a->q_split >= 0 ? 1 : 2], rows = t->rank > 1 ? t->dims[t->rank - 2] : 1;
    if (rows >= 0 && rows != 1 && length >= 0 && rows != length)
        return false;
    bool batch = t->rank < rank || t->dims[0] == 1 || t->dims[0] == q->dims[0];
    int64_t heads = a->is_grouped || t->rank < 3 ? 1 : t->dims[t->rank - 3];
    return batch && (heads == 1 || heads == a->heads);
}

static bool are_masks(const struct assay_match *match, const struct attention *a)
{
    enum assay_dtype dtype = type_of(match, a->y)->dtype;
    bool fits = a->s.keep < 0 || is_mask(match, a, a->s.keep, ASSAY_BOOL);
    for (int i = 0; i < a->s.n_terms; i++)
        fits = fits && is_mask(match, a, a->s.terms[i], dtype);
    return fits;
}

static int scalar(struct assay_match *match, enum assay_dtype dtype, double number)
{
    struct assay_type type = assay_type_make(dtype, 0, NULL);
    struct assay_tensor tensor;
    ASSAY_ASSERT(assay_tensor_alloc(&tensor, &type, NULL) == ASSAY_OK);
    assay_tensor_set_real(&tensor, 0, number);
    int value = assay_match_add_constant(match, "number", &tensor);
    assay_tensor_release(&tensor);
    return value;
}

/* All masks as one that is added; -1 = none. */
static int make_mask(struct assay_match *match, const struct attention *a)
{
    enum assay_dtype dtype = type_of(match, a->y)->dtype;
    int mask = -1;
    if (a->s.keep >= 0) {
        int zero = scalar(match, dtype, 0), fill = scalar(match, dtype, a->s.fill);
        int keep = a->is_grouped ? ungroup(match, a->s.keep) : a->s.keep;
        struct assay_type type = *type_of(match, keep);
        type.dtype = dtype;
        mask =
            assay_match_add(match, "Where", "", 3,
                            (const int[]){keep, a->s.keep_is_not ? fill : zero, a->s.keep_is_not ? zero : fill}, "mask", &type);
    }
    for (int i = a->s.n_terms - 1; i >= 0; i--) {
        int term = a->is_grouped ? ungroup(match, a->s.terms[i]) : a->s.terms[i];
        mask = mask < 0 ? term : assay_match_add(match, "Add", "", 2, (const int[]){mask, term}, "mask", NULL);
    }
    return mask;
}

/* ---- the op */

static int join_heads(struct assay_match *match, int split, const char *name, int64_t size)
{
    int inputs[] = {split, assay_match_add_ints(match, "shape", (const int64_t[]){0, 0, size}, 3)};
    const struct assay_type *t = type_of(match, split);
    struct assay_type type = assay_type_make(t->dtype, 3, (const int64_t[]){t->dims[0], t->dims[1], size});
    return assay_match_add(match, "Reshape", "", 2, inputs, name, &type);
}

/* Keys [batch, heads, length, d] where there are only such with the length before. */
static int with_heads(struct assay_match *match, int value, int split)
{
    if (value >= 0)
        return value;
    value = assay_match_add(match, "Transpose", "", 1, &split, "heads", NULL);
    assay_node_set_ints(match->graph, assay_match_added(match), "perm", heads_order, 4);
    return value;
}

static void set_attributes(struct assay_graph *graph, struct assay_node *node, const struct attention *a, bool flat)
{
    assay_node_set_float(graph, node, "scale", (float)a->s.scale);
    if (!flat)
        return;
    assay_node_set_int(graph, node, "q_num_heads", a->heads);
    assay_node_set_int(graph, node, "kv_num_heads", a->kv_heads);
}

/* On [batch, length, heads * d]; `turned` is what the Transpose behind the second product makes. */
static void fuse_flat(struct assay_match *match, const struct attention *a, int turned, const char *name)
{
    struct assay_graph *graph = match->graph;
    int q = join_heads(match, a->q_split, "query", a->heads * a->d), k = join_heads(match, a->k_split, "key", a->kv_heads * a->d);
    int v = join_heads(match, a->v_split, "value", a->kv_heads * a->dv), mask = make_mask(match, a);
    int inputs[] = {q, k, v, mask, a->past_key, a->past_value};
    int y = assay_match_add(match, "Attention", "", a->past_key >= 0 ? 6 : mask >= 0 ? 4 : 3, inputs, "attention", NULL);
    struct assay_node *node = assay_match_added(match);
    node->name = name;
    set_attributes(graph, node, a, true);
    struct assay_type t = *type_of(match, turned);
    graph->values[y].type = assay_type_make(t.dtype, 3, (const int64_t[]){t.dims[0], t.dims[1], a->heads * a->dv});
    if (a->past_key >= 0)
        assay_match_also_make(match, graph->n_nodes - 1, 2, (const int[]){a->k, a->v});
    int64_t shape[] = {0, 0, a->is_grouped ? a->kv_heads : a->heads, a->is_grouped ? a->heads / a->kv_heads : a->dv, a->dv};
    int rank = a->is_grouped ? 5 : 4, back[] = {y, assay_match_add_ints(match, "shape", shape, rank)};
    assay_match_remake(match, turned, "Reshape", "", 2, back);
}

static void fuse_heads(struct assay_match *match, const struct attention *a, const char *name)
{
    int k = with_heads(match, a->k, a->k_split), mask = make_mask(match, a);
    int inputs[] = {a->q, k, a->v, mask};
    struct assay_node *node = assay_match_remake(match, a->y, "Attention", "", mask >= 0 ? 4 : 3, inputs);
    node->name = name;
    set_attributes(match->graph, node, a, false);
}

static bool fuse(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *softmax = graph->nodes[index];
    if (!assay_match_is(match, index, "Softmax"))
        return false;
    struct attention a = {.s = {.scale = 1, .keep = -1}};
    int rank = type_of(match, softmax->outputs[0])->rank, product = assay_match_sole_reader(match, softmax->outputs[0]);
    int64_t axis = assay_node_int(softmax, "axis", -1);
    if ((rank != 4 && rank != 5) || (axis != -1 && axis != rank - 1) || !assay_match_is(match, product, "MatMul") ||
        graph->nodes[product]->inputs[0] != softmax->outputs[0] || !read_scores(match, softmax->inputs[0], 0, &a.s))
        return false;
    a.y = graph->nodes[product]->outputs[0];
    a.v = graph->nodes[product]->inputs[1];
    a.is_grouped = rank == 5;
    if (a.v < 0 || type_of(match, a.v)->rank != rank)
        return false;
    read_sides(match, &a);
    if (a.v < 0 || (a.k < 0 && a.k_split < 0) || (a.q < 0 && a.q_split < 0) || !read_sizes(match, &a) || !are_masks(match, &a))
        return false;
    int reader = assay_match_sole_reader(match, a.y);
    bool flat = a.q_split >= 0 && a.k_split >= 0 && a.v_split >= 0 && assay_match_is(match, reader, "Transpose") &&
                has_order(graph->nodes[reader], rank, a.is_grouped ? grouped_y : heads_order);
    const char *name = graph->nodes[product]->name;
    if (flat)
        fuse_flat(match, &a, graph->nodes[reader]->outputs[0], name);
    else if (!a.is_grouped && type_of(match, a.q)->dims[1] > 0)
        fuse_heads(match, &a, name);
    else
        return false;
    return true;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return assay_match_each(graph, fuse, n_changes, err);
}

const struct assay_pass assay_pass_attention = {
    .name = "attention",
    .about = "products, scale, mask and softmax of heads become Attention, with the cache of keys",
    .run = run};
