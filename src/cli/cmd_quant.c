/* SPDX-License-Identifier: Apache-2.0 */
/* assay quant: writes a quantized model. How it is quantized is in quant/. */
#include "bench/inputs.h"
#include "bench/shape.h"
#include "cli/cli.h"
#include "graph/onnx.h"
#include "model/model.h"
#include "quant/static.h"

#include <string.h>

enum { MOST_SAMPLES = 10000 };

static const char *const methods[] = {"static", NULL};
static const struct assay_cli_option options[] = {
    {"output", ASSAY_OPTION_TEXT, "FILE.onnx", "Where the quantized model goes.", NULL},
    {"samples", ASSAY_OPTION_INT, "N", "How many inputs the ranges are found on [4].", NULL},
    {"batch", ASSAY_OPTION_INT, "N",
     "Of free dimensions that come first in an input, or are called like batch, in calibration [1].", NULL},
    {"shape", ASSAY_OPTION_ENTRIES, "INPUT=DIMS", "Shape of an input in calibration: x=1x3x640x640; once for each input.", NULL},
    {"dim", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "A symbolic dimension of the model in calibration: sequence=128.", NULL},
    {"input", ASSAY_OPTION_ENTRIES, "INPUT=KIND", "What an input is filled with, as for assay bench [by its name and type].",
     NULL},
    {"seed", ASSAY_OPTION_INT, "N", "Of the first sample; the next have the next ones [1].", NULL},
    ASSAY_OPTION_END,
};

static struct assay_text_list texts(const struct assay_cli *cli, const char *option)
{
    struct assay_text_list list;
    list.items = assay_cli_texts(cli, option, &list.n);
    return list;
}

/* The inputs that calibration runs on, but their contents. */
static enum assay_status plan_inputs(struct assay_cli *cli, const struct assay_graph *graph, struct assay_case_input *inputs,
                                     struct assay_error *err)
{
    struct assay_text_list kinds = texts(cli, "input"), shapes = texts(cli, "shape"), dims = texts(cli, "dim");
    struct assay_open_inputs open = assay_shape_inputs(graph, &cli->arena);
    struct assay_shape_request request = {shapes, dims, assay_cli_int(cli, "batch", 1), NULL};
    struct assay_type *types = assay_arena_array(&cli->arena, open.n, sizeof *types);
    bool follows_batch = false;
    open.model = cli->arguments[1];
    enum assay_status st = assay_shape_check_inputs(&shapes, "shape", &open, err);
    if (!st)
        st = assay_shape_check_inputs(&kinds, "input", &open, err);
    if (!st)
        st = assay_shape_check_dims(&dims, &open, err);
    if (!st)
        st = assay_shape_bind_all(&request, &open, 0, types, &follows_batch, err);
    for (size_t i = 0; i < open.n && !st; i++) {
        const struct assay_value *v = &graph->values[open.items[i].value];
        const char *kind = assay_entry_find(&kinds, v->name);
        inputs[i] = (struct assay_case_input){.name = v->name, .type = types[i]};
        inputs[i].kind = kind ? kind : assay_input_guess(graph, open.items[i].value, &cli->arena);
        if (!assay_shape_is_whole(&types[i]))
            return assay_error_set(err, ASSAY_INVALID, "the shape of input '%s' is open: give --shape %s=%s with numbers",
                                   v->name, v->name, assay_shape_hint(&types[i], &cli->arena));
    }
    return st;
}

