/* SPDX-License-Identifier: Apache-2.0 */
/* See rng.h. Constants are those of the paper (and of Random123). */
#include "base/rng.h"

#include <math.h>

void assay_rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void assay_rng_init(struct assay_rng *rng, uint64_t seed, uint64_t stream)
{
    *rng = (struct assay_rng){.seed = seed, .stream = stream};
}

uint64_t assay_rng_stream(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

uint32_t assay_rng_u32(struct assay_rng *rng)
{
    if (rng->left == 0) {
        uint32_t counter[4] = {(uint32_t)rng->counter, (uint32_t)(rng->counter >> 32), (uint32_t)rng->stream,
                               (uint32_t)(rng->stream >> 32)};
        uint32_t key[2] = {(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)};
        assay_rng_philox(counter, key, rng->block);
        rng->counter++;
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

uint64_t assay_rng_u64(struct assay_rng *rng)
{
    uint64_t high = assay_rng_u32(rng);
    return high << 32 | assay_rng_u32(rng);
}

double assay_rng_uniform(struct assay_rng *rng) { return (double)(assay_rng_u64(rng) >> 11) * 0x1p-53; }

double assay_rng_exponential(struct assay_rng *rng) { return -log1p(-assay_rng_uniform(rng)); }

double assay_rng_normal(struct assay_rng *rng)
{
    double radius = sqrt(2 * assay_rng_exponential(rng));
    return radius * cos(2 * M_PI * assay_rng_uniform(rng));
}

uint64_t assay_rng_below(struct assay_rng *rng, uint64_t n)
{
    unsigned __int128 product = (unsigned __int128)assay_rng_u64(rng) * n;
    if ((uint64_t)product < n) {
        uint64_t threshold = -n % n;
        while ((uint64_t)product < threshold)
            product = (unsigned __int128)assay_rng_u64(rng) * n;
    }
    return (uint64_t)(product >> 64);
}
