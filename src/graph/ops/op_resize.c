/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize, and Upsample, which is an older form of it. One dimension after another: for each output coordinate a table says which
 * inputs it is made of, and with what weights. Interpolation is in double throughout and rounded once; nearest moves bytes.
 */
#include "graph/ops/resize.h"

#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum mode { NEAREST, LINEAR, CUBIC };
enum transformation { HALF_PIXEL, PYTORCH_HALF_PIXEL, SYMMETRIC, ALIGN_CORNERS, ASYMMETRIC, TF_HALF_PIXEL, TF_CROP };
enum nearest { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { MAX_TAPS = ASSAY_RESIZE_TAPS };

struct resize {
    enum mode mode;
    enum transformation transformation;
    enum nearest nearest;
    double cubic_a, extrapolation;
    bool exclude_outside;
    int64_t in[ASSAY_MAX_RANK], out[ASSAY_MAX_RANK]; /* dimensions; out -1 = unknown */
    double scale[ASSAY_MAX_RANK];
    double roi_start[ASSAY_MAX_RANK], roi_end[ASSAY_MAX_RANK];
};

/* ---- attributes and sizes */

struct word {
    const char *word;
    int value;
};

static enum assay_status read_word(const struct assay_op_call *call, const char *name, const char *otherwise,
                                   const struct word *words, int *value, struct assay_error *err)
{
    const char *given = assay_node_string(call->node, name, otherwise);
    for (; words->word; words++) {
        if (strcmp(words->word, given) == 0) {
            *value = words->value;
            return ASSAY_OK;
        }
    }
    return assay_error_set(err, ASSAY_UNSUPPORTED, "%s = '%.60s' is not supported", name, given);
}

static enum assay_status read_modes(const struct assay_op_call *call, struct resize *r, struct assay_error *err)
{
    static const struct word modes[] = {{"nearest", NEAREST}, {"linear", LINEAR}, {"cubic", CUBIC}, {0}};
    static const struct word transformations[] = {{"half_pixel", HALF_PIXEL},          {"pytorch_half_pixel", PYTORCH_HALF_PIXEL},
                                                  {"half_pixel_symmetric", SYMMETRIC}, {"align_corners", ALIGN_CORNERS},
                                                  {"asymmetric", ASYMMETRIC},          {"tf_half_pixel_for_nn", TF_HALF_PIXEL},
                                                  {"tf_crop_and_resize", TF_CROP},     {0}};
    static const struct word nearests[] = {{"round_prefer_floor", ROUND_PREFER_FLOOR},
                                           {"round_prefer_ceil", ROUND_PREFER_CEIL},
                                           {"floor", FLOOR},
                                           {"ceil", CEIL},
                                           {0}};
    bool upsample = strcmp(call->node->type, "Upsample") == 0;
    int mode = NEAREST, transformation = ASYMMETRIC, nearest = FLOOR;
    enum assay_status st = read_word(call, "mode", "nearest", modes, &mode, err);
    if (!st && !upsample)
        st = read_word(call, "coordinate_transformation_mode", "half_pixel", transformations, &transformation, err);
    if (!st && !upsample)
        st = read_word(call, "nearest_mode", "round_prefer_floor", nearests, &nearest, err);
    if (!st && assay_node_int(call->node, "antialias", 0) != 0)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "antialias is not supported");
    const char *policy = assay_node_string(call->node, "keep_aspect_ratio_policy", "stretch");
    if (!st && strcmp(policy, "stretch") != 0)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "keep_aspect_ratio_policy = '%.60s' is not supported", policy);
    r->mode = (enum mode)mode;
    r->transformation = (enum transformation)transformation;
    r->nearest = (enum nearest)nearest;
    r->cubic_a = (double)assay_node_float(call->node, "cubic_coeff_a", -0.75F);
    r->extrapolation = (double)assay_node_float(call->node, "extrapolation_value", 0);
    r->exclude_outside = assay_node_int(call->node, "exclude_outside", 0) != 0;
    return st;
}

