/* SPDX-License-Identifier: Apache-2.0 */
/* For runtimes that run any node that Assay has an op for (graph/op.h): whether it has one. */
#ifndef ASSAY_RUNTIME_KERNELS_H
#define ASSAY_RUNTIME_KERNELS_H

#include "graph/graph.h"

/* As `supports` of runtime.h. */
enum assay_status assay_kernels_support(const struct assay_graph *graph, const struct assay_node *node, struct assay_error *err);
/* All nodes, those of bodies too; ASSAY_UNSUPPORTED names the first that has no op. */
enum assay_status assay_kernels_support_all(const struct assay_graph *graph, struct assay_error *err);

#endif
