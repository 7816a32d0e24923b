/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules of the opset upgrade share. Only for upgrade.c and upgrade_*.c. */
#ifndef ASSAY_GRAPH_UPGRADE_RULES_H
#define ASSAY_GRAPH_UPGRADE_RULES_H

#include "graph/graph.h"

struct assay_upgrade {
    struct assay_graph *graph;
    struct assay_node *node;
    int opset; /* the node was written for */
    struct assay_error *err;
};

/* ---- pieces (upgrade.c) */

/* Constants: int64 of rank 1, f32 of rank 1, an f32 scalar. They return the value's number. */
int assay_upgrade_ints(struct assay_upgrade *u, const char *name, const int64_t *values, size_t n);
int assay_upgrade_floats(struct assay_upgrade *u, const char *name, const float *values, size_t n);
int assay_upgrade_scalar(struct assay_upgrade *u, const char *name, float f);
/* The same, of the dtype of value `like`, by a CastLike where that is not known. */
int assay_upgrade_scalar_like(struct assay_upgrade *u, const char *name, float f, int like);
/* Appends a node with one output, a new value, whose number it returns. Inputs that are -1 at the end are left out. */
int assay_upgrade_emit(struct assay_upgrade *u, const char *type, int input_a, int input_b, int input_c);
/* The node that assay_upgrade_emit appended last. */
struct assay_node *assay_upgrade_last(struct assay_upgrade *u);
/* Sets an input, making the list longer with inputs not given. */
void assay_upgrade_set_input(struct assay_upgrade *u, int index, int value);
/* Output 0 becomes a new value, which a further node can make the old one of. Returns the new one; the old one in *old. */
int assay_upgrade_detour(struct assay_upgrade *u, int index, int *old);
void assay_upgrade_retype(struct assay_node *node, const char *type);
/* Moves attribute `name`, a list of int64 or one, to input `index`. */
void assay_upgrade_ints_to_input(struct assay_upgrade *u, const char *name, int index);
/* -1 if not known, or the input is not given. */
int assay_upgrade_rank(const struct assay_upgrade *u, int value);
/* -1 for an input that the node does not have. */
int assay_upgrade_input(const struct assay_upgrade *u, int index);
enum assay_status assay_upgrade_fail(struct assay_upgrade *u, enum assay_status st, const char *why);

/* ---- rules: each brings a node from the form before its version to the form of its version */

typedef enum assay_status assay_upgrade_rule(struct assay_upgrade *u);

/* upgrade_forms.c: attributes that became inputs, or changed their kind or default */
assay_upgrade_rule assay_upgrade_axes_1, assay_upgrade_split_13, assay_upgrade_cast_6, assay_upgrade_concat_4,
    assay_upgrade_reshape_5, assay_upgrade_pad_2, assay_upgrade_pad_11, assay_upgrade_clip_11, assay_upgrade_slice_10,
    assay_upgrade_topk_10, assay_upgrade_tile_6, assay_upgrade_lp_2, assay_upgrade_selu_6, assay_upgrade_constant_12,
    assay_upgrade_roialign_16, assay_upgrade_recurrent_7, assay_upgrade_scatter_11;

/* upgrade_meaning.c: ops whose meaning changed */
assay_upgrade_rule assay_upgrade_broadcast_7, assay_upgrade_prelu_7, assay_upgrade_gemm_7, assay_upgrade_dropout_7,
    assay_upgrade_dropout_12, assay_upgrade_batchnorm_9, assay_upgrade_batchnorm_14, assay_upgrade_softmax_13,
    assay_upgrade_upsample_7, assay_upgrade_upsample_9, assay_upgrade_upsample_10, assay_upgrade_resize_11, assay_upgrade_scan_9,
    assay_upgrade_mvn_9;

#endif
