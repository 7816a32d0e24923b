/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model in phases against the same model as a whole: prompt first, then token by token, the logits of each step are those that
 * the whole graph has at that place, which outputs of PyTorch confirm. What has which phases, and what the tokens are.
 */
#include "model/model.h"

#include "base/fs.h"
#include "base/test.h"
#include "graph/testing.h"

enum { BATCH = 2, PROMPT = 5, LENGTH = 9, VOCABULARY = 13, MOST_VALUES = 24 };

struct graph_run {
    struct assay_graph *graph;
    struct assay_tensor inputs[MOST_VALUES], outputs[MOST_VALUES];
};

static void open_graph(struct graph_run *r, const char *text, enum assay_model_phase phase)
{
    struct assay_error err = {0};
    struct assay_model_options options = {.phase = phase, .seed = 3};
    static const char *const whole_inputs[] = {"input_ids", "attention_mask", "position_ids"};
    json_t *config;
    *r = (struct graph_run){0};
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    if (phase == ASSAY_PHASE_WHOLE && !strstr(text, "llava")) {
        options.inputs = whole_inputs;
        options.n_inputs = ASSAY_COUNT(whole_inputs);
    }
    CHECK_OK(assay_model_build(config, "config", &options, &r->graph, NULL, &err), err);
    CHECK(r->graph->n_inputs <= MOST_VALUES && r->graph->n_outputs <= MOST_VALUES);
    json_decref(config);
}

static void close_graph(struct graph_run *r)
{
    for (int i = 0; i < MOST_VALUES; i++) {
        assay_tensor_release(&r->inputs[i]);
        assay_tensor_release(&r->outputs[i]);
    }
    assay_graph_close(r->graph);
}

static int input_of(const struct graph_run *r, const char *name)
{
    for (int i = 0; i < r->graph->n_inputs; i++)
        if (strcmp(r->graph->values[r->graph->inputs[i]].name, name) == 0)
            return i;
    return -1;
}

/* The input of that name, if there is one; a copy. */
static void set_ints(struct graph_run *r, const char *name, int64_t rows, int64_t columns, const int64_t *data, int64_t stride)
{
    int i = input_of(r, name);
    if (i < 0)
        return;
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){rows, columns});
    assay_tensor_release(&r->inputs[i]);
    CHECK_INT(assay_tensor_alloc(&r->inputs[i], &type, NULL), ASSAY_OK);
    for (int64_t k = 0; k < rows * columns; k++)
        assay_tensor_set_real(&r->inputs[i], k, (double)data[k / columns * stride + k % columns]);
}

static void run_graph(struct graph_run *r)
{
    struct assay_error err = {0};
    for (int i = 0; i < r->graph->n_outputs; i++)
        assay_tensor_release(&r->outputs[i]);
    CHECK_OK(testing_run(r->graph, r->inputs, r->outputs, &err), err);
}

/* An input past_key_values.I.key of no places yet. */
static void clear_states(struct graph_run *r, int64_t batch)
{
    for (int s = 0; s < r->graph->n_states; s++) {
        int i = r->graph->states[s].input;
        struct assay_type type = r->graph->values[r->graph->inputs[i]].type;
        type.dims[0] = batch;
        type.dims[2] = 0;
        assay_tensor_release(&r->inputs[i]);
        CHECK_INT(assay_tensor_alloc(&r->inputs[i], &type, NULL), ASSAY_OK);
    }
}

static void move_states(struct graph_run *r)
{
    for (int s = 0; s < r->graph->n_states; s++) {
        struct assay_tensor *input = &r->inputs[r->graph->states[s].input];
        assay_tensor_release(input);
        assay_tensor_share(input, &r->outputs[r->graph->states[s].output]);
    }
}

/* As Transformers counts the places that are looked at. */
static void count_positions(const int64_t *mask, int64_t n, int64_t *positions)
{
    int64_t seen = 0;
    for (int64_t i = 0; i < n; i++) {
        seen += mask[i];
        positions[i] = mask[i] ? seen - 1 : 1;
    }
}

/* Logits are of magnitude 3: some tens of roundings of f32. */
static const double same = 2e-5;

