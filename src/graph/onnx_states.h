/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a graph has and an ONNX model has no field for, kept in the model's metadata_props: states, as "output:input,output:input"
 * with the names' own ':', ',' and '%' as %3A, %2C and %25; and the versions of other domains than ONNX's own.
 */
#ifndef ASSAY_GRAPH_ONNX_STATES_H
#define ASSAY_GRAPH_ONNX_STATES_H

#include "graph/graph.h"

#define ASSAY_ONNX_STATES "assay.states"
#define ASSAY_ONNX_IMPORT "assay.import:" /* and the domain; never written to a file as metadata */

/* NULL if there are none; else from the arena. */
char *assay_onnx_write_states(const struct assay_graph *graph, struct assay_arena *arena);
/* Adds the states to the graph. ASSAY_INVALID: a name that is no output or input, or types that contradict one another. */
enum assay_status assay_onnx_read_states(struct assay_graph *graph, const char *text, struct assay_error *err);

#endif
