/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise programs: how they are composed and laid out in blocks (elementwise.h). What ONNX's nodes mean is in
 * elementwise_node.c. */
#include "runtime/native/elementwise_inside.h"

static const enum native_kind argument_kinds[] = {
#define X(name, n_args, from, to) from,
    NATIVE_VECTOR_OPS(X)
#undef X
};
static const enum native_kind result_kinds[] = {
#define X(name, n_args, from, to) to,
    NATIVE_VECTOR_OPS(X)
#undef X
};
static const int n_arguments[] = {
#define X(name, n_args, from, to) n_args,
    NATIVE_VECTOR_OPS(X)
#undef X
};

int native_map_n_arguments(enum native_vector_op op) { return n_arguments[op]; }

/* ---- composing */

struct native_map *native_map_open(struct native_build *build)
{
    struct native_map *map = assay_arena_alloc(build->arena, sizeof *map);
    *map = (struct native_map){.build = build};
    return map;
}

struct assay_arena *native_map_arena(struct native_map *map) { return map->build->arena; }

int native_map_add_place(struct native_map *map, enum native_place_kind what, int number, enum native_kind kind)
{
    if (map->n_places == map->place_room) {
        int room = map->place_room ? 2 * map->place_room : 32;
        map->places = assay_arena_grow(map->build->arena, map->places, (size_t)map->n_places, (size_t)room, sizeof *map->places);
        map->place_room = room;
    }
    map->places[map->n_places] = (struct native_map_place){.what = what, .number = number, .kind = kind};
    return map->n_places++;
}

static int add_value(struct native_map *map, enum assay_dtype dtype, int place)
{
    if (map->n_values == map->value_room) {
        int room = map->value_room ? 2 * map->value_room : 32;
        map->values = assay_arena_grow(map->build->arena, map->values, (size_t)map->n_values, (size_t)room, sizeof *map->values);
        map->value_room = room;
    }
    struct native_map_value *v = &map->values[map->n_values];
    *v = (struct native_map_value){.dtype = dtype, .raw = -1, .as = {-1, -1, -1}};
    if (place >= 0)
        v->as[map->places[place].kind] = place;
    return map->n_values++;
}

void native_map_emit(struct native_map *map, const struct native_vector *op)
{
    if (map->n_ops == map->op_room) {
        int room = map->op_room ? 2 * map->op_room : 32;
        map->ops = assay_arena_grow(map->build->arena, map->ops, (size_t)map->n_ops, (size_t)room, sizeof *map->ops);
        map->op_room = room;
    }
    map->ops[map->n_ops++] = *op;
}

static int emit_result(struct native_map *map, enum native_vector_op op, int x0)
{
    int y = native_map_add_place(map, NATIVE_REGISTER, -1, result_kinds[op]);
    native_map_emit(map, &(struct native_vector){.op = op, .y = y, .x = {x0, -1, -1}});
    return y;
}

static bool kind_of(enum assay_dtype dtype, enum native_kind *kind)
{
    switch (dtype) {
    case ASSAY_F32:
    case ASSAY_BF16:
    case ASSAY_F16:
        *kind = NATIVE_F;
        return true;
    case ASSAY_BOOL:
        *kind = NATIVE_B;
        return true;
    case ASSAY_I64:
    case ASSAY_I32:
    case ASSAY_I16:
    case ASSAY_I8:
    case ASSAY_U32:
    case ASSAY_U16:
    case ASSAY_U8:
        *kind = NATIVE_I;
        return true;
    default:
        return false;
    }
}

static int add_operand(struct native_map *map, int input, const struct assay_type *type, const void *data)
{
    enum native_kind kind;
    if (!kind_of(type->dtype, &kind) || map->n_operands == NATIVE_MAP_OPERANDS)
        return -1;
    int k = map->n_operands++;
    map->operands[k] = (struct native_map_operand){.input = input, .type = *type, .data = data};
    map->operands[k].place = native_map_add_place(map, NATIVE_OPERAND, k, kind);
    int value = add_value(map, type->dtype, -1);
    map->values[value].raw = map->operands[k].place;
    return value;
}

int native_map_input(struct native_map *map, int input)
{
    const struct native_build *b = map->build;
    if (!native_is_given(b, input))
        return -1;
    for (int i = 0; i < map->n_values; i++)
        if (map->values[i].raw >= 0 && map->places[map->values[i].raw].what == NATIVE_OPERAND &&
            map->operands[map->places[map->values[i].raw].number].input == input)
            return i;
    return add_operand(map, input, &b->inputs[input], NULL);
}

