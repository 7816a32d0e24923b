/* SPDX-License-Identifier: Apache-2.0 */
/* Permutations by a Feistel network (dataset_order.h). */
#include "data/dataset_order.h"

#include "base/rng.h"
#include "base/status.h"

/*
 * A balanced Feistel network over the smallest power of four that holds n, whose round function is Philox, permutes that power;
 * walking on from what falls outside 0 … n - 1 makes of it a permutation of n (Black and Rogaway, "Ciphers with arbitrary finite
 * domains", 2002). Four rounds suffice for pseudorandomness (Luby and Rackoff, 1988); small halves are given more.
 */
int64_t assay_order_at(uint64_t seed, uint64_t stream, int64_t n, int64_t index)
{
    enum { ROUNDS = 8 };
    ASSAY_ASSERT(index >= 0 && index < n);
    int half = 1;
    while (half < 31 && (int64_t)1 << 2 * half < n)
        half++;
    uint32_t mask = ((uint32_t)1 << half) - 1;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint64_t at = (uint64_t)index;
    do {
        uint32_t left = (uint32_t)(at >> half) & mask, right = (uint32_t)at & mask;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            const uint32_t counter[4] = {right, round, (uint32_t)stream, (uint32_t)(stream >> 32)};
            uint32_t out[4];
            assay_rng_philox(counter, key, out);
            uint32_t next = left ^ (out[0] & mask);
            left = right;
            right = next;
        }
        at = (uint64_t)left << half | right;
    } while (at >= (uint64_t)n);
    return (int64_t)at;
}
