/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks and the Mann-Whitney test; see stats.h. */
#include "stats/stats.h"
#include "stats/select.h"

#include "base/arena.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct placed {
    double value;
    size_t index;
};

static int compare_placed(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    return (a->value > b->value) - (a->value < b->value);
}

double assay_stats_ranks(const double *x, size_t n, double *ranks)
{
    struct placed *order = assay_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = (struct placed){x[i], i};
    qsort(order, n, sizeof *order, compare_placed);
    double ties = 0;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && order[end].value == order[i].value; end++) {
        }
        double t = (double)(end - i), rank = (double)i + (t + 1) / 2;
        ties += t * t * t - t;
        for (size_t k = i; k < end; k++)
            ranks[order[k].index] = rank;
    }
    free(order);
    return ties;
}

/* P(U <= u) under no difference: the share of the ways to choose n_a of n_a + n_b ranks. ways[i][s] counts choices of i ranks
 * among those seen so far whose sum, less its minimum, is s (Mann & Whitney 1947). Exact in double below 50 a side. */
static double exact_cdf(size_t u, size_t n_a, size_t n_b)
{
    size_t largest = n_a * n_b, width = largest + 1;
    double *ways = assay_alloc((n_a + 1) * width * sizeof *ways);
    memset(ways, 0, (n_a + 1) * width * sizeof *ways);
    ways[0] = 1;
    for (size_t rank = 0; rank < n_a + n_b; rank++)
        for (size_t i = rank + 1 < n_a ? rank + 1 : n_a; i >= 1; i--) {
            if (rank + 1 - i > n_b)
                break;
            size_t add = rank + 1 - i;
            for (size_t s = add; s <= largest; s++)
                ways[i * width + s] += ways[(i - 1) * width + s - add];
        }
    double below = 0, all = 0;
    for (size_t s = 0; s <= largest; s++) {
        all += ways[n_a * width + s];
        below += s <= u ? ways[n_a * width + s] : 0;
    }
    free(ways);
    return below / all;
}

double assay_stats_rank_test(const double *a, size_t n_a, const double *b, size_t n_b)
{
    if (n_a == 0 || n_b == 0)
        return 1;
    size_t n = n_a + n_b;
    double *both = assay_alloc(2 * n * sizeof *both), *ranks = both + n;
    memcpy(both, a, n_a * sizeof *a);
    memcpy(both + n_a, b, n_b * sizeof *b);
    double ties = assay_stats_ranks(both, n, ranks), rank_sum = 0;
    for (size_t i = 0; i < n_a; i++)
        rank_sum += ranks[i];
    free(both);

    double m = (double)n_a, k = (double)n_b, u = rank_sum - m * (m + 1) / 2, p;
    if (ties == 0 && n_a < 50 && n_b < 50) {
        p = 2 * exact_cdf((size_t)fmin(u, m * k - u), n_a, n_b);
    } else {
        double total = m + k, variance = m * k / 12 * (total + 1 - ties / (total * (total - 1)));
        if (!(variance > 0))
            return 1;
        double distance = fmax(fabs(u - m * k / 2) - 0.5, 0);
        p = 2 * gsl_cdf_ugaussian_Q(distance / sqrt(variance));
    }
    return fmin(p, 1);
}
