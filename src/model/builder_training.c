/* SPDX-License-Identifier: Apache-2.0 */
/* See builder.h: what training adds to a forward pass, and losses as the model classes of Transformers compute them. */
#include "model/builder.h"

#include <string.h>

bool b_training(const struct assay_builder *b) { return b->options->training; }

int b_stop_gradient(struct assay_builder *b, int x) { return b_training(b) ? e_own(&b->emit, "StopGradient", B_VALUES(x)) : x; }

int b_dropout(struct assay_builder *b, int x, double p)
{
    if (!b_training(b) || b->options->no_dropout || p == 0)
        return x;
    if (!(p > 0 && p < 1))
        return b_fail(b, ASSAY_INVALID, "the config tells a dropout that is not between 0 and 1");
    int seed = assay_graph_find(b->emit.graph, "dropout_seed");
    if (seed < 0)
        seed = b_input(b, "dropout_seed", ASSAY_I64, "");
    int y = e_own(&b->emit, "Dropout", B_VALUES(x, seed));
    b_set_float(b, "ratio", p);
    b_set_int(b, "stream", b->n_dropouts++);
    return y;
}

int b_stop_padding(struct assay_builder *b, int rows, int ids, int64_t padding)
{
    if (!b_training(b) || padding < 0)
        return rows;
    int is_padding = b_unsqueeze(b, b_op(b, "Equal", B_VALUES(ids, b_int(b, padding))), B_LIST(-1));
    return b_where(b, is_padding, b_stop_gradient(b, rows), rows);
}

/* ---- losses */

void b_loss(struct assay_builder *b, int loss) { b_output(b, loss, "loss"); }

int b_labels(struct assay_builder *b, const char *name, const char *dims, int64_t n_classes)
{
    int labels = b_input(b, name, ASSAY_I64, dims);
    b_hint_input(b, name, "tokens:%lld", (long long)n_classes);
    return labels;
}

int b_cross_entropy(struct assay_builder *b, int scores, int labels, int64_t ignored)
{
    int64_t n_classes = b_dim(b, scores, -1);
    int y = b_op(b, "SoftmaxCrossEntropyLoss",
                 B_VALUES(b_reshape(b, scores, B_LIST(-1, n_classes)), b_reshape(b, labels, B_LIST(-1))));
    b_set_int(b, "ignore_index", ignored);
    return y;
}

int b_next_token_loss(struct assay_builder *b, int scores, int labels)
{
    return b_cross_entropy(b, b_slice(b, scores, 1, 0, -1), b_slice(b, labels, 1, 1, INT64_MAX), B_IGNORED_LABEL);
}

int b_contrastive_loss(struct assay_builder *b, int scores)
{
    int places = b_range(b, b_int(b, 0), b_size_scalar(b, scores, 0));
    int rows = b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(scores, places));
    int columns = b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(b_transpose(b, scores, B_LIST(1, 0)), places));
    return b_scale(b, b_add(b, rows, columns), 0.5);
}

int b_shift_right(struct assay_builder *b, int labels, int64_t start, int64_t padding)
{
    int first = b_add(b, b_mul(b, b_slice(b, labels, 1, 0, 1), b_int(b, 0)), b_int(b, start));
    int ids = b_concat(b, 1, B_VALUES(first, b_slice(b, labels, 1, 0, -1)));
    return b_where(b, b_op(b, "Equal", B_VALUES(ids, b_int(b, B_IGNORED_LABEL))), b_int(b, padding), ids);
}

int b_mean_all(struct assay_builder *b, int x)
{
    return b_reduce(b, "ReduceMean", b_reshape(b, x, B_LIST(-1)), false, B_LIST(0));
}

/* ---- heads */

void b_classes_loss(struct assay_builder *b, int scores, const char *dims)
{
    if (b_training(b))
        b_loss(b, b_cross_entropy(b, scores, b_labels(b, "labels", dims, b_dim(b, scores, -1)), B_IGNORED_LABEL));
}

/* Binary cross-entropy of each class on its own, from scores: max(x, 0) - x y + log(1 + exp(-|x|)). */
static int binary_cross_entropy(struct assay_builder *b, int x, int y)
{
    int rest = b_unary(b, "Log", b_add(b, b_unary(b, "Exp", b_unary(b, "Neg", b_unary(b, "Abs", x))), b_scalar(b, 1)));
    return b_mean_all(b, b_add(b, b_sub(b, b_unary(b, "Relu", x), b_mul(b, x, y)), rest));
}

void b_problem_loss(struct assay_builder *b, struct assay_config *c, int scores)
{
    if (!b_training(b))
        return;
    int64_t n = b_dim(b, scores, -1);
    const char *type = c_text(c, "problem_type", n == 1 ? "regression" : b_flag(b, "float_labels") ? "multi" : "single");
    if (strncmp(type, "single", 6) == 0) {
        b_classes_loss(b, scores, "batch");
        return;
    }
    bool is_regression = strcmp(type, "regression") == 0;
    if (!is_regression && strncmp(type, "multi", 5) != 0)
        assay_config_fail(c, ASSAY_UNSUPPORTED, "\"problem_type\" is \"%s\", which is none that Transformers has", type);
    const char *dims = is_regression && n == 1 ? "batch" : assay_arena_printf(&b->arena, "batch %lld", (long long)n);
    int labels = b_input(b, "labels", ASSAY_F32, dims);
    if (is_regression) {
        int far = b_sub(b, b_reshape(b, scores, B_LIST(-1)), b_reshape(b, labels, B_LIST(-1)));
        b_loss(b, b_mean_all(b, b_mul(b, far, far)));
    } else {
        b_loss(b, binary_cross_entropy(b, scores, labels));
    }
}

static int place_loss(struct assay_builder *b, int scores, const char *name)
{
    int places = b_input(b, name, ASSAY_I64, "batch"), length = b_size_scalar(b, scores, 1);
    b_hint_input(b, name, "zeros");
    int is_beyond = b_op(b, "GreaterOrEqual", B_VALUES(places, length));
    places = b_where(b, is_beyond, b_int(b, B_IGNORED_LABEL), b_op(b, "Max", B_VALUES(places, b_int(b, 0))));
    int y = b_op(b, "SoftmaxCrossEntropyLoss", B_VALUES(scores, places));
    b_set_int(b, "ignore_index", B_IGNORED_LABEL);
    return y;
}

void b_answer_loss(struct assay_builder *b, int start, int end)
{
    if (!b_training(b))
        return;
    int of_start = place_loss(b, start, "start_positions"), of_end = place_loss(b, end, "end_positions");
    b_loss(b, b_scale(b, b_add(b, of_start, of_end), 0.5));
}
