/* SPDX-License-Identifier: Apache-2.0 */
/* From a folder to a graph: a small Llama whose weights this test writes in all the ways that the ecosystem knows, and wrongly.
 */
#include "model/model.h"

#include "base/fs.h"
#include "base/test.h"
#include "model/safetensors.h"

static const char config_text[] = "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 8,"
                                  " \"intermediate_size\": 12, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
                                  " \"vocab_size\": 11 %s}";
enum { MOST = 64 };

struct fixture {
    struct assay_arena arena;
    struct assay_error err;
    char *folder;
    struct assay_graph *source, *graph; /* the model with random weights, and what was opened */
    struct assay_model_info info;
    struct assay_safetensors_entry entries[MOST];
    size_t n;
};

/* The folder with a config, and the tensors of a model with random weights, not yet written. */
static void init(struct fixture *f, const char *more)
{
    *f = (struct fixture){0};
    assay_arena_init(&f->arena);
    const char *text = assay_arena_printf(&f->arena, config_text, more);
    CHECK_OK(assay_fs_temporary_folder(&f->arena, &f->folder, &f->err), f->err);
    CHECK_OK(assay_fs_write(assay_path_join(&f->arena, f->folder, "config.json"), text, strlen(text), &f->err), f->err);
    CHECK_OK(assay_model_open(f->folder, NULL, &f->source, &f->info, &f->err), f->err);
    CHECK_TEXT(f->info.weights, "random");
    for (int i = 0; i < f->source->n_values; i++) {
        const struct assay_value *v = &f->source->values[i];
        if (v->constant.data && !v->is_inferred && strstr(v->name, ".weight"))
            f->entries[f->n++] = (struct assay_safetensors_entry){v->name, v->constant};
    }
}

static void release(struct fixture *f)
{
    assay_graph_close(f->graph);
    assay_graph_close(f->source);
    assay_fs_remove(f->folder, &f->err);
    assay_arena_release(&f->arena);
}

static void save(struct fixture *f, const char *name, size_t first, size_t n)
{
    CHECK_OK(assay_safetensors_write(assay_path_join(&f->arena, f->folder, name), f->entries + first, n, NULL, 0, &f->err),
             f->err);
}

static void save_text(struct fixture *f, const char *name, const char *text)
{
    CHECK_OK(assay_fs_write(assay_path_join(&f->arena, f->folder, name), text, strlen(text), &f->err), f->err);
}

static enum assay_status open_it(struct fixture *f)
{
    assay_graph_close(f->graph);
    return assay_model_open(f->folder, NULL, &f->graph, &f->info, &f->err);
}

static struct assay_safetensors_entry *entry(struct fixture *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->entries[i].name, name) == 0)
            return &f->entries[i];
    return NULL;
}

/* The opened model has the same weights as the source. */
static void check_same(const struct fixture *f, double tolerance)
{
    for (size_t i = 0; i < f->n; i++) {
        int a = assay_graph_find(f->source, f->entries[i].name), b = assay_graph_find(f->graph, f->entries[i].name);
        CHECK(a >= 0 && b >= 0);
        struct assay_difference d =
            assay_tensor_compare(&f->graph->values[b].constant, &f->source->values[a].constant, tolerance, 0);
        CHECK(d.same_type);
        CHECK_INT(d.n_wrong, 0);
    }
}

ASSAY_TEST(a_folder_with_weights_is_opened_and_its_bytes_are_shared)
{
    struct fixture f;
    init(&f, "");
    save(&f, "model.safetensors", 0, f.n);
    CHECK_OK(open_it(&f), f.err);
    CHECK_TEXT(f.info.family, "llama");
    CHECK_TEXT(f.info.architecture, "LlamaForCausalLM");
    CHECK_TEXT(f.info.weights, "file");
    /* embedding + head, q k v o, three of the net, three norms */
    CHECK_INT(f.info.parameters, 2 * 11 * 8 + 4 * 64 + 3 * 96 + 3 * 8);
    check_same(&f, 0);
    release(&f);
}

ASSAY_TEST(shards_are_found_by_their_index)
{
    struct fixture f;
    init(&f, "");
    save(&f, "a.safetensors", 0, 3);
    save(&f, "b.safetensors", 3, f.n - 3);
    const char *map = "";
    for (size_t i = 0; i < f.n; i++)
        map = assay_arena_printf(&f.arena, "%s%s\"%s\": \"%s.safetensors\"", map, i ? ", " : "", f.entries[i].name,
                                 i < 3 ? "a" : "b");
    save_text(&f, "model.safetensors.index.json", assay_arena_printf(&f.arena, "{\"weight_map\": {%s}}", map));
    CHECK_OK(open_it(&f), f.err);
    check_same(&f, 0);
    release(&f);
}

