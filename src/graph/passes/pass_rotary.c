/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotary positions in halves become RotaryEmbedding (ONNX opset 23):
 *
 *     Concat(a · cos - b · sin, b · cos + a · sin) of the halves a and b of x [batch, length, heads, d],
 *     with cos and sin [batch, length, 1, d / 2]
 *
 * on x as [batch, length, heads * d]. Where only the first numbers of a head are turned, and a Concat brings back the rest, that
 * is in it too (rotary_embedding_dim).
 */
#include "graph/match.h"
#include "graph/pass.h"

#include <string.h>

static const char turned[] = "Concat(Sub(Mul(a:Slice(x, ...), c), Mul(b:Slice(x, ...), s)), Add(Mul(b, c), Mul(a, s)))";

/* Slice(x, start, end) along the last of `rank` dimensions; the end may be any number beyond it. */
static bool read_slice(const struct assay_match *match, const struct assay_node *slice, int rank, int64_t *start, int64_t *end)
{
    int64_t axis, step = 1;
    if (!slice || strcmp(slice->type, "Slice") != 0 || slice->n_inputs < 4 ||
        assay_match_ints(match, slice->inputs[1], start, 1) != 1 || assay_match_ints(match, slice->inputs[2], end, 1) != 1 ||
        assay_match_ints(match, slice->inputs[3], &axis, 1) != 1)
        return false;
    if (slice->n_inputs > 4 && slice->inputs[4] >= 0 && assay_match_ints(match, slice->inputs[4], &step, 1) != 1)
        return false;
    return step == 1 && (axis == -1 || axis == rank - 1) && *start >= 0;
}

/* cos or sin: one angle for all heads. */
static bool is_table(const struct assay_graph *graph, int value, int64_t half)
{
    const struct assay_type *t = &graph->values[value].type;
    return t->rank == 4 && t->dims[2] == 1 && t->dims[3] == half;
}

struct rotary {
    int x, y; /* [batch, length, heads, d]; y: what comes out */
    int cosine, sine;
    int64_t heads, d, half;
};

/* The Concat behind that brings back what was not turned. */
static void find_rest(const struct assay_match *match, struct rotary *r)
{
    const struct assay_graph *graph = match->graph;
    int maker = assay_match_maker(match, r->x, "Slice"), reader = assay_match_sole_reader(match, r->y);
    int64_t start, end, rest_start, rest_end, axis = -1;
    if (maker < 0 || !assay_match_is(match, reader, "Concat"))
        return;
    const struct assay_node *first = graph->nodes[maker], *join = graph->nodes[reader];
    int whole = first->inputs[0], rest = join->n_inputs == 2 && join->inputs[0] == r->y ? join->inputs[1] : -1;
    maker = assay_match_maker(match, rest, "Slice");
    axis = assay_node_int(join, "axis", 0);
    if (maker < 0 || graph->nodes[maker]->inputs[0] != whole || (axis != -1 && axis != 3))
        return;
    const struct assay_type *t = &graph->values[whole].type;
    if (t->rank != 4 || t->dims[3] < 0 || !read_slice(match, first, 4, &start, &end) ||
        !read_slice(match, graph->nodes[maker], 4, &rest_start, &rest_end))
        return;
    if (start != 0 || end != r->d || rest_start != r->d || rest_end < t->dims[3])
        return;
    r->x = whole;
    r->d = t->dims[3];
    r->y = join->outputs[0];
}

static bool find(const struct assay_match *match, int index, struct rotary *r)
{
    const struct assay_graph *graph = match->graph;
    const struct assay_node *root = graph->nodes[index];
    struct assay_found found;
    int64_t start[2], end[2], axis = assay_node_int(root, "axis", 0);
    if (!assay_match_is(match, index, "Concat") || (axis != -1 && axis != 3) ||
        !assay_match_pattern(match, root->outputs[0], turned, &found))
        return false;
    r->x = assay_found_value(&found, 'x');
    r->y = root->outputs[0];
    r->cosine = assay_found_value(&found, 'c');
    r->sine = assay_found_value(&found, 's');
    const struct assay_type *x = &graph->values[r->x].type;
    bool is_float = x->dtype == ASSAY_F32 || x->dtype == ASSAY_F16 || x->dtype == ASSAY_BF16;
    if (!is_float || x->rank != 4 || x->dims[2] < 1 || x->dims[3] < 2 || x->dims[3] % 2 != 0)
        return false;
    r->heads = x->dims[2];
    r->d = x->dims[3];
    r->half = r->d / 2;
    if (!read_slice(match, assay_found_node(match, &found, 'a'), 4, &start[0], &end[0]) ||
        !read_slice(match, assay_found_node(match, &found, 'b'), 4, &start[1], &end[1]) || start[0] != 0 || end[0] != r->half ||
        start[1] != r->half || end[1] < r->d || !is_table(graph, r->cosine, r->half) || !is_table(graph, r->sine, r->half))
        return false;
    find_rest(match, r);
    return true;
}

static int reshape(struct assay_match *match, int x, const char *name, int64_t last)
{
    int inputs[] = {x, assay_match_add_ints(match, "shape", (const int64_t[]){0, 0, last}, 3)};
    const struct assay_type *t = &match->graph->values[x].type;
    struct assay_type type = assay_type_make(t->dtype, 3, (const int64_t[]){t->dims[0], t->dims[1], last});
    return assay_match_add(match, "Reshape", "", 2, inputs, name, &type);
}

static bool fuse(struct assay_match *match, int index)
{
    struct assay_graph *graph = match->graph;
    struct rotary r;
    if (!find(match, index, &r))
        return false;
    const char *name = graph->nodes[index]->name;
    int inputs[] = {reshape(match, r.x, "rotary.x", r.heads * r.d), reshape(match, r.cosine, "rotary.cos", r.half),
                    reshape(match, r.sine, "rotary.sin", r.half)};
    int y = assay_match_add(match, "RotaryEmbedding", "", 3, inputs, "rotary", &graph->values[inputs[0]].type);
    struct assay_node *node = assay_match_added(match);
    node->name = name;
    assay_node_set_int(graph, node, "num_heads", r.heads);
    if (2 * r.half != r.d)
        assay_node_set_int(graph, node, "rotary_embedding_dim", 2 * r.half);
    int back[] = {y, assay_match_add_ints(match, "shape", (const int64_t[]){0, 0, r.heads, r.d}, 4)};
    assay_match_remake(match, r.y, "Reshape", "", 2, back);
    return true;
}

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    return assay_match_each(graph, fuse, n_changes, err);
}

const struct assay_pass assay_pass_rotary = {
    .name = "rotary", .about = "the steps of rotary positions become RotaryEmbedding", .run = run};