/* The axes that scales, sizes and roi speak of: all, unless the node says so (opset 18). */
static enum assay_status read_axes(const struct assay_op_call *call, int rank, int axes[ASSAY_MAX_RANK], int *n_axes,
                                   struct assay_error *err)
{
    size_t n;
    unsigned mask;
    const int64_t *listed = assay_node_ints(call->node, "axes", &n);
    *n_axes = listed ? (int)n : rank;
    if (!listed) {
        for (int i = 0; i < rank; i++)
            axes[i] = i;
        return ASSAY_OK;
    }
    enum assay_status st = assay_rule_axes(listed, n, rank, &mask, err);
    for (size_t i = 0; i < n && !st; i++)
        st = assay_rule_axis(listed[i], rank, &axes[i], err);
    return st;
}

/* Sizes in f32, as the standard's own shape inference computes them. */
static enum assay_status scale_axis(struct resize *r, int axis, double scale, struct assay_error *err)
{
    float size = floorf((float)r->in[axis] * (float)scale);
    if (!(scale > 0) || !(size < 1e15F))
        return assay_error_set(err, ASSAY_INVALID, "a scale of %g cannot be", scale);
    r->scale[axis] = scale;
    r->out[axis] = (int64_t)size;
    if (r->transformation == ALIGN_CORNERS && r->out[axis] > 1 &&
        fabs((double)r->in[axis] * scale - (double)r->out[axis]) > 1e-4 * (double)r->out[axis])
        return assay_error_set(err, ASSAY_UNSUPPORTED,
                               "align_corners with a scale of %g, which makes no whole number of %" PRId64
                               " points, is not supported: the standard's text and its test data differ",
                               scale, r->in[axis]);
    return ASSAY_OK;
}

static enum assay_status size_axis(struct resize *r, int axis, int64_t size, struct assay_error *err)
{
    if (size < 0)
        return assay_error_set(err, ASSAY_INVALID, "a size of %" PRId64 " cannot be", size);
    r->out[axis] = size;
    r->scale[axis] = r->in[axis] > 0 ? (double)size / (double)r->in[axis] : 1;
    return ASSAY_OK;
}

static bool is_filled(const struct assay_op_call *call, int i)
{
    const struct assay_tensor *tensor = assay_rule_data(call, i);
    if (tensor)
        return assay_tensor_count(tensor) > 0;
    return assay_rule_has_input(call, i) && assay_type_count(&call->inputs[i]) != 0;
}

static enum assay_status check_length(const struct assay_tensor *list, int wanted, const char *what, struct assay_error *err)
{
    if (list->type.rank != 1 || list->type.dims[0] != wanted)
        return assay_error_set(err, ASSAY_INVALID, "%s has %" PRId64 " numbers where %d are needed", what,
                               assay_tensor_count(list), wanted);
    return ASSAY_OK;
}

/* Everything that the node says, for input 0 of known rank; *known is false where a list is not known yet. */
static enum assay_status read_resize(const struct assay_op_call *call, struct resize *r, bool *known, struct assay_error *err)
{
    const struct assay_type *x = &call->inputs[0];
    bool upsample = strcmp(call->node->type, "Upsample") == 0;
    int scales_at = upsample ? 1 : 2, axes[ASSAY_MAX_RANK], n_axes = 0;
    bool has_scales = is_filled(call, scales_at), has_sizes = !upsample && is_filled(call, 3);
    *r = (struct resize){0};
    enum assay_status st = read_modes(call, r, err);
    if (!st)
        st = read_axes(call, x->rank, axes, &n_axes, err);
    if (!st && has_scales == has_sizes && (assay_rule_data(call, scales_at) || !has_scales))
        st = assay_error_set(err, ASSAY_INVALID, "it needs either scales or sizes");
    for (int d = 0; d < x->rank; d++) {
        r->in[d] = r->out[d] = x->dims[d];
        r->scale[d] = r->roi_end[d] = 1;
    }
    const struct assay_tensor *list = assay_rule_data(call, has_sizes ? 3 : scales_at);
    *known = list != NULL;
    if (st || !list)
        return st;
    st = check_length(list, n_axes, has_sizes ? "sizes" : "scales", err);
    for (int i = 0; i < n_axes && !st; i++) {
        if (has_sizes)
            st = size_axis(r, axes[i], assay_tensor_int(list, i), err);
        else if (r->in[axes[i]] >= 0)
            st = scale_axis(r, axes[i], assay_tensor_real(list, i), err);
    }
    const struct assay_tensor *roi = upsample ? NULL : assay_rule_data(call, 1);
    if (st || r->transformation != TF_CROP || !roi)
        return st;
    st = check_length(roi, 2 * n_axes, "roi", err);
    for (int i = 0; i < n_axes && !st; i++) {
        r->roi_start[axes[i]] = assay_tensor_real(roi, i);
        r->roi_end[axes[i]] = assay_tensor_real(roi, n_axes + i);
    }
    return st;
}

