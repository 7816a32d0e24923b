/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which elements the domain's own Dropout keeps: a function of seed, stream and the element's flat index alone, so that every
 * runtime has the same mask, forward and backward, in any order and on any number of threads.
 *
 * It is integer arithmetic that no step of overflows 63 bits, so that ONNX's Add, Mul and Mod on int64 can do it as well. With
 * p = 2³¹ - 1 and f(x) = x⁵ mod p, a permutation of 0 … p - 1:
 *
 *     s = seed mod 2⁶²;  k1 = f(f(s mod p + 1013904223) + stream mod p);  k2 = f(k1 + (s / p) mod p + 12345)
 *     h(i) = f(f(i mod p + k1) + k2);  element i is dropped where h(i) < round(ratio · p)
 *
 * mod gives numbers that are not negative.
 */
#ifndef ASSAY_GRAPH_OPS_DROPOUT_H
#define ASSAY_GRAPH_OPS_DROPOUT_H

#include <math.h>
#include <stdint.h>

enum { ASSAY_DROPOUT_PRIME = 2147483647, ASSAY_DROPOUT_LOW = 1013904223, ASSAY_DROPOUT_HIGH = 12345 };

struct assay_dropout {
    uint64_t k1, k2;    /* < p */
    uint64_t threshold; /* dropped below */
};

/* x < 2⁶² as a number ≤ p that is x mod p; p stands for 0. */
static inline uint64_t assay_dropout_fold(uint64_t x)
{
    x = (x & ASSAY_DROPOUT_PRIME) + (x >> 31);
    return (x & ASSAY_DROPOUT_PRIME) + (x >> 31);
}

/* x⁵, x ≤ 2³². */
static inline uint64_t assay_dropout_mix(uint64_t x)
{
    x = assay_dropout_fold(x);
    uint64_t square = assay_dropout_fold(x * x);
    return assay_dropout_fold(assay_dropout_fold(square * square) * x);
}

static inline struct assay_dropout assay_dropout_make(int64_t seed, int64_t stream, double ratio)
{
    const uint64_t p = ASSAY_DROPOUT_PRIME;
    uint64_t s = (uint64_t)seed & (((uint64_t)1 << 62) - 1),
             t = (uint64_t)(stream % (int64_t)p + (stream % (int64_t)p < 0 ? (int64_t)p : 0));
    struct assay_dropout d;
    d.k1 = assay_dropout_mix(assay_dropout_mix(s % p + ASSAY_DROPOUT_LOW) + t) % p;
    d.k2 = assay_dropout_mix(d.k1 + s / p % p + ASSAY_DROPOUT_HIGH) % p;
    d.threshold = (uint64_t)llround(ratio * (double)p);
    return d;
}

/* Whether the element of flat index i < 2⁶² is kept. */
static inline int assay_dropout_keeps(const struct assay_dropout *d, uint64_t i)
{
    uint64_t h = assay_dropout_mix(assay_dropout_mix(assay_dropout_fold(i) + d->k1) + d->k2);
    return (h == ASSAY_DROPOUT_PRIME ? 0 : h) >= d->threshold;
}

#endif