ASSAY_TEST(a_bad_index_is_reported)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{\"weight_map\": {\"x\": \"../a.safetensors\"}}", "index.json"},
        {"{\"weight_map\": {\"x\": \"a.safetensors\"}}", "'x' is not in a.safetensors"},
        {"{\"weight_map\": {\"x\": \"none.safetensors\"}}", "none.safetensors"},
        {"{\"weight_map\": {\"x\": 1}}", "is no text"},
        {"{}", "no \"weight_map\""},
        {"{\"weight_map\": {", "line"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        init(&f, "");
        save(&f, "a.safetensors", 0, f.n);
        save_text(&f, "model.safetensors.index.json", cases[i].text);
        CHECK_INT(open_it(&f), ASSAY_INVALID);
        CHECK_CONTAINS(f.err.message, cases[i].part);
        release(&f);
    }
}

ASSAY_TEST(a_missing_tensor_is_named)
{
    struct fixture f;
    init(&f, "");
    *entry(&f, "model.layers.0.mlp.up_proj.weight") = f.entries[f.n - 1];
    save(&f, "model.safetensors", 0, f.n - 1);
    CHECK_INT(open_it(&f), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "no tensor 'model.layers.0.mlp.up_proj.weight'");
    release(&f);
}

ASSAY_TEST(a_surplus_tensor_is_named_unless_it_is_allowed)
{
    struct fixture f;
    init(&f, "");
    f.entries[f.n] = f.entries[0];
    f.entries[f.n].name = "model.layers.0.extra";
    save(&f, "model.safetensors", 0, f.n + 1);
    CHECK_INT(open_it(&f), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "'model.layers.0.extra'");
    struct assay_model_options options = {.allow_surplus = true};
    CHECK_OK(assay_model_open(f.folder, &options, &f.graph, NULL, &f.err), f.err);
    release(&f);
}

ASSAY_TEST(a_tensor_of_another_shape_is_named_with_both_shapes)
{
    struct fixture f;
    init(&f, "");
    entry(&f, "model.norm.weight")->tensor.type.dims[0] = 4;
    save(&f, "model.safetensors", 0, f.n);
    CHECK_INT(open_it(&f), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "'model.norm.weight' is f32[4]");
    CHECK_CONTAINS(f.err.message, "f32[8]");
    release(&f);
}

ASSAY_TEST(half_precision_weights_become_f32)
{
    static const struct {
        enum assay_dtype dtype;
        double tolerance; /* half a unit in the last place of values below 4 */
    } cases[] = {{ASSAY_F16, 4.0 / 4096}, {ASSAY_BF16, 4.0 / 512}};
    for (size_t k = 0; k < ASSAY_COUNT(cases); k++) {
        struct fixture f;
        init(&f, "");
        struct assay_tensor halves[MOST];
        for (size_t i = 0; i < f.n; i++) {
            CHECK_OK(assay_tensor_convert(&halves[i], &f.entries[i].tensor, cases[k].dtype, &f.err), f.err);
            f.entries[i].tensor = halves[i];
        }
        save(&f, "model.safetensors", 0, f.n);
        CHECK_OK(open_it(&f), f.err);
        check_same(&f, cases[k].tolerance);
        for (size_t i = 0; i < f.n; i++)
            assay_tensor_release(&halves[i]);
        release(&f);
    }
}

ASSAY_TEST(a_tied_head_needs_no_tensor_and_may_have_one)
{
    struct fixture f;
    init(&f, ", \"tie_word_embeddings\": true");
    CHECK(entry(&f, "lm_head.weight") == NULL);
    save(&f, "model.safetensors", 0, f.n);
    CHECK_OK(open_it(&f), f.err);
    f.entries[f.n] = *entry(&f, "model.embed_tokens.weight");
    f.entries[f.n].name = "lm_head.weight";
    save(&f, "model.safetensors", 0, f.n + 1);
    CHECK_OK(open_it(&f), f.err);
    /* Only the other name was kept. */
    *entry(&f, "model.embed_tokens.weight") = f.entries[f.n];
    save(&f, "model.safetensors", 0, f.n);
    CHECK_OK(open_it(&f), f.err);
    release(&f);
}

ASSAY_TEST(outputs_are_made_only_when_asked_for)
{
    struct fixture f;
    init(&f, "");
    CHECK_INT(f.source->n_outputs, 1);
    static const char *const some[] = {"hidden_states.*", "attentions.0"}, *const wrong[] = {"attentions.9"};
    struct assay_model_options options = {.outputs = some, .n_outputs = 2};
    CHECK_OK(assay_model_open(f.folder, &options, &f.graph, NULL, &f.err), f.err);
    CHECK_INT(f.graph->n_outputs, 1 + 2 + 1);
    CHECK(assay_graph_find(f.graph, "hidden_states.1") >= 0);
    options = (struct assay_model_options){.outputs = wrong, .n_outputs = 1};
    struct assay_graph *graph;
    CHECK_INT(assay_model_open(f.folder, &options, &graph, NULL, &f.err), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "attentions.9");
    release(&f);
}

