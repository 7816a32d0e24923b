/* SPDX-License-Identifier: Apache-2.0 */
/* The last step of composing an elementwise program: layout, blocks, which arguments are one element, registers. */
#include "runtime/native/elementwise_inside.h"

#include <string.h>

enum { CACHE_BYTES = 20 << 10, LONG_ROW = 256, MIN_BLOCK = 128, MAX_BLOCK = 1 << 13, ALIGNMENT = 64 };

static const int64_t kind_bytes[NATIVE_N_KINDS] = {4, 8, 1};
static const enum native_vector_op copies[NATIVE_N_KINDS] = {NATIVE_V_COPY_F, NATIVE_V_COPY_I, NATIVE_V_COPY_B};

/* ---- what is asked */

static bool broadcasts(const struct assay_type *type, const struct assay_type *shape)
{
    int missing = shape->rank - type->rank;
    if (missing < 0)
        return false;
    for (int d = 0; d < type->rank; d++)
        if (type->dims[d] != 1 && type->dims[d] != shape->dims[d + missing])
            return false;
    return true;
}

static enum assay_status check(const struct native_map *map, const int *results, struct assay_error *err)
{
    const struct native_build *b = map->build;
    const struct assay_type *shape = &b->outputs[0];
    if (b->n_outputs > NATIVE_MAP_OUTPUTS || assay_type_count(shape) < 1)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "it has too many outputs, or no elements");
    for (int k = 0; k < b->n_outputs; k++) {
        const struct assay_type *out = &b->outputs[k];
        if (b->node->outputs[k] < 0 || results[k] < 0 || map->values[results[k]].dtype != out->dtype ||
            out->rank != shape->rank || memcmp(out->dims, shape->dims, (size_t)shape->rank * sizeof *shape->dims) != 0)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "it is no elementwise program of those types");
    }
    for (int k = 0; k < map->n_operands; k++)
        if (!broadcasts(&map->operands[k].type, shape))
            return assay_error_set(err, ASSAY_UNSUPPORTED, "input %d does not broadcast to the output", map->operands[k].input);
    return ASSAY_OK;
}

/* ---- layout */

/* Dimensions of `type` as part of a shape of `rank`: ones in front. */
static void align(const struct assay_type *type, int rank, int64_t *dims)
{
    for (int d = 0; d < rank; d++)
        dims[d] = d < rank - type->rank ? 1 : type->dims[d - (rank - type->rank)];
}

/* Whether channels last and channels first are the same bytes. */
static bool lies_both_ways(const struct assay_type *type, int rank)
{
    int64_t dims[ASSAY_MAX_RANK], spatial = 1;
    align(type, rank, dims);
    for (int d = 2; d < rank; d++)
        spatial *= dims[d];
    return rank < 3 || dims[1] == 1 || spatial == 1;
}

/* Channels last if most of what must be read lies so. */
static enum native_layout choose_layout(const struct native_map *map)
{
    const struct native_build *b = map->build;
    int rank = b->outputs[0].rank;
    int64_t last = 0, plain = 0;
    bool any = false;
    if (rank < 3 || rank > 5)
        return NATIVE_PLAIN;
    for (int k = 0; k < map->n_operands; k++) {
        const struct native_map_operand *o = &map->operands[k];
        bool both = lies_both_ways(&o->type, rank), is_last = o->input >= 0 && b->in_layouts[o->input] == NATIVE_NHWC;
        any |= is_last && o->type.rank == rank;
        if (both)
            continue;
        if (o->input < 0 || o->type.rank != rank)
            return NATIVE_PLAIN;
        if (is_last)
            last += assay_type_bytes(&o->type);
        else
            plain += assay_type_bytes(&o->type);
    }
    return (last > 0 && last >= plain) || (plain == 0 && any && lies_both_ways(&b->outputs[0], rank)) ? NATIVE_NHWC
                                                                                                      : NATIVE_PLAIN;
}

static void set_layouts(const struct native_map *map, enum native_layout layout)
{
    struct native_build *b = map->build;
    int rank = b->outputs[0].rank;
    for (int k = 0; k < b->n_inputs; k++)
        b->unneeded[k] = true;
    for (int k = 0; k < map->n_operands; k++) {
        const struct native_map_operand *o = &map->operands[k];
        if (o->input < 0)
            continue;
        b->unneeded[o->input] = false;
        if (o->type.rank != rank || !lies_both_ways(&o->type, rank))
            b->in_layouts[o->input] = o->type.rank == rank ? layout : NATIVE_PLAIN;
    }
    for (int k = 0; k < b->n_outputs; k++)
        b->out_layouts[k] = layout;
}

