/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: preset_run list [full]
 *        preset_run NAME FILE.onnx [full]
 * Builds a preset with random weights, writes it as FILE.onnx, loads that, runs it on the reference and on ONNX Runtime with the
 * inputs that `assay bench` would make, and compares the outputs. Unless "full" is said, the config is cut: one layer where
 * there are many, a small vocabulary, small pictures, at most 2048 wide where the whole is of billions. Those that are the same
 * then are listed once. Exit 77: there is no ONNX Runtime here.
 */
#include "bench/inputs.h"
#include "bench/shape.h"
#include "graph/infer.h"
#include "graph/onnx.h"
#include "model/presets.h"
#include "runtime/registry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the largest magnitude of an output: the two runtimes sum in other orders, over up to a hundred layers. */
static const double tolerance = 1e-4;

enum { WIDEST = 2048 }; /* of a language model that is cut */

/* What is cut, by model type, as in presets.c; the second and later layers compute what the first does. */
static const char *const cuts[][2] = {
    {"bert", "num_hidden_layers=1 vocab_size=1000"},
    {"distilbert", "n_layers=1 vocab_size=1000"},
    {"gpt2", "n_layer=1 vocab_size=1000"},
    {"llama", "num_hidden_layers=1 vocab_size=1000 intermediate_size=2048"},
    {"qwen2", "num_hidden_layers=1 vocab_size=1000 intermediate_size=2048"},
    {"t5", "num_layers=1 vocab_size=1000"},
    {"whisper", "encoder_layers=1 decoder_layers=1 vocab_size=1000 max_source_positions=50"},
    {"resnet", "depths=[1,1,1,1]"},
    {"vit", "num_hidden_layers=1 image_size=64"},
    {"clip", "text_config.num_hidden_layers=1 text_config.vocab_size=1000 vision_config.num_hidden_layers=1 "
             "vision_config.image_size=64"},
    {"detr", "encoder_layers=1 decoder_layers=1"},
    {"llava", "text_config.num_hidden_layers=1 text_config.vocab_size=1000 text_config.intermediate_size=2048 "
              "image_token_index=999 vision_config.num_hidden_layers=2 vision_config.image_size=56"},
    {"llava_next", "text_config.num_hidden_layers=1 text_config.vocab_size=1000 text_config.intermediate_size=2048 "
                   "image_token_index=999 vision_config.num_hidden_layers=2 vision_config.image_size=56 "
                   "image_grid_pinpoints=[[56,112],[112,56],[112,112]]"},
    {"wav2vec2", "num_hidden_layers=1"},
    {"xclip", "text_config.num_hidden_layers=1 text_config.vocab_size=1000 vision_config.num_hidden_layers=1 "
              "vision_config.image_size=64"},
    {"clap", "text_config.num_hidden_layers=1 text_config.vocab_size=1000 audio_config.depths=[1,1,1,1]"},
    {"lstm", "vocab_size=1000"},
};

/* Of free dimensions. */
static const char *dims[] = {"sequence=5", "decoder_sequence=3", "height=64", "width=64", "samples=2000"};

static void divide(json_t *config, const char *name, json_int_t otherwise, json_int_t divisor)
{
    const json_t *field = json_object_get(config, name);
    if (field || otherwise)
        json_object_set_new(config, name, json_integer((field ? json_integer_value(field) : otherwise) / divisor));
}

/* Layers of several hundred megabytes get fewer heads, of the same size. */
static void narrow(json_t *config)
{
    const json_t *width = json_object_get(config, "hidden_size");
    json_int_t divisor = 1, hidden = width ? json_integer_value(width) : 4096;
    while (hidden / divisor > WIDEST)
        divisor *= 2;
    if (divisor == 1)
        return;
    divide(config, "hidden_size", 4096, divisor);
    divide(config, "num_attention_heads", 32, divisor);
    divide(config, "num_key_value_heads", 0, divisor);
}

static void cut(json_t *config)
{
    const char *type = json_string_value(json_object_get(config, "model_type"));
    for (size_t i = 0; i < ASSAY_COUNT(cuts); i++)
        if (strcmp(cuts[i][0], type) == 0)
            assay_preset_set(config, cuts[i][1]);
    json_t *text = json_object_get(config, "text_config");
    if (strcmp(type, "llama") == 0 || strcmp(type, "qwen2") == 0)
        narrow(config);
    else if (strncmp(type, "llava", 5) == 0)
        narrow(text);
}

static enum assay_status export_preset(const struct assay_preset *preset, bool full, const char *file, struct assay_error *err)
{
    json_t *config = assay_preset_config(preset);
    struct assay_graph *graph;
    if (!full)
        cut(config);
    enum assay_status st = assay_model_build(config, preset->name, &(struct assay_model_options){.seed = 1}, &graph, NULL, err);
    if (!st)
        st = assay_onnx_save(graph, file, NULL, err);
    assay_graph_close(graph);
    json_decref(config);
    return st;
}

static enum assay_status make_inputs(struct assay_graph *graph, struct assay_arena *arena, struct assay_tensor *inputs,
                                     struct assay_error *err)
{
    const struct assay_shape_request request = {.dims = {dims, ASSAY_COUNT(dims)}, .batch = 2, .graph = graph};
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_inputs && !st; i++) {
        struct assay_value *value = &graph->values[graph->inputs[i]];
        struct assay_case_input input = {.name = value->name, .kind = assay_input_guess(graph, graph->inputs[i], arena)};
        bool follows_batch;
        st = assay_shape_bind(&request, value, &input.type, &follows_batch, err);
        if (!st && !assay_shape_is_whole(&input.type))
            st = assay_error_set(err, ASSAY_INVALID, "the shape of input '%s' is open", value->name);
        if (!st)
            st = assay_input_make(&input, 1, &inputs[i], err);
        value->type = input.type;
    }
    return st ? st : assay_graph_bind(graph, NULL, 0, err);
}

