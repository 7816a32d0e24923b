/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes nothing goes (Identity, × 1, + 0, a Cast to the same dtype, a Slice of everything …), and two moves in a row
 * become one: Transpose of Transpose, Reshape of Reshape. One walk over the nodes in order, each seeing what came of those
 * before it.
 */
#include "graph/match.h"
#include "graph/pass.h"

#include <limits.h>
#include <string.h>

static const struct assay_type *type_of(const struct assay_match *match, int value) { return &match->graph->values[value].type; }

/* ---- nodes that give what they get: the input that stands for output 0, or -1 */

static bool is_training(const struct assay_match *match, const struct assay_node *node)
{
    if (node->n_inputs < 3 || node->inputs[2] < 0)
        return false;
    const struct assay_tensor *mode = assay_match_constant(match, node->inputs[2]);
    return !mode || assay_tensor_count(mode) != 1 || assay_tensor_int(mode, 0) != 0;
}

static bool has_second_output(const struct assay_match *match, const struct assay_node *node)
{
    return node->n_outputs > 1 && node->outputs[1] >= 0 && match->n_uses[node->outputs[1]] > 0;
}

/* x ∘ c and, where the op commutes, c ∘ x, with c one number that changes nothing and adds no dimension. */
static int without_neutral(const struct assay_match *match, const struct assay_node *node, double neutral, bool commutes)
{
    for (int k = 1; k >= !commutes && node->n_inputs == 2; k--) {
        int x = node->inputs[1 - k];
        double c;
        if (assay_match_scalar(match, node->inputs[k], &c) && c == neutral &&
            type_of(match, node->inputs[k])->rank <= type_of(match, x)->rank)
            return x;
    }
    return -1;
}

static bool is_whole_slice(const struct assay_match *match, const struct assay_node *node)
{
    int64_t starts[ASSAY_MAX_RANK], ends[ASSAY_MAX_RANK], axes[ASSAY_MAX_RANK], steps[ASSAY_MAX_RANK];
    const struct assay_type *x = type_of(match, node->inputs[0]);
    if (node->n_inputs < 3)
        return false;
    int n = assay_match_ints(match, node->inputs[1], starts, ASSAY_MAX_RANK);
    if (n < 0 || assay_match_ints(match, node->inputs[2], ends, ASSAY_MAX_RANK) != n)
        return false;
    for (int i = 0; i < n; i++) {
        axes[i] = i;
        steps[i] = 1;
    }
    if (node->n_inputs > 3 && node->inputs[3] >= 0 && assay_match_ints(match, node->inputs[3], axes, ASSAY_MAX_RANK) != n)
        return false;
    if (node->n_inputs > 4 && node->inputs[4] >= 0 && assay_match_ints(match, node->inputs[4], steps, ASSAY_MAX_RANK) != n)
        return false;
    for (int i = 0; i < n; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + x->rank : axes[i];
        if (axis < 0 || axis >= x->rank || starts[i] != 0 || steps[i] != 1)
            return false;
        if (ends[i] < INT32_MAX && (x->dims[axis] < 0 || ends[i] < x->dims[axis]))
            return false;
    }
    return true;
}

static bool is_zero_pad(const struct assay_match *match, const struct assay_node *node)
{
    int64_t pads[2 * ASSAY_MAX_RANK];
    int n = node->n_inputs > 1 ? assay_match_ints(match, node->inputs[1], pads, 2 * ASSAY_MAX_RANK) : -1;
    for (int i = 0; i < n; i++)
        if (pads[i] != 0)
            return false;
    return n >= 0;
}

/* Reshape to the shape that is there: every number of it copies a dimension or is that dimension, but for one at most. */
static bool is_same_reshape(const struct assay_match *match, const struct assay_node *node)
{
    const struct assay_type *x = type_of(match, node->inputs[0]), *y = type_of(match, node->outputs[0]);
    int64_t shape[ASSAY_MAX_RANK];
    if (assay_type_is_known(x) && assay_type_is_known(y))
        return assay_type_equal(x, y);
    int n = node->n_inputs == 2 ? assay_match_ints(match, node->inputs[1], shape, ASSAY_MAX_RANK) : -1, n_left = 0;
    if (n < 0 || n != x->rank || assay_node_int(node, "allowzero", 0))
        return false;
    for (int d = 0; d < n; d++) {
        if (shape[d] == 0 || (shape[d] > 0 && shape[d] == x->dims[d]))
            continue;
        n_left++;
        if (shape[d] != -1)
            return false;
    }
    return n_left <= 1;
}