/* ---- shape */

/* Strides of an operand over the dimensions as the output has them in memory. */
static void lay_strides(struct native_map_operand *o, const struct assay_type *shape, enum native_layout layout, int64_t *strides)
{
    struct assay_type aligned = {.rank = shape->rank};
    int64_t dims[ASSAY_MAX_RANK], stride = 1;
    align(&o->type, shape->rank, aligned.dims);
    native_memory_dims(&aligned, layout, dims);
    for (int d = shape->rank - 1; d >= 0; d--) {
        strides[d] = dims[d] == 1 ? 0 : stride;
        stride *= dims[d];
    }
}

/* Merges neighbours over which every operand runs on without a gap. */
static void merge(struct native_map *map, enum native_layout layout)
{
    const struct assay_type *shape = &map->build->outputs[0];
    int64_t dims[ASSAY_MAX_RANK], strides[NATIVE_MAP_OPERANDS][ASSAY_MAX_RANK];
    native_memory_dims(shape, layout, dims);
    for (int k = 0; k < map->n_operands; k++)
        lay_strides(&map->operands[k], shape, layout, strides[k]);
    map->rank = 0;
    for (int d = 0; d < shape->rank; d++) {
        if (dims[d] == 1)
            continue;
        bool runs_on = map->rank > 0;
        for (int k = 0; k < map->n_operands && runs_on; k++)
            runs_on = map->operands[k].strides[map->rank - 1] == strides[k][d] * dims[d];
        if (runs_on)
            map->dims[map->rank - 1] *= dims[d];
        else
            map->dims[map->rank++] = dims[d];
        for (int k = 0; k < map->n_operands; k++)
            map->operands[k].strides[map->rank - 1] = strides[k][d];
    }
    if (map->rank == 0) {
        map->rank = 1;
        map->dims[0] = 1;
    }
}

/* Whether blocks are of several rows, and how each operand is read. */
static void choose_modes(struct native_map *map)
{
    int last = map->rank - 1;
    int64_t n = map->dims[last];
    bool many = map->rank > 1 && n < LONG_ROW;
    map->many = many;
    for (int k = 0; k < map->n_operands; k++) {
        struct native_map_operand *o = &map->operands[k];
        int64_t step = o->strides[last], row = many ? o->strides[last - 1] : step * n;
        o->size = (int64_t)assay_dtype_size(o->type.dtype);
        o->mode = step == 0 && row == 0 ? NATIVE_SCALAR : step == 1 && row == n ? NATIVE_DIRECT : NATIVE_SPREAD;
        map->places[o->place].scalar = o->mode == NATIVE_SCALAR;
    }
}

/* ---- operations */

static void mark_uses(struct native_map *map, int *n_uses)
{
    memset(n_uses, 0, (size_t)map->n_places * sizeof *n_uses);
    for (int i = 0; i < map->n_ops; i++)
        for (int k = 0; k < native_map_n_arguments(map->ops[i].op); k++)
            n_uses[map->ops[i].x[k]]++;
}

/* Drops operations whose results nobody reads; from the end, so that one look is enough. */
static void sweep(struct native_map *map)
{
    bool *needed = assay_arena_array(map->build->arena, (size_t)map->n_places, sizeof *needed);
    for (int i = 0; i < map->n_places; i++)
        needed[i] = map->places[i].what == NATIVE_OUTPUT;
    int kept = map->n_ops;
    for (int i = map->n_ops - 1; i >= 0; i--) {
        const struct native_vector op = map->ops[i];
        if (!needed[op.y])
            continue;
        for (int k = 0; k < native_map_n_arguments(op.op); k++)
            needed[op.x[k]] = true;
        map->ops[--kept] = op;
    }
    memmove(map->ops, map->ops + kept, (size_t)(map->n_ops - kept) * sizeof *map->ops);
    map->n_ops -= kept;
}

static void mark_scalars(struct native_map *map)
{
    for (int i = 0; i < map->n_ops; i++) {
        struct native_vector *op = &map->ops[i];
        int n = native_map_n_arguments(op->op);
        op->scalars = 0;
        for (int k = 0; k < n; k++)
            op->scalars |= map->places[op->x[k]].scalar ? 1u << k : 0;
        op->one = op->scalars == (1u << n) - 1;
        map->places[op->y].scalar = op->one;
    }
}

