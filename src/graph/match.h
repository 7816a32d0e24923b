/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding patterns in a graph, for passes: who makes a value, who reads it, which constants it is. Of a graph that is sorted; an
 * index of uses is made once, and is out of date as soon as the graph changes, except through the functions here.
 */
#ifndef ASSAY_GRAPH_MATCH_H
#define ASSAY_GRAPH_MATCH_H

#include "graph/graph.h"

struct assay_match {
    struct assay_graph *graph;
    int *n_uses;   /* [n_values at open]: reads by nodes, captures by bodies, and being a graph output */
    int *a_reader; /* a node that reads it; -1 = none */
    int n_values;
};

void assay_match_open(struct assay_match *match, struct assay_graph *graph);
void assay_match_close(struct assay_match *match);

/* Index of the node of that type (ONNX's domain unless `domain` is given) whose output 0 the value is; -1 if it is none. */
int assay_match_maker(const struct assay_match *match, int value, const char *type);
/* The same, if nobody but the asking node reads the value, so that it may vanish. */
int assay_match_sole_maker(const struct assay_match *match, int value, const char *type);
/* The one reader, if there is just one and the value is no graph output; -1 otherwise. */
int assay_match_sole_reader(const struct assay_match *match, int value);
/* Contents that never change, or NULL. */
const struct assay_tensor *assay_match_constant(const struct assay_match *match, int value);
/* Whether the value is a float constant of one element (of any rank), and which. */
bool assay_match_scalar(const struct assay_match *match, int value, double *number);
bool assay_match_is_scalar(const struct assay_match *match, int value, double number, double tolerance);
/* Of a binary op with a commutative meaning: one input is a scalar constant; the other is set. */
bool assay_match_with_scalar(const struct assay_match *match, int node, double *number, int *other);

#endif
