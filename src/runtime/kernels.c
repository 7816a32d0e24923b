/* SPDX-License-Identifier: Apache-2.0 */
/* See kernels.h. */
#include "runtime/kernels.h"

enum assay_status assay_kernels_support(const struct assay_graph *graph, const struct assay_node *node, struct assay_error *err)
{
    (void)graph;
    if (node->op)
        return ASSAY_OK;
    return assay_error_set(err, ASSAY_UNSUPPORTED, "there is no op %s%s%s (node '%s')", node->domain, *node->domain ? "." : "",
                           node->type, node->name);
}

enum assay_status assay_kernels_support_all(const struct assay_graph *graph, struct assay_error *err)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct assay_node *node = graph->nodes[i];
        enum assay_status st = assay_kernels_support(graph, node, err);
        for (int k = 0; !st && k < node->n_attrs; k++)
            if (node->attrs[k].kind == ASSAY_ATTR_GRAPH)
                st = assay_kernels_support_all(node->attrs[k].graph, err);
        if (st)
            return st;
    }
    return ASSAY_OK;
}
