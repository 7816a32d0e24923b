/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes from what a person says: "INPUT=1x3xNx640" (N is the batch) and "DIMENSION=128" over what a model leaves open. What
 * neither says: a first dimension of several, or one called like batch, is the batch; others take the size that the graph's
 * metadata hints at ("assay.dim.NAME"), if it does.
 */
#ifndef ASSAY_BENCH_SHAPE_H
#define ASSAY_BENCH_SHAPE_H

#include "graph/graph.h"

enum { ASSAY_MAX_DIM = 1 << 30 };

struct assay_text_list {
    const char **items;
    size_t n;
};

/* What follows "NAME=" in a list of entries; NULL if there is no such entry. */
const char *assay_entry_find(const struct assay_text_list *entries, const char *name);

struct assay_shape_request {
    struct assay_text_list shapes; /* "input=1x3xNx640"; a scalar is "input=" */
    struct assay_text_list dims;   /* "dimension=number" */
    int64_t batch;
    const struct assay_graph *graph; /* whose hints count; NULL = none */
};

/* The type of a graph input under a request. Dimensions that stay open stay -1. *follows_batch is set if one is the batch, and
 * left alone otherwise. ASSAY_INVALID: an entry is no shape, or contradicts the model. */
enum assay_status assay_shape_bind(const struct assay_shape_request *request, const struct assay_value *input,
                                   struct assay_type *type, bool *follows_batch, struct assay_error *err);

/* What shapes, dimensions and kinds are given for: inputs of a graph, or of a request, which has them of two (request.h). */
struct assay_open_input {
    const struct assay_graph *graph;
    int value;
    const struct assay_value *like; /* whose names its open dimensions go by: usually itself */
};
struct assay_open_inputs {
    struct assay_open_input *items;
    size_t n;
    const char *model; /* for sentences */
};
/* A graph's own. From the arena. */
struct assay_open_inputs assay_shape_inputs(const struct assay_graph *graph, struct assay_arena *arena);

/* The types [n] of all; the request's graph is not looked at. What neither a person nor the batch binds is as large as a dimension
 * of that name of another input, else as its own graph hints, else, if length > 0 and the name tells a sequence, that long. */
enum assay_status assay_shape_bind_all(const struct assay_shape_request *request, const struct assay_open_inputs *inputs,
                                       int64_t length, struct assay_type *types, bool *follows_batch, struct assay_error *err);

/* Each --dim must name a dimension of the inputs, each entry of `entries` an input; `option` is what that list is called. */
enum assay_status assay_shape_check_dims(const struct assay_text_list *dims, const struct assay_open_inputs *inputs,
                                         struct assay_error *err);
enum assay_status assay_shape_check_inputs(const struct assay_text_list *entries, const char *option,
                                           const struct assay_open_inputs *inputs, struct assay_error *err);
/* Whether rank and all dimensions are numbers. */
bool assay_shape_is_whole(const struct assay_type *type);
/* The text that helps to write --shape: "1x3x?x?". */
const char *assay_shape_hint(const struct assay_type *type, struct assay_arena *arena);

#endif