static bool is_known_same(const struct assay_match *match, const struct assay_node *node)
{
    const struct assay_type *x = type_of(match, node->inputs[0]), *y = type_of(match, node->outputs[0]);
    return assay_type_is_known(x) && assay_type_equal(x, y);
}

static bool is_same_order(const struct assay_match *match, const struct assay_node *node)
{
    size_t n;
    int rank = type_of(match, node->inputs[0])->rank;
    const int64_t *perm = assay_node_ints(node, "perm", &n);
    if (rank < 0 || (!perm && rank > 1) || (perm && n != (size_t)rank))
        return false;
    for (int d = 0; perm && d < rank; d++)
        if (perm[d] != d)
            return false;
    return true;
}

static bool same_axes(const struct assay_match *match, const struct assay_node *a, const struct assay_node *b)
{
    int64_t x[ASSAY_MAX_RANK], y[ASSAY_MAX_RANK];
    if (a->n_inputs < 2 || b->n_inputs < 2)
        return false;
    int n = assay_match_ints(match, a->inputs[1], x, ASSAY_MAX_RANK);
    return n >= 0 && assay_match_ints(match, b->inputs[1], y, ASSAY_MAX_RANK) == n && memcmp(x, y, (size_t)n * sizeof *x) == 0;
}

/* Squeeze of what Unsqueeze made, or the other way about, along the same axes. */
static int behind_pair(const struct assay_match *match, const struct assay_node *node, const char *other)
{
    int maker = assay_match_maker(match, node->inputs[0], other);
    return maker >= 0 && same_axes(match, node, match->graph->nodes[maker]) ? match->graph->nodes[maker]->inputs[0] : -1;
}

static int unchanged(const struct assay_match *match, const struct assay_node *node)
{
    static const char *const of_one[] = {"Concat", "Sum", "Max", "Min", "Mean"};
    const char *type = node->type;
    int x = node->n_inputs > 0 ? node->inputs[0] : -1;
    if (x < 0 || *node->domain)
        return -1;
    if (strcmp(type, "Identity") == 0)
        return x;
    if (strcmp(type, "Dropout") == 0)
        return is_training(match, node) || has_second_output(match, node) ? -1 : x;
    if (strcmp(type, "Cast") == 0)
        return assay_node_int(node, "to", 0) == (int64_t)type_of(match, x)->dtype ? x : -1;
    if (strcmp(type, "Mul") == 0)
        return without_neutral(match, node, 1, true);
    if (strcmp(type, "Div") == 0 || strcmp(type, "Pow") == 0)
        return without_neutral(match, node, 1, false);
    if (strcmp(type, "Add") == 0)
        return without_neutral(match, node, 0, true);
    if (strcmp(type, "Sub") == 0)
        return without_neutral(match, node, 0, false);
    if (strcmp(type, "Slice") == 0)
        return is_whole_slice(match, node) ? x : -1;
    if (strcmp(type, "Pad") == 0)
        return is_zero_pad(match, node) ? x : -1;
    if (strcmp(type, "Reshape") == 0)
        return is_same_reshape(match, node) ? x : -1;
    if (strcmp(type, "Expand") == 0)
        return is_known_same(match, node) ? x : -1;
    if (strcmp(type, "Transpose") == 0)
        return is_same_order(match, node) ? x : -1;
    if (strcmp(type, "Squeeze") == 0)
        return behind_pair(match, node, "Unsqueeze");
    if (strcmp(type, "Unsqueeze") == 0)
        return behind_pair(match, node, "Squeeze");
    for (size_t i = 0; i < ASSAY_COUNT(of_one); i++)
        if (strcmp(type, of_one[i]) == 0)
            return node->n_inputs == 1 ? x : -1;
    return -1;
}

/* ---- two moves in a row */

static bool read_perm(const struct assay_node *node, int rank, int64_t *perm)
{
    size_t n;
    const int64_t *given = assay_node_ints(node, "perm", &n);
    if (given && n != (size_t)rank)
        return false;
    for (int d = 0; d < rank; d++)
        perm[d] = given ? given[d] : rank - 1 - d;
    return true;
}

