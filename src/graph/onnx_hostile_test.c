/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are damaged, or made to harm: each must give a sentence, never a crash, a hang or a read outside of the model's
 * folder. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "graph/onnx_testing.h"

#include <stdlib.h>
#include <unistd.h>

static struct assay_error err;
static struct assay_arena arena;

/* A model with a bit of everything: If with captures, attributes of all kinds, initializers, names of dimensions, metadata. */
static Onnx__ModelProto *make_model(void)
{
    assay_arena_clear(&arena);
    Onnx__ModelProto *model = onnx_model(&arena, 12);
    Onnx__GraphProto *graph = model->graph;
    graph->input[graph->n_input++] = onnx_value(&arena, "x", ASSAY_F32, 2, (const int64_t[]){2, 3});
    Onnx__TensorShapeProto__Dimension *dim = graph->input[0]->type->tensor_type->shape->dim[0];
    dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    dim->dim_param = "batch";
    graph->initializer[graph->n_initializer++] = onnx_f32(&arena, "w", 1, (const int64_t[]){3}, 3, (const float[]){1, 2, 3});
    Onnx__TensorProto *flag = graph->initializer[graph->n_initializer++] = onnx_tensor(&arena, "flag", ASSAY_BOOL, 0, NULL);
    flag->has_raw_data = 1;
    flag->raw_data = (ProtobufCBinaryData){1, (uint8_t *)"\x01"};
    Onnx__NodeProto *node = graph->node[graph->n_node++] = onnx_node(&arena, "Mul", "x w", "xw");
    node = graph->node[graph->n_node++] = onnx_node(&arena, "Softmax", "xw", "s");
    onnx_int(&arena, node, "axis", 1);
    node = graph->node[graph->n_node++] = onnx_node(&arena, "If", "flag", "y");
    static const char *const names[] = {"then_branch", "else_branch"};
    for (int i = 0; i < 2; i++) {
        Onnx__ModelProto *branch = onnx_model(&arena, 12);
        Onnx__NodeProto *inner = branch->graph->node[branch->graph->n_node++] = onnx_node(&arena, i ? "Neg" : "Abs", "s", "out");
        inner->name = "inner";
        branch->graph->output[branch->graph->n_output++] = onnx_value(&arena, "out", ASSAY_F32, 2, (const int64_t[]){-1, 3});
        onnx_attr(&arena, node, names[i], ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = branch->graph;
    }
    node = graph->node[graph->n_node++] = onnx_node(&arena, "Pad", "y pads", "z");
    onnx_string(&arena, node, "mode", "constant");
    Onnx__TensorProto *pads = graph->initializer[graph->n_initializer++] =
        onnx_tensor(&arena, "pads", ASSAY_I64, 1, (const int64_t[]){4});
    pads->n_int64_data = 4;
    pads->int64_data = assay_arena_memdup(&arena, (const int64_t[]){0, 1, 0, 1}, 4 * sizeof(int64_t));
    graph->output[graph->n_output++] = onnx_value(&arena, "z", ASSAY_F32, 2, (const int64_t[]){-1, 5});
    return model;
}

static enum assay_status parse(const void *data, size_t size)
{
    struct assay_graph *graph;
    err.message[0] = '\0';
    enum assay_status st = assay_onnx_parse(data, size, NULL, "file", &graph, &err);
    if (st)
        CHECK(strncmp(err.message, "file: ", 6) == 0 && strlen(err.message) > 20);
    CHECK(st ? !graph : graph != NULL);
    assay_graph_close(graph);
    return st;
}

ASSAY_TEST(a_file_cut_off_anywhere_gives_a_sentence)
{
    size_t size;
    unsigned char *whole = onnx_pack(&arena, &make_model()->base, &size);
    CHECK_OK(parse(whole, size), err);
    int n_failed = 0;
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *part = malloc(cut + 1); /* its own size, so that a read behind it is seen */
        memcpy(part, whole, cut);
        n_failed += parse(part, cut) != ASSAY_OK;
        free(part);
    }
    CHECK(n_failed > (int)size - 10); /* a few cuts between fields leave a whole model */
}

