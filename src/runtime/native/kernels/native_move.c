/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data that only moves: Transpose, Concat, Split, Slice, Pad, Tile, DepthToSpace, SpaceToDepth. Each is one or several boxes of
 * elements that are copied from strides to strides, whatever the layouts on either side. A box is copied by rows, by transposes
 * of two of its dimensions, or element by element, whichever its strides allow.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <string.h>

enum { MOVE_RANK = 2 * ASSAY_MAX_RANK };

/* Strides and offsets count elements of `size` bytes. */
struct box {
    int in, out;      /* input (-1: `fill`), output */
    const void *fill; /* one element */
    int rank;
    int64_t size, in_offset, out_offset;
    int64_t dims[MOVE_RANK], in_strides[MOVE_RANK], out_strides[MOVE_RANK];
    int turned; /* the dimension that is contiguous in the input, where the last is in the output; -1: none, or the last */
};

struct move {
    const struct native_simd *simd;
    struct box *boxes;
    int n_boxes;
};

/* ---- running */

static void copy_elements(char *to, const char *from, int64_t n, int64_t to_step, int64_t from_step, int64_t size)
{
#define COPY(type)                                                                                                               \
    for (int64_t i = 0; i < n; i++)                                                                                              \
        ((type *)(void *)to)[i * to_step] = ((const type *)(const void *)from)[i * from_step];
    if (size == 4) {
        COPY(uint32_t)
    } else if (size == 2) {
        COPY(uint16_t)
    } else if (size == 8) {
        COPY(uint64_t)
    } else {
        COPY(uint8_t)
    }
#undef COPY
}

/* Rows of bytes; short ones of known sizes, so that each is a few moves instead of a call. */
static void copy_rows(char *to, const char *from, int64_t rows, int64_t bytes, int64_t to_step, int64_t from_step)
{
#define ROWS(size)                                                                                                               \
    case size:                                                                                                                   \
        for (int64_t r = 0; r < rows; r++)                                                                                       \
            memcpy(to + r * to_step, from + r * from_step, size);                                                                \
        break;
    switch (bytes) {
        ROWS(3)
        ROWS(6)
        ROWS(12)
        ROWS(16)
        ROWS(20)
        ROWS(24)
        ROWS(28)
        ROWS(32)
        ROWS(48)
        ROWS(64)
    default:
        for (int64_t r = 0; r < rows; r++)
            memcpy(to + r * to_step, from + r * from_step, (size_t)bytes);
    }
#undef ROWS
}

/* Whether the two innermost dimensions are rows of bytes. */
static bool is_rows(const struct box *b)
{
    int last = b->rank - 1;
    return b->turned < 0 && last > 0 && b->out_strides[last] == 1 && b->in_strides[last] == 1;
}

/* The innermost loop, or the two innermost. */
static void copy_inner(const struct native_simd *simd, const struct box *b, char *to, const char *from)
{
    int last = b->rank - 1, t = b->turned;
    if (is_rows(b))
        copy_rows(to, from, b->dims[last - 1], b->dims[last] * b->size, b->out_strides[last - 1] * b->size,
                  b->in_strides[last - 1] * b->size);
    else if (t >= 0)
        simd->transpose(to, from, b->dims[last], b->dims[t], b->out_strides[t], b->in_strides[last], (int)b->size);
    else if (b->out_strides[last] == 1 && b->in_strides[last] == 1)
        memcpy(to, from, (size_t)(b->dims[last] * b->size));
    else
        copy_elements(to, from, b->dims[last], b->out_strides[last], b->in_strides[last], b->size);
}

static void copy_box(const struct native_simd *simd, const struct box *b, char *to, const char *from)
{
    int64_t at[MOVE_RANK] = {0};
    to += b->out_offset * b->size;
    from += b->in_offset * b->size;
    for (;;) {
        copy_inner(simd, b, to, from);
        int d = b->rank - 2 - is_rows(b);
        for (; d >= 0; d--) {
            if (d == b->turned)
                continue;
            to += b->out_strides[d] * b->size;
            from += b->in_strides[d] * b->size;
            if (++at[d] < b->dims[d])
                break;
            at[d] = 0;
            to -= b->out_strides[d] * b->dims[d] * b->size;
            from -= b->in_strides[d] * b->dims[d] * b->size;
        }
        if (d < 0)
            return;
    }
}

