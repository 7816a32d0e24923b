/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beam search over next-token logits, apart from what makes them: which beams go on with which tokens, and which text is best.
 * As Transformers does it by default: length penalty 1 (a text's score is its sum of log probabilities over its number of new
 * tokens, the end counted), no early stopping (a request is done when its best open beam, at its present length, can't beat the
 * worst of its ended texts), one text returned.
 *
 * Rows are beams: row r belongs to request r / beams. Threads: one search, one thread.
 */
#ifndef ASSAY_BENCH_BEAMS_H
#define ASSAY_BENCH_BEAMS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { ASSAY_MOST_BEAMS = 1024 };

struct assay_beams;

struct assay_beams_options {
    int64_t batch, beams, vocabulary, max_new_tokens;
    const int64_t *eos_tokens; /* borrowed until close */
    int n_eos_tokens;
    int64_t pad_token;
};

/* ASSAY_INVALID: fewer tokens than beams need. ASSAY_NO_MEMORY. */
enum assay_status assay_beams_open(const struct assay_beams_options *options, struct assay_beams **beams,
                                   struct assay_error *err);
void assay_beams_close(struct assay_beams *beams);
/* Logits of the last place, [rows, vocabulary]; in the first step the beams of a request are alike and have one row together:
 * [batch, vocabulary]. Then row r goes on with tokens[r] behind what row sources[r] has; both are [batch * beams], borrowed until
 * the next step. At most max_new_tokens steps. */
void assay_beams_step(struct assay_beams *beams, const float *logits, const int64_t **tokens, const int64_t **sources);
/* Every request is done. */
bool assay_beams_done(const struct assay_beams *beams);
/* After the last step: the best text of each request, tokens[batch * max_new_tokens] as [batch, *n_tokens], ended and padded; and
 * its score. Once. */
void assay_beams_finish(struct assay_beams *beams, int64_t *tokens, int64_t *n_tokens, double *scores);

#endif
