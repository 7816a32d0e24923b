/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a run's time goes, by op: means over the fastest profiled runs, with the share of the roofline where an op's FLOPs and
 * bytes are known.
 *
 * Roofline (Williams, Waterman & Patterson, CACM 2009): an op of F FLOPs and B bytes takes at least max(F / peak FLOP/s, B / peak
 * bytes/s); its share is that time over the measured one. The peak is that of the type which the op computes in. Bytes that the
 * caches serve come faster than memory's, so a share may be above 1. FLOPs and bytes are those that the runtime tells of the ops
 * that it made, at the shapes that they ran with; else those of the graph's node.
 */
#ifndef ASSAY_BENCH_PROFILE_H
#define ASSAY_BENCH_PROFILE_H

#include "bench/case.h"
#include "graph/graph.h"

/* JSON array, most time first: {"name", "type", "count", "mean_ns", "share", "flops", "bytes", "roofline_share", "bound"};
 * members that are not known are missing. run_ns[n_runs]: wall time of each whole run, from the first; NaN = it does not count.
 * Means are over the fastest quarter of the runs, so that what disturbed a run is not taken for an op's time; the entry "(outside
 * ops)" is what the ops of those runs do not account for, and all entries add up to the run. Writes a Chrome trace of the fastest
 * run to c->trace_path if that is set. New reference. */
enum assay_status assay_profile_make(const struct assay_case *c, const struct assay_graph *graph,
                                     const struct assay_op_time *times, int n_times, const double *run_ns, int n_runs,
                                     json_t **profile, struct assay_error *err);

#endif
