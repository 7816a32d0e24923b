/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear sum assignment problem: pairs of rows and columns, each used at most once, with the least sum of costs. DETR's set
 * loss matches predictions to objects with it (Carion et al., "End-to-end object detection with transformers", 2020).
 *
 * Method: shortest augmenting paths with potentials (Jonker and Volgenant, "A shortest augmenting path algorithm for dense and
 * sparse linear assignment problems", 1987) in the rectangular form of Crouse, "On implementing 2D rectangular assignment
 * algorithms" (2016): O(k² n) for k = min(rows, columns) and n the larger. Of several best assignments the same one is found on
 * every machine.
 */
#ifndef ASSAY_TRAIN_LINEAR_ASSIGNMENT_H
#define ASSAY_TRAIN_LINEAR_ASSIGNMENT_H

#include "base/status.h"

#include <stdint.h>

/* cost: [n_rows, n_columns], not changed; infinity forbids a pair. Each of min(n_rows, n_columns) rows gets a column in
 * column_of_row[n_rows], the others -1; *total (may be NULL) is the sum. ASSAY_INVALID: a cost that is NaN, -infinity or so large
 * that sums overflow, or forbidden pairs leave no assignment. ASSAY_NO_MEMORY. */
enum assay_status assay_matching_solve(const double *cost, int64_t n_rows, int64_t n_columns, int64_t *column_of_row,
                                       double *total, struct assay_error *err);

#endif