static enum assay_status calibrate(struct assay_cli *cli, const struct assay_graph *graph, struct assay_quant_static *quant,
                                   struct assay_error *err)
{
    size_t n = (size_t)graph->n_inputs;
    struct assay_case_input *inputs = assay_arena_array(&cli->arena, n, sizeof *inputs);
    struct assay_tensor *tensors = assay_arena_array(&cli->arena, n, sizeof *tensors);
    enum assay_status st = plan_inputs(cli, graph, inputs, err);
    int64_t seed = assay_cli_int(cli, "seed", 1), n_samples = assay_cli_int(cli, "samples", 4);
    for (int64_t s = 0; s < n_samples && !st; s++) {
        memset(tensors, 0, n * sizeof *tensors);
        for (size_t i = 0; i < n && !st; i++)
            st = assay_input_make(&inputs[i], (uint64_t)(seed + s), &tensors[i], err);
        if (!st)
            st = assay_quant_static_calibrate(quant, tensors, err);
        for (size_t i = 0; i < n; i++)
            assay_tensor_release(&tensors[i]);
    }
    return st;
}

static enum assay_status quantize(struct assay_cli *cli, const char *file, struct assay_error *err)
{
    struct assay_graph *graph = NULL;
    struct assay_model_info info;
    struct assay_quant_static quant = {0};
    enum assay_status st = assay_model_open(cli->arguments[1], NULL, &graph, &info, err);
    if (st)
        return st;
    st = assay_quant_static_open(&quant, graph, err);
    if (!st)
        st = calibrate(cli, graph, &quant, err);
    if (!st)
        st = assay_quant_static_finish(&quant, err);
    if (!st)
        st = assay_onnx_save(graph, file, NULL, err);
    if (!st)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "%s: codes of 8 bits for %d values, ranges from %d sample%s%s", file,
                       quant.n_marked, quant.n_samples, quant.n_samples == 1 ? "" : "s",
                       strcmp(info.weights, "random") == 0 ? "; weights are random" : "");
    assay_quant_static_close(&quant);
    assay_graph_close(graph);
    return st;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    const char *file = assay_cli_text(cli, "output", NULL);
    int64_t batch = assay_cli_int(cli, "batch", 1), samples = assay_cli_int(cli, "samples", 4);
    if (strcmp(cli->arguments[0], "static") != 0)
        return assay_cli_usage(cli, "there is no method '%s': there is static", cli->arguments[0]);
    if (!file)
        return assay_cli_usage(cli, "say where the model goes: --output FILE.onnx");
    if (strlen(file) < 6 || strcmp(file + strlen(file) - 5, ".onnx") != 0)
        return assay_cli_usage(cli, "--output %s: the file's name must end in .onnx", file);
    if (batch < 1 || batch > ASSAY_MAX_DIM)
        return assay_cli_usage(cli, "--batch must be between 1 and %d", ASSAY_MAX_DIM);
    if (samples < 1 || samples > MOST_SAMPLES)
        return assay_cli_usage(cli, "--samples must be between 1 and %d", MOST_SAMPLES);
    if (assay_cli_int(cli, "seed", 1) < 0)
        return assay_cli_usage(cli, "--seed must not be negative");
    return quantize(cli, file, &err) ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
}

const struct assay_verb assay_verb_quant = {
    .name = "quant",
    .summary = "write a quantized model",
    .usage = "static MODEL --output FILE.onnx [OPTIONS]",
    .description =
        "static: to int8, with QuantizeLinear and DequantizeLinear around convolutions, products, residual additions, pools and "
        "concatenations, as ONNX Runtime's quantize_static does it. Activations are u8 with one scale a value, from the least "
        "and "
        "greatest number in runs of the reference runtime; weights are i8 with a scale for each output channel. Free dimensions "
        "stay "
        "free.",
    .examples = "assay quant static resnet-50 --output resnet-50-int8.onnx\n"
                "assay quant static ch_PP-OCRv4_det_infer.onnx --shape x=1x3x640x640 --input x=image --output det-int8.onnx\n"
                "assay quant static bert-base-uncased --dim sequence=128 --output bert-int8.onnx\n"
                "assay bench bert-int8.onnx --dim sequence=128 --platform cpu/native,cpu/onnxruntime",
    .options = options,
    .min_arguments = 2,
    .max_arguments = 2,
    .words = methods,
    .run = run,
};
