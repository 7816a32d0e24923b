/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of elementwise programs, shared by elementwise.c (composing), elementwise_plan.c (blocks, places) and
 * elementwise_run.c. */
#ifndef ASSAY_RUNTIME_NATIVE_ELEMENTWISE_INSIDE_H
#define ASSAY_RUNTIME_NATIVE_ELEMENTWISE_INSIDE_H

#include "runtime/native/elementwise.h"
#include "runtime/native/simd/simd.h"

enum { NATIVE_MAP_OPERANDS = 24, NATIVE_MAP_OUTPUTS = 8 };

enum native_place_kind { NATIVE_OPERAND, NATIVE_OUTPUT, NATIVE_REGISTER };

/* Where operations read and write: a place has one address while a block is worked on. */
struct native_map_place {
    enum native_place_kind what;
    int number; /* of the operand or output */
    enum native_kind kind;
    bool scalar;    /* one element a block */
    int last_use;   /* the last operation that reads it */
    int64_t offset; /* of a register: bytes an element, then bytes in scratch */
};

struct native_map_value {
    enum assay_dtype dtype;
    int raw;                /* where it lies as its element type: an operand's place, or that of codes; -1 = nowhere */
    int as[NATIVE_N_KINDS]; /* places; -1 = not there */
};

struct native_map_operand {
    int input; /* of the node; -1: `data` */
    struct assay_type type;
    const void *data;
    int place;
    int64_t size;                    /* of an element */
    int64_t strides[ASSAY_MAX_RANK]; /* in elements, of the merged dimensions */
    enum { NATIVE_DIRECT, NATIVE_SCALAR, NATIVE_SPREAD } mode;
    int64_t offset; /* of a spread operand's buffer, as in places */
};

struct native_map {
    struct native_build *build; /* while it is composed */
    const struct native_simd *simd;
    struct native_map_place *places;
    struct native_map_value *values;
    struct native_vector *ops;
    int n_places, place_room, n_values, value_room, n_ops, op_room;
    struct native_map_operand operands[NATIVE_MAP_OPERANDS];
    int n_operands, n_outputs;
    int64_t out_sizes[NATIVE_MAP_OUTPUTS];
    int outputs[NATIVE_MAP_OUTPUTS]; /* places */
    /* The shape in memory, neighbours merged. A block is `rows` whole rows of the last dimension if `many`, else at most `block`
     * elements of one. */
    int rank;
    bool many;
    int64_t dims[ASSAY_MAX_RANK];
    int64_t rows, block, n_blocks;
};

/* How a register's elements are stored as a dtype; NATIVE_V_NONE: as they are. */
enum native_vector_op native_map_store(enum assay_dtype dtype);
/* The place where a value is as its own kind, loaded where it has not been yet. */
int native_map_own_place(struct native_map *map, int value);
int native_map_add_place(struct native_map *map, enum native_place_kind what, int number, enum native_kind kind);
void native_map_emit(struct native_map *map, const struct native_vector *op);
int native_map_n_arguments(enum native_vector_op op);
void native_map_run(const struct native_args *args, int part, unsigned char *scratch);

#endif