ASSAY_TEST(a_file_with_changed_bytes_never_crashes)
{
    enum { TRIALS = 4000 };
    size_t size;
    unsigned char *whole = onnx_pack(&arena, &make_model()->base, &size), *changed = assay_arena_alloc(&arena, size + 8);
    struct assay_rng rng;
    assay_rng_init(&rng, 1, assay_rng_stream("mutations"));
    int n_failed = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        size_t n = size;
        memcpy(changed, whole, size);
        for (uint64_t k = 1 + assay_rng_below(&rng, 4); k > 0; k--) {
            size_t at = assay_rng_below(&rng, n);
            switch (assay_rng_below(&rng, 4)) {
            case 0:
                changed[at] ^= (unsigned char)(1u << assay_rng_below(&rng, 8));
                break;
            case 1:
                changed[at] = (unsigned char)assay_rng_u32(&rng);
                break;
            case 2:
                memmove(changed + at, changed + at + 1, n - at - 1);
                n--;
                break;
            default:
                memmove(changed + at + 1, changed + at, n - at);
                n++;
                break;
            }
        }
        n_failed += parse(changed, n) != ASSAY_OK;
    }
    CHECK(n_failed > TRIALS / 4 && n_failed < TRIALS);
}

/* Bytes of a message field that holds `contents`, put in front of their end at *start. */
static unsigned char *wrap(unsigned char *start, unsigned number, size_t size)
{
    unsigned char prefix[12];
    size_t n = 0;
    prefix[n++] = (unsigned char)(number << 3 | 2);
    for (; size >= 0x80; size >>= 7)
        prefix[n++] = (unsigned char)(size | 0x80);
    prefix[n++] = (unsigned char)size;
    return memcpy(start - n, prefix, n);
}

ASSAY_TEST(a_deeply_nested_file_does_not_overflow_the_stack)
{
    enum { LEVELS = 200000, ROOM = LEVELS * 3 * 6 };
    enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, NODE_ATTRIBUTE = 5, ATTRIBUTE_G = 6 };
    unsigned char *buffer = malloc(ROOM), *end = buffer + ROOM, *at = end;
    CHECK(buffer);
    for (int i = 0; i < LEVELS && at - buffer > 64; i++) {
        at = wrap(at, ATTRIBUTE_G, (size_t)(end - at));
        at = wrap(at, NODE_ATTRIBUTE, (size_t)(end - at));
        at = wrap(at, GRAPH_NODE, (size_t)(end - at));
    }
    at = wrap(at, MODEL_GRAPH, (size_t)(end - at));
    enum assay_status st = parse(at, (size_t)(end - at));
    free(buffer);
    CHECK_INT(st, ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "nested deeper");
}

ASSAY_TEST(a_file_of_empty_messages_is_bounded_in_memory_and_time)
{
    enum { N = 2 << 20 };
    unsigned char *bytes = malloc(2 * N + 16);
    CHECK(bytes);
    for (size_t i = 0; i < N; i++)
        memcpy(bytes + 16 + 2 * i, "\x0a\x00", 2); /* a node without anything */
    unsigned char *at = wrap(bytes + 16, 7, 2 * N);
    int64_t start = assay_clock_ns();
    enum assay_status st = parse(at, (size_t)(bytes + 16 + 2 * N - at));
    double seconds = (double)(assay_clock_ns() - start) / 1e9;
    free(bytes);
    CHECK_INT(st, ASSAY_NO_MEMORY);
    CHECK_CONTAINS(err.message, "far more memory");
    CHECK(seconds < 20); /* some tenths of a second; a quadratic reader takes minutes */
}

ASSAY_TEST(a_part_given_twice_is_refused)
{
    size_t size;
    unsigned char *whole = onnx_pack(&arena, &make_model()->base, &size), *twice = assay_arena_alloc(&arena, 2 * size);
    memcpy(twice, whole, size);
    memcpy(twice + size, whole, size);
    CHECK_INT(parse(twice, 2 * size), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "given twice");
}

/* ---- the graph's own rules */

static enum assay_status parse_model(const Onnx__ModelProto *model)
{
    size_t size;
    void *data = onnx_pack(&arena, &model->base, &size);
    return parse(data, size);
}

ASSAY_TEST(a_graph_that_contradicts_itself_is_refused_by_name)
{
    Onnx__ModelProto *m = make_model();
    m->graph->node[1]->input[0] = "nowhere";
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "reads 'nowhere'");
    m = make_model();
    m->graph->node[1]->output[0] = "xw";
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'xw'");
    m = make_model();
    m->graph->node[0]->input[0] = "s";
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "cycle");
    m = make_model();
    m->graph->node[0]->op_type = "";
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "no op_type");
    m = make_model();
    m->graph->initializer[0]->n_float_data = 2;
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "2 elements in float_data");
    m = make_model();
    m->graph->initializer[0]->dims[0] = -3;
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    m = make_model();
    m->graph->initializer[0]->dims[0] = INT64_MAX;
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    m = make_model();
    m->graph->initializer[0]->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
    CHECK_INT(parse_model(m), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "initializer 'w'");
    m = make_model();
    m->graph->input[0]->type->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
    m->graph->input[0]->type->sequence_type = MESSAGE(&arena, Onnx__TypeProto__Sequence, ONNX__TYPE_PROTO__SEQUENCE__INIT);
    CHECK_INT(parse_model(m), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "input 'x' is a sequence");
    m = make_model();
    m->opset_import[0]->version = 5000;
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_INT(parse("", 0), ASSAY_INVALID);
}