/* The inner Transpose stays for whoever else reads it: the outer one costs no more than before. */
static bool join_transposes(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    const struct assay_node *outer = graph->nodes[index];
    int maker = assay_match_maker(match, outer->inputs[0], "Transpose"), rank = type_of(match, outer->inputs[0])->rank;
    int64_t first[ASSAY_MAX_RANK], second[ASSAY_MAX_RANK], both[ASSAY_MAX_RANK];
    if (maker < 0 || rank < 0 || !read_perm(graph->nodes[maker], rank, first) || !read_perm(outer, rank, second))
        return false;
    for (int d = 0; d < rank; d++)
        both[d] = first[second[d]];
    int x = graph->nodes[maker]->inputs[0];
    struct assay_node *node = assay_match_remake(match, outer->outputs[0], "Transpose", "", 1, &x);
    assay_node_set_ints(graph, node, "perm", both, (size_t)rank);
    return true;
}

/* A Transpose that moves only dimensions of size 1 past the others moves no byte. */
static bool transpose_to_reshape(struct assay_match *match, int index)
{
    const struct assay_node *node = match->graph->nodes[index];
    const struct assay_type *x = type_of(match, node->inputs[0]);
    int64_t perm[ASSAY_MAX_RANK], shape[ASSAY_MAX_RANK], last = -1;
    int n_open = 0;
    if (x->rank < 1 || !read_perm(node, x->rank, perm))
        return false;
    for (int d = 0; d < x->rank; d++) {
        int64_t dim = x->dims[perm[d]];
        shape[d] = dim;
        n_open += dim < 0;
        if (dim == 0 || (dim != 1 && perm[d] < last))
            return false;
        last = dim != 1 ? perm[d] : last;
    }
    if (n_open > 1)
        return false;
    int n = x->rank, inputs[] = {node->inputs[0], assay_match_add_ints(match, "shape", shape, n)};
    assay_match_remake(match, node->outputs[0], "Reshape", "", 2, inputs);
    return true;
}

static bool is_reshape(const struct assay_match *match, int value, int *of)
{
    static const char *const types[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < ASSAY_COUNT(types); i++) {
        int maker = assay_match_maker(match, value, types[i]);
        if (maker >= 0) {
            *of = match->graph->nodes[maker]->inputs[0];
            return true;
        }
    }
    return false;
}

/* The outer shape in terms of x: a copied dimension must be known, or one that x has at the same place behind copied ones. */
static bool rewrite_shape(const struct assay_match *match, int between, int x, int64_t *shape, int n)
{
    const struct assay_type *b = type_of(match, between);
    const struct assay_node *inner = match->graph->nodes[match->graph->values[between].producer];
    int64_t copied[ASSAY_MAX_RANK];
    bool is_constant = strcmp(inner->type, "Reshape") == 0 && !assay_node_int(inner, "allowzero", 0);
    int n_copied = is_constant ? assay_match_ints(match, inner->inputs[1], copied, ASSAY_MAX_RANK) : -1;
    for (int d = 0; d < n; d++) {
        if (shape[d] != 0)
            continue;
        if (d < b->rank && b->dims[d] > 0)
            shape[d] = b->dims[d];
        else if (d >= n_copied || copied[d] != 0 || d >= type_of(match, x)->rank)
            return false;
    }
    return true;
}

static bool join_reshapes(struct assay_match *match, int index)
{
    const struct assay_node *outer = match->graph->nodes[index];
    int64_t shape[ASSAY_MAX_RANK];
    int x, n = outer->n_inputs == 2 ? assay_match_ints(match, outer->inputs[1], shape, ASSAY_MAX_RANK) : -1;
    if (n < 0 || assay_node_int(outer, "allowzero", 0) || !is_reshape(match, outer->inputs[0], &x) ||
        !rewrite_shape(match, outer->inputs[0], x, shape, n))
        return false;
    int inputs[] = {x, assay_match_add_ints(match, "shape", shape, n)};
    assay_match_remake(match, outer->outputs[0], "Reshape", "", 2, inputs);
    return true;
}

static bool simplify(struct assay_match *match, int index)
{
    assay_match_renew(match, index);
    const struct assay_node *node = match->graph->nodes[index];
    if (node->n_outputs < 1 || node->outputs[0] < 0)
        return false;
    int same = unchanged(match, node);
    if (same >= 0)
        return assay_match_alias(match, index, node->outputs[0], same);
    if (assay_match_is(match, index, "Transpose"))
        return join_transposes(match, index) || transpose_to_reshape(match, index);
    return assay_match_is(match, index, "Reshape") && join_reshapes(match, index);
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return assay_match_each(graph, simplify, n_changes, err);
}

const struct assay_pass assay_pass_algebra = {
    .name = "algebra", .about = "what changes nothing goes; two transposes or reshapes in a row become one", .run = run};
