/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models of an encoder and a decoder in phases against the same model as a whole: what was encoded once, then the first tokens
 * together, then one by one, gives the logits that the whole graph has at that place. (Numbers of PyTorch are compared with the
 * whole graph by `assay check`.)
 */
#include "base/test.h"
#include "graph/testing.h"
#include "model/model.h"

#include <string.h>

enum { BATCH = 2, SOURCE = 11, PROMPT = 3, LENGTH = 9, VOCABULARY = 13, MOST_VALUES = 24 };

/* Logits are of magnitude 3: some tens of roundings of f32. */
static const double same = 2e-5;

static const int64_t source[BATCH][SOURCE] = {{3, 7, 1, 10, 4, 2, 9, 12, 5, 8, 1}, {6, 11, 8, 1, 3, 3, 7, 1, 0, 0, 0}},
                     source_mask[BATCH][SOURCE] = {{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}},
                     tokens[BATCH][LENGTH] = {{0, 7, 1, 10, 4, 2, 9, 12, 5}, {0, 0, 6, 11, 8, 1, 3, 3, 7}},
                     mask[BATCH][LENGTH] = {{1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 1, 1, 1, 1, 1, 1, 1, 1}},
                     positions[BATCH][LENGTH] = {{0, 1, 2, 3, 4, 5, 6, 7, 8}, {1, 0, 1, 2, 3, 4, 5, 6, 7}};

struct phase {
    struct assay_graph *graph;
    struct assay_tensor inputs[MOST_VALUES], outputs[MOST_VALUES];
};

static void open_phase(struct phase *p, const char *text, enum assay_model_phase phase)
{
    static const char *const t5_inputs[] = {"input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask"},
                             *const whisper_inputs[] = {"input_features", "decoder_input_ids", "decoder_attention_mask",
                                                        "decoder_position_ids"};
    struct assay_error err = {0};
    struct assay_model_options options = {.phase = phase, .seed = 3};
    struct assay_model_info info;
    json_t *config;
    *p = (struct phase){0};
    if (phase == ASSAY_PHASE_WHOLE) {
        options.inputs = strstr(text, "\"t5\"") ? t5_inputs : whisper_inputs;
        options.n_inputs = 4;
    }
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    CHECK_OK(assay_model_build(config, "config", &options, &p->graph, &info, &err), err);
    CHECK(info.generation.generates && info.generation.encodes);
    CHECK(p->graph->n_inputs <= MOST_VALUES && p->graph->n_outputs <= MOST_VALUES);
    json_decref(config);
}

static void close_phase(struct phase *p)
{
    for (int i = 0; i < MOST_VALUES; i++) {
        assay_tensor_release(&p->inputs[i]);
        assay_tensor_release(&p->outputs[i]);
    }
    assay_graph_close(p->graph);
}

static const char *input_name(const struct phase *p, int i) { return p->graph->values[p->graph->inputs[i]].name; }

static int find_input(const struct phase *p, const char *name)
{
    for (int i = 0; i < p->graph->n_inputs; i++)
        if (strcmp(input_name(p, i), name) == 0)
            return i;
    return -1;
}

/* Of a table with a row of `stride` numbers for each of the batch. Models that have no such input go without. */
static void set_ints(struct phase *p, const char *name, int64_t columns, const int64_t *table, int64_t stride)
{
    int i = find_input(p, name);
    if (i < 0)
        return;
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){BATCH, columns});
    assay_tensor_release(&p->inputs[i]);
    CHECK_INT(assay_tensor_alloc(&p->inputs[i], &type, NULL), ASSAY_OK);
    for (int64_t k = 0; k < BATCH * columns; k++)
        assay_tensor_set_real(&p->inputs[i], k, (double)table[k / columns * stride + k % columns]);
}

static void set_request(struct phase *p)
{
    set_ints(p, "input_ids", SOURCE, source[0], SOURCE);
    set_ints(p, "attention_mask", SOURCE, source_mask[0], SOURCE);
    int i = find_input(p, "input_features");
    if (i < 0)
        return;
    struct assay_type type = p->graph->values[p->graph->inputs[i]].type;
    type.dims[0] = BATCH;
    CHECK_INT(assay_tensor_alloc(&p->inputs[i], &type, NULL), ASSAY_OK);
    for (int64_t k = 0; k < assay_tensor_count(&p->inputs[i]); k++)
        assay_tensor_set_real(&p->inputs[i], k, sin(0.7 * (double)k));
}

static void run_phase(struct phase *p)
{
    struct assay_error err = {0};
    for (int i = 0; i < p->graph->n_outputs; i++)
        assay_tensor_release(&p->outputs[i]);
    CHECK_OK(testing_run(p->graph, p->inputs, p->outputs, &err), err);
}