ASSAY_TEST(an_output_of_another_rank_than_declared_is_saved)
{
    struct assay_graph *graph;
    void *data;
    size_t size;
    Onnx__ModelProto *m = make_model();
    m->graph->output[0] = onnx_value(&arena, "z", ASSAY_F32, 1, (const int64_t[]){-1});
    Onnx__TensorShapeProto__Dimension *dim = m->graph->output[0]->type->tensor_type->shape->dim[0];
    dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    dim->dim_param = "batch";
    CHECK_OK(onnx_parse(&arena, m, NULL, &graph, &err), err);
    CHECK_OK(assay_graph_infer(graph, &err), err);
    CHECK_INT(graph->values[graph->outputs[0]].type.rank, 2);
    CHECK_OK(assay_onnx_serialize(graph, 0, &data, &size, &err), err);
    CHECK_OK(parse(data, size), err);
    free(data);
    assay_graph_close(graph);
}

ASSAY_TEST(a_sparse_tensor_cannot_ask_for_all_memory)
{
    Onnx__ModelProto *m = make_model();
    Onnx__SparseTensorProto *sparse = m->graph->sparse_initializer[m->graph->n_sparse_initializer++] =
        MESSAGE(&arena, Onnx__SparseTensorProto, ONNX__SPARSE_TENSOR_PROTO__INIT);
    sparse->values = onnx_f32(&arena, "sparse", 1, (const int64_t[]){1}, 1, (const float[]){1});
    sparse->indices = onnx_tensor(&arena, "", ASSAY_I64, 1, (const int64_t[]){1});
    sparse->indices->n_int64_data = 1;
    sparse->indices->int64_data = assay_arena_memdup(&arena, (const int64_t[]){5}, sizeof(int64_t));
    sparse->n_dims = 1;
    sparse->dims = assay_arena_memdup(&arena, (const int64_t[]){8}, sizeof(int64_t));
    CHECK_OK(parse_model(m), err);
    sparse->dims[0] = 5;
    CHECK_INT(parse_model(m), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "index outside");
    sparse->dims[0] = (int64_t)1 << 40;
    CHECK_INT(parse_model(m), ASSAY_NO_MEMORY);
}

/* A model that calls function f0; f[i] calls f[i + 1] twice, the last one is of `type`. */
static Onnx__ModelProto *make_functions(int n, const char *type)
{
    Onnx__ModelProto *m = make_model();
    Onnx__NodeProto *call = m->graph->node[0];
    call->op_type = "f0";
    call->domain = "test";
    call->n_input = 1;
    m->n_opset_import = 2;
    m->opset_import[1] = MESSAGE(&arena, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);
    m->opset_import[1]->domain = "test";
    m->opset_import[1]->version = m->opset_import[1]->has_version = 1;
    for (int i = 0; i < n; i++) {
        Onnx__FunctionProto *f = m->functions[m->n_functions++] =
            MESSAGE(&arena, Onnx__FunctionProto, ONNX__FUNCTION_PROTO__INIT);
        const char *next = i + 1 < n ? assay_arena_printf(&arena, "f%d", i + 1) : type;
        f->name = assay_arena_printf(&arena, "f%d", i);
        f->domain = "test";
        f->input = onnx_words(&arena, "a", &f->n_input);
        f->output = onnx_words(&arena, "c", &f->n_output);
        f->node = assay_arena_array(&arena, 2, sizeof *f->node);
        f->node[f->n_node++] = onnx_node(&arena, next, "a", "b");
        f->node[f->n_node++] = onnx_node(&arena, next, "b", "c");
        for (int k = 0; k < 2 && (i + 1 < n || strcmp(type, "f0") == 0); k++)
            f->node[k]->domain = "test";
    }
    return m;
}

ASSAY_TEST(functions_cannot_recurse_or_multiply_without_end)
{
    CHECK_OK(parse_model(make_functions(3, "Abs")), err);
    CHECK_INT(parse_model(make_functions(3, "f0")), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "nested too deep");
    CHECK_INT(parse_model(make_functions(40, "Abs")), ASSAY_NO_MEMORY); /* 2^40 nodes */
    CHECK_CONTAINS(err.message, "inlined function");
}

/* ---- external data */