int native_map_constant(struct native_map *map, const struct assay_type *type, const void *data)
{
    return add_operand(map, -1, type, data);
}

enum assay_dtype native_map_dtype(const struct native_map *map, int value) { return map->values[value].dtype; }

static int integer_scalar(struct native_map *map, int64_t value)
{
    struct assay_type type = {.dtype = ASSAY_I64};
    return native_map_constant(map, &type, assay_arena_memdup(map->build->arena, &value, sizeof value));
}

static enum native_vector_op load_of(enum assay_dtype dtype)
{
    switch (dtype) {
    case ASSAY_BF16:
        return NATIVE_V_LOAD_BF16;
    case ASSAY_F16:
        return NATIVE_V_LOAD_F16;
    case ASSAY_I32:
        return NATIVE_V_LOAD_I32;
    case ASSAY_I16:
        return NATIVE_V_LOAD_I16;
    case ASSAY_I8:
        return NATIVE_V_LOAD_I8;
    case ASSAY_U32:
        return NATIVE_V_LOAD_U32;
    case ASSAY_U16:
        return NATIVE_V_LOAD_U16;
    case ASSAY_U8:
        return NATIVE_V_LOAD_U8;
    default:
        return NATIVE_V_NONE;
    }
}

static enum native_vector_op float_of(enum assay_dtype dtype)
{
    return dtype == ASSAY_I32  ? NATIVE_V_F_OF_I32
           : dtype == ASSAY_I8 ? NATIVE_V_F_OF_I8
           : dtype == ASSAY_U8 ? NATIVE_V_F_OF_U8
                               : NATIVE_V_NONE;
}

/* The place where a value is as its own kind, loaded from memory where it has not been yet. */
int native_map_own_place(struct native_map *map, int value)
{
    enum native_kind kind;
    enum assay_dtype dtype = map->values[value].dtype;
    kind_of(dtype, &kind);
    if (map->values[value].as[kind] < 0) {
        enum native_vector_op load = load_of(dtype);
        int raw = map->values[value].raw;
        map->values[value].as[kind] = load == NATIVE_V_NONE ? raw : emit_result(map, load, raw);
    }
    return map->values[value].as[kind];
}

int native_map_apply(struct native_map *map, enum native_vector_op op, float a, float b, int x0, int x1, int x2)
{
    int x[3] = {x0, x1, x2};
    struct native_vector v = {.op = op, .x = {-1, -1, -1}, .a = a, .b = b};
    bool where = op == NATIVE_V_WHERE_F || op == NATIVE_V_WHERE_I || op == NATIVE_V_WHERE_B;
    for (int k = 0; k < n_arguments[op]; k++) {
        enum native_kind kind;
        if (x[k] < 0 || !kind_of(map->values[x[k]].dtype, &kind) || kind != (where && k == 0 ? NATIVE_B : argument_kinds[op]))
            return -1;
        v.x[k] = native_map_own_place(map, x[k]);
    }
    v.y = native_map_add_place(map, NATIVE_REGISTER, -1, result_kinds[op]);
    native_map_emit(map, &v);
    return add_value(map, result_kinds[op] == NATIVE_B ? ASSAY_BOOL : map->values[x[where]].dtype, v.y);
}

/* Floats to integers go to the nearest bound. */
static int clamp(struct native_map *map, int value, enum assay_dtype dtype)
{
    int bits = dtype == ASSAY_I32 ? 32 : dtype == ASSAY_I16 || dtype == ASSAY_U16 ? 16 : 8;
    bool is_signed = dtype != ASSAY_U16 && dtype != ASSAY_U8;
    int64_t low = is_signed ? -((int64_t)1 << (bits - 1)) : 0, high = ((int64_t)1 << (bits - is_signed)) - 1;
    value = native_map_apply(map, NATIVE_V_MAX_I, 0, 0, value, integer_scalar(map, low), -1);
    return native_map_apply(map, NATIVE_V_MIN_I, 0, 0, value, integer_scalar(map, high), -1);
}

/* Integers to fewer bits: as if stored and loaded again. */
static int wrap(struct native_map *map, int value, enum assay_dtype dtype)
{
    enum native_vector_op store = native_map_store(dtype);
    int place = emit_result(map, store, native_map_own_place(map, value));
    return add_value(map, dtype, emit_result(map, load_of(dtype), place));
}

