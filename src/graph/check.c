/* SPDX-License-Identifier: Apache-2.0 */
/* The standard's rules for a graph that is loaded already (infer.h). */
#include "graph/infer.h"
#include "graph/op.h"

#include <stdlib.h>

/* ONNX gives an attribute's name one kind in all ops, `seed` excepted, which is why it is not here. Source: the op schemas of
 * onnx 1.12 (Debian 12), with what opsets 18 to 21 added. Sorted by name. */
static const struct {
    const char *name;
    enum assay_attr_kind kind;
} attr_kinds[] = {
    {"activation_alpha", ASSAY_ATTR_FLOATS},
    {"activation_beta", ASSAY_ATTR_FLOATS},
    {"activations", ASSAY_ATTR_STRINGS},
    {"align_corners", ASSAY_ATTR_INT},
    {"allowzero", ASSAY_ATTR_INT},
    {"alpha", ASSAY_ATTR_FLOAT},
    {"antialias", ASSAY_ATTR_INT},
    {"approximate", ASSAY_ATTR_STRING},
    {"auto_pad", ASSAY_ATTR_STRING},
    {"axes", ASSAY_ATTR_INTS},
    {"axis", ASSAY_ATTR_INT},
    {"batch_axis", ASSAY_ATTR_INT},
    {"batch_dims", ASSAY_ATTR_INT},
    {"beta", ASSAY_ATTR_FLOAT},
    {"bias", ASSAY_ATTR_FLOAT},
    {"block_size", ASSAY_ATTR_INT},
    {"blocksize", ASSAY_ATTR_INT},
    {"body", ASSAY_ATTR_GRAPH},
    {"ceil_mode", ASSAY_ATTR_INT},
    {"center_point_box", ASSAY_ATTR_INT},
    {"clip", ASSAY_ATTR_FLOAT},
    {"coordinate_transformation_mode", ASSAY_ATTR_STRING},
    {"count_include_pad", ASSAY_ATTR_INT},
    {"cubic_coeff_a", ASSAY_ATTR_FLOAT},
    {"detect_negative", ASSAY_ATTR_INT},
    {"detect_positive", ASSAY_ATTR_INT},
    {"dilations", ASSAY_ATTR_INTS},
    {"direction", ASSAY_ATTR_STRING},
    {"directions", ASSAY_ATTR_INTS},
    {"dtype", ASSAY_ATTR_INT},
    {"else_branch", ASSAY_ATTR_GRAPH},
    {"end", ASSAY_ATTR_INT},
    {"ends", ASSAY_ATTR_INTS},
    {"epsilon", ASSAY_ATTR_FLOAT},
    {"equation", ASSAY_ATTR_STRING},
    {"exclude_outside", ASSAY_ATTR_INT},
    {"exclusive", ASSAY_ATTR_INT},
    {"extrapolation_value", ASSAY_ATTR_FLOAT},
    {"fmod", ASSAY_ATTR_INT},
    {"gamma", ASSAY_ATTR_FLOAT},
    {"group", ASSAY_ATTR_INT},
    {"hidden_size", ASSAY_ATTR_INT},
    {"high", ASSAY_ATTR_FLOAT},
    {"ignore_index", ASSAY_ATTR_INT},
    {"input_forget", ASSAY_ATTR_INT},
    {"inverse", ASSAY_ATTR_INT},
    {"k", ASSAY_ATTR_INT},
    {"keep_aspect_ratio_policy", ASSAY_ATTR_STRING},
    {"keepdims", ASSAY_ATTR_INT},
    {"kernel_shape", ASSAY_ATTR_INTS},
    {"lambd", ASSAY_ATTR_FLOAT},
    {"largest", ASSAY_ATTR_INT},
    {"layout", ASSAY_ATTR_INT},
    {"linear_before_reset", ASSAY_ATTR_INT},
    {"low", ASSAY_ATTR_FLOAT},
    {"max", ASSAY_ATTR_FLOAT},
    {"mean", ASSAY_ATTR_FLOAT},
    {"min", ASSAY_ATTR_FLOAT},
    {"mode", ASSAY_ATTR_STRING},
    {"momentum", ASSAY_ATTR_FLOAT},
    {"nearest_mode", ASSAY_ATTR_STRING},
    {"new_axis", ASSAY_ATTR_INT},
    {"noop_with_empty_axes", ASSAY_ATTR_INT},
    {"num_groups", ASSAY_ATTR_INT},
    {"num_outputs", ASSAY_ATTR_INT},
    {"num_scan_inputs", ASSAY_ATTR_INT},
    {"onesided", ASSAY_ATTR_INT},
    {"output_datatype", ASSAY_ATTR_INT},
    {"output_dtype", ASSAY_ATTR_INT},
    {"output_height", ASSAY_ATTR_INT},
    {"output_padding", ASSAY_ATTR_INTS},
    {"output_sequence", ASSAY_ATTR_INT},
    {"output_shape", ASSAY_ATTR_INTS},
    {"output_width", ASSAY_ATTR_INT},
    {"p", ASSAY_ATTR_INT},
    {"padding_mode", ASSAY_ATTR_STRING},
    {"pads", ASSAY_ATTR_INTS},
    {"periodic", ASSAY_ATTR_INT},
    {"perm", ASSAY_ATTR_INTS},
    {"pooled_shape", ASSAY_ATTR_INTS},
    {"ratio", ASSAY_ATTR_FLOAT},
    {"reduction", ASSAY_ATTR_STRING},
    {"reverse", ASSAY_ATTR_INT},
    {"sample_size", ASSAY_ATTR_INT},
    {"sampling_ratio", ASSAY_ATTR_INT},
    {"saturate", ASSAY_ATTR_INT},
    {"scale", ASSAY_ATTR_FLOAT},
    {"scales", ASSAY_ATTR_FLOATS},
    {"scan_input_axes", ASSAY_ATTR_INTS},
    {"scan_input_directions", ASSAY_ATTR_INTS},
    {"scan_output_axes", ASSAY_ATTR_INTS},
    {"scan_output_directions", ASSAY_ATTR_INTS},
    {"select_last_index", ASSAY_ATTR_INT},
    {"shape", ASSAY_ATTR_INTS},
    {"size", ASSAY_ATTR_INT},
    {"sorted", ASSAY_ATTR_INT},
    {"spatial_scale", ASSAY_ATTR_FLOAT},
    {"split", ASSAY_ATTR_INTS},
    {"start", ASSAY_ATTR_INT},
    {"starts", ASSAY_ATTR_INTS},
    {"stash_type", ASSAY_ATTR_INT},
    {"storage_order", ASSAY_ATTR_INT},
    {"strides", ASSAY_ATTR_INTS},
    {"then_branch", ASSAY_ATTR_GRAPH},
    {"time_axis", ASSAY_ATTR_INT},
    {"to", ASSAY_ATTR_INT},
    {"training_mode", ASSAY_ATTR_INT},
    {"transA", ASSAY_ATTR_INT},
    {"transB", ASSAY_ATTR_INT},
    {"upper", ASSAY_ATTR_INT},
    {"value", ASSAY_ATTR_TENSOR},
    {"value_float", ASSAY_ATTR_FLOAT},
    {"value_floats", ASSAY_ATTR_FLOATS},
    {"value_int", ASSAY_ATTR_INT},
    {"value_ints", ASSAY_ATTR_INTS},
    {"value_string", ASSAY_ATTR_STRING},
    {"value_strings", ASSAY_ATTR_STRINGS},
    {"weights", ASSAY_ATTR_FLOATS},
};