/* Parts share the first dimension that is long enough. */
static void run(const struct native_args *args, int part, unsigned char *scratch)
{
    const struct move *m = args->kernel->data;
    int n_parts = args->kernel->n_parts;
    (void)scratch;
    for (int i = 0; i < m->n_boxes; i++) {
        struct box b = m->boxes[i];
        int d = 0;
        while (d < b.rank - 1 && b.dims[d] < n_parts)
            d++;
        int64_t begin, end;
        native_share(b.dims[d], b.dims[d] >= 16 * n_parts ? 16 : 1, part, n_parts, &begin, &end);
        if (begin >= end)
            continue;
        b.dims[d] = end - begin;
        b.in_offset += begin * b.in_strides[d];
        b.out_offset += begin * b.out_strides[d];
        copy_box(m->simd, &b, args->out[b.out]->data, b.in >= 0 ? args->in[b.in]->data : b.fill);
    }
}

/* ---- boxes */

static void drop_dim(struct box *b, int d)
{
    for (int i = d; i < b->rank - 1; i++) {
        b->dims[i] = b->dims[i + 1];
        b->in_strides[i] = b->in_strides[i + 1];
        b->out_strides[i] = b->out_strides[i + 1];
    }
    b->rank--;
}

static void sort_dims(struct box *b)
{
    for (int i = 1; i < b->rank; i++)
        for (int k = i; k > 0 && b->out_strides[k] > b->out_strides[k - 1]; k--) {
            int64_t dim = b->dims[k], in = b->in_strides[k], out = b->out_strides[k];
            b->dims[k] = b->dims[k - 1];
            b->in_strides[k] = b->in_strides[k - 1];
            b->out_strides[k] = b->out_strides[k - 1];
            b->dims[k - 1] = dim;
            b->in_strides[k - 1] = in;
            b->out_strides[k - 1] = out;
        }
}

static void merge_dims(struct box *b)
{
    for (int d = b->rank - 2; d >= 0; d--)
        if (b->in_strides[d] == b->in_strides[d + 1] * b->dims[d + 1] &&
            b->out_strides[d] == b->out_strides[d + 1] * b->dims[d + 1]) {
            b->dims[d + 1] *= b->dims[d];
            drop_dim(b, d);
        }
}

/* Rows of a few elements as one larger element. */
static void widen(struct box *b)
{
    int last = b->rank - 1;
    int64_t n = b->dims[last], bytes = n * b->size;
    if (b->in < 0 || last == 0 || b->in_strides[last] != 1 || b->out_strides[last] != 1 || n == 1 ||
        (bytes != 2 && bytes != 4 && bytes != 8) || b->in_offset % n != 0 || b->out_offset % n != 0)
        return;
    for (int d = 0; d < last; d++)
        if (b->in_strides[d] % n != 0 || b->out_strides[d] % n != 0)
            return;
    for (int d = 0; d < last; d++) {
        b->in_strides[d] /= n;
        b->out_strides[d] /= n;
    }
    b->in_offset /= n;
    b->out_offset /= n;
    b->size = bytes;
    b->rank--;
}

/* As few and as long dimensions as possible, the output's smallest stride last. */
static void tidy(struct box *b)
{
    for (int d = b->rank - 1; d >= 0; d--)
        if (b->dims[d] == 1)
            drop_dim(b, d);
    if (b->rank == 0) {
        b->rank = 1;
        b->dims[0] = b->in_strides[0] = b->out_strides[0] = 1;
    }
    sort_dims(b);
    merge_dims(b);
    widen(b);
    int last = b->rank - 1;
    b->turned = -1;
    for (int d = 0; d < last && b->out_strides[last] == 1 && b->in_strides[last] != 1 && b->in >= 0; d++)
        if (b->in_strides[d] == 1)
            b->turned = d;
}

static void lay_strides(const struct assay_type *type, enum native_layout layout, int64_t *strides)
{
    int64_t dims[ASSAY_MAX_RANK], stride = 1;
    native_memory_dims(type, layout, dims);
    for (int d = type->rank - 1; d >= 0; d--) {
        int from = layout == NATIVE_PLAIN || d == 0 ? d : d == type->rank - 1 ? 1 : d + 1;
        strides[from] = stride;
        stride *= dims[d];
    }
}

/* A box over output dimensions, its input strides still to be set. */
static struct box *add_box(struct native_build *b, struct move *m, int in, int out)
{
    struct box *box = &m->boxes[m->n_boxes++];
    *box = (struct box){
        .in = in, .out = out, .rank = b->outputs[out].rank, .size = (int64_t)assay_dtype_size(b->outputs[out].dtype)};
    memcpy(box->dims, b->outputs[out].dims, (size_t)box->rank * sizeof *box->dims);
    lay_strides(&b->outputs[out], b->out_layouts[out], box->out_strides);
    return box;
}

