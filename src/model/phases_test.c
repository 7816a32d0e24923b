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

/* A step's logits are the whole's of the last place. */
static void check_step(const struct graph_run *whole, const struct graph_run *step)
{
    const struct assay_tensor *a = &whole->outputs[0], *b = &step->outputs[0];
    CHECK_INT(assay_tensor_count(b), BATCH * VOCABULARY);
    for (int64_t row = 0; row < BATCH; row++)
        for (int64_t k = 0; k < VOCABULARY; k++)
            CHECK_NEAR(assay_tensor_real(b, row * VOCABULARY + k),
                       assay_tensor_real(a, ((row + 1) * a->type.dims[1] - 1) * VOCABULARY + k), same);
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
        check_step(&whole, &step);
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

/* ---- pictures */

enum { PICTURE = 3 * 8 * 8, N_FEATURES = 4, MERGED = LENGTH + N_FEATURES - 1 };

/* Token 10, of which the first row has one, stands for a picture of 2 × 2 patches. */
#define LLAVA                                                                                                                    \
    "{\"model_type\": \"llava\", \"architectures\": [\"LlavaForConditionalGeneration\"], \"image_token_index\": 10,"             \
    " \"pad_token_id\": 0, \"text_config\": {" DECODER "}, \"vision_config\": {\"hidden_size\": 8, \"intermediate_size\": 8,"    \
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"image_size\": 8, \"patch_size\": 4}}"

static void set_picture(struct graph_run *r)
{
    int i = input_of(r, "pixel_values");
    struct assay_type type = assay_type_make(ASSAY_F32, 4, (const int64_t[]){1, 3, 8, 8});
    CHECK_INT(assay_tensor_alloc(&r->inputs[i], &type, NULL), ASSAY_OK);
    for (int k = 0; k < PICTURE; k++)
        assay_tensor_set_real(&r->inputs[i], k, sin(k * k));
}

static const struct assay_tensor *output_of(const struct graph_run *r, const char *name)
{
    for (int i = 0; i < r->graph->n_outputs; i++)
        if (strcmp(r->graph->values[r->graph->outputs[i]].name, name) == 0)
            return &r->outputs[i];
    CHECK_TEXT(name, "an output of the graph");
    return NULL;
}

/* The encoded prompt as the inputs of the first step, and its mask with ones for the tokens to come. */
static void take_encoded(const struct graph_run *encode, struct graph_run *step, int64_t seen[BATCH][MERGED])
{
    const struct assay_tensor *merged = output_of(encode, "decoder_attention_mask");
    int64_t n = merged->type.dims[1];
    CHECK_INT(n, PROMPT + N_FEATURES - 1);
    for (int row = 0; row < BATCH; row++)
        for (int64_t i = 0; i < MERGED; i++)
            seen[row][i] = i < n ? assay_tensor_int(merged, row * n + i) : 1;
    assay_tensor_share(&step->inputs[input_of(step, "inputs_embeds")], output_of(encode, "inputs_embeds"));
    assay_tensor_share(&step->inputs[input_of(step, "position_ids")], output_of(encode, "position_ids"));
}

static void clear_prefix(struct graph_run *r)
{
    struct assay_tensor *prefix = &r->inputs[input_of(r, "inputs_embeds")];
    struct assay_type type = prefix->type;
    type.dims[1] = 0;
    assay_tensor_release(prefix);
    CHECK_INT(assay_tensor_alloc(prefix, &type, NULL), ASSAY_OK);
}

ASSAY_TEST(llava_decodes_what_it_reads_as_a_whole)
{
    struct graph_run whole, encode, step;
    int64_t seen[BATCH][MERGED], positions[BATCH][MERGED];
    open_graph(&whole, LLAVA, ASSAY_PHASE_WHOLE);
    open_graph(&encode, LLAVA, ASSAY_PHASE_ENCODE);
    open_graph(&step, LLAVA, ASSAY_PHASE_DECODE);
    set_picture(&whole);
    set_picture(&encode);
    set_ints(&encode, "input_ids", BATCH, PROMPT, tokens[0], LENGTH);
    set_ints(&encode, "attention_mask", BATCH, PROMPT, mask[0], LENGTH);
    run_graph(&encode);
    take_encoded(&encode, &step, seen);
    for (int row = 0; row < BATCH; row++)
        count_positions(seen[row], MERGED, positions[row]);
    clear_states(&step, BATCH);
    set_ints(&step, "input_ids", BATCH, 0, tokens[0], LENGTH);
    for (int64_t end = PROMPT; end <= LENGTH; end++) {
        int64_t last = end + N_FEATURES - 1;
        set_ints(&whole, "input_ids", BATCH, end, tokens[0], LENGTH);
        set_ints(&whole, "attention_mask", BATCH, end, mask[0], LENGTH);
        run_graph(&whole);
        if (end > PROMPT) {
            clear_prefix(&step);
            set_ints(&step, "input_ids", BATCH, 1, tokens[0] + end - 1, LENGTH);
            set_ints(&step, "position_ids", BATCH, 1, positions[0] + last - 1, MERGED);
        }
        set_ints(&step, "attention_mask", BATCH, last, seen[0], MERGED);
        run_graph(&step);
        move_states(&step);
        check_step(&whole, &step);
    }
    close_graph(&whole);
    close_graph(&encode);
    close_graph(&step);
}

/* ---- what has which phases, and which tokens */

/* Builds it with declared weights, in a folder with a generation_config.json unless that is NULL. */
static enum assay_status open_info(const char *config, const char *generation, enum assay_model_phase phase,
                                   struct assay_model_info *info, struct assay_error *err)
{
    struct assay_model_options options = {.phase = phase, .weights = ASSAY_WEIGHTS_DECLARED};
    struct assay_graph *graph;
    struct assay_arena arena;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, err), *err);
    CHECK_OK(assay_fs_write(assay_path_join(&arena, folder, "config.json"), config, strlen(config), err), *err);
    if (generation)
        CHECK_OK(assay_fs_write(assay_path_join(&arena, folder, "generation_config.json"), generation, strlen(generation), err),
                 *err);
    enum assay_status st = assay_model_open(folder, &options, &graph, info, err);
    assay_graph_close(graph);
    struct assay_error ignored;
    assay_fs_remove(folder, &ignored);
    assay_arena_release(&arena);
    return st;
}

