/* SPDX-License-Identifier: Apache-2.0 */
/* For runtimes: what bind refuses in all of them, before anything is bound. */
#ifndef ASSAY_RUNTIME_BIND_H
#define ASSAY_RUNTIME_BIND_H

#include "graph/graph.h"

/* The inputs must have the types of the graph's, whose open dimensions take any; those that states end in may be left out
 * (zeroed) once everything has been bound. ASSAY_INVALID names the first that does not fit. No allocation; O(inputs + states). */
enum assay_status assay_bind_check(const struct assay_graph *graph, const struct assay_tensor *inputs, bool was_bound,
                                   struct assay_error *err);

#endif
