/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person sees on stderr while Assay works: log lines and a progress bar with the time left. On a terminal the bar is
 * redrawn in place and log lines go above it; elsewhere a plain line is printed for each finished step. Colour only on a terminal
 * without NO_COLOR. Only cli/, serve/ and the child process of a case use this: libraries return errors instead. Threads: a log
 * belongs to one thread.
 */
#ifndef ASSAY_BASE_LOG_H
#define ASSAY_BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum assay_log_level { ASSAY_LOG_ERROR, ASSAY_LOG_WARNING, ASSAY_LOG_INFO, ASSAY_LOG_DEBUG };

struct assay_log {
    FILE *out;
    enum assay_log_level level; /* lines above it are dropped */
    bool terminal, colour;
    /* the bar; total 0 = none */
    int total, done;
    int64_t start_ns, drawn_ns;
    bool bar_visible;
    char label[96];
};

/* out = stderr as a rule; asks isatty, NO_COLOR and TERM. */
void assay_log_init(struct assay_log *log, FILE *out);
void assay_log_line(struct assay_log *log, enum assay_log_level level, const char *format, ...) ASSAY_PRINTF(3, 4);

void assay_progress_start(struct assay_log *log, int total);
/* `label` says what is being done now. Redraws at most 10 times a second. */
void assay_progress_label(struct assay_log *log, const char *format, ...) ASSAY_PRINTF(2, 3);
/* One step is done; `line` (may be NULL) is its outcome, printed above the bar. */
void assay_progress_step(struct assay_log *log, const char *line);
void assay_progress_stop(struct assay_log *log);

/* How many columns `text` takes on a terminal (UTF-8 code points; no wide characters expected). */
int assay_text_width(const char *text);

#endif