/* Ops of ONNX's own domain with more than one output; -1 = any number. All others have one. */
static const struct {
    const char *type;
    int max_outputs;
} output_counts[] = {
    {"BatchNormalization", 3},
    {"Dropout", 2},
    {"DynamicQuantizeLinear", 3},
    {"GRU", 2},
    {"If", -1},
    {"LSTM", 3},
    {"LayerNormalization", 3},
    {"Loop", -1},
    {"MaxPool", 2},
    {"RNN", 2},
    {"Scan", -1},
    {"SoftmaxCrossEntropyLoss", 2},
    {"Split", -1},
    {"TopK", 2},
    {"Unique", 4},
};

static const char *const kind_words[] = {"an integer", "a float",  "a string", "a tensor",
                                         "a graph",    "integers", "floats",   "strings"};

static enum assay_status check_attrs(const struct assay_node *node, struct assay_error *err)
{
    for (int i = 0; i < node->n_attrs; i++) {
        const struct assay_attr *attr = &node->attrs[i];
        for (int k = 0; k < i; k++)
            if (strcmp(node->attrs[k].name, attr->name) == 0)
                return assay_error_set(err, ASSAY_INVALID, "attribute '%s' is given twice", attr->name);
        for (size_t k = 0; k < ASSAY_COUNT(attr_kinds); k++)
            if (strcmp(attr_kinds[k].name, attr->name) == 0 && attr_kinds[k].kind != attr->kind)
                return assay_error_set(err, ASSAY_INVALID, "attribute '%s' is %s, the standard wants %s", attr->name,
                                       kind_words[attr->kind], kind_words[attr_kinds[k].kind]);
    }
    return ASSAY_OK;
}