int native_map_cast(struct native_map *map, int value, enum assay_dtype dtype)
{
    enum native_kind from, to;
    if (value < 0 || !kind_of(dtype, &to) || dtype == ASSAY_U32)
        return -1;
    enum assay_dtype old = map->values[value].dtype;
    kind_of(old, &from);
    if (old == dtype)
        return value;
    int result = -1;
    if (to == NATIVE_F) {
        enum native_vector_op direct = map->values[value].raw >= 0 ? float_of(old) : NATIVE_V_NONE;
        if (direct != NATIVE_V_NONE) {
            result = emit_result(map, direct, map->values[value].raw);
        } else {
            int place = native_map_own_place(map, value);
            result = from == NATIVE_F   ? place
                     : from == NATIVE_I ? emit_result(map, NATIVE_V_I_TO_F, place)
                                        : emit_result(map, NATIVE_V_B_TO_F, place);
        }
        /* A body's 16-bit value must be rounded where the model says so. */
        if (dtype != ASSAY_F32)
            result = emit_result(map, load_of(dtype), emit_result(map, native_map_store(dtype), result));
    } else if (to == NATIVE_B) {
        result = emit_result(map, from == NATIVE_F ? NATIVE_V_F_TO_B : NATIVE_V_I_TO_B, native_map_own_place(map, value));
    } else if (from == NATIVE_I) {
        if (dtype != ASSAY_I64)
            return wrap(map, value, dtype);
        result = native_map_own_place(map, value);
    } else {
        result = emit_result(map, from == NATIVE_F ? NATIVE_V_F_TO_I : NATIVE_V_B_TO_I, native_map_own_place(map, value));
        if (from == NATIVE_F && dtype != ASSAY_I64) {
            int clamped = clamp(map, add_value(map, ASSAY_I64, result), dtype);
            if (clamped < 0)
                return -1;
            result = map->values[clamped].as[NATIVE_I];
        }
    }
    return add_value(map, dtype, result);
}

int native_map_quantize(struct native_map *map, int value, enum assay_dtype dtype, float scale, float zero)
{
    if (value < 0 || map->values[value].dtype != ASSAY_F32 || (dtype != ASSAY_U8 && dtype != ASSAY_I8))
        return -1;
    int place = native_map_own_place(map, value), codes = native_map_add_place(map, NATIVE_REGISTER, -1, NATIVE_B);
    enum native_vector_op op = dtype == ASSAY_U8 ? NATIVE_V_QUANTIZE_U8 : NATIVE_V_QUANTIZE_I8;
    native_map_emit(map, &(struct native_vector){.op = op, .y = codes, .x = {place, -1, -1}, .a = scale, .b = zero});
    int result = add_value(map, dtype, -1);
    map->values[result].raw = codes;
    return result;
}

int native_map_dequantize(struct native_map *map, int value, float scale, float zero)
{
    enum assay_dtype dtype = value < 0 ? ASSAY_NO_DTYPE : map->values[value].dtype;
    if ((dtype != ASSAY_U8 && dtype != ASSAY_I8) || map->values[value].raw < 0)
        return -1;
    int y = native_map_add_place(map, NATIVE_REGISTER, -1, NATIVE_F);
    enum native_vector_op op = dtype == ASSAY_U8 ? NATIVE_V_DEQUANTIZE_U8 : NATIVE_V_DEQUANTIZE_I8;
    native_map_emit(map, &(struct native_vector){.op = op, .y = y, .x = {map->values[value].raw, -1, -1}, .a = scale, .b = zero});
    return add_value(map, ASSAY_F32, y);
}

enum native_vector_op native_map_store(enum assay_dtype dtype)
{
    switch (dtype) {
    case ASSAY_BF16:
        return NATIVE_V_STORE_BF16;
    case ASSAY_F16:
        return NATIVE_V_STORE_F16;
    case ASSAY_I32:
    case ASSAY_U32:
        return NATIVE_V_STORE_I32;
    case ASSAY_I16:
    case ASSAY_U16:
        return NATIVE_V_STORE_I16;
    case ASSAY_I8:
    case ASSAY_U8:
        return NATIVE_V_STORE_I8;
    default:
        return NATIVE_V_NONE;
    }
}