/* Copies of the outputs, the caller's to release. */
static enum assay_status run(const char *name, const struct assay_graph *graph, const struct assay_tensor *inputs,
                             struct assay_arena *arena, struct assay_tensor *outputs, struct assay_error *err)
{
    struct assay_platform platform;
    const struct assay_runtime *runtime;
    struct assay_program *program = NULL;
    enum assay_status st = assay_platform_find(arena, name, &platform, &runtime, err);
    if (st)
        return st;
    struct assay_compile_options options = {.platform = &platform, .n_threads = 1, .isa = "", .optimization = 3};
    st = runtime->compile(graph, &options, &program, err);
    if (!st)
        st = runtime->bind(program, inputs, err);
    if (!st)
        st = runtime->run(program, err);
    for (int i = 0; i < graph->n_outputs && !st; i++) {
        struct assay_tensor borrowed;
        st = runtime->output(program, i, &borrowed, err);
        if (!st)
            st = assay_tensor_alloc(&outputs[i], &borrowed.type, err);
        if (!st)
            memcpy(outputs[i].data, borrowed.data, (size_t)assay_type_bytes(&borrowed.type));
    }
    runtime->release(program);
    return st;
}

/* The largest error of any output, by its largest magnitude; infinite if one is not comparable, or all the same. */
static double worst(const struct assay_graph *graph, const struct assay_tensor *got, const struct assay_tensor *wanted)
{
    double most = 0;
    for (int i = 0; i < graph->n_outputs; i++) {
        double largest = 0, error = 0;
        if (!assay_type_equal(&got[i].type, &wanted[i].type) || assay_tensor_count(&wanted[i]) == 0)
            return INFINITY;
        for (int64_t k = 0; k < assay_tensor_count(&wanted[i]); k++) {
            double a = assay_tensor_real(&got[i], k), b = assay_tensor_real(&wanted[i], k);
            if (!isfinite(a) || !isfinite(b))
                return INFINITY;
            largest = fmax(largest, fabs(b));
            error = fmax(error, fabs(a - b));
        }
        most = fmax(most, largest > 0 ? error / largest : INFINITY);
    }
    return most;
}

static enum assay_status compare(const char *file, struct assay_arena *arena, double *error, struct assay_error *err)
{
    struct assay_graph *graph;
    enum assay_status st = assay_onnx_load(file, &graph, err);
    if (st)
        return st;
    size_t n_in = (size_t)graph->n_inputs, n_out = (size_t)graph->n_outputs;
    struct assay_tensor *inputs = assay_arena_array(arena, n_in, sizeof *inputs);
    struct assay_tensor *wanted = assay_arena_array(arena, n_out, sizeof *wanted);
    struct assay_tensor *got = assay_arena_array(arena, n_out, sizeof *got);
    st = make_inputs(graph, arena, inputs, err);
    if (!st)
        st = run("cpu/reference", graph, inputs, arena, wanted, err);
    if (!st)
        st = run("cpu/onnxruntime", graph, inputs, arena, got, err);
    if (!st)
        *error = worst(graph, got, wanted);
    for (size_t i = 0; i < n_in; i++)
        assay_tensor_release(&inputs[i]);
    for (size_t i = 0; i < n_out; i++) {
        assay_tensor_release(&wanted[i]);
        assay_tensor_release(&got[i]);
    }
    assay_graph_close(graph);
    return st;
}

static int check(const struct assay_preset *preset, const char *file, bool full)
{
    struct assay_error err = {0};
    struct assay_arena arena;
    double error = INFINITY;
    assay_arena_init(&arena);
    enum assay_status st = export_preset(preset, full, file, &err);
    if (!st)
        st = compare(file, &arena, &error, &err);
    assay_arena_release(&arena);
    if (st)
        fprintf(stderr, "%s: %s\n", preset->name, err.message);
    else
        fprintf(stderr, "%s: %s, %.2g\n", preset->name, error <= tolerance ? "ok" : "the runtimes disagree", error);
    return st == ASSAY_ABSENT ? 77 : st || !(error <= tolerance);
}

static int list(bool full)
{
    json_t *seen = json_object();
    for (int i = 0; assay_preset_at(i); i++) {
        json_t *config = assay_preset_config(assay_preset_at(i));
        if (!full)
            cut(config);
        char *text = json_dumps(config, JSON_SORT_KEYS);
        if (full || !json_object_get(seen, text))
            printf("%s\n", assay_preset_at(i)->name);
        json_object_set_new(seen, text, json_true());
        free(text);
        json_decref(config);
    }
    json_decref(seen);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "list") == 0)
        return list(argc > 2 && strcmp(argv[2], "full") == 0);
    const struct assay_preset *preset = argc >= 3 ? assay_preset_find(argv[1]) : NULL;
    if (!preset) {
        fprintf(stderr, "usage: preset_run list [full] | preset_run NAME FILE.onnx [full]\n");
        return 2;
    }
    return check(preset, argv[2], argc > 3 && strcmp(argv[3], "full") == 0);
}
