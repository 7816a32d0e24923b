/* SPDX-License-Identifier: Apache-2.0 */
/* Changes ONNX models as models, for libFuzzer: bytes changed at random rarely leave a graph that loads, and so never come to the
 * ops. Half the time the bytes are changed all the same. */
#include "base/rng.h"
#include "fuzz.h"
#include "graph/onnx.pb-c.h"
#include "graph/op.h"

#include <math.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

struct mutation {
    struct assay_rng rng;
    struct assay_arena arena;
    Onnx__GraphProto *graph;
};

static size_t below(struct mutation *m, size_t n) { return (size_t)assay_rng_below(&m->rng, n); }

static int64_t some_int(struct mutation *m, int64_t old)
{
    static const int64_t corners[] = {0, 1, 2, 3, 4, 7, -1, -2, -3, 255, 1 << 20, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    return below(m, 3) ? corners[below(m, ASSAY_COUNT(corners))] : (int64_t)((uint64_t)old + below(m, 7) - 3u);
}

static float some_float(struct mutation *m)
{
    static const float corners[] = {0, 1, -1, 0.5f, 2, 1e30f, -1e30f, INFINITY, NAN, 1e-30f, 3.7f};
    return corners[below(m, ASSAY_COUNT(corners))];
}

static char *some_op(struct mutation *m)
{
    size_t n = 0;
    while (assay_op_at((int)n))
        n++;
    return assay_arena_strdup(&m->arena, assay_op_at((int)below(m, n))->type);
}

/* A name that an input of a node may have, NULL where the message lacks it. */
static char *find_name(struct mutation *m)
{
    Onnx__GraphProto *g = m->graph;
    size_t n = g->n_input + g->n_initializer + g->n_node, i = n ? below(m, n) : 0;
    if (i < g->n_input)
        return g->input[i]->name;
    i -= g->n_input;
    if (i < g->n_initializer)
        return g->initializer[i]->name;
    i -= g->n_initializer;
    return i < g->n_node && g->node[i]->n_output ? g->node[i]->output[below(m, g->node[i]->n_output)] : "";
}

static char *some_name(struct mutation *m)
{
    char *name = find_name(m);
    return name ? name : "";
}

static void change_list(struct mutation *m, int64_t **list, size_t *n)
{
    int64_t *longer = assay_arena_grow(&m->arena, *list, *n, *n + 1, sizeof *longer);
    size_t what = below(m, 4);
    if (what == 0)
        longer[(*n)++] = some_int(m, 0);
    else if (what == 1 && *n)
        (*n)--;
    else if (*n)
        longer[below(m, *n)] = some_int(m, longer[0]);
    *list = longer;
}

static void change_tensor(struct mutation *m, Onnx__TensorProto *t)
{
    switch (below(m, 4)) {
    case 0:
        t->data_type = (int32_t)below(m, 17);
        break;
    case 1:
        change_list(m, &t->dims, &t->n_dims);
        break;
    default:
        if (t->raw_data.len)
            t->raw_data.data[below(m, t->raw_data.len)] = (uint8_t)some_int(m, 0);
        else if (t->n_int64_data)
            t->int64_data[below(m, t->n_int64_data)] = some_int(m, 0);
        else if (t->n_float_data)
            t->float_data[below(m, t->n_float_data)] = some_float(m);
        break;
    }
}

static void change_attr(struct mutation *m, Onnx__AttributeProto *a)
{
    if (a->t)
        change_tensor(m, a->t);
    else if (a->n_ints || below(m, 8) == 0)
        change_list(m, &a->ints, &a->n_ints);
    a->i = some_int(m, a->i);
    a->f = some_float(m);
    if (a->s.len && below(m, 4) == 0)
        a->s.data[below(m, a->s.len)] = (uint8_t)('A' + below(m, 58));
}

/* The whole attribute of another node: under its own name, which its op may know. */
static void add_attr(struct mutation *m, Onnx__NodeProto *node)
{
    Onnx__NodeProto *from = m->graph->node[below(m, m->graph->n_node)];
    if (!from->n_attribute)
        return;
    node->attribute =
        assay_arena_grow(&m->arena, node->attribute, node->n_attribute, node->n_attribute + 1, sizeof *node->attribute);
    node->attribute[node->n_attribute++] = from->attribute[below(m, from->n_attribute)];
}

static void change_node(struct mutation *m, Onnx__NodeProto *node)
{
    char **longer;
    switch (below(m, 7)) {
    case 0:
        node->op_type = some_op(m);
        break;
    case 1:
        longer = assay_arena_grow(&m->arena, node->input, node->n_input, node->n_input + 1, sizeof *longer);
        longer[node->n_input++] = some_name(m);
        node->input = longer;
        break;
    case 2:
        node->n_input -= node->n_input > 0;
        break;
    case 3:
        if (node->n_input)
            node->input[below(m, node->n_input)] = below(m, 8) ? some_name(m) : "";
        break;
    case 4:
        add_attr(m, node);
        break;
    default:
        if (node->n_attribute)
            change_attr(m, node->attribute[below(m, node->n_attribute)]);
        break;
    }
}

static void change_dim(struct mutation *m, Onnx__ValueInfoProto *info)
{
    bool has_shape =
        info->type && info->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && info->type->tensor_type->shape;
    if (!has_shape || !info->type->tensor_type->shape->n_dim || below(m, 8) == 0) {
        if (has_shape)
            info->type->tensor_type->elem_type = (int32_t)below(m, 17);
        return;
    }
    Onnx__TensorShapeProto *shape = info->type->tensor_type->shape;
    Onnx__TensorShapeProto__Dimension *dim = shape->dim[below(m, shape->n_dim)];
    dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    dim->dim_value = some_int(m, 3);
}

static void change(struct mutation *m)
{
    Onnx__GraphProto *g = m->graph;
    size_t what = below(m, 8);
    if (what == 0 && g->n_initializer)
        change_tensor(m, g->initializer[below(m, g->n_initializer)]);
    else if (what == 1 && g->n_input)
        change_dim(m, g->input[below(m, g->n_input)]);
    else if (g->n_node)
        change_node(m, g->node[below(m, g->n_node)]);
}

/* A body somewhere, instead of the outermost graph. */
static Onnx__GraphProto *go_inside(struct mutation *m, Onnx__GraphProto *graph)
{
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_attribute; k++)
            if (graph->node[i]->attribute[k]->g && below(m, 2))
                return graph->node[i]->attribute[k]->g;
    return graph;
}

/* Memory of the message is the arena's, so that parts can be moved about in it. */
static void *arena_alloc(void *arena, size_t size) { return assay_arena_alloc(arena, size); }
static void arena_free(void *arena, void *data) { (void)arena, (void)data; }

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct mutation m;
    assay_rng_init(&m.rng, seed, 0);
    if (below(&m, 2))
        return LLVMFuzzerMutate(data, size, max_size);
    assay_arena_init(&m.arena);
    ProtobufCAllocator allocator = {arena_alloc, arena_free, &m.arena};
    Onnx__ModelProto *model = onnx__model_proto__unpack(&allocator, size, data);
    size_t packed = 0;
    if (model && model->graph) {
        for (size_t n = 1 + below(&m, 3); n > 0; n--) {
            m.graph = go_inside(&m, model->graph);
            change(&m);
        }
        if (below(&m, 16) == 0 && model->n_opset_import)
            model->opset_import[0]->version = 1 + (int64_t)below(&m, 20);
        packed = onnx__model_proto__get_packed_size(model);
    }
    if (packed && packed <= max_size)
        onnx__model_proto__pack(model, data);
    assay_arena_release(&m.arena);
    return packed && packed <= max_size ? packed : LLVMFuzzerMutate(data, size, max_size);
}
