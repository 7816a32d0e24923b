/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM (Hochreiter and Schmidhuber 1997) as a text classifier: embedding, layers in one or both directions, and a linear head on
 * the last hidden states of the last layer. Parameters are PyTorch's, whose gates come as input, forget, cell, output; ONNX wants
 * input, output, forget, cell.
 */
#include "model/family.h"

#include <math.h>

struct lstm {
    int64_t vocabulary, embedding, hidden, layers, directions;
};

/* [4 * hidden, …] in PyTorch's order → ONNX's. */
static int reorder(struct assay_builder *b, const struct lstm *m, int x)
{
    int gates[4];
    b_split(b, x, 0, B_LIST(m->hidden, m->hidden, m->hidden, m->hidden), gates);
    return b_concat(b, 0, B_VALUES(gates[0], gates[3], gates[1], gates[2]));
}

static int gate_param(struct assay_builder *b, const struct lstm *m, const char *part, int64_t layer, int64_t direction,
                      int64_t in)
{
    const char *name = assay_arena_printf(&b->arena, "%s_l%lld%s", part, (long long)layer, direction ? "_reverse" : "");
    int64_t dims[] = {4 * m->hidden, in};
    return reorder(b, m, b_param(b, name, in ? 2 : 1, dims));
}

/* [directions, …] of what each direction has. */
static int stack(struct assay_builder *b, const struct lstm *m, const int *parts)
{
    int first = b_unsqueeze(b, parts[0], B_LIST(0));
    return m->directions == 1 ? first : b_concat(b, 0, B_VALUES(first, b_unsqueeze(b, parts[1], B_LIST(0))));
}

/* x [sequence, batch, in] → [sequence, batch, directions * hidden]; states [directions, batch, hidden] */
static int layer(struct assay_builder *b, const struct lstm *m, int x, int lengths, int64_t i, int *hidden, int *cell)
{
    int64_t in = i ? m->directions * m->hidden : m->embedding;
    int weights[2], recurrences[2], biases[2], results[3];
    for (int64_t d = 0; d < m->directions; d++) {
        weights[d] = gate_param(b, m, "weight_ih", i, d, in);
        recurrences[d] = gate_param(b, m, "weight_hh", i, d, m->hidden);
        int of_input = gate_param(b, m, "bias_ih", i, d, 0);
        biases[d] = b_concat(b, 0, B_VALUES(of_input, gate_param(b, m, "bias_hh", i, d, 0)));
    }
    b_op_many(b, "LSTM", B_VALUES(x, stack(b, m, weights), stack(b, m, recurrences), stack(b, m, biases), lengths), 3, results);
    b_set_int(b, "hidden_size", m->hidden);
    b_set_text(b, "direction", m->directions == 2 ? "bidirectional" : "forward");
    *hidden = results[1];
    *cell = results[2];
    return b_reshape(b, b_transpose(b, results[0], B_LIST(0, 2, 1, 3)), B_LIST(0, 0, m->directions * m->hidden));
}

static void build(struct assay_builder *b, struct assay_config *c, const struct assay_architecture *a)
{
    (void)a;
    struct lstm m = {
        .vocabulary = c_size(c, "vocab_size", 20000),
        .embedding = c_size(c, "embedding_size", 128),
        .hidden = c_size(c, "hidden_size", 64),
        .layers = c_count(c, "num_layers", 2),
        .directions = c_bool(c, "bidirectional", true) ? 2 : 1,
    };
    int64_t labels = c_labels(c, 2);
    if (m.layers == 0)
        assay_config_fail(c, ASSAY_INVALID, "\"num_layers\" must be at least 1");
    if (assay_config_status(c))
        return;
    int ids = b_input(b, "ids", ASSAY_I64, "batch sequence");
    int lengths = b_input_optional(b, "lens", false, ASSAY_I64, "batch");
    if (lengths >= 0)
        lengths = b_cast(b, lengths, ASSAY_I32);
    b->random_gain = sqrt((double)m.embedding); /* of unit variance, as PyTorch's: gates near 0 would let nothing through */
    int x = b_transpose(b, b_embedding(b, ids, "embed", m.vocabulary, m.embedding), B_LIST(1, 0, 2));
    b->random_gain = 0;
    int hidden = -1, cell = -1, all_hidden = -1, all_cells = -1;
    b_enter(b, "lstm");
    for (int64_t i = 0; i < m.layers && !b->emit.status; i++) {
        x = layer(b, &m, x, lengths, i, &hidden, &cell);
        all_hidden = i ? b_concat(b, 0, B_VALUES(all_hidden, hidden)) : hidden;
        all_cells = i ? b_concat(b, 0, B_VALUES(all_cells, cell)) : cell;
    }
    b_leave(b);
    int width = (int)(m.directions * m.hidden);
    int last = b_reshape(b, b_transpose(b, hidden, B_LIST(1, 0, 2)), B_LIST(0, width));
    int scores = b_linear(b, last, "fc", width, labels, true);
    b_output(b, scores, "logits");
    b_classes_loss(b, scores, "batch");
    b_output_optional(b, b_transpose(b, x, B_LIST(1, 0, 2)), "output");
    b_output_optional(b, all_hidden, "h_n");
    b_output_optional(b, all_cells, "c_n");
}

static const struct assay_architecture architectures[] = {
    {"LstmForSequenceClassification", "lstm", NULL},
    {NULL, NULL, NULL},
};

const struct assay_family assay_family_lstm = {
    .name = "lstm", .modality = "text", .architectures = architectures, .build = build};