static enum assay_status infer_resize(struct assay_op_call *call, struct assay_error *err)
{
    struct resize r;
    bool known;
    const struct assay_type *x = &call->inputs[0];
    struct assay_type *y = &call->outputs[0];
    const char *mode = assay_node_string(call->node, "mode", "nearest");
    unsigned set = strcmp(mode, "nearest") == 0 ? ASSAY_SET_ANY : ASSAY_SET_FLOAT;
    enum assay_status st = assay_rule_dtype(call, 0, set, err);
    *y = *x;
    if (st || x->rank < 0)
        return st;
    st = read_resize(call, &r, &known, err);
    for (int d = 0; d < x->rank && !st; d++) {
        y->dims[d] = known ? r.out[d] : -1;
        if (x->dims[d] == 0 && y->dims[d] > 0)
            st = assay_error_set(err, ASSAY_INVALID, "nothing cannot be resized to something");
    }
    return st;
}

/* ---- coordinates */

static double crop(const struct resize *r, int d, double x)
{
    double start = r->roi_start[d], end = r->roi_end[d], last = (double)(r->in[d] - 1);
    if (r->out[d] <= 1)
        return 0.5 * (start + end) * last;
    return start * last + x * (end - start) * last / (double)(r->out[d] - 1);
}

static float crop_narrow(const struct resize *r, int d, int64_t i)
{
    float start = (float)r->roi_start[d], end = (float)r->roi_end[d], last = (float)(r->in[d] - 1);
    if (r->out[d] <= 1)
        return 0.5F * (start + end) * last;
    return start * last + (float)i * (end - start) * last / (float)(r->out[d] - 1);
}

/* Where output coordinate i of dimension d lies in the input. In double for interpolation; in f32 for nearest, where the
 * standard's runtimes agree on the pixel only if they round alike. */
static double coordinate(const struct resize *r, int d, int64_t i)
{
    double in = (double)r->in[d], out = (double)r->out[d], x = (double)i, scale = r->scale[d];
    bool narrow = r->mode == NEAREST;
    switch (r->transformation) {
    case PYTORCH_HALF_PIXEL:
        if (r->out[d] <= 1)
            return 0;
        break;
    case ALIGN_CORNERS:
        if (r->out[d] <= 1)
            return 0;
        return narrow ? (double)((float)i * (float)(r->in[d] - 1) / (float)(r->out[d] - 1)) : x * (in - 1) / (out - 1);
    case ASYMMETRIC:
        return narrow ? (double)((float)i / (float)scale) : x / scale;
    case TF_HALF_PIXEL:
        return narrow ? (double)(((float)i + 0.5F) / (float)scale) : (x + 0.5) / scale;
    case TF_CROP:
        return narrow ? (double)crop_narrow(r, d, i) : crop(r, d, x);
    case SYMMETRIC: {
        double adjustment = out / (scale * in), center = in / 2;
        return center * (1 - adjustment) + (x + 0.5) / scale - 0.5;
    }
    case HALF_PIXEL:
        break;
    }
    return narrow ? (double)(((float)i + 0.5F) / (float)scale - 0.5F) : (x + 0.5) / scale - 0.5;
}

static int64_t clamp_index(double index, int64_t n) { return index > 0 ? (index < (double)(n - 1) ? (int64_t)index : n - 1) : 0; }

static double round_nearest(enum nearest nearest, double x)
{
    switch (nearest) {
    case FLOOR:
        return floor(x);
    case CEIL:
        return ceil(x);
    case ROUND_PREFER_CEIL:
        return floor(x + 0.5);
    case ROUND_PREFER_FLOOR:
        break;
    }
    return ceil(x - 0.5);
}