static void check_step(const struct graph_run *whole, const struct graph_run *step, int64_t place, int64_t whole_length)
{
    const struct assay_tensor *a = &whole->outputs[0], *b = &step->outputs[0];
    CHECK_INT(assay_tensor_count(b), BATCH * VOCABULARY);
    for (int64_t row = 0; row < BATCH; row++)
        for (int64_t k = 0; k < VOCABULARY; k++)
            CHECK_NEAR(assay_tensor_real(b, row * VOCABULARY + k),
                       assay_tensor_real(a, (row * whole_length + place) * VOCABULARY + k), same);
}

static const int64_t tokens[BATCH][LENGTH] = {{3, 7, 1, 10, 4, 2, 9, 12, 5}, {0, 0, 6, 11, 8, 1, 3, 3, 7}},
                     mask[BATCH][LENGTH] = {{1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 1, 1, 1, 1, 1, 1, 1}};

static void check_decoding(const char *text)
{
    struct graph_run whole, step;
    int64_t positions[BATCH][LENGTH];
    for (int row = 0; row < BATCH; row++)
        count_positions(mask[row], LENGTH, positions[row]);
    open_graph(&whole, text, ASSAY_PHASE_WHOLE);
    open_graph(&step, text, ASSAY_PHASE_DECODE);
    CHECK_TEXT(step.graph->values[step.graph->outputs[0]].name, "logits");
    clear_states(&step, BATCH);
    for (int64_t begin = 0, end = PROMPT; end <= LENGTH; begin = end++) {
        set_ints(&whole, "input_ids", BATCH, end, tokens[0], LENGTH);
        set_ints(&whole, "attention_mask", BATCH, end, mask[0], LENGTH);
        set_ints(&whole, "position_ids", BATCH, end, positions[0], LENGTH);
        run_graph(&whole);
        set_ints(&step, "input_ids", BATCH, end - begin, tokens[0] + begin, LENGTH);
        set_ints(&step, "attention_mask", BATCH, end, mask[0], LENGTH);
        set_ints(&step, "position_ids", BATCH, end - begin, positions[0] + begin, LENGTH);
        run_graph(&step);
        move_states(&step);
        check_step(&whole, &step, end - 1, end);
    }
    close_graph(&whole);
    close_graph(&step);
}

#define DECODER                                                                                                                  \
    "\"hidden_size\": 16, \"intermediate_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"                      \
    " \"num_key_value_heads\": 2, \"vocab_size\": 13"
#define LLAMA "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], " DECODER
#define QWEN2 "{\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForCausalLM\"], " DECODER
#define GPT2                                                                                                                     \
    "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 12, \"n_layer\": 2, \"n_head\": 2,"        \
    " \"vocab_size\": 13, \"n_positions\": 16"

ASSAY_TEST(llama_decodes_what_it_reads_as_a_whole)
{
    check_decoding(LLAMA "}");
    check_decoding(LLAMA ", \"attention_bias\": true, \"tie_word_embeddings\": true}");
    check_decoding(LLAMA ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 3.0}}");
    check_decoding(LLAMA ", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}}");
    check_decoding(LLAMA ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 4.0,"
                         " \"original_max_position_embeddings\": 32}}");
    check_decoding(LLAMA ", \"max_position_embeddings\": 32, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}}");
}

ASSAY_TEST(qwen2_decodes_what_it_reads_as_a_whole)
{
    check_decoding(QWEN2 "}");
    check_decoding(QWEN2 ", \"use_sliding_window\": true, \"sliding_window\": 3}");
}

ASSAY_TEST(gpt2_decodes_what_it_reads_as_a_whole)
{
    check_decoding(GPT2 "}");
    check_decoding(GPT2 ", \"scale_attn_by_inverse_layer_idx\": true, \"tie_word_embeddings\": false}");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(llama_decodes_what_it_reads_as_a_whole),
                ASSAY_TEST_ENTRY(qwen2_decodes_what_it_reads_as_a_whole), ASSAY_TEST_ENTRY(gpt2_decodes_what_it_reads_as_a_whole))