ASSAY_TEST(a_phase_that_a_model_lacks_is_refused)
{
    static const char classifier[] =
        "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"], " DECODER "}";
    struct assay_model_info info;
    struct assay_error err = {0};
    CHECK_INT(open_info(classifier, NULL, ASSAY_PHASE_DECODE, &info, &err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "\"LlamaForSequenceClassification\" generates no text");
    CHECK_INT(open_info(LLAMA "}", NULL, ASSAY_PHASE_ENCODE, &info, &err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "\"LlamaForCausalLM\" is a decoder alone");
    CHECK_OK(open_info(classifier, NULL, ASSAY_PHASE_WHOLE, &info, &err), err);
    CHECK(!info.generation.generates);
    CHECK_OK(open_info(LLAMA "}", NULL, ASSAY_PHASE_WHOLE, &info, &err), err);
    CHECK(info.generation.generates && !info.generation.encodes);
}

/* Up to two ends of text; -1 = none. */
static void check_tokens(const char *config, const char *generation, int64_t start, int64_t pad, int64_t end_0, int64_t end_1)
{
    struct assay_model_info info;
    struct assay_error err = {0};
    CHECK_OK(open_info(config, generation, ASSAY_PHASE_WHOLE, &info, &err), err);
    const struct assay_model_generation *g = &info.generation;
    CHECK_INT(g->start_token, start);
    CHECK_INT(g->pad_token, pad);
    CHECK_INT(g->n_eos_tokens, (end_0 >= 0) + (end_1 >= 0));
    CHECK_INT(g->n_eos_tokens > 0 ? g->eos_tokens[0] : -1, end_0);
    CHECK_INT(g->n_eos_tokens > 1 ? g->eos_tokens[1] : -1, end_1);
}

#define T5                                                                                                                       \
    "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"], \"d_model\": 8, \"d_kv\": 4, \"d_ff\": 8,"    \
    " \"num_layers\": 1, \"num_heads\": 2, \"vocab_size\": 13"

ASSAY_TEST(tokens_come_from_the_config_and_its_class)
{
    check_tokens(LLAMA "}", NULL, -1, -1, 2, -1);
    check_tokens(LLAMA ", \"eos_token_id\": [4, 7], \"pad_token_id\": 3}", NULL, -1, 3, 4, 7);
    check_tokens(LLAMA ", \"eos_token_id\": null, \"pad_token_id\": -1, \"decoder_start_token_id\": 5}", NULL, -1, -1, -1, -1);
    check_tokens(QWEN2 "}", NULL, -1, -1, -1, -1);
    check_tokens(GPT2 "}", NULL, -1, -1, 50256, -1);
    check_tokens(T5 "}", NULL, 0, 0, 1, -1);
    check_tokens(T5 ", \"decoder_start_token_id\": 6, \"pad_token_id\": null}", NULL, 6, -1, 1, -1);
    /* The text's own class, where the outer config says nothing. */
    check_tokens(LLAVA, NULL, -1, 0, 2, -1);
}

ASSAY_TEST(a_generation_config_replaces_the_configs_tokens)
{
    check_tokens(LLAMA ", \"pad_token_id\": 3}", "{\"eos_token_id\": [9, 5]}", -1, -1, 9, 5);
    check_tokens(T5 "}", "{\"decoder_start_token_id\": 8, \"pad_token_id\": 2}", 8, 2, -1, -1);
    check_tokens(T5 ", \"decoder_start_token_id\": 6}", "{\"eos_token_id\": 1}", 6, -1, 1, -1);
}

ASSAY_TEST(tokens_that_are_none_are_reported)
{
    static const char *const bad[] = {"{\"eos_token_id\": \"end\"}", "{\"eos_token_id\": [1, 2.5]}",
                                      "{\"pad_token_id\": 99999999999}", "[]"};
    struct assay_model_info info;
    struct assay_error err = {0};
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++) {
        CHECK_INT(open_info(LLAMA "}", bad[i], ASSAY_PHASE_WHOLE, &info, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "generation_config.json: ");
    }
    CHECK_INT(open_info(LLAMA ", \"eos_token_id\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}", NULL, ASSAY_PHASE_WHOLE, &info, &err),
              ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "\"eos_token_id\" lists 9 tokens");
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(llama_decodes_what_it_reads_as_a_whole),
                ASSAY_TEST_ENTRY(qwen2_decodes_what_it_reads_as_a_whole), ASSAY_TEST_ENTRY(gpt2_decodes_what_it_reads_as_a_whole),
                ASSAY_TEST_ENTRY(llava_decodes_what_it_reads_as_a_whole), ASSAY_TEST_ENTRY(a_phase_that_a_model_lacks_is_refused),
                ASSAY_TEST_ENTRY(tokens_come_from_the_config_and_its_class),
                ASSAY_TEST_ENTRY(a_generation_config_replaces_the_configs_tokens),
                ASSAY_TEST_ENTRY(tokens_that_are_none_are_reported))