static struct move *open_move(struct native_build *b, int n_boxes)
{
    struct move *m = assay_arena_alloc(b->arena, sizeof *m);
    *m = (struct move){.simd = native_simd_of(b->isa), .boxes = assay_arena_array(b->arena, (size_t)n_boxes, sizeof *m->boxes)};
    return m;
}

static bool has_layouts(const struct assay_type *type) { return type->rank >= 3 && type->rank <= 5; }

static enum assay_status finish(struct native_build *b, struct move *m)
{
    int64_t bytes = 0;
    int n = 0;
    for (int i = 0; i < m->n_boxes; i++) {
        bool empty = false;
        for (int d = 0; d < m->boxes[i].rank; d++)
            empty |= m->boxes[i].dims[d] < 1;
        if (!empty) {
            m->boxes[n] = m->boxes[i];
            tidy(&m->boxes[n++]);
        }
    }
    m->n_boxes = n;
    for (int k = 0; k < b->n_outputs; k++)
        bytes += b->node->outputs[k] >= 0 ? 2 * assay_type_bytes(&b->outputs[k]) : 0;
    b->kernel.name = assay_arena_printf(b->arena, "move %s", b->node->type);
    b->kernel.run = run;
    b->kernel.data = m;
    b->kernel.n_parts = native_parts(bytes, b->n_threads);
    return ASSAY_OK;
}

static enum assay_status refuse(struct assay_error *err)
{
    return assay_error_set(err, ASSAY_UNSUPPORTED, "its form is not taken");
}

/* Channels last if most of the inputs that have layouts lie so, for ops that keep the rank. */
static void keep_layout(struct native_build *b, int n_inputs)
{
    int64_t last = 0, plain = 0;
    for (int k = 0; k < n_inputs; k++)
        *(b->in_layouts[k] == NATIVE_NHWC ? &last : &plain) += assay_type_bytes(&b->inputs[k]);
    for (int k = 0; k < b->n_outputs; k++)
        b->out_layouts[k] = has_layouts(&b->outputs[0]) && last > plain ? NATIVE_NHWC : NATIVE_PLAIN;
}

/* Inputs from `first` on are parameters, looked at here only. */
static void drop_inputs(struct native_build *b, int first)
{
    for (int k = first; k < b->n_inputs; k++)
        b->unneeded[k] = true;
}

static bool read_ints(const struct native_build *b, int input, int64_t *values, int n)
{
    const struct assay_tensor *t = input < b->n_inputs ? b->constants[input] : NULL;
    if (!t || assay_tensor_count(t) != n)
        return false;
    for (int i = 0; i < n; i++)
        values[i] = assay_tensor_int(t, i);
    return true;
}

/* ---- Transpose */

static void set_transpose(struct native_build *b, struct move *m, const int64_t *perm, enum native_layout layout)
{
    int64_t strides[ASSAY_MAX_RANK];
    b->out_layouts[0] = layout;
    m->n_boxes = 0;
    struct box *box = add_box(b, m, 0, 0);
    lay_strides(&b->inputs[0], b->in_layouts[0], strides);
    for (int d = 0; d < box->rank; d++)
        box->in_strides[d] = strides[perm[d]];
}

static bool is_whole(const struct box *b) { return b->rank == 1 && b->in_strides[0] == 1 && b->out_strides[0] == 1; }

static enum assay_status make_transpose(struct native_build *b, struct assay_error *err)
{
    size_t n;
    int rank = b->inputs[0].rank;
    int64_t perm[ASSAY_MAX_RANK];
    const int64_t *given = assay_node_ints(b->node, "perm", &n);
    if (assay_type_count(&b->outputs[0]) < 1 || (given && n != (size_t)rank))
        return refuse(err);
    for (int d = 0; d < rank; d++)
        perm[d] = given ? given[d] : rank - 1 - d;
    struct move *m = open_move(b, 1);
    /* Nothing to do, if the output may lie as the input does. */
    static const enum native_layout layouts[] = {NATIVE_PLAIN, NATIVE_NHWC};
    for (int i = 0; i < 1 + has_layouts(&b->outputs[0]); i++) {
        set_transpose(b, m, perm, layouts[i]);
        tidy(&m->boxes[0]);
        if (is_whole(&m->boxes[0])) {
            b->kernel.name = "view";
            b->kernel.is_view = true;
            return ASSAY_OK;
        }
    }
    set_transpose(b, m, perm, NATIVE_PLAIN);
    return finish(b, m);
}

/* ---- Concat, Split, Slice, Pad, Tile */

