/* SPDX-License-Identifier: Apache-2.0 */
/* See common_causal.h. */
#include "model/families/common_causal.h"

#include <string.h>

int64_t causal_pad_token(struct assay_config *c) { return c_int(c, "pad_token_id", -1); }

double causal_head_dropout(struct assay_config *c)
{
    return c_dropout(c, "classifier_dropout", c_dropout(c, "hidden_dropout", 0.1));
}

/* Transformers takes the place before the first padding token, and the last one where there is none: argmax finds 0 then, and
 * what is before it, -1, is the last. */
int causal_last(struct assay_builder *b, int scores, int ids, int64_t pad_token)
{
    if (pad_token < 0)
        return b_take(b, scores, 1, -1);
    int is_padding = b_op(b, "Equal", B_VALUES(ids, b_int(b, pad_token)));
    int first = b_argmax(b, b_cast(b, is_padding, ASSAY_I32), -1);
    int length = b_size_scalar(b, ids, 1), before = b_sub(b, first, b_int(b, 1));
    int place = b_op(b, "Mod", B_VALUES(b_add(b, before, length), length));
    int index = b_unsqueeze(b, place, B_LIST(1));
    int picked = b_op(b, "GatherND", B_VALUES(scores, index));
    b_set_int(b, "batch_dims", 1);
    return picked;
}

void causal_classify(struct assay_builder *b, struct assay_config *c, int scores, int ids, int64_t pad_token)
{
    scores = causal_last(b, scores, ids, pad_token);
    b_output(b, scores, "logits");
    b_problem_loss(b, c, scores);
}

void causal_speak(struct assay_builder *b, int scores)
{
    b_output(b, scores, "logits");
    if (b_training(b))
        b_loss(b, b_next_token_loss(b, scores, b_labels(b, "labels", "batch sequence", b_dim(b, scores, -1))));
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

void causal_inputs(struct assay_builder *b, bool single, int *ids, int *attention_mask, int *positions)
{
    const char *dims = single ? "1 sequence" : "batch sequence";
    bool cached = b->options->phase == ASSAY_PHASE_DECODE;
    *ids = b_input(b, "input_ids", ASSAY_I64, dims);
    *attention_mask = cached ? b_input(b, "attention_mask", ASSAY_I64, "batch total_sequence")
                             : b_input_optional(b, "attention_mask", true, ASSAY_I64, dims);
    *positions =
        cached ? b_input(b, "position_ids", ASSAY_I64, dims) : b_input_optional(b, "position_ids", false, ASSAY_I64, dims);
}

void causal_answer(struct assay_builder *b, int x, int64_t hidden)
{
    int both = b_linear(b, x, "qa_outputs", hidden, 2, true), start = b_take(b, both, -1, 0);
    b_output(b, start, "start_logits");
    int end = b_take(b, both, -1, 1);
    b_output(b, end, "end_logits");
    b_answer_loss(b, start, end);
}

void causal_build(struct assay_builder *b, struct assay_config *c, const struct decoder *d, const char *architecture)
{
    bool sequence = ends_with(architecture, "ForSequenceClassification"),
         token = ends_with(architecture, "ForTokenClassification"), answers = ends_with(architecture, "ForQuestionAnswering");
    bool alone = ends_with(architecture, "Model"), single = sequence && !c_has(c, "pad_token_id");
    int64_t labels = sequence || token ? c_labels(c, 2) : 0, pad_token = sequence ? causal_pad_token(c) : -1;
    double head_dropout = causal_head_dropout(c);
    if (assay_config_status(c))
        return;
    decoder_tie(b, d, "");
    int ids, mask, positions;
    causal_inputs(b, single, &ids, &mask, &positions);
    if (positions < 0)
        positions = decoder_positions(b, ids);
    b_enter(b, alone ? "" : answers ? "transformer" : "model");
    int x = decoder_run(b, d, decoder_embed(b, d, ids), mask, positions);
    b_leave(b);
    if (alone) {
        b_output(b, x, "last_hidden_state");
    } else if (sequence) {
        causal_classify(b, c, b_linear(b, x, "score", d->hidden, labels, false), ids, pad_token);
    } else if (token) {
        x = b_linear(b, b_dropout(b, x, head_dropout), "score", d->hidden, labels, true);
        b_output(b, x, "logits");
        b_classes_loss(b, x, "batch sequence");
    } else if (answers) {
        causal_answer(b, x, d->hidden);
    } else {
        causal_speak(b, decoder_head(b, d, x, ""));
    }
}
