/* SPDX-License-Identifier: Apache-2.0 */
/* Inside stats/ only: order statistics without a full sort, and the long-run variance that bootstrap and intervals share. */
#ifndef ASSAY_STATS_SELECT_H
#define ASSAY_STATS_SELECT_H

#include <stddef.h>

/* A sorted copy, for the caller to free. */
double *assay_stats_sorted(const double *x, size_t n);
/* Quantile p of values that are sorted already (type 7). */
double assay_stats_sorted_quantile(const double *sorted, size_t n, double p);
/* The k-th smallest (from 0); reorders x so that what stands before k is not larger. O(n). */
double assay_stats_select(double *x, size_t n, size_t k);
/* ranks[i] of x[i], from 1; ties share the mean of their ranks. Returns the sum of t³ - t over groups of t ties. */
double assay_stats_ranks(const double *x, size_t n, double *ranks);

#endif