static void set_external(Onnx__TensorProto *tensor, const char *location, const char *offset, const char *length)
{
    const char *const pairs[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    tensor->n_float_data = 0;
    tensor->has_data_location = 1;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->n_external_data = 0;
    tensor->external_data = assay_arena_array(&arena, 3, sizeof *tensor->external_data);
    for (int i = 0; i < 3; i++) {
        if (!pairs[i][1])
            continue;
        Onnx__StringStringEntryProto *entry =
            MESSAGE(&arena, Onnx__StringStringEntryProto, ONNX__STRING_STRING_ENTRY_PROTO__INIT);
        entry->key = assay_arena_strdup(&arena, pairs[i][0]);
        entry->value = assay_arena_strdup(&arena, pairs[i][1]);
        tensor->external_data[tensor->n_external_data++] = entry;
    }
}

static enum assay_status parse_external(const char *folder, const char *location, const char *offset, const char *length,
                                        float *first)
{
    struct assay_graph *graph;
    Onnx__ModelProto *m = make_model();
    set_external(m->graph->initializer[0], location, offset, length);
    enum assay_status st = onnx_parse(&arena, m, folder, &graph, &err);
    if (!st)
        *first = (float)assay_tensor_real(&graph->values[assay_graph_find(graph, "w")].constant, 0);
    assay_graph_close(graph);
    return st;
}

ASSAY_TEST(external_data_stays_in_the_folder_and_in_the_file)
{
    struct assay_arena paths;
    char *outside;
    assay_arena_init(&paths);
    CHECK_OK(assay_fs_temporary_folder(&paths, &outside, &err), err);
    char *folder = assay_path_join(&paths, outside, "model");
    CHECK_OK(assay_fs_make_folder(folder, &err), err);
    float values[5] = {7, 8, 9, 10, 11}, first = 0;
    char *inside_file = assay_path_join(&paths, folder, "w.bin"), *outside_file = assay_path_join(&paths, outside, "secret");
    CHECK_OK(assay_fs_write(inside_file, values, 4 * sizeof *values, &err), err);
    CHECK_OK(assay_fs_write(outside_file, values, sizeof values, &err), err);
    CHECK_INT(symlink("../secret", assay_path_join(&paths, folder, "link")), 0);

    CHECK_OK(parse_external(folder, "w.bin", NULL, NULL, &first), err);
    CHECK_NEAR(first, 7, 0);
    CHECK_OK(parse_external(folder, "w.bin", "4", "12", &first), err);
    CHECK_NEAR(first, 8, 0);
    CHECK_OK(parse_external(folder, "w.bin", "3", "12", &first), err); /* misaligned: copied; UBSan watches */
    CHECK_INT(parse_external(folder, "w.bin", "8", NULL, &first), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "needs 12");
    CHECK_INT(parse_external(folder, "w.bin", "9223372036854775807", NULL, &first), ASSAY_INVALID);
    CHECK_INT(parse_external(folder, "w.bin", "-4", NULL, &first), ASSAY_INVALID);
    CHECK_INT(parse_external(folder, "w.bin", "0", "11", &first), ASSAY_INVALID);
    CHECK_INT(parse_external(folder, "", NULL, NULL, &first), ASSAY_INVALID);
    CHECK_INT(parse_external(NULL, "w.bin", NULL, NULL, &first), ASSAY_INVALID);
    CHECK_INT(parse_external(folder, "../secret", NULL, NULL, &first), ASSAY_INVALID);
    CHECK_INT(parse_external(folder, outside_file, NULL, NULL, &first), ASSAY_INVALID);
    CHECK_INT(parse_external(folder, "link", NULL, NULL, &first), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "initializer 'w'");
    CHECK(parse_external(folder, "missing", NULL, NULL, &first) != ASSAY_OK);
    CHECK_OK(assay_fs_remove(outside, &err), err);
    assay_arena_release(&paths);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_file_cut_off_anywhere_gives_a_sentence),
                ASSAY_TEST_ENTRY(a_file_with_changed_bytes_never_crashes),
                ASSAY_TEST_ENTRY(a_deeply_nested_file_does_not_overflow_the_stack),
                ASSAY_TEST_ENTRY(a_file_of_empty_messages_is_bounded_in_memory_and_time),
                ASSAY_TEST_ENTRY(a_part_given_twice_is_refused),
                ASSAY_TEST_ENTRY(a_graph_that_contradicts_itself_is_refused_by_name),
                ASSAY_TEST_ENTRY(an_output_of_another_rank_than_declared_is_saved),
                ASSAY_TEST_ENTRY(a_sparse_tensor_cannot_ask_for_all_memory),
                ASSAY_TEST_ENTRY(functions_cannot_recurse_or_multiply_without_end),
                ASSAY_TEST_ENTRY(external_data_stays_in_the_folder_and_in_the_file))
