/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files: the official conformance models, test data, functions, bodies, states, external data. Damaged files are in
 * onnx_hostile_test.c. */
#include "base/fs.h"
#include "graph/onnx_testing.h"

#include <sys/wait.h>
#include <unistd.h>

#define TESTDATA "/usr/share/libonnx-testdata/data"

static struct assay_error err;

/* ---- all models of the conformance suite */

struct counts {
    int loaded, unsupported, invalid, changed;
    struct assay_arena *arena;
    const char *folder; /* where saved files go */
    FILE *pairs;        /* "original saved" a line */
};

static enum assay_status visit_model(void *context, const char *path, struct assay_error *error)
{
    struct counts *counts = context;
    struct assay_graph *graph, *again;
    struct assay_error why;
    char hash[ASSAY_HASH_TEXT_SIZE], hash_again[ASSAY_HASH_TEXT_SIZE];
    if (strcmp(assay_path_name(path), "model.onnx") != 0)
        return ASSAY_OK;
    enum assay_status st = assay_onnx_load(path, &graph, &why);
    if (st) {
        counts->unsupported += st == ASSAY_UNSUPPORTED;
        counts->invalid += st != ASSAY_UNSUPPORTED;
        if (st != ASSAY_UNSUPPORTED)
            fprintf(stderr, "%s\n", why.message);
        return ASSAY_OK;
    }
    const char *saved = assay_arena_printf(counts->arena, "%s/%d.onnx", counts->folder, counts->loaded++);
    st = assay_onnx_save(graph, saved, NULL, error);
    if (!st)
        st = assay_onnx_load(saved, &again, error);
    if (st) {
        assay_graph_close(graph);
        return st;
    }
    assay_graph_hash(graph, hash);
    assay_graph_hash(again, hash_again);
    if (strcmp(hash, hash_again) != 0) {
        counts->changed++;
        fprintf(stderr, "%s: another hash after save and load\n", path);
    }
    fprintf(counts->pairs, "%s %s\n", path, saved);
    assay_graph_close(again);
    assay_graph_close(graph);
    return ASSAY_OK;
}

static const char *const check_script = "import sys, onnx\n"
                                        "bad = n = 0\n"
                                        "def sound(path):\n"
                                        "    try:\n"
                                        "        onnx.checker.check_model(onnx.load(path))\n"
                                        "        return None\n"
                                        "    except Exception as e:\n"
                                        "        return str(e)\n"
                                        "for line in open(sys.argv[1]):\n"
                                        "    original, saved = line.split()\n"
                                        "    why = sound(saved)\n"
                                        "    if why is None: n += 1\n"
                                        "    elif sound(original) is None:\n"
                                        "        bad += 1\n"
                                        "        print(original, why, file=sys.stderr)\n"
                                        "print(n, 'saved models pass the checker of onnx', onnx.__version__)\n"
                                        "sys.exit(1 if bad or not n else 0)\n";

