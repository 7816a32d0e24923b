/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random orders that need no memory: a permutation of 0 … n - 1 as a function of its index, the same on every machine, so that
 * any place of any epoch is known without those before it.
 */
#ifndef ASSAY_DATA_DATASET_ORDER_H
#define ASSAY_DATA_DATASET_ORDER_H

#include <stdint.h>

/* Where `index` (below n) goes in the permutation that (seed, stream) names. */
int64_t assay_order_at(uint64_t seed, uint64_t stream, int64_t n, int64_t index);

#endif