/* Each output is the input of the same name. */
static void hand_over(const struct phase *encode, struct phase *decode)
{
    for (int k = 0; k < encode->graph->n_outputs; k++) {
        int i = find_input(decode, encode->graph->values[encode->graph->outputs[k]].name);
        CHECK(i >= 0);
        assay_tensor_share(&decode->inputs[i], &encode->outputs[k]);
    }
}

static void clear_states(struct phase *p)
{
    for (int s = 0; s < p->graph->n_states; s++) {
        int i = p->graph->states[s].input;
        struct assay_type type = p->graph->values[p->graph->inputs[i]].type;
        type.dims[0] = BATCH;
        type.dims[2] = 0;
        CHECK_INT(assay_tensor_alloc(&p->inputs[i], &type, NULL), ASSAY_OK);
    }
}

static void move_states(struct phase *p)
{
    for (int s = 0; s < p->graph->n_states; s++) {
        struct assay_tensor *input = &p->inputs[p->graph->states[s].input];
        assay_tensor_release(input);
        assay_tensor_share(input, &p->outputs[p->graph->states[s].output]);
    }
}

static void check_decoding(const char *text, int layers)
{
    struct phase whole, encode, decode;
    open_phase(&whole, text, ASSAY_PHASE_WHOLE);
    open_phase(&encode, text, ASSAY_PHASE_ENCODE);
    open_phase(&decode, text, ASSAY_PHASE_DECODE);
    CHECK_INT(decode.graph->n_states, 2 * layers);
    set_request(&whole);
    set_request(&encode);
    run_phase(&encode);
    hand_over(&encode, &decode);
    clear_states(&decode);
    for (int64_t begin = 0, end = PROMPT; end <= LENGTH; begin = end++) {
        set_ints(&whole, "decoder_input_ids", end, tokens[0], LENGTH);
        set_ints(&whole, "decoder_attention_mask", end, mask[0], LENGTH);
        set_ints(&whole, "decoder_position_ids", end, positions[0], LENGTH);
        run_phase(&whole);
        set_ints(&decode, "input_ids", end - begin, tokens[0] + begin, LENGTH);
        set_ints(&decode, "attention_mask", end, mask[0], LENGTH);
        set_ints(&decode, "position_ids", end - begin, positions[0] + begin, LENGTH);
        run_phase(&decode);
        move_states(&decode);
        CHECK_INT(assay_tensor_count(&decode.outputs[0]), BATCH * VOCABULARY);
        for (int64_t row = 0; row < BATCH; row++)
            for (int64_t k = 0; k < VOCABULARY; k++)
                CHECK_NEAR(assay_tensor_real(&decode.outputs[0], row * VOCABULARY + k),
                           assay_tensor_real(&whole.outputs[0], ((row + 1) * end - 1) * VOCABULARY + k), same);
    }
    close_phase(&whole);
    close_phase(&encode);
    close_phase(&decode);
}

#define T5                                                                                                                       \
    "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"], \"d_model\": 16, \"d_kv\": 5, \"d_ff\": 12,"  \
    " \"num_heads\": 2, \"num_layers\": 1, \"num_decoder_layers\": 2, \"vocab_size\": 13"
#define WHISPER                                                                                                                  \
    "{\"model_type\": \"whisper\", \"architectures\": [\"WhisperForConditionalGeneration\"], \"d_model\": 12,"                   \
    " \"encoder_layers\": 1, \"decoder_layers\": 2, \"encoder_ffn_dim\": 10, \"decoder_ffn_dim\": 14, \"num_mel_bins\": 4,"      \
    " \"encoder_attention_heads\": 2, \"decoder_attention_heads\": 3, \"max_source_positions\": 7,"                              \
    " \"max_target_positions\": 9, \"vocab_size\": 13"

ASSAY_TEST(t5_decodes_what_it_reads_as_a_whole)
{
    check_decoding(T5 "}", 2);
    check_decoding(T5 ", \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}", 2);
    /* Distances beyond the first half of the buckets. */
    check_decoding(T5 ", \"relative_attention_num_buckets\": 4, \"relative_attention_max_distance\": 6}", 2);
}

ASSAY_TEST(whisper_decodes_what_it_reads_as_a_whole)
{
    check_decoding(WHISPER "}", 2);
    check_decoding(WHISPER ", \"tie_word_embeddings\": false}", 2);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(t5_decodes_what_it_reads_as_a_whole), ASSAY_TEST_ENTRY(whisper_decodes_what_it_reads_as_a_whole))
