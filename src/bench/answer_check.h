/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether generated text was right: compared with what the reference runtime generates, in the model's own precision, for the
 * same request.
 *
 * The logits of the first token are compared like any output. Tokens must be equal, but for ties: greedy choice makes a step of
 * any difference, so where a text first leaves the reference's, the reference's own logits of both tokens are looked at. Each of
 * them may be off by the tolerance, so that the two may change places where they differ by less than twice that; what follows is
 * another text, and not compared.
 */
#ifndef ASSAY_BENCH_ANSWER_CHECK_H
#define ASSAY_BENCH_ANSWER_CHECK_H

#include "bench/correctness.h"
#include "bench/generation.h"

/* What is kept of the reference's answer: of each token the largest logits, since a token that ties is among them. */
enum { ASSAY_KEPT_LOGITS = 64 };
struct assay_reference_answer {
    struct assay_tensor first;  /* f32 [batch, vocabulary]: logits of the first token */
    struct assay_tensor tokens; /* i64 [batch, n_tokens, ASSAY_KEPT_LOGITS or fewer]: from the chosen one down */
    struct assay_tensor logits; /* f32, theirs */
    struct assay_tensor scale;  /* f32 [batch, n_tokens]: the largest magnitude of all logits */
};
/* From an answer with its logits. */
enum assay_status assay_reference_answer_make(struct assay_reference_answer *reference, const struct assay_answer *answer,
                                              struct assay_error *err);
void assay_reference_answer_release(struct assay_reference_answer *reference);

/* first: f32 [batch, vocabulary]; tokens [batch, n_tokens]. ASSAY_MISMATCH with the place. k->tolerance is set before. */
enum assay_status assay_answer_compare(const struct assay_reference_answer *reference, const struct assay_tensor *first,
                                       const int64_t *tokens, struct assay_arena *arena, struct assay_correctness *k,
                                       struct assay_error *err);

/* Compares `answer`, of the last timed request; runs that request once more for the logits. The reference's own answer is kept
 * for the other platforms. As assay_correctness_check otherwise. */
enum assay_status assay_answer_check(const struct assay_case *c, struct assay_generator *generator,
                                     const struct assay_runtime *runtime, const struct assay_request *request,
                                     const struct assay_answer *answer, struct assay_arena *arena,
                                     struct assay_correctness *correctness, struct assay_error *err);

#endif
