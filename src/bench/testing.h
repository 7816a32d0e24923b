/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of bench/ and runtime/: a small model as graph and as file, one that generates, a folder of its own with an empty
 * cache. */
#ifndef ASSAY_BENCH_TESTING_H
#define ASSAY_BENCH_TESTING_H

#include "base/fs.h"
#include "graph/onnx.h"
#include "graph/testing.h"
#include "runtime/registry.h"

/* y = Softmax(x · w), x f32[batch, 8], w f32[8, 4]. */
static inline struct assay_graph *testing_small_graph(void)
{
    struct assay_graph *graph = assay_graph_open("small");
    struct assay_tensor w;
    struct assay_type type = assay_type_make(ASSAY_F32, 2, (const int64_t[]){8, 4});
    int x = testing_input(graph, "x", ASSAY_F32, 2, (const int64_t[]){-1, 8});
    graph->values[x].dim_names = assay_arena_array(&graph->arena, ASSAY_MAX_RANK, sizeof(char *));
    graph->values[x].dim_names[0] = "batch";
    CHECK_INT(assay_tensor_alloc(&w, &type, NULL), ASSAY_OK);
    for (int i = 0; i < 32; i++)
        assay_tensor_set_real(&w, i, 0.125 * (i % 7) - 0.25);
    int weights = assay_graph_add_constant(graph, "w", &w);
    assay_tensor_release(&w);
    int product = testing_node(graph, "MatMul", NUMBERS(x, weights), "product");
    assay_graph_add_output(graph, testing_node(graph, "Softmax", NUMBERS(product), "y"));
    return graph;
}

/* A folder that goes with testing_folder_release; the cache of reference outputs is in it meanwhile. */
static inline const char *testing_folder(struct assay_arena *arena)
{
    struct assay_error err;
    char *folder = NULL;
    CHECK_OK(assay_fs_temporary_folder(arena, &folder, &err), err);
    setenv("ASSAY_CACHE", assay_path_join(arena, folder, "cache"), 1);
    return folder;
}

static inline void testing_folder_release(struct assay_arena *arena, const char *folder)
{
    assay_fs_remove(folder, NULL);
    assay_arena_release(arena);
}

static inline const char *testing_save(struct assay_arena *arena, const char *folder, const char *name, struct assay_graph *graph)
{
    struct assay_error err;
    const char *path = assay_path_join(arena, folder, name);
    CHECK_OK(assay_onnx_save(graph, path, NULL, &err), err);
    assay_graph_close(graph);
    return path;
}

static inline const char *testing_write(struct assay_arena *arena, const char *folder, const char *name, const char *text)
{
    struct assay_error err;
    const char *path = assay_path_join(arena, folder, name);
    CHECK_OK(assay_fs_write(path, text, strlen(text), &err), err);
    return path;
}

/* A folder with a Llama that generates: 2 layers, 2 heads, 1 of keys and values, 13 tokens; weights are seeded. */
static inline const char *testing_llama(struct assay_arena *arena, const char *folder)
{
    struct assay_error err;
    const char *model = assay_path_join(arena, folder, "llama");
    CHECK_OK(assay_fs_make_folder(model, &err), err);
    testing_write(arena, model, "config.json",
                  "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 8, "
                  "\"intermediate_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "
                  "\"max_position_embeddings\": 64, \"vocab_size\": 13}");
    return model;
}

#endif