/* Exit status of python3 with a script and one argument; Debian's, which has its onnx. */
static int run_python(const char *script, const char *argument)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl("/usr/bin/python3", "python3", "-c", script, argument, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool have_python_onnx(void)
{
    return run_python("import sys\ntry: import onnx\nexcept ImportError: sys.exit(1)", "") == 0;
}

ASSAY_TEST(conformance_models_load_and_keep_their_hash_when_saved)
{
    struct assay_arena arena;
    char *folder;
    if (!assay_fs_is_folder(TESTDATA))
        SKIP("libonnx-testdata is not installed");
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    char *list = assay_path_join(&arena, folder, "pairs");
    struct counts counts = {.arena = &arena, .folder = folder, .pairs = fopen(list, "w")};
    enum assay_status st = assay_fs_walk(TESTDATA, visit_model, &counts, &err);
    fclose(counts.pairs);
    int checked = have_python_onnx() ? run_python(check_script, list) : -1;
    assay_fs_remove(folder, NULL);
    assay_arena_release(&arena);
    CHECK_OK(st, err);
    printf("  %d loaded, %d unsupported, %d invalid\n", counts.loaded, counts.unsupported, counts.invalid);
    if (checked == -1)
        printf("  not checked with ONNX's checker: python3-onnx is not installed\n");
    CHECK_INT(counts.invalid, 0);
    CHECK_INT(counts.changed, 0);
    CHECK(counts.loaded >= 900);
    CHECK(checked <= 0);
}

/* ---- test data */

struct tensor_counts {
    int loaded, unsupported, other;
};

static enum assay_status visit_tensor(void *context, const char *path, struct assay_error *error)
{
    struct tensor_counts *counts = context;
    struct assay_tensor tensor;
    size_t n = strlen(path);
    if (n < 3 || strcmp(path + n - 3, ".pb") != 0)
        return ASSAY_OK;
    enum assay_status st = assay_onnx_load_tensor(path, &tensor, error);
    counts->loaded += st == ASSAY_OK;
    counts->unsupported += st == ASSAY_UNSUPPORTED;
    counts->other += st != ASSAY_OK && st != ASSAY_UNSUPPORTED;
    if (st && st != ASSAY_UNSUPPORTED)
        fprintf(stderr, "%s\n", error->message);
    assay_tensor_release(&tensor);
    return ASSAY_OK;
}

ASSAY_TEST(conformance_tensors_load_or_are_no_tensors)
{
    struct tensor_counts counts = {0};
    if (!assay_fs_is_folder(TESTDATA))
        SKIP("libonnx-testdata is not installed");
    CHECK_OK(assay_fs_walk(TESTDATA, visit_tensor, &counts, &err), err);
    printf("  %d tensors loaded, %d unsupported\n", counts.loaded, counts.unsupported);
    CHECK_INT(counts.other, 0);
    CHECK(counts.loaded > 2000 && counts.unsupported < 200);
}

ASSAY_TEST(every_field_that_can_hold_elements_is_read)
{
    static const struct {
        enum assay_dtype dtype;
        int32_t stored;
        double wanted;
    } cases[] = {
        {ASSAY_F16, 0x3c00, 1},    {ASSAY_BF16, 0xc000, -2},    {ASSAY_I8, -5, -5}, {ASSAY_U8, 200, 200}, {ASSAY_I16, -300, -300},
        {ASSAY_U16, 60000, 60000}, {ASSAY_I32, -70000, -70000}, {ASSAY_BOOL, 1, 1}, {ASSAY_F32, 3, 3},    {ASSAY_F64, 3, 3},
        {ASSAY_I64, -3, -3},       {ASSAY_U32, 3, 3},           {ASSAY_U64, 3, 3},
    };
    struct assay_arena arena;
    char *folder;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    const char *path = assay_path_join(&arena, folder, "tensor.pb");
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_tensor tensor;
        size_t size;
        Onnx__TensorProto *proto = onnx_tensor(&arena, "t", cases[i].dtype, 1, (const int64_t[]){2});
        int32_t words[] = {cases[i].stored, cases[i].stored};
        int64_t longs[] = {cases[i].stored, cases[i].stored};
        float floats[] = {(float)cases[i].stored, (float)cases[i].stored};
        double doubles[] = {cases[i].stored, cases[i].stored};
        bool wide = cases[i].dtype == ASSAY_U32 || cases[i].dtype == ASSAY_U64;
        if (cases[i].dtype == ASSAY_F32)
            proto->n_float_data = 2, proto->float_data = floats;
        else if (cases[i].dtype == ASSAY_F64)
            proto->n_double_data = 2, proto->double_data = doubles;
        else if (cases[i].dtype == ASSAY_I64)
            proto->n_int64_data = 2, proto->int64_data = longs;
        else if (wide)
            proto->n_uint64_data = 2, proto->uint64_data = (uint64_t *)longs;
        else
            proto->n_int32_data = 2, proto->int32_data = words;
        const void *data = onnx_pack(&arena, &proto->base, &size);
        CHECK_OK(assay_fs_write(path, data, size, &err), err);
        CHECK_OK(assay_onnx_load_tensor(path, &tensor, &err), err);
        CHECK_INT(tensor.type.dtype, cases[i].dtype);
        CHECK_NEAR(assay_tensor_real(&tensor, 1), cases[i].wanted, 0);
        assay_tensor_release(&tensor);
    }
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

/* ---- models built here */

static struct assay_arena models;

/* x [n] -> y, through the nodes that the caller adds. */
static Onnx__ModelProto *begin(void)
{
    assay_arena_clear(&models);
    Onnx__ModelProto *m = onnx_model(&models, 17);
    m->graph->input[m->graph->n_input++] = onnx_value(&models, "x", ASSAY_F32, 1, (const int64_t[]){2});
    m->graph->output[m->graph->n_output++] = onnx_value(&models, "y", ASSAY_F32, 1, (const int64_t[]){2});
    return m;
}

static Onnx__NodeProto *add_node(Onnx__ModelProto *m, const char *type, const char *inputs, const char *outputs)
{
    return m->graph->node[m->graph->n_node++] = onnx_node(&models, type, inputs, outputs);
}

ASSAY_TEST(a_function_becomes_its_nodes_with_the_attributes_of_the_call)
{
    Onnx__ModelProto *m = begin();
    Onnx__NodeProto *call = add_node(m, "scaled", "x", "y");
    call->domain = "test";
    onnx_float(&models, call, "slope", 0.125f);
    Onnx__FunctionProto *f = m->functions[m->n_functions++] = MESSAGE(&models, Onnx__FunctionProto, ONNX__FUNCTION_PROTO__INIT);
    f->name = "scaled";
    f->domain = "test";
    f->input = onnx_words(&models, "a missing", &f->n_input);
    f->output = onnx_words(&models, "c", &f->n_output);
    f->node = assay_arena_array(&models, 2, sizeof *f->node);
    f->node[f->n_node++] = onnx_node(&models, "LeakyRelu", "a", "x"); /* the caller's x is another one */
    onnx_attr(&models, f->node[0], "alpha", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)->ref_attr_name = "slope";
    f->node[f->n_node++] = onnx_node(&models, "Clip", "x missing", "c");
    struct assay_graph *graph;
    CHECK_OK(onnx_parse(&models, m, NULL, &graph, &err), err);
    CHECK_INT(graph->n_nodes, 2);
    CHECK_TEXT(graph->nodes[0]->type, "LeakyRelu");
    CHECK_NEAR(assay_node_float(graph->nodes[0], "alpha", 0), 0.125, 0);
    CHECK_INT(graph->nodes[0]->inputs[0], graph->inputs[0]);
    CHECK_INT(graph->nodes[1]->inputs[1], -1);
    CHECK_INT(graph->nodes[1]->outputs[0], graph->outputs[0]);
    assay_graph_close(graph);
}

ASSAY_TEST(a_large_initializer_is_taken_over_and_aligned)
{
    enum { N = 4096 };
    float values[N];
    for (int i = 0; i < N; i++)
        values[i] = (float)i;
    Onnx__ModelProto *m = begin();
    Onnx__TensorProto *w = m->graph->initializer[m->graph->n_initializer++] =
        onnx_tensor(&models, "w", ASSAY_F32, 1, (const int64_t[]){N});
    w->has_raw_data = 1;
    w->raw_data = (ProtobufCBinaryData){sizeof values, (uint8_t *)values};
    add_node(m, "Identity", "x", "y");
    struct assay_graph *graph;
    CHECK_OK(onnx_parse(&models, m, NULL, &graph, &err), err);
    const struct assay_tensor *tensor = &graph->values[assay_graph_find(graph, "w")].constant;
    CHECK_INT((uintptr_t)tensor->data % 64, 0);
    CHECK_INT(memcmp(tensor->data, values, sizeof values), 0);
    assay_graph_close(graph);
}

ASSAY_TEST(bytes_of_a_bool_other_than_0_and_1_become_1)
{
    Onnx__ModelProto *m = begin();
    Onnx__TensorProto *w = m->graph->initializer[m->graph->n_initializer++] =
        onnx_tensor(&models, "w", ASSAY_BOOL, 1, (const int64_t[]){3});
    w->has_raw_data = 1;
    w->raw_data = (ProtobufCBinaryData){3, (uint8_t *)"\x00\x07\xff"};
    add_node(m, "Identity", "x", "y");
    struct assay_graph *graph;
    CHECK_OK(onnx_parse(&models, m, NULL, &graph, &err), err);
    CHECK_INT(memcmp(graph->values[assay_graph_find(graph, "w")].constant.data, "\x00\x01\x01", 3), 0);
    assay_graph_close(graph);
}

/* ---- saving */

static struct assay_graph *save_and_load(const struct assay_graph *graph, const struct assay_onnx_save_options *options,
                                         const char *path)
{
    struct assay_graph *again;
    CHECK_OK(assay_onnx_save(graph, path, options, &err), err);
    CHECK_OK(assay_onnx_load(path, &again, &err), err);
    return again;
}

static void check_same_hash(const struct assay_graph *a, const struct assay_graph *b)
{
    char hash_a[ASSAY_HASH_TEXT_SIZE], hash_b[ASSAY_HASH_TEXT_SIZE];
    assay_graph_hash(a, hash_a);
    assay_graph_hash(b, hash_b);
    CHECK_TEXT(hash_a, hash_b);
}

ASSAY_TEST(constants_go_to_an_aligned_data_file_and_come_back)
{
    struct assay_arena arena;
    char *folder;
    float values[1000];
    for (size_t i = 0; i < ASSAY_COUNT(values); i++)
        values[i] = (float)i;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, (const int64_t[]){ASSAY_COUNT(values)});
    struct assay_tensor tensor;
    assay_tensor_borrow(&tensor, &type, values);
    struct assay_graph *graph = assay_graph_open("external");
    for (int i = 0; i < 3; i++) {
        int inputs[] = {assay_graph_add_constant(graph, "w", &tensor)}, output = assay_graph_add_value(graph, "y", NULL);
        assay_graph_add_node(graph, "Neg", "", 1, inputs, 1, &output);
        assay_graph_add_output(graph, output);
    }
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    const char *path = assay_path_join(&arena, folder, "m.onnx"), *data_path = assay_path_join(&arena, folder, "m.onnx.data");
    struct assay_graph *again = save_and_load(graph, &(struct assay_onnx_save_options){.external_from_bytes = 4000}, path);
    check_same_hash(graph, again);
    CHECK(assay_fs_exists(data_path));
    for (int i = 0; i < again->n_values; i++)
        if (again->values[i].constant.data)
            CHECK_INT((uintptr_t)again->values[i].constant.data % 4096, 0);
    /* Saved over the very files that its constants are mapped from. */
    struct assay_graph *third = save_and_load(again, &(struct assay_onnx_save_options){.external_from_bytes = 4000}, path);
    assay_graph_close(again);
    check_same_hash(graph, third);
    CHECK_OK(assay_fs_remove(data_path, &err), err);
    check_same_hash(graph, third); /* the map outlives the name */
    assay_graph_close(third);
    CHECK(assay_onnx_load(path, &again, &err) != ASSAY_OK);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_graph_close(graph);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_failed_save_leaves_the_old_file)
{
    struct assay_graph *graph = assay_graph_open("g");
    CHECK(assay_onnx_save(graph, "/nowhere/at/all/m.onnx", NULL, &err) != ASSAY_OK);
    if (assay_fs_exists("/dev/full"))
        CHECK_INT(assay_onnx_save(graph, "/dev/full", NULL, &err), ASSAY_IO);
    assay_graph_close(graph);
}

