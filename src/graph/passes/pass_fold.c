/* SPDX-License-Identifier: Apache-2.0 */
/* Constant folding and dead code, as a pass (infer.h does the work). */
#include "graph/infer.h"
#include "graph/pass.h"

/* Larger results, such as weights transposed, are left to the runtime, which packs them from where they lie. */
enum { LIMIT_BYTES = 1 << 16 };

static enum assay_status run(struct assay_graph *graph, int *n_changes, struct assay_error *err)
{
    int before = graph->n_nodes;
    enum assay_status st = assay_graph_fold(graph, LIMIT_BYTES, err);
    *n_changes = before - graph->n_nodes;
    return st ? st : assay_graph_infer(graph, err);
}

const struct assay_pass assay_pass_fold = {
    .name = "fold", .about = "what follows from constants alone is computed once; what leads nowhere goes", .run = run};
