/* SPDX-License-Identifier: Apache-2.0 */
/* A node's attributes (graph.h). The rest of the graph is in graph.c. */
#include "graph/graph.h"

static struct assay_attr *find(const struct assay_node *node, const char *name)
{
    for (int i = 0; i < node->n_attrs; i++)
        if (strcmp(node->attrs[i].name, name) == 0)
            return &node->attrs[i];
    return NULL;
}

/* Frees what of an attribute does not live in the arena. */
static void release_value(struct assay_attr *attr)
{
    assay_tensor_release(&attr->tensor);
    assay_graph_close(attr->graph);
    attr->graph = NULL;
}

/* The attribute of that name, made if missing, empty of everything but its name. */
static struct assay_attr *make(struct assay_graph *graph, struct assay_node *node, const char *name, enum assay_attr_kind kind)
{
    struct assay_attr *attr = find(node, name);
    if (attr) {
        release_value(attr);
    } else {
        /* Room grows at powers of two, so that a node with many attributes costs linear memory. */
        size_t n = (size_t)node->n_attrs;
        if ((n & (n - 1)) == 0)
            node->attrs = assay_arena_grow(&graph->arena, node->attrs, n, n ? 2 * n : 1, sizeof *node->attrs);
        attr = &node->attrs[node->n_attrs++];
        attr->name = assay_arena_strdup(&graph->arena, name);
    }
    *attr = (struct assay_attr){.name = attr->name, .kind = kind, .n = 1};
    return attr;
}

void assay_node_set_int(struct assay_graph *graph, struct assay_node *node, const char *name, int64_t value)
{
    make(graph, node, name, ASSAY_ATTR_INT)->i = value;
}

void assay_node_set_float(struct assay_graph *graph, struct assay_node *node, const char *name, float value)
{
    make(graph, node, name, ASSAY_ATTR_FLOAT)->f = value;
}

void assay_node_set_string_n(struct assay_graph *graph, struct assay_node *node, const char *name, const char *value, size_t n)
{
    struct assay_attr *attr = make(graph, node, name, ASSAY_ATTR_STRING);
    char *copy = assay_arena_alloc(&graph->arena, n + 1);
    if (n)
        memcpy(copy, value, n);
    attr->s = copy;
    attr->n = n;
}

void assay_node_set_string(struct assay_graph *graph, struct assay_node *node, const char *name, const char *value)
{
    assay_node_set_string_n(graph, node, name, value, strlen(value));
}

void assay_node_set_ints(struct assay_graph *graph, struct assay_node *node, const char *name, const int64_t *values, size_t n)
{
    struct assay_attr *attr = make(graph, node, name, ASSAY_ATTR_INTS);
    attr->ints = assay_arena_memdup(&graph->arena, values, n * sizeof *values);
    attr->n = n;
}

void assay_node_set_floats(struct assay_graph *graph, struct assay_node *node, const char *name, const float *values, size_t n)
{
    struct assay_attr *attr = make(graph, node, name, ASSAY_ATTR_FLOATS);
    attr->floats = assay_arena_memdup(&graph->arena, values, n * sizeof *values);
    attr->n = n;
}

void assay_node_set_strings(struct assay_graph *graph, struct assay_node *node, const char *name, const char *const *values,
                            size_t n)
{
    struct assay_attr *attr = make(graph, node, name, ASSAY_ATTR_STRINGS);
    attr->strings = assay_arena_array(&graph->arena, n, sizeof *attr->strings);
    for (size_t i = 0; i < n; i++)
        attr->strings[i] = assay_arena_strdup(&graph->arena, values[i]);
    attr->n = n;
}

void assay_node_set_tensor(struct assay_graph *graph, struct assay_node *node, const char *name,
                           const struct assay_tensor *tensor)
{
    struct assay_tensor mine; /* before make, which may release the very tensor that is given */
    assay_tensor_share(&mine, tensor);
    make(graph, node, name, ASSAY_ATTR_TENSOR)->tensor = mine;
}

void assay_node_set_graph(struct assay_graph *graph, struct assay_node *node, const char *name, struct assay_graph *body)
{
    ASSAY_ASSERT(body->outer == graph);
    make(graph, node, name, ASSAY_ATTR_GRAPH)->graph = body;
}

void assay_node_remove_attr(struct assay_node *node, const char *name)
{
    struct assay_attr *attr = find(node, name);
    if (!attr)
        return;
    release_value(attr);
    int at = (int)(attr - node->attrs);
    memmove(attr, attr + 1, (size_t)(node->n_attrs - at - 1) * sizeof *attr);
    node->n_attrs--;
}

static const struct assay_attr *find_kind(const struct assay_node *node, const char *name, enum assay_attr_kind kind)
{
    const struct assay_attr *attr = find(node, name);
    return attr && attr->kind == kind ? attr : NULL;
}

const struct assay_attr *assay_node_attr(const struct assay_node *node, const char *name) { return find(node, name); }

int64_t assay_node_int(const struct assay_node *node, const char *name, int64_t otherwise)
{
    const struct assay_attr *attr = find_kind(node, name, ASSAY_ATTR_INT);
    return attr ? attr->i : otherwise;
}

float assay_node_float(const struct assay_node *node, const char *name, float otherwise)
{
    const struct assay_attr *attr = find_kind(node, name, ASSAY_ATTR_FLOAT);
    return attr ? attr->f : otherwise;
}

const char *assay_node_string(const struct assay_node *node, const char *name, const char *otherwise)
{
    const struct assay_attr *attr = find_kind(node, name, ASSAY_ATTR_STRING);
    return attr ? attr->s : otherwise;
}

const int64_t *assay_node_ints(const struct assay_node *node, const char *name, size_t *n)
{
    const struct assay_attr *attr = find_kind(node, name, ASSAY_ATTR_INTS);
    *n = attr ? attr->n : 0;
    return attr ? attr->ints : NULL;
}

const float *assay_node_floats(const struct assay_node *node, const char *name, size_t *n)
{
    const struct assay_attr *attr = find_kind(node, name, ASSAY_ATTR_FLOATS);
    *n = attr ? attr->n : 0;
    return attr ? attr->floats : NULL;
}

struct assay_graph *assay_node_graph(const struct assay_node *node, const char *name)
{
    const struct assay_attr *attr = find_kind(node, name, ASSAY_ATTR_GRAPH);
    return attr ? attr->graph : NULL;
}