static bool find_axis(const struct native_build *b, int64_t otherwise, int *axis)
{
    int64_t a = assay_node_int(b->node, "axis", otherwise);
    a += a < 0 ? b->outputs[0].rank : 0;
    *axis = (int)a;
    return a >= 0 && a < b->outputs[0].rank;
}

static enum assay_status make_concat(struct native_build *b, struct assay_error *err)
{
    int axis;
    int64_t at = 0;
    if (assay_type_count(&b->outputs[0]) < 1 || !find_axis(b, 0, &axis))
        return refuse(err);
    keep_layout(b, b->n_inputs);
    struct move *m = open_move(b, b->n_inputs);
    for (int k = 0; k < b->n_inputs; k++) {
        struct box *box = add_box(b, m, k, 0);
        lay_strides(&b->inputs[k], b->in_layouts[k], box->in_strides);
        box->out_offset = at * box->out_strides[axis];
        box->dims[axis] = b->inputs[k].dims[axis];
        at += box->dims[axis];
    }
    return finish(b, m);
}

static enum assay_status make_split(struct native_build *b, struct assay_error *err)
{
    int axis;
    int64_t at = 0;
    for (int k = 0; k < b->n_outputs; k++)
        if (b->node->outputs[k] < 0)
            return refuse(err);
    if (!find_axis(b, 0, &axis))
        return refuse(err);
    keep_layout(b, 1);
    struct move *m = open_move(b, b->n_outputs);
    for (int k = 0; k < b->n_outputs; k++) {
        struct box *box = add_box(b, m, 0, k);
        lay_strides(&b->inputs[0], b->in_layouts[0], box->in_strides);
        box->in_offset = at * box->in_strides[axis];
        at += box->dims[axis];
    }
    if (at != b->inputs[0].dims[axis])
        return refuse(err);
    drop_inputs(b, 1);
    return finish(b, m);
}

