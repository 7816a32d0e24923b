/* SPDX-License-Identifier: Apache-2.0 */
/* See throughput.h. */
#include "train/throughput.h"

#include <string.h>

enum { RING = ASSAY_THROUGHPUT_WINDOW + 1 };

void assay_throughput_init(struct assay_throughput *throughput) { memset(throughput, 0, sizeof *throughput); }

void assay_throughput_step(struct assay_throughput *throughput, int64_t now_ns, int64_t n_samples)
{
    if (throughput->n_steps == 0) {
        throughput->start_ns = now_ns;
        throughput->pauses_ns = 0;
    }
    throughput->end_ns[throughput->n_steps % RING] = now_ns - throughput->pauses_ns;
    throughput->samples[throughput->n_steps % RING] = n_samples;
    throughput->n_steps++;
}

void assay_throughput_pause(struct assay_throughput *throughput, int64_t duration_ns) { throughput->pauses_ns += duration_ns; }

/* Steps in the window, whose time is known: one fewer than ends. */
static int64_t n_known(const struct assay_throughput *throughput)
{
    int64_t n = throughput->n_steps - 1;
    return n > ASSAY_THROUGHPUT_WINDOW ? ASSAY_THROUGHPUT_WINDOW : n;
}

/* From the end before the window's first step to the last end. */
static double window_ns(const struct assay_throughput *throughput)
{
    int64_t last = throughput->n_steps - 1;
    return (double)(throughput->end_ns[last % RING] - throughput->end_ns[(last - n_known(throughput)) % RING]);
}

double assay_throughput_rate(const struct assay_throughput *throughput)
{
    if (n_known(throughput) < 1 || window_ns(throughput) <= 0)
        return 0;
    int64_t samples = 0;
    for (int64_t i = 0; i < n_known(throughput); i++)
        samples += throughput->samples[(throughput->n_steps - 1 - i) % RING];
    return (double)samples / window_ns(throughput) * 1e9;
}

double assay_throughput_step_ns(const struct assay_throughput *throughput)
{
    return n_known(throughput) < 1 ? 0 : window_ns(throughput) / (double)n_known(throughput);
}

double assay_throughput_left_ns(const struct assay_throughput *throughput, int64_t n_left)
{
    if (n_known(throughput) < 1 || n_left <= 0)
        return 0;
    double steps_ns = (double)(throughput->end_ns[(throughput->n_steps - 1) % RING] - throughput->start_ns);
    double with_pauses = steps_ns > 0 ? 1 + (double)throughput->pauses_ns / steps_ns : 1;
    return (double)n_left * assay_throughput_step_ns(throughput) * with_pauses;
}