/* x y + z in one operation, where nobody else wants the product. The sum's first factor is a block. */
static void join_products(struct native_map *map)
{
    int *n_uses = assay_arena_array(map->build->arena, (size_t)map->n_places, sizeof *n_uses);
    int *made_by = assay_arena_array(map->build->arena, (size_t)map->n_places, sizeof *made_by);
    mark_uses(map, n_uses);
    for (int i = 0; i < map->n_ops; i++)
        made_by[map->ops[i].y] = i + 1;
    for (int i = 0; i < map->n_ops; i++)
        for (int k = 0; k < 2 && map->ops[i].op == NATIVE_V_ADD; k++) {
            int place = map->ops[i].x[k], other = map->ops[i].x[1 - k];
            const struct native_vector *product = made_by[place] ? &map->ops[made_by[place] - 1] : NULL;
            if (!product || product->op != NATIVE_V_MUL || product->one || n_uses[place] != 1 ||
                map->places[place].what != NATIVE_REGISTER)
                continue;
            bool swap = (product->scalars & 1) != 0;
            map->ops[i].op = NATIVE_V_MULADD;
            map->ops[i].x[0] = product->x[swap];
            map->ops[i].x[1] = product->x[!swap];
            map->ops[i].x[2] = other;
            map->ops[i].scalars = (map->places[product->x[!swap]].scalar ? 2u : 0) | (map->places[other].scalar ? 4u : 0);
        }
}

/* Output k is written by the operation that makes it where that can be, else copied or converted at the end. */
static void end_output(struct native_map *map, int k, int place, bool is_stored)
{
    const struct assay_type *type = &map->build->outputs[k];
    enum native_vector_op store = is_stored ? NATIVE_V_NONE : native_map_store(type->dtype);
    struct native_map_place *p = &map->places[place];
    enum native_kind kind = p->kind;
    map->out_sizes[k] = (int64_t)assay_dtype_size(type->dtype);
    if (store == NATIVE_V_NONE && p->what == NATIVE_REGISTER && !p->scalar) {
        p->what = NATIVE_OUTPUT;
        p->number = k;
        map->outputs[k] = place;
        return;
    }
    if (store == NATIVE_V_NONE || p->scalar) {
        bool scalar = p->scalar, last = store == NATIVE_V_NONE;
        int y = native_map_add_place(map, last ? NATIVE_OUTPUT : NATIVE_REGISTER, k, kind);
        native_map_emit(map, &(struct native_vector){.op = copies[kind], .y = y, .x = {place, -1, -1}, .scalars = scalar});
        place = y;
    }
    if (store != NATIVE_V_NONE) {
        int y = native_map_add_place(map, NATIVE_OUTPUT, k, kind);
        native_map_emit(map, &(struct native_vector){.op = store, .y = y, .x = {place, -1, -1}});
        place = y;
    }
    map->outputs[k] = place;
}

/* ---- memory */