static int64_t within(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static enum assay_status make_slice(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    int64_t starts[ASSAY_MAX_RANK], axes[ASSAY_MAX_RANK], steps[ASSAY_MAX_RANK];
    int64_t n = b->n_inputs > 1 && b->constants[1] ? assay_tensor_count(b->constants[1]) : 0;
    bool has_axes = native_is_given(b, 3), has_steps = native_is_given(b, 4);
    for (int i = 0; i < ASSAY_MAX_RANK; i++) {
        axes[i] = i;
        steps[i] = 1;
    }
    if (n < 1 || n > x->rank || !read_ints(b, 1, starts, (int)n) || (has_axes && !read_ints(b, 3, axes, (int)n)) ||
        (has_steps && !read_ints(b, 4, steps, (int)n)) || assay_type_count(&b->outputs[0]) < 1)
        return refuse(err);
    keep_layout(b, 1);
    struct move *m = open_move(b, 1);
    struct box *box = add_box(b, m, 0, 0);
    lay_strides(x, b->in_layouts[0], box->in_strides);
    for (int i = 0; i < n; i++) {
        int64_t d = axes[i] < 0 ? axes[i] + x->rank : axes[i];
        if (d < 0 || d >= x->rank || steps[i] == 0)
            return refuse(err);
        int64_t dim = x->dims[d], start = starts[i] < 0 ? starts[i] + dim : starts[i];
        start = steps[i] > 0 ? within(start, 0, dim) : within(start, 0, dim - 1);
        if (box->dims[d] > 1 && (steps[i] < -dim || steps[i] > dim))
            return refuse(err);
        box->in_offset += start * box->in_strides[d];
        box->in_strides[d] *= box->dims[d] > 1 ? steps[i] : 1;
    }
    drop_inputs(b, 1);
    return finish(b, m);
}

/* Elements of padding: before and after along each dimension, within what is not padded along the dimensions before it. */
static enum assay_status make_pad(struct native_build *b, struct assay_error *err)
{
    static const unsigned char zeros[8] = {0};
    const struct assay_type *x = &b->inputs[0];
    int64_t pads[2 * ASSAY_MAX_RANK];
    bool has_value = native_is_given(b, 2);
    if (strcmp(assay_node_string(b->node, "mode", "constant"), "constant") != 0 || native_is_given(b, 3) ||
        !read_ints(b, 1, pads, 2 * x->rank) || (has_value && (!b->constants[2] || assay_tensor_count(b->constants[2]) != 1)) ||
        assay_type_count(x) < 1)
        return refuse(err);
    for (int d = 0; d < x->rank; d++)
        if (pads[d] < 0 || pads[d + x->rank] < 0)
            return refuse(err);
    keep_layout(b, 1);
    struct move *m = open_move(b, 2 * x->rank + 1);
    struct box inside = *add_box(b, m, 0, 0);
    m->n_boxes = 0;
    for (int d = 0; d < x->rank; d++) {
        for (int after = 0; after < 2; after++) {
            struct box *fill = &m->boxes[m->n_boxes++];
            *fill = inside;
            fill->in = -1;
            fill->fill = has_value ? b->constants[2]->data : zeros;
            fill->dims[d] = pads[d + after * x->rank];
            fill->out_offset += after ? (pads[d] + x->dims[d]) * inside.out_strides[d] : 0;
        }
        inside.out_offset += pads[d] * inside.out_strides[d];
        inside.dims[d] = x->dims[d];
    }
    lay_strides(x, b->in_layouts[0], inside.in_strides);
    m->boxes[m->n_boxes++] = inside;
    drop_inputs(b, 1);
    return finish(b, m);
}

static enum assay_status make_tile(struct native_build *b, struct assay_error *err)
{
    const struct assay_type *x = &b->inputs[0];
    int64_t strides[ASSAY_MAX_RANK];
    if (assay_type_count(&b->outputs[0]) < 1 || x->rank != b->outputs[0].rank || x->rank < 1)
        return refuse(err);
    b->in_layouts[0] = NATIVE_PLAIN;
    struct move *m = open_move(b, 1);
    struct box *box = add_box(b, m, 0, 0);
    lay_strides(x, NATIVE_PLAIN, strides);
    for (int d = 0; d < x->rank; d++) {
        int64_t repeats = box->dims[d] / x->dims[d];
        box->in_strides[d] = strides[d];
        box->dims[d] = x->dims[d];
        box->dims[x->rank + d] = repeats;
        box->in_strides[x->rank + d] = 0;
        box->out_strides[x->rank + d] = x->dims[d] * box->out_strides[d];
    }
    box->rank = 2 * x->rank;
    drop_inputs(b, 1);
    return finish(b, m);
}

/* ---- blocks of channels and of space */

static enum assay_status make_depth_space(struct native_build *b, struct assay_error *err)
{
    bool to_space = strcmp(b->node->type, "DepthToSpace") == 0;
    bool columns_first = strcmp(assay_node_string(b->node, "mode", "DCR"), "CRD") == 0;
    int64_t s = assay_node_int(b->node, "blocksize", 0);
    if (b->inputs[0].rank != 4 || s < 1 || assay_type_count(&b->inputs[0]) < 1 || (!to_space && columns_first))
        return refuse(err);
    keep_layout(b, 1);
    /* `deep` has s·s times the channels of `wide`. */
    const struct assay_type *deep = to_space ? b->inputs : b->outputs, *wide = to_space ? b->outputs : b->inputs;
    enum native_layout deep_layout = to_space ? b->in_layouts[0] : b->out_layouts[0];
    enum native_layout wide_layout = to_space ? b->out_layouts[0] : b->in_layouts[0];
    int64_t ds[4], ws[4], channels = wide->dims[1];
    lay_strides(deep, deep_layout, ds);
    lay_strides(wide, wide_layout, ws);
    struct move *m = open_move(b, 1);
    struct box *box = add_box(b, m, 0, 0);
    const int64_t dims[6] = {deep->dims[0], channels, deep->dims[2], s, deep->dims[3], s};
    const int64_t row_step = columns_first ? s : s * channels, column_step = columns_first ? 1 : channels;
    const int64_t deep_strides[6] = {
        ds[0], (columns_first ? s * s : 1) * ds[1], ds[2], row_step * ds[1], ds[3], column_step * ds[1]};
    const int64_t wide_strides[6] = {ws[0], ws[1], s * ws[2], ws[2], s * ws[3], ws[3]};
    box->rank = 6;
    for (int d = 0; d < 6; d++) {
        box->dims[d] = dims[d];
        box->in_strides[d] = to_space ? deep_strides[d] : wide_strides[d];
        box->out_strides[d] = to_space ? wide_strides[d] : deep_strides[d];
    }
    return finish(b, m);
}

const struct native_maker native_makers_move[] = {
    {.type = "Transpose", .domain = "", .make = make_transpose},
    {.type = "Concat", .domain = "", .make = make_concat},
    {.type = "Split", .domain = "", .make = make_split},
    {.type = "Slice", .domain = "", .make = make_slice},
    {.type = "Pad", .domain = "", .make = make_pad},
    {.type = "Tile", .domain = "", .make = make_tile},
    {.type = "DepthToSpace", .domain = "", .make = make_depth_space},
    {.type = "SpaceToDepth", .domain = "", .make = make_depth_space},
    {0},
};
