/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 * The n-th number of a stream is a function of (seed, stream, n) alone, so inputs, shuffles and dropout masks are the same on
 * every machine, in every order and on every runtime. Its name in rows is "philox4x32-10".
 */
#ifndef ASSAY_BASE_RNG_H
#define ASSAY_BASE_RNG_H

#include <stdint.h>

struct assay_rng {
    uint64_t seed, stream, counter; /* counter: number of 128-bit blocks drawn */
    uint32_t block[4];
    int left; /* words of block not yet given */
};

void assay_rng_init(struct assay_rng *rng, uint64_t seed, uint64_t stream);
/* A stream number for a name (FNV-1a), so that each input tensor has numbers of its own. */
uint64_t assay_rng_stream(const char *name);
/* The raw block function: counter[4], key[2] -> out[4]. */
void assay_rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

uint32_t assay_rng_u32(struct assay_rng *rng);
uint64_t assay_rng_u64(struct assay_rng *rng);
/* Uniform in [0, 1), 53 bits. */
double assay_rng_uniform(struct assay_rng *rng);
/* Standard normal (Box-Muller, one number a call). */
double assay_rng_normal(struct assay_rng *rng);
/* Exponential with mean 1. */
double assay_rng_exponential(struct assay_rng *rng);
/* Uniform in [0, n), without bias (Lemire 2019); n > 0. */
uint64_t assay_rng_below(struct assay_rng *rng, uint64_t n);

#endif