static int64_t aligned(int64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

struct registers {
    int64_t bytes;                    /* an element, of all */
    int64_t free[NATIVE_N_KINDS][64]; /* offsets */
    int n_free[NATIVE_N_KINDS];
};

static void give_registers(struct native_map *map, struct registers *r)
{
    for (int i = 0; i < map->n_ops; i++)
        for (int k = 0; k < native_map_n_arguments(map->ops[i].op); k++)
            map->places[map->ops[i].x[k]].last_use = i;
    for (int i = 0; i < map->n_ops; i++) {
        const struct native_vector *op = &map->ops[i];
        struct native_map_place *y = &map->places[op->y];
        if (y->what == NATIVE_REGISTER) {
            if (r->n_free[y->kind] > 0) {
                y->offset = r->free[y->kind][--r->n_free[y->kind]];
            } else {
                y->offset = r->bytes;
                r->bytes += kind_bytes[y->kind];
            }
        }
        for (int k = 0; k < native_map_n_arguments(op->op); k++) {
            struct native_map_place *x = &map->places[op->x[k]];
            bool twice = false;
            for (int j = 0; j < k; j++)
                twice |= op->x[j] == op->x[k];
            if (x->what == NATIVE_REGISTER && x->last_use == i && !twice && r->n_free[x->kind] < 64)
                r->free[x->kind][r->n_free[x->kind]++] = x->offset;
        }
    }
}

static int64_t bytes_read(const struct native_map *map)
{
    int64_t bytes = 0;
    for (int k = 0; k < map->n_operands; k++)
        bytes += assay_type_bytes(&map->operands[k].type);
    for (int k = 0; k < map->build->n_outputs; k++)
        bytes += assay_type_bytes(&map->build->outputs[k]);
    return bytes;
}

static void choose_blocks(struct native_map *map)
{
    struct registers r = {0};
    give_registers(map, &r);
    for (int k = 0; k < map->n_operands; k++)
        if (map->operands[k].mode == NATIVE_SPREAD) {
            map->operands[k].offset = r.bytes;
            r.bytes += map->operands[k].size;
        }
    int last = map->rank - 1;
    int64_t block = r.bytes ? CACHE_BYTES / r.bytes : MAX_BLOCK, outer = 1, n = map->dims[last];
    block = block < MIN_BLOCK ? MIN_BLOCK : block > MAX_BLOCK ? MAX_BLOCK : block / ALIGNMENT * ALIGNMENT;
    bool many = map->many;
    for (int d = 0; d < last - many; d++)
        outer *= map->dims[d];
    if (many) {
        int64_t rows = map->dims[last - 1];
        map->rows = block / n < 1 ? 1 : block / n < rows ? block / n : rows;
        map->block = n;
        map->n_blocks = outer * ((rows + map->rows - 1) / map->rows);
        block = map->rows * n;
    } else {
        /* Equal shares of a long row rather than a rest. */
        int64_t pieces = (n + block - 1) / block;
        map->block = block = aligned((n + pieces - 1) / pieces);
        map->n_blocks = outer * ((n + block - 1) / block);
    }
    block = aligned(block);
    int64_t start = aligned(map->n_places * (int64_t)sizeof(char *));
    for (int i = 0; i < map->n_places; i++)
        if (map->places[i].what == NATIVE_REGISTER)
            map->places[i].offset = start + map->places[i].offset * block;
    for (int k = 0; k < map->n_operands; k++)
        map->operands[k].offset = start + map->operands[k].offset * block;
    map->build->kernel.scratch_bytes = start + r.bytes * block;
}

/* An operand as large as the only output may lie where the output does. */
static int find_in_place(const struct native_map *map, enum native_layout layout)
{
    const struct native_build *b = map->build;
    if (b->n_outputs != 1)
        return -1;
    for (int k = 0; k < map->n_operands; k++) {
        const struct native_map_operand *o = &map->operands[k];
        if (o->input >= 0 && !b->constants[o->input] && o->mode == NATIVE_DIRECT && o->size == map->out_sizes[0] &&
            assay_type_count(&o->type) == assay_type_count(&b->outputs[0]) &&
            (b->in_layouts[o->input] == layout || lies_both_ways(&o->type, b->outputs[0].rank)))
            return o->input;
    }
    return -1;
}

enum assay_status native_map_finish(struct native_map *map, const int *results, struct assay_error *err)
{
    struct native_build *b = map->build;
    enum assay_status st = check(map, results, err);
    if (st)
        return st;
    int places[NATIVE_MAP_OUTPUTS];
    bool is_codes[NATIVE_MAP_OUTPUTS];
    map->n_outputs = b->n_outputs;
    for (int k = 0; k < b->n_outputs; k++) {
        int raw = map->values[results[k]].raw;
        is_codes[k] = raw >= 0 && map->places[raw].what == NATIVE_REGISTER;
        places[k] = is_codes[k] ? raw : native_map_own_place(map, results[k]);
    }
    enum native_layout layout = choose_layout(map);
    set_layouts(map, layout);
    merge(map, layout);
    choose_modes(map);
    mark_scalars(map);
    for (int k = 0; k < b->n_outputs; k++)
        end_output(map, k, places[k], is_codes[k]);
    sweep(map);
    join_products(map);
    sweep(map);
    choose_blocks(map);
    map->simd = native_simd_of(b->isa);
    b->kernel.name = assay_arena_printf(b->arena, "vector %s", b->node->type);
    b->kernel.run = native_map_run;
    b->kernel.data = map;
    b->kernel.in_place = find_in_place(map, layout);
    int parts = native_parts(bytes_read(map), b->n_threads);
    b->kernel.n_parts = map->n_blocks < parts ? (int)map->n_blocks : parts;
    return ASSAY_OK;
}
