/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products whose sides are no constants become assay.MatMul with what is around them: transposes of either side and of the
 * result, which a product can read and write as they are, a factor, and a bias that is no constant either. What gradients are
 * made of. Of bf16 those of many rows do in any case, and write the f32 of their sums if that is what is read.
 */
#include "graph/match.h"
#include "graph/pass.h"

#include <string.h>

enum { FEWEST_ROWS = 32 };

struct side {
    int value, rank; /* as the product sees it; value: of its source */
    int64_t perm[ASSAY_MAX_RANK];
    bool is_permuted;
};

struct product {
    struct side a, b;
    int bias, y; /* values; -1 = none */
    double alpha;
    int rank;
    int64_t perm_y[ASSAY_MAX_RANK];
    bool is_permuted;
};

static const struct assay_type *type_of(const struct assay_match *match, int value) { return &match->graph->values[value].type; }

/* What a Transpose does, in full; false if it is not known. */
static bool read_perm(const struct assay_node *node, int rank, int64_t *perm)
{
    size_t n;
    const int64_t *given = assay_node_ints(node, "perm", &n);
    if (rank < 2 || rank > ASSAY_MAX_RANK || (given && n != (size_t)rank))
        return false;
    for (int d = 0; d < rank; d++) {
        perm[d] = given ? given[d] : rank - 1 - d;
        if (perm[d] < 0 || perm[d] >= rank)
            return false;
    }
    return true;
}

/* One of both dimensions of the matrices must lie together. */
static bool is_matrix(const int64_t *perm, int rank) { return perm[rank - 1] == rank - 1 || perm[rank - 2] == rank - 1; }

static bool take_side(const struct assay_match *match, int value, bool transposed, struct side *side)
{
    int maker = assay_match_maker(match, value, "Transpose");
    int64_t perm[ASSAY_MAX_RANK];
    side->value = value;
    side->rank = type_of(match, value)->rank;
    if (assay_match_constant(match, value) || side->rank < 2 || side->rank > ASSAY_MAX_RANK)
        return false;
    for (int d = 0; d < side->rank; d++)
        side->perm[d] = d;
    if (transposed) {
        side->perm[side->rank - 1] = side->rank - 2;
        side->perm[side->rank - 2] = side->rank - 1;
        side->is_permuted = true;
    }
    if (maker < 0 || !read_perm(match->graph->nodes[maker], side->rank, perm))
        return true;
    int source = match->graph->nodes[maker]->inputs[0];
    int64_t both[ASSAY_MAX_RANK];
    for (int d = 0; d < side->rank; d++)
        both[d] = perm[side->perm[d]];
    if (assay_match_constant(match, source) || !is_matrix(both, side->rank))
        return !assay_match_constant(match, source);
    side->value = source;
    side->is_permuted = true;
    memcpy(side->perm, both, sizeof both);
    return true;
}

/* A vector of as many elements as the product has columns. */
static bool is_bias(const struct assay_match *match, int value, int y)
{
    const struct assay_type *t = type_of(match, value), *whole = type_of(match, y);
    return t->rank == 1 && t->dims[0] >= 0 && t->dims[0] == whole->dims[whole->rank - 1] && t->dtype == whole->dtype &&
           !assay_match_constant(match, value);
}

static bool find_product(const struct assay_match *match, int index, struct product *p)
{
    const struct assay_node *node = match->graph->nodes[index];
    bool is_gemm = assay_match_is(match, index, "Gemm");
    if (!is_gemm && !assay_match_is(match, index, "MatMul"))
        return false;
    *p = (struct product){.bias = -1, .y = node->outputs[0], .alpha = 1};
    p->rank = type_of(match, p->y)->rank;
    enum assay_dtype dtype = type_of(match, p->y)->dtype;
    if ((dtype != ASSAY_F32 && dtype != ASSAY_BF16) || p->rank < 2 || p->rank > ASSAY_MAX_RANK ||
        !take_side(match, node->inputs[0], is_gemm && assay_node_int(node, "transA", 0), &p->a) ||
        !take_side(match, node->inputs[1], is_gemm && assay_node_int(node, "transB", 0), &p->b))
        return false;
    if (!is_gemm)
        return true;
    p->alpha = (double)assay_node_float(node, "alpha", 1);
    if (node->n_inputs > 2 && node->inputs[2] >= 0) {
        if (assay_node_float(node, "beta", 1) != 1 || !is_bias(match, node->inputs[2], p->y))
            return false;
        p->bias = node->inputs[2];
    }
    return true;
}

