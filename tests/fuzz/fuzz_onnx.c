/* SPDX-License-Identifier: Apache-2.0 */
/* An ONNX file from anywhere: load, save and load again to the same content, check, infer, fold, save, pass. */
#include "fuzz.h"
#include "graph/infer.h"
#include "graph/onnx.h"
#include "graph/pass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLD_LIMIT_BYTES = 1 << 12 };

static void save_and_compare(const struct assay_graph *graph)
{
    struct assay_graph *again;
    struct assay_error err;
    char hash[ASSAY_HASH_TEXT_SIZE], hash_again[ASSAY_HASH_TEXT_SIZE];
    void *saved;
    size_t size;
    if (assay_onnx_serialize(graph, 0, &saved, &size, &err))
        return; /* what was small as a file may be too large when inlined and dense */
    enum assay_status st = assay_onnx_parse(saved, size, NULL, "saved", &again, &err);
    if (st)
        fprintf(stderr, "%s\n", err.message);
    ASSAY_ASSERT(st == ASSAY_OK || st == ASSAY_NO_MEMORY);
    if (!st) {
        assay_graph_hash(graph, hash);
        assay_graph_hash(again, hash_again);
        ASSAY_ASSERT(strcmp(hash, hash_again) == 0);
    }
    assay_graph_close(again);
    free(saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assay_graph *graph;
    struct assay_error err;
    if (assay_onnx_parse(data, size, NULL, "fuzz", &graph, &err))
        return 0;
    save_and_compare(graph);
    if (assay_graph_check(graph, &err) == ASSAY_OK && assay_graph_infer(graph, &err) == ASSAY_OK &&
        assay_graph_fold(graph, FOLD_LIMIT_BYTES, &err) == ASSAY_OK)
        save_and_compare(graph);
    /* Whatever a pass makes of a graph that is sound is sound. */
    if (assay_graph_check(graph, &err) == ASSAY_OK && assay_graph_infer(graph, &err) == ASSAY_OK) {
        enum assay_status st = assay_graph_optimize(graph, NULL, &err);
        if (st)
            fprintf(stderr, "%s\n", err.message);
        ASSAY_ASSERT(st == ASSAY_OK || st == ASSAY_NO_MEMORY);
    }
    assay_graph_close(graph);
    return 0;
}