static int max_outputs(const struct assay_op *op)
{
    if (*op->domain)
        return -1;
    for (size_t i = 0; i < ASSAY_COUNT(output_counts); i++)
        if (strcmp(output_counts[i].type, op->type) == 0)
            return output_counts[i].max_outputs;
    return 1;
}

static enum assay_status check_node(const struct assay_node *node, struct assay_error *err)
{
    const struct assay_op *op = node->op;
    if (!op)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "Assay has no op %s%s%s", node->domain, *node->domain ? "." : "",
                               node->type);
    enum assay_status st = assay_op_check_inputs(op, node, err);
    if (st)
        return st;
    int most = max_outputs(op);
    if (node->n_outputs < 1 || (most >= 0 && node->n_outputs > most))
        return assay_error_set(err, ASSAY_INVALID, "it has %d outputs, the standard wants 1 to %d", node->n_outputs, most);
    return check_attrs(node, err);
}

static enum assay_status check_interface(const struct assay_graph *graph, struct assay_error *err)
{
    bool *seen = assay_alloc((size_t)graph->n_values);
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < graph->n_outputs && !st; i++) {
        if (seen[graph->outputs[i]])
            st =
                assay_error_set(err, ASSAY_INVALID, "the graph has the output '%s' twice", graph->values[graph->outputs[i]].name);
        seen[graph->outputs[i]] = true;
    }
    memset(seen, 0, (size_t)graph->n_values);
    for (int i = 0; i < graph->n_inputs && !st; i++) {
        const struct assay_value *input = &graph->values[graph->inputs[i]];
        if (seen[graph->inputs[i]])
            st = assay_error_set(err, ASSAY_INVALID, "the graph has the input '%s' twice", input->name);
        else if (!graph->outer && input->type.dtype == ASSAY_NO_DTYPE)
            st = assay_error_set(err, ASSAY_INVALID, "the graph's input '%s' has no element type that Assay knows", input->name);
        seen[graph->inputs[i]] = true;
    }
    if (!st && graph->n_outputs == 0)
        st = assay_error_set(err, ASSAY_INVALID, "the graph has no outputs");
    free(seen);
    return st;
}

enum assay_status assay_graph_check(const struct assay_graph *graph, struct assay_error *err)
{
    enum assay_status st = check_interface(graph, err);
    for (int i = 0; i < graph->n_nodes && !st; i++) {
        const struct assay_node *node = graph->nodes[i];
        st = check_node(node, err);
        for (int k = 0; k < node->n_attrs && !st; k++)
            if (node->attrs[k].graph)
                st = assay_graph_check(node->attrs[k].graph, err);
        if (st)
            st = assay_error_prefix(err, st, "%s%s%s%s", node->type, *node->name ? " '" : "", node->name, *node->name ? "'" : "");
    }
    return st;
}