ASSAY_TEST(inputs_can_be_chosen)
{
    struct fixture f;
    init(&f, "");
    CHECK_INT(f.source->n_inputs, 2);
    static const char *const some[] = {"input_ids", "position_ids"}, *const wrong[] = {"input_ids", "pixels"};
    struct assay_model_options options = {.inputs = some, .n_inputs = 2};
    CHECK_OK(assay_model_open(f.folder, &options, &f.graph, NULL, &f.err), f.err);
    CHECK_INT(f.graph->n_inputs, 2);
    CHECK(assay_graph_find(f.graph, "attention_mask") < 0);
    options.inputs = wrong;
    struct assay_graph *graph;
    CHECK_INT(assay_model_open(f.folder, &options, &graph, NULL, &f.err), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "'pixels'");
    release(&f);
}

ASSAY_TEST(a_config_that_assay_does_not_build_is_one_sentence)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"[]", "no JSON object"},
        {"{}", "neither"},
        {"{\"model_type\": \"mamba\"}", "\"mamba\""},
        {"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForDreams\"]}", "\"LlamaForDreams\""},
        {"{\"model_type\": \"bert\", \"architectures\": [\"LlamaModel\"]}", "none of the model type"},
        {"{\"model_type\": \"llama\", \"architectures\": [1]}", "list of texts"},
        {"{\"model_type\": 3}", "model_type"},
        {"{\"model_type\": \"llama\", \"num_attention_heads\": 7}", "no multiple"},
        {"{\"model_type\": \"llama\", \"num_attention_heads\": 4, \"num_key_value_heads\": 3, \"hidden_size\": 8}",
         "no multiple"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"magic\", \"factor\": 2}}", "magic"},
        {"{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", "factor"},
        {"{\"model_type\": \"llama\", \"hidden_act\": \"magic\", \"vocab_size\": 4}", "magic"},
        {"{\"model_type\": \"bert\", \"hidden_size\": 1048576, \"num_attention_heads\": 1048576, \"num_hidden_layers\": \"x\"}",
         "num_hidden_layers"},
        {"{\"model_type\": \"gpt2\", \"n_embd\": 7, \"n_head\": 2}", "no multiple"},
    };
    struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_error err = {0};
        struct assay_graph *graph;
        json_t *json;
        CHECK_OK(assay_json_parse(cases[i].text, strlen(cases[i].text), "c", &json, &err), err);
        CHECK(assay_model_build(json, "c.json", &options, &graph, NULL, &err) != ASSAY_OK);
        CHECK(graph == NULL);
        CHECK_CONTAINS(err.message, "c.json");
        CHECK_CONTAINS(err.message, cases[i].part);
        json_decref(json);
    }
}

ASSAY_TEST(random_weights_beyond_all_memory_are_refused)
{
    static const char text[] = "{\"model_type\": \"llama\", \"vocab_size\": 1000000, \"hidden_size\": 1000000,"
                               " \"num_attention_heads\": 2, \"num_key_value_heads\": 2}";
    struct assay_error err = {0};
    struct assay_graph *graph;
    json_t *json;
    struct assay_model_options options = {0};
    CHECK_OK(assay_json_parse(text, strlen(text), "c", &json, &err), err);
    CHECK_INT(assay_model_build(json, "c.json", &options, &graph, NULL, &err), ASSAY_NO_MEMORY);
    CHECK_CONTAINS(err.message, "GiB of memory");
    json_decref(json);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(random_weights_beyond_all_memory_are_refused),
                ASSAY_TEST_ENTRY(a_folder_with_weights_is_opened_and_its_bytes_are_shared),
                ASSAY_TEST_ENTRY(shards_are_found_by_their_index), ASSAY_TEST_ENTRY(a_bad_index_is_reported),
                ASSAY_TEST_ENTRY(a_missing_tensor_is_named), ASSAY_TEST_ENTRY(a_surplus_tensor_is_named_unless_it_is_allowed),
                ASSAY_TEST_ENTRY(a_tensor_of_another_shape_is_named_with_both_shapes),
                ASSAY_TEST_ENTRY(half_precision_weights_become_f32),
                ASSAY_TEST_ENTRY(a_tied_head_needs_no_tensor_and_may_have_one),
                ASSAY_TEST_ENTRY(outputs_are_made_only_when_asked_for), ASSAY_TEST_ENTRY(inputs_can_be_chosen),
                ASSAY_TEST_ENTRY(a_config_that_assay_does_not_build_is_one_sentence))