/* Weights of the four neighbours at distance 1 + t, t, 1 - t, 2 - t (R. Keys, "Cubic convolution interpolation …", 1981). */
static void cubic_weights(double a, double t, double weight[MAX_TAPS])
{
    double u = 1 - t;
    weight[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    weight[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    weight[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    weight[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
}

static struct assay_resize_taps taps_at(const struct resize *r, int d, int64_t i)
{
    double x = coordinate(r, d, i), last = (double)(r->in[d] - 1), sum = 0;
    struct assay_resize_taps taps = {.n = 1, .weight = {1}};
    if (r->transformation == TF_CROP && !(x >= 0 && x <= last))
        return (struct assay_resize_taps){0};
    if (r->mode == NEAREST) {
        taps.index[0] = clamp_index(round_nearest(r->nearest, x), r->in[d]);
        return taps;
    }
    double below = floor(x), t = x - below;
    int before = r->mode == CUBIC ? 1 : 0;
    taps.n = r->mode == CUBIC ? 4 : 2;
    if (r->mode == CUBIC) {
        cubic_weights(r->cubic_a, t, taps.weight);
    } else {
        taps.weight[0] = 1 - t;
        taps.weight[1] = t;
    }
    for (int k = 0; k < taps.n; k++) {
        double at = below + k - before;
        taps.index[k] = clamp_index(at, r->in[d]);
        if (r->mode == CUBIC && r->exclude_outside && (at < 0 || at > last))
            taps.weight[k] = 0;
        sum += taps.weight[k];
    }
    if (r->mode == CUBIC && r->exclude_outside)
        for (int k = 0; k < taps.n; k++)
            taps.weight[k] /= sum;
    return taps;
}

static bool is_identity(const struct assay_resize_taps *taps, int64_t n_in, int64_t n_out)
{
    bool same = n_in == n_out;
    for (int64_t i = 0; i < n_out && same; i++) {
        double weight = 0;
        for (int k = 0; k < taps[i].n; k++)
            weight += taps[i].index[k] == i ? taps[i].weight[k] : 0;
        same = weight == 1;
    }
    return same;
}

/* ---- one dimension */

/* from [outer, in, inner] to [outer, out, inner]. */
static void interpolate(const struct resize *r, int d, const struct assay_resize_taps *taps, const double *from, double *to,
                        int64_t outer, int64_t inner)
{
    for (int64_t o = 0; o < outer; o++, from += r->in[d] * inner) {
        for (int64_t i = 0; i < r->out[d]; i++, to += inner) {
            const struct assay_resize_taps *t = &taps[i];
            for (int64_t j = 0; j < inner; j++)
                to[j] = t->n ? t->weight[0] * from[t->index[0] * inner + j] : r->extrapolation;
            for (int k = 1; k < t->n; k++)
                for (int64_t j = 0; j < inner; j++)
                    to[j] += t->weight[k] * from[t->index[k] * inner + j];
        }
    }
}

#define PICK(name, type)                                                                                                         \
    static void name(const struct assay_resize_taps *taps, const type *from, type *to, int64_t n, const type *outside)           \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                                          \
            to[i] = taps[i].n ? from[taps[i].index[0]] : *outside;                                                               \
    }
PICK(pick_1, uint8_t)
PICK(pick_2, uint16_t)
PICK(pick_4, uint32_t)
PICK(pick_8, uint64_t)

/* The same for nearest: elements of any type; `outside` is one of them. */
static void pick(const struct resize *r, int d, const struct assay_resize_taps *taps, const char *from, char *to, int64_t outer,
                 int64_t inner, size_t size, const void *outside)
{
    size_t row = (size_t)inner * size;
    for (int64_t o = 0; o < outer; o++, from += (size_t)r->in[d] * row, to += (size_t)r->out[d] * row) {
        if (inner == 1 && size == 1)
            pick_1(taps, (const uint8_t *)from, (uint8_t *)to, r->out[d], outside);
        else if (inner == 1 && size == 2)
            pick_2(taps, (const uint16_t *)(const void *)from, (uint16_t *)(void *)to, r->out[d], outside);
        else if (inner == 1 && size == 4)
            pick_4(taps, (const uint32_t *)(const void *)from, (uint32_t *)(void *)to, r->out[d], outside);
        else if (inner == 1)
            pick_8(taps, (const uint64_t *)(const void *)from, (uint64_t *)(void *)to, r->out[d], outside);
        for (int64_t i = 0; i < r->out[d] && inner > 1; i++) {
            if (taps[i].n)
                memcpy(to + (size_t)i * row, from + (size_t)taps[i].index[0] * row, row);
            for (int64_t j = 0; j < inner && !taps[i].n; j++)
                memcpy(to + (size_t)i * row + (size_t)j * size, outside, size);
        }
    }
}

/* Resizes dimension d of *tensor, which is replaced. */
static enum assay_status resize_dimension(const struct resize *r, int d, struct assay_tensor *tensor, const void *outside,
                                          struct assay_error *err)
{
    struct assay_tensor next = {0};
    struct assay_type type = tensor->type;
    struct assay_resize_taps *taps = malloc((size_t)r->out[d] * sizeof *taps);
    enum assay_status st = ASSAY_OK;
    if (!taps)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %" PRId64 " coordinates", r->out[d]);
    for (int64_t i = 0; i < r->out[d]; i++)
        taps[i] = taps_at(r, d, i);
    if (is_identity(taps, r->in[d], r->out[d]))
        goto done;
    type.dims[d] = r->out[d];
    st = assay_tensor_alloc(&next, &type, err);
    if (st)
        goto done;
    struct assay_split split = assay_split_at(&tensor->type, d);
    if (r->mode == NEAREST)
        pick(r, d, taps, tensor->data, next.data, split.outer, split.inner, assay_dtype_size(type.dtype), outside);
    else
        interpolate(r, d, taps, tensor->data, next.data, split.outer, split.inner);
    assay_tensor_release(tensor);
    *tensor = next;
done:
    free(taps);
    return st;
}

static enum assay_status run_resize(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_tensor *x = call->data[0];
    struct assay_tensor *y = &call->results[0], work = {0}, outside = {0};
    struct assay_type one = {.dtype = x->type.dtype};
    struct resize r;
    bool known;
    if (assay_tensor_count(y) == 0)
        return ASSAY_OK;
    enum assay_status st = read_resize(call, &r, &known, err);
    if (!st)
        st = assay_tensor_alloc(&outside, &one, err);
    if (st)
        return st;
    assay_tensor_set_real(&outside, 0, r.extrapolation);
    if (r.mode == NEAREST)
        assay_tensor_share(&work, x);
    else
        st = assay_tensor_convert(&work, x, ASSAY_F64, err);
    for (int d = 0; d < x->type.rank && !st; d++)
        st = resize_dimension(&r, d, &work, outside.data, err);
    if (!st && work.type.dtype == x->type.dtype && !assay_tensor_is_shared(&work)) {
        assay_tensor_release(y);
        *y = work;
        work = (struct assay_tensor){0};
    } else if (!st) {
        assay_tensor_release(y);
        st = assay_tensor_convert(y, &work, x->type.dtype, err);
    }
    assay_tensor_release(&work);
    assay_tensor_release(&outside);
    return st;
}

enum assay_status assay_resize_find_taps(const struct assay_op_call *call, int d, struct assay_resize_taps *taps,
                                         struct assay_error *err)
{
    struct resize r;
    bool known;
    enum assay_status st = read_resize(call, &r, &known, err);
    if (!st && !known)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "its sizes are not known");
    for (int64_t i = 0; !st && i < r.out[d]; i++)
        taps[i] = taps_at(&r, d, i);
    return st;
}

/* Multiply-adds of the taps in every dimension, as if all were interpolated at once. */
static void cost_resize(const struct assay_op_call *call, struct assay_cost *cost)
{
    const char *mode = assay_node_string(call->node, "mode", "nearest");
    double per_dimension = strcmp(mode, "cubic") == 0 ? 8 : strcmp(mode, "linear") == 0 ? 4 : 0;
    for (int d = 0; d < call->inputs[0].rank; d++)
        if (call->inputs[0].dims[d] != call->outputs[0].dims[d])
            cost->flops += per_dimension * (double)assay_type_count(&call->outputs[0]);
}

/* ---- gradient: each dimension is resized by a matrix, whose transpose takes the gradient back */

enum { MATRIX_ROOM = 1 << 24 };

static bool resize_of(const struct assay_gradient *g, struct resize *r)
{
    bool known = false;
    struct assay_op_call call = e_call(g->e, g->node);
    return e_take_known(g->e, read_resize(&call, r, &known, NULL), &known, "its scales or sizes must be constant");
}

/* Whether dimension d repeats each element as often as the next. */
static bool repeats(const struct resize *r, int d)
{
    int64_t times = r->in[d] ? r->out[d] / r->in[d] : 0;
    bool so = r->mode == NEAREST && times > 0 && r->out[d] == times * r->in[d];
    for (int64_t i = 0; so && i < r->out[d]; i++) {
        struct assay_resize_taps taps = taps_at(r, d, i);
        so = taps.n == 1 && taps.index[0] == i / times;
    }
    return so;
}

/* Repeated pixels: the sum of each block is its mean times its size, which pools in any layout. */
static int sum_of_blocks(struct assay_emit *e, const struct resize *r, int rank, int dy)
{
    int64_t block[ASSAY_MAX_RANK], count = 1;
    for (int d = 2; d < rank; d++) {
        block[d - 2] = r->out[d] / r->in[d];
        count *= block[d - 2];
    }
    int mean = e_op(e, "AveragePool", E_VALUES(dy));
    e_set_ints(e, "kernel_shape", (size_t)rank - 2, block);
    e_set_ints(e, "strides", (size_t)rank - 2, block);
    return e_scale(e, mean, (double)count);
}

/* The matrix of dimension d, [out, in], or transposed; -1 where it is the identity. */
static int resize_matrix(struct assay_emit *e, const struct resize *r, int d, bool transposed, enum assay_dtype dtype)
{
    struct assay_type type = assay_type_make(dtype, 2, (int64_t[]){r->out[d], r->in[d]});
    struct assay_tensor matrix;
    struct assay_error err;
    if (transposed)
        type = assay_type_make(dtype, 2, (int64_t[]){r->in[d], r->out[d]});
    if (r->out[d] > MATRIX_ROOM / (r->in[d] + 1))
        return e_fail(e, ASSAY_UNSUPPORTED, "resizing %" PRId64 " to %" PRId64 " is too large for a gradient", r->in[d],
                      r->out[d]);
    if (assay_tensor_alloc(&matrix, &type, &err))
        return e_fail(e, err.status, "%s", err.message);
    memset(matrix.data, 0, (size_t)assay_tensor_bytes(&matrix));
    bool is_identity_matrix = r->in[d] == r->out[d];
    for (int64_t i = 0; i < r->out[d]; i++) {
        struct assay_resize_taps taps = taps_at(r, d, i);
        for (int k = 0; k < taps.n; k++) {
            int64_t at = transposed ? taps.index[k] * r->out[d] + i : i * r->in[d] + taps.index[k];
            assay_tensor_set_real(&matrix, at, assay_tensor_real(&matrix, at) + taps.weight[k]);
        }
        is_identity_matrix = is_identity_matrix && assay_tensor_real(&matrix, i * r->in[d] + i) == 1;
    }
    int value = is_identity_matrix ? -1 : assay_graph_add_constant(e->graph, "resize/matrix", &matrix);
    assay_tensor_release(&matrix);
    return value;
}

static void gradient_resize(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    struct resize r;
    struct assay_type now = *e_type(e, g->out[0]);
    int dx = g->out[0];
    if (!resize_of(g, &r))
        return;
    bool by_blocks = now.rank > 2 && assay_type_count(&now) > 0;
    for (int d = 0; d < now.rank && by_blocks; d++)
        by_blocks = d < 2 ? r.in[d] == r.out[d] && repeats(&r, d) : repeats(&r, d);
    if (by_blocks) {
        g->in[0] = sum_of_blocks(e, &r, now.rank, dx);
        return;
    }
    for (int d = now.rank - 1; d >= 0 && !e->status; d--) {
        bool last = d == now.rank - 1;
        int matrix = resize_matrix(e, &r, d, !last, now.dtype);
        if (matrix < 0)
            continue;
        int64_t outer = assay_dims_product(&now, 0, d), inner = assay_dims_product(&now, d + 1, now.rank);
        now.dims[d] = r.in[d];
        if (last)
            dx = e_matmul(e, dx, matrix);
        else
            dx = e_matmul(e, matrix, e_reshape(e, dx, E_INTS(outer, r.out[d], inner)));
        dx = e_reshape(e, dx, (size_t)now.rank, now.dims);
    }
    g->in[0] = dx;
}

const struct assay_op assay_ops_resize[] = {
    {"Resize", "", 1, 4, ASSAY_OP_VIA_F32, infer_resize, run_resize, cost_resize, gradient_resize},
    {"Upsample", "", 2, 2, ASSAY_OP_VIA_F32, infer_resize, run_resize, cost_resize, gradient_resize},
    {0},
};