/* A factor, a bias, a transpose of the result, a Cast of bf16 to the f32 of its sums, in this order, each if nobody else reads
 * what was before it. */
static void take_rest(struct assay_match *match, struct product *p)
{
    const struct assay_graph *graph = match->graph;
    int reader = assay_match_sole_reader(match, p->y), other;
    double number;
    if (p->bias < 0 && assay_match_is(match, reader, "Mul") && assay_match_with_scalar(match, reader, &number, &other) &&
        other == p->y && type_of(match, graph->nodes[reader]->outputs[0])->rank == p->rank) {
        p->alpha *= number;
        p->y = graph->nodes[reader]->outputs[0];
        reader = assay_match_sole_reader(match, p->y);
    } else if (p->bias < 0 && assay_match_is(match, reader, "Div") && graph->nodes[reader]->inputs[0] == p->y &&
               assay_match_scalar(match, graph->nodes[reader]->inputs[1], &number) && number != 0 &&
               type_of(match, graph->nodes[reader]->outputs[0])->rank == p->rank) {
        p->alpha /= number;
        p->y = graph->nodes[reader]->outputs[0];
        reader = assay_match_sole_reader(match, p->y);
    }
    if (p->bias < 0 && assay_match_is(match, reader, "Add")) {
        const struct assay_node *add = graph->nodes[reader];
        int bias = add->inputs[add->inputs[0] == p->y];
        if (is_bias(match, bias, p->y)) {
            p->bias = bias;
            p->y = add->outputs[0];
            reader = assay_match_sole_reader(match, p->y);
        }
    }
    if (assay_match_is(match, reader, "Transpose") && read_perm(graph->nodes[reader], p->rank, p->perm_y) &&
        is_matrix(p->perm_y, p->rank) && p->perm_y[p->rank - 1] >= p->rank - 2 &&
        (p->bias < 0 || p->perm_y[p->rank - 1] == p->rank - 1)) {
        p->is_permuted = true;
        p->y = graph->nodes[reader]->outputs[0];
        reader = assay_match_sole_reader(match, p->y);
    }
    if (type_of(match, p->y)->dtype == ASSAY_BF16 && assay_match_is(match, reader, "Cast") &&
        type_of(match, graph->nodes[reader]->outputs[0])->dtype == ASSAY_F32)
        p->y = graph->nodes[reader]->outputs[0];
}

/* Kernels of assay.MatMul pack the right side of bf16 for each run, which many rows make up for. */
static bool is_worth_packing(const struct assay_match *match, const struct product *p)
{
    const struct assay_type *y = type_of(match, p->y);
    return y->dtype == ASSAY_BF16 && y->dims[p->rank - 2] >= FEWEST_ROWS;
}

static bool fuse(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    struct product p;
    if (!find_product(match, index, &p))
        return false;
    int made = p.y;
    enum assay_dtype dtype = type_of(match, made)->dtype;
    take_rest(match, &p);
    if (made == p.y && !p.a.is_permuted && !p.b.is_permuted && !is_worth_packing(match, &p))
        return false;
    const char *name = graph->nodes[index]->name;
    struct assay_node *node =
        assay_match_remake(match, p.y, "MatMul", "assay", p.bias >= 0 ? 3 : 2, (const int[]){p.a.value, p.b.value, p.bias});
    node->name = name;
    if (p.a.is_permuted)
        assay_node_set_ints(graph, node, "perm_a", p.a.perm, (size_t)p.a.rank);
    if (p.b.is_permuted)
        assay_node_set_ints(graph, node, "perm_b", p.b.perm, (size_t)p.b.rank);
    if (p.is_permuted)
        assay_node_set_ints(graph, node, "perm_y", p.perm_y, (size_t)p.rank);
    if (dtype != ASSAY_F32 && type_of(match, p.y)->dtype == ASSAY_F32)
        assay_node_set_int(graph, node, "to", ASSAY_F32);
    if (p.alpha != 1)
        assay_node_set_float(graph, node, "alpha", (float)p.alpha);
    return true;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return assay_match_each(graph, fuse, n_changes, err);
}

const struct assay_pass assay_pass_product = {
    .name = "product",
    .about = "products of which no side is constant, with transposes, factor and bias, become assay.MatMul",
    .run = run,
    .is_last = true};