ASSAY_TEST(states_and_imports_are_saved_with_the_graph)
{
    struct assay_arena arena;
    char *folder;
    struct assay_type type = assay_type_make(ASSAY_F32, 1, (const int64_t[]){2});
    struct assay_graph *graph = assay_graph_open("states");
    for (int i = 0; i < 2; i++) {
        int input = assay_graph_add_value(graph, "w:0,100%", &type), output = assay_graph_add_value(graph, "w,new:0", &type);
        assay_graph_add_input(graph, input);
        assay_graph_add_node(graph, i ? "Neg" : "Gelu", i ? "" : "com.microsoft", 1, &input, 1, &output);
        assay_graph_add_output(graph, output);
    }
    assay_graph_add_state(graph, 0, 1);
    assay_graph_add_state(graph, 1, 0);
    assay_graph_add_metadata(graph, "author", "somebody");
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    struct assay_graph *again = save_and_load(graph, NULL, assay_path_join(&arena, folder, "m.onnx"));
    CHECK_INT(again->n_states, 2);
    CHECK_INT(again->states[0].output, 0);
    CHECK_INT(again->states[0].input, 1);
    CHECK_TEXT(again->metadata[0].s, "somebody");
    check_same_hash(graph, again);
    assay_graph_close(again);
    assay_graph_close(graph);
    CHECK_OK(assay_fs_remove(folder, &err), err);

    Onnx__ModelProto *m = begin();
    add_node(m, "Identity", "x", "y");
    m->metadata_props[m->n_metadata_props++] =
        MESSAGE(&models, Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
    m->metadata_props[0]->key = "assay.states";
    m->metadata_props[0]->value = "y:x,y:x";
    CHECK_INT(onnx_parse(&models, m, NULL, &graph, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "two states lead to input 'x'");
    m->metadata_props[0]->value = "y:z";
    CHECK_INT(onnx_parse(&models, m, NULL, &graph, &err), ASSAY_INVALID);
    assay_arena_release(&arena);
}

ASSAY_TEST(names_in_bodies_do_not_shadow_when_saved)
{
    struct assay_arena arena;
    char *folder;
    bool yes = true;
    struct assay_type flag_type = assay_type_make(ASSAY_BOOL, 0, NULL),
                      type = assay_type_make(ASSAY_F32, 1, (const int64_t[]){2});
    struct assay_tensor flag;
    assay_tensor_borrow(&flag, &flag_type, &yes);
    struct assay_graph *graph = assay_graph_open("outer");
    int x = assay_graph_add_value(graph, "x", &type), y = assay_graph_add_value(graph, "y", &type);
    int condition = assay_graph_add_constant(graph, "flag", &flag);
    assay_graph_add_input(graph, x);
    struct assay_node *node = assay_graph_add_node(graph, "If", "", 1, &condition, 1, &y);
    assay_graph_add_output(graph, y);
    for (int i = 0; i < 2; i++) {
        struct assay_graph *body = assay_graph_open_body(graph, "body");
        int out = i ? -1 : assay_graph_add_value(body, "y", &type), captured = assay_graph_capture(body, x);
        if (!i)
            assay_graph_add_node(body, "Neg", "", 1, &captured, 1, &out);
        assay_graph_add_output(body, i ? captured : out); /* one hands through what it captures */
        assay_node_set_graph(graph, node, i ? "else_branch" : "then_branch", body);
    }
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    const char *path = assay_path_join(&arena, folder, "m.onnx");
    struct assay_graph *again = save_and_load(graph, NULL, path);
    struct assay_graph *body = assay_node_graph(again->nodes[0], "then_branch");
    CHECK(assay_graph_find(body, "y") < 0);
    CHECK_INT(body->n_nodes, 1);
    CHECK_INT(assay_node_graph(again->nodes[0], "else_branch")->n_nodes, 1);
    CHECK(!have_python_onnx() ||
          run_python("import sys, onnx; onnx.checker.check_model(onnx.load(sys.argv[1]), True)", path) == 0);
    assay_graph_close(again);
    assay_graph_close(graph);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

/* Inferring tells the type of what a Constant makes; a file may not declare it. */
ASSAY_TEST(a_constant_of_4_bits_is_read_again)
{
    struct assay_graph *graph = assay_graph_open("g"), *again;
    struct assay_type type = assay_type_make(ASSAY_I4, 1, (const int64_t[]){3});
    struct assay_tensor codes;
    void *saved;
    size_t size;
    CHECK_OK(assay_tensor_alloc(&codes, &type, &err), err);
    memset(codes.data, 0x21, (size_t)assay_tensor_bytes(&codes));
    int value = assay_graph_add_value(graph, "codes", &type);
    struct assay_node *node = assay_graph_add_node(graph, "Constant", "", 0, NULL, 1, &value);
    assay_node_set_tensor(graph, node, "value", &codes);
    assay_tensor_release(&codes);
    assay_graph_add_output(graph, value);
    CHECK_OK(assay_onnx_serialize(graph, 0, &saved, &size, &err), err);
    CHECK_OK(assay_onnx_parse(saved, size, NULL, "saved", &again, &err), err);
    CHECK_INT(again->n_nodes, 1);
    free(saved);
    assay_graph_close(again);
    assay_graph_close(graph);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_constant_of_4_bits_is_read_again),
                ASSAY_TEST_ENTRY(conformance_models_load_and_keep_their_hash_when_saved),
                ASSAY_TEST_ENTRY(conformance_tensors_load_or_are_no_tensors),
                ASSAY_TEST_ENTRY(every_field_that_can_hold_elements_is_read),
                ASSAY_TEST_ENTRY(a_function_becomes_its_nodes_with_the_attributes_of_the_call),
                ASSAY_TEST_ENTRY(a_large_initializer_is_taken_over_and_aligned),
                ASSAY_TEST_ENTRY(bytes_of_a_bool_other_than_0_and_1_become_1),
                ASSAY_TEST_ENTRY(constants_go_to_an_aligned_data_file_and_come_back),
                ASSAY_TEST_ENTRY(a_failed_save_leaves_the_old_file),
                ASSAY_TEST_ENTRY(states_and_imports_are_saved_with_the_graph),
                ASSAY_TEST_ENTRY(names_in_bodies_do_not_shadow_when_saved))
