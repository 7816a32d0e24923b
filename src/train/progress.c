/* SPDX-License-Identifier: Apache-2.0 */
/* See progress.h. */
#include "train/progress.h"

#include <string.h>

enum { RING = ASSAY_PROGRESS_WINDOW + 1 };

void assay_progress_init(struct assay_progress *progress) { memset(progress, 0, sizeof *progress); }

void assay_progress_step(struct assay_progress *progress, int64_t now_ns, int64_t n_samples)
{
    if (progress->n_steps == 0) {
        progress->start_ns = now_ns;
        progress->pauses_ns = 0;
    }
    progress->end_ns[progress->n_steps % RING] = now_ns - progress->pauses_ns;
    progress->samples[progress->n_steps % RING] = n_samples;
    progress->n_steps++;
}

void assay_progress_pause(struct assay_progress *progress, int64_t duration_ns) { progress->pauses_ns += duration_ns; }

/* Steps in the window, whose time is known: one fewer than ends. */
static int64_t n_known(const struct assay_progress *progress)
{
    int64_t n = progress->n_steps - 1;
    return n > ASSAY_PROGRESS_WINDOW ? ASSAY_PROGRESS_WINDOW : n;
}

/* From the end before the window's first step to the last end. */
static double window_ns(const struct assay_progress *progress)
{
    int64_t last = progress->n_steps - 1;
    return (double)(progress->end_ns[last % RING] - progress->end_ns[(last - n_known(progress)) % RING]);
}

double assay_progress_rate(const struct assay_progress *progress)
{
    if (n_known(progress) < 1 || window_ns(progress) <= 0)
        return 0;
    int64_t samples = 0;
    for (int64_t i = 0; i < n_known(progress); i++)
        samples += progress->samples[(progress->n_steps - 1 - i) % RING];
    return (double)samples / window_ns(progress) * 1e9;
}

double assay_progress_step_ns(const struct assay_progress *progress)
{
    return n_known(progress) < 1 ? 0 : window_ns(progress) / (double)n_known(progress);
}

double assay_progress_left_ns(const struct assay_progress *progress, int64_t n_left)
{
    if (n_known(progress) < 1 || n_left <= 0)
        return 0;
    double steps_ns = (double)(progress->end_ns[(progress->n_steps - 1) % RING] - progress->start_ns);
    double with_pauses = steps_ns > 0 ? 1 + (double)progress->pauses_ns / steps_ns : 1;
    return (double)n_left * assay_progress_step_ns(progress) * with_pauses;
}
