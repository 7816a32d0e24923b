/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as text (graph.h): inputs, constants, a line a node, outputs; bodies indented. */
#include "graph/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 8 /* elements of a list or tensor */ };

static void write_graph(FILE *out, const struct assay_graph *graph, int indent);

static void write_value(FILE *out, const struct assay_graph *graph, int number)
{
    char text[256];
    if (number < 0)
        fputs("_", out);
    else
        fprintf(out, "%s: %s", graph->values[number].name, assay_type_text(&graph->values[number].type, text, sizeof text));
}

static void write_elements(FILE *out, const struct assay_tensor *tensor)
{
    int64_t n = assay_tensor_count(tensor);
    fputs("{", out);
    for (int64_t i = 0; i < n && i < SHOWN; i++) {
        if (assay_dtype_is_float(tensor->type.dtype))
            fprintf(out, "%s%g", i ? ", " : "", assay_tensor_real(tensor, i));
        else if (tensor->type.dtype == ASSAY_U64)
            fprintf(out, "%s%" PRIu64, i ? ", " : "", (uint64_t)assay_tensor_int(tensor, i));
        else
            fprintf(out, "%s%" PRId64, i ? ", " : "", assay_tensor_int(tensor, i));
    }
    fputs(n > SHOWN ? ", …}" : "}", out);
}

static void write_attr(FILE *out, const struct assay_attr *attr)
{
    char text[256];
    fprintf(out, "%s=", attr->name);
    switch (attr->kind) {
    case ASSAY_ATTR_INT:
        fprintf(out, "%" PRId64, attr->i);
        return;
    case ASSAY_ATTR_FLOAT:
        fprintf(out, "%g", (double)attr->f);
        return;
    case ASSAY_ATTR_STRING:
        fprintf(out, "\"%s\"", attr->s);
        return;
    case ASSAY_ATTR_TENSOR:
        fputs(assay_type_text(&attr->tensor.type, text, sizeof text), out);
        write_elements(out, &attr->tensor);
        return;
    case ASSAY_ATTR_GRAPH:
        fputs("body", out);
        return;
    default:
        break;
    }
    fputs("[", out);
    for (size_t i = 0; i < attr->n && i < SHOWN; i++) {
        fputs(i ? "," : "", out);
        if (attr->kind == ASSAY_ATTR_INTS)
            fprintf(out, "%" PRId64, attr->ints[i]);
        else if (attr->kind == ASSAY_ATTR_FLOATS)
            fprintf(out, "%g", (double)attr->floats[i]);
        else
            fprintf(out, "\"%s\"", attr->strings[i]);
    }
    fputs(attr->n > SHOWN ? ",…]" : "]", out);
}

static void write_node(FILE *out, const struct assay_graph *graph, const struct assay_node *node, int indent)
{
    fprintf(out, "%*s", indent, "");
    for (int i = 0; i < node->n_outputs; i++) {
        fputs(i ? ", " : "", out);
        write_value(out, graph, node->outputs[i]);
    }
    fprintf(out, " = %s%s%s(", node->domain, *node->domain ? "." : "", node->type);
    for (int i = 0; i < node->n_inputs; i++)
        fprintf(out, "%s%s", i ? ", " : "", node->inputs[i] < 0 ? "_" : graph->values[node->inputs[i]].name);
    fputs(")", out);
    for (int i = 0; i < node->n_attrs; i++) {
        fputs(i ? ", " : " ", out);
        write_attr(out, &node->attrs[i]);
    }
    fputs("\n", out);
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].graph) {
            fprintf(out, "%*s%s:\n", indent + 2, "", node->attrs[i].name);
            write_graph(out, node->attrs[i].graph, indent + 4);
        }
}

/* Weights that were only declared are zeros, which nobody would run: a bench draws them. Of a large one its beginning is looked
 * at. */
static bool is_to_be_drawn(const struct assay_graph *graph, const struct assay_tensor *tensor)
{
    enum { LOOKED_AT = 1 << 20 };
    const char *weights = assay_graph_metadata(graph, "", "weights");
    int64_t n = assay_tensor_bytes(tensor);
    n = n < LOOKED_AT ? n : LOOKED_AT;
    if (!weights || strcmp(weights, "declared") != 0 || !assay_dtype_is_float(tensor->type.dtype) ||
        assay_tensor_count(tensor) < 2)
        return false;
    for (int64_t i = 0; i < n; i++)
        if (((const char *)tensor->data)[i])
            return false;
    return true;
}

static void write_graph(FILE *out, const struct assay_graph *graph, int indent)
{
    for (int i = 0; i < graph->n_inputs; i++) {
        fprintf(out, "%*sinput ", indent, "");
        write_value(out, graph, graph->inputs[i]);
        fputs("\n", out);
    }
    for (int i = 0; i < graph->n_values; i++) {
        const struct assay_value *value = &graph->values[i];
        if (!value->constant.data || value->is_inferred)
            continue;
        fprintf(out, "%*sconstant ", indent, "");
        write_value(out, graph, i);
        fputs(" = ", out);
        if (is_to_be_drawn(graph, &value->constant))
            fputs("random", out);
        else
            write_elements(out, &value->constant);
        fputs("\n", out);
    }
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i])
            write_node(out, graph, graph->nodes[i], indent);
    for (int i = 0; i < graph->n_outputs; i++) {
        fprintf(out, "%*soutput ", indent, "");
        write_value(out, graph, graph->outputs[i]);
        fputs("\n", out);
    }
}

char *assay_graph_text(const struct assay_graph *graph)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ASSAY_ASSERT(out);
    write_graph(out, graph, 0);
    ASSAY_ASSERT(fclose(out) == 0);
    return text;
}
