/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the opset upgrade (upgrade_rules.h) for ops whose meaning changed: broadcasting, what Softmax flattens, training by
 * the number of outputs, Upsample and the first Resize. */
#include "graph/upgrade_rules.h"

/* ---- broadcasting before opset 7: the second operand's dimensions start at `axis` of the first's */

static int shape_of(struct assay_upgrade *u, int value) { return assay_upgrade_emit(u, "Shape", value, -1, -1); }

/* How many dimensions of size 1 the operand needs at its end, as a value of shape [1], where the ranks are not known. */
static int count_ones(struct assay_upgrade *u, int a, int b, int64_t axis)
{
    int rank_b = shape_of(u, shape_of(u, b)), room;
    if (axis < 0) {
        room = assay_upgrade_ints(u, "axis", (const int64_t[]){-axis}, 1);
    } else {
        int rank_a = shape_of(u, shape_of(u, a));
        room = assay_upgrade_emit(u, "Sub", rank_a, assay_upgrade_ints(u, "axis", &axis, 1), -1);
    }
    int n = assay_upgrade_emit(u, "Sub", room, rank_b, -1);
    return assay_upgrade_emit(u, "Max", n, assay_upgrade_ints(u, "none", (const int64_t[]){0}, 1), -1);
}

/* Gives input 1 dimensions of size 1 at its end, so that broadcasting of today does what `axis` said. */
static void align_operand(struct assay_upgrade *u, int64_t axis)
{
    int a = u->node->inputs[0], b = u->node->inputs[1];
    int rank_a = assay_upgrade_rank(u, a), rank_b = assay_upgrade_rank(u, b);
    if (rank_b == 0)
        return;
    if (rank_b > 0 && (rank_a >= 0 || axis < 0)) {
        int64_t n = (axis < 0 ? -axis : rank_a - axis) - rank_b, axes[ASSAY_MAX_RANK];
        if (n <= 0 || n > ASSAY_MAX_RANK - rank_b)
            return;
        for (int64_t i = 0; i < n; i++)
            axes[i] = rank_b + i;
        int input = assay_upgrade_ints(u, "axes", axes, (size_t)n);
        assay_upgrade_set_input(u, 1, assay_upgrade_emit(u, "Unsqueeze", b, input, -1));
        return;
    }
    int count = count_ones(u, a, b, axis);
    int one = assay_upgrade_ints(u, "one", (const int64_t[]){1}, 1);
    int ones = assay_upgrade_emit(u, "ConstantOfShape", count, -1, -1);
    assay_node_set_tensor(u->graph, assay_upgrade_last(u), "value", &u->graph->values[one].constant);
    int shape = assay_upgrade_emit(u, "Concat", shape_of(u, b), ones, -1);
    assay_node_set_int(u->graph, assay_upgrade_last(u), "axis", 0);
    assay_upgrade_set_input(u, 1, assay_upgrade_emit(u, "Reshape", b, shape, -1));
}

enum assay_status assay_upgrade_broadcast_7(struct assay_upgrade *u)
{
    const struct assay_attr *axis = assay_node_attr(u->node, "axis");
    bool broadcast = assay_node_int(u->node, "broadcast", 0) != 0;
    if (broadcast && axis && axis->kind == ASSAY_ATTR_INT) {
        if (assay_upgrade_input(u, 0) < 0 || assay_upgrade_input(u, 1) < 0)
            return assay_upgrade_fail(u, ASSAY_INVALID, "lacks an input");
        if (axis->i < -ASSAY_MAX_RANK || axis->i > ASSAY_MAX_RANK)
            return assay_upgrade_fail(u, ASSAY_INVALID, "has an axis that is no dimension");
        align_operand(u, axis->i);
    }
    assay_node_remove_attr(u->node, "axis");
    assay_node_remove_attr(u->node, "broadcast");
    return ASSAY_OK;
}

/* The slope had one element, or one for each channel. */
enum assay_status assay_upgrade_prelu_7(struct assay_upgrade *u)
{
    int slope = assay_upgrade_input(u, 1);
    if (slope < 0 || assay_upgrade_input(u, 0) < 0)
        return assay_upgrade_fail(u, ASSAY_INVALID, "lacks an input");
    int rank = assay_upgrade_rank(u, slope);
    if (rank < 0 || (rank == 1 && u->graph->values[slope].type.dims[0] != 1))
        align_operand(u, 1);
    return ASSAY_OK;
}

enum assay_status assay_upgrade_gemm_7(struct assay_upgrade *u)
{
    assay_node_remove_attr(u->node, "broadcast");
    return ASSAY_OK;
}

/* ---- training */

/* is_test = 0 was the default, and models for inference say so too: here Dropout is for inference, unless told otherwise. */
enum assay_status assay_upgrade_dropout_7(struct assay_upgrade *u)
{
    assay_node_remove_attr(u->node, "is_test");
    return ASSAY_OK;
}

enum assay_status assay_upgrade_dropout_12(struct assay_upgrade *u)
{
    enum { FIRST_WITH_BOOL_MASK = 10 };
    if (assay_node_attr(u->node, "ratio"))
        assay_upgrade_set_input(u, 1, assay_upgrade_scalar(u, "ratio", assay_node_float(u->node, "ratio", 0.5f)));
    assay_node_remove_attr(u->node, "ratio");
    bool has_mask = u->node->n_outputs > 1 && u->node->outputs[1] >= 0 && assay_upgrade_input(u, 0) >= 0;
    if (u->opset < FIRST_WITH_BOOL_MASK && has_mask) {
        int old, mask = assay_upgrade_detour(u, 1, &old), inputs[] = {mask, u->node->inputs[0]};
        assay_graph_add_node(u->graph, "CastLike", "", 2, inputs, 1, &old);
    }
    return ASSAY_OK;
}

/* spatial = 0: a mean and a variance for each element, which no op of today has. */
static void normalize_elements(struct assay_upgrade *u)
{
    const int *in = u->node->inputs;
    int epsilon = assay_upgrade_scalar_like(u, "epsilon", assay_node_float(u->node, "epsilon", 1e-5f), in[0]);
    int deviation = assay_upgrade_emit(u, "Sqrt", assay_upgrade_emit(u, "Add", in[4], epsilon, -1), -1, -1);
    int centred = assay_upgrade_emit(u, "Sub", in[0], in[3], -1);
    int scaled = assay_upgrade_emit(u, "Mul", assay_upgrade_emit(u, "Div", centred, deviation, -1), in[1], -1);
    assay_upgrade_set_input(u, 0, scaled);
    assay_upgrade_set_input(u, 1, in[2]);
    u->node->n_inputs = 2;
    u->node->n_outputs = 1;
    while (u->node->n_attrs > 0)
        assay_node_remove_attr(u->node, u->node->attrs[0].name);
    assay_upgrade_retype(u->node, "Add");
}

enum assay_status assay_upgrade_batchnorm_9(struct assay_upgrade *u)
{
    bool spatial = assay_node_int(u->node, "spatial", 1) != 0;
    assay_node_remove_attr(u->node, "spatial");
    if (spatial)
        return ASSAY_OK;
    for (int i = 0; i < 5; i++)
        if (assay_upgrade_input(u, i) < 0)
            return assay_upgrade_fail(u, ASSAY_INVALID, "lacks an input");
    if (u->node->n_outputs < 1)
        return assay_upgrade_fail(u, ASSAY_INVALID, "has no output");
    normalize_elements(u);
    return ASSAY_OK;
}

/* Five outputs meant training; now an attribute does, and the last two outputs are gone. */
enum assay_status assay_upgrade_batchnorm_14(struct assay_upgrade *u)
{
    struct assay_node *node = u->node;
    if (strcmp(node->type, "BatchNormalization") != 0)
        return ASSAY_OK;
    bool is_test = assay_node_int(node, "is_test", 0) != 0, more = false;
    assay_node_remove_attr(node, "is_test");
    for (int i = 1; i < node->n_outputs; i++)
        more |= node->outputs[i] >= 0;
    if (more && !is_test)
        assay_node_set_int(u->graph, node, "training_mode", 1);
    int kept = more && !is_test ? 3 : 1;
    if (node->n_outputs > kept)
        node->n_outputs = kept;
    return ASSAY_OK;
}

/* ---- Softmax, LogSoftmax, Hardmax: all dimensions from `axis` on were taken as one */

static bool only_axis_counts(const struct assay_type *type, int64_t axis)
{
    for (int64_t i = axis + 1; i < type->rank; i++)
        if (type->dims[i] != 1)
            return false;
    return true;
}

enum assay_status assay_upgrade_softmax_13(struct assay_upgrade *u)
{
    int input = assay_upgrade_input(u, 0);
    if (input < 0 || u->node->n_outputs < 1 || u->node->outputs[0] < 0)
        return assay_upgrade_fail(u, ASSAY_INVALID, "lacks its input or output");
    int64_t axis = assay_node_int(u->node, "axis", 1);
    struct assay_type type = u->graph->values[input].type;
    if (type.rank >= 0 && axis < 0)
        axis += type.rank;
    if (axis == -1 || (type.rank >= 0 && axis >= 0 && axis < type.rank && only_axis_counts(&type, axis))) {
        assay_node_set_int(u->graph, u->node, "axis", type.rank >= 0 && axis == type.rank - 1 ? -1 : axis);
        return ASSAY_OK;
    }
    int shape = shape_of(u, input), flat = assay_upgrade_emit(u, "Flatten", input, -1, -1);
    assay_node_set_int(u->graph, assay_upgrade_last(u), "axis", axis);
    assay_upgrade_set_input(u, 0, flat);
    assay_node_set_int(u->graph, u->node, "axis", -1);
    int old, result = assay_upgrade_detour(u, 0, &old), inputs[] = {result, shape};
    assay_graph_add_node(u->graph, "Reshape", "", 2, inputs, 1, &old);
    return ASSAY_OK;
}

/* ---- Upsample and Resize */

enum assay_status assay_upgrade_upsample_7(struct assay_upgrade *u)
{
    float scales[] = {1, 1, assay_node_float(u->node, "height_scale", 1), assay_node_float(u->node, "width_scale", 1)};
    assay_node_set_floats(u->graph, u->node, "scales", scales, ASSAY_COUNT(scales));
    assay_node_remove_attr(u->node, "height_scale");
    assay_node_remove_attr(u->node, "width_scale");
    if (strcmp(assay_node_string(u->node, "mode", "nearest"), "bilinear") == 0)
        assay_node_set_string(u->graph, u->node, "mode", "linear");
    return ASSAY_OK;
}

enum assay_status assay_upgrade_upsample_9(struct assay_upgrade *u)
{
    size_t n;
    const float *scales = assay_node_floats(u->node, "scales", &n);
    if (scales)
        assay_upgrade_set_input(u, 1, assay_upgrade_floats(u, "scales", scales, n));
    assay_node_remove_attr(u->node, "scales");
    return ASSAY_OK;
}

/* Upsample and the first Resize: (input, scales), and coordinates that are divided by the scale. */
static enum assay_status to_resize(struct assay_upgrade *u, const char *nearest_mode)
{
    int scales = assay_upgrade_input(u, 1);
    if (scales < 0)
        return assay_upgrade_fail(u, ASSAY_INVALID, "has no scales");
    assay_upgrade_set_input(u, 2, scales);
    assay_upgrade_set_input(u, 1, -1);
    assay_node_set_string(u->graph, u->node, "coordinate_transformation_mode", "asymmetric");
    assay_node_set_string(u->graph, u->node, "nearest_mode", nearest_mode);
    assay_upgrade_retype(u->node, "Resize");
    return ASSAY_OK;
}

enum assay_status assay_upgrade_upsample_10(struct assay_upgrade *u) { return to_resize(u, "floor"); }

/* The contents of a constant f32 value, or NULL. */
static const struct assay_tensor *find_floats(const struct assay_graph *graph, int value)
{
    if (value < 0)
        return NULL;
    const struct assay_tensor *tensor = &graph->values[value].constant;
    for (int i = graph->n_nodes - 1; i >= 0 && !tensor->data; i--) {
        const struct assay_node *node = graph->nodes[i];
        const struct assay_attr *attr = assay_node_attr(node, "value");
        if (node->n_outputs == 1 && node->outputs[0] == value && strcmp(node->type, "Constant") == 0 && attr)
            tensor = &attr->tensor;
    }
    return tensor->data && tensor->type.dtype == ASSAY_F32 ? tensor : NULL;
}

/* Opset 10 did not say how "nearest" rounds. Its own test data, and ONNX Runtime, round down when they enlarge and up when they
 * shrink. Scales that only the run will tell are taken to enlarge. */
enum assay_status assay_upgrade_resize_11(struct assay_upgrade *u)
{
    const struct assay_tensor *scales = find_floats(u->graph, assay_upgrade_input(u, 1));
    bool shrinks = false, enlarges = false;
    for (int64_t i = 0; scales && i < assay_tensor_count(scales); i++) {
        shrinks |= ((const float *)scales->data)[i] < 1;
        enlarges |= ((const float *)scales->data)[i] > 1;
    }
    if (shrinks && enlarges && strcmp(assay_node_string(u->node, "mode", "nearest"), "nearest") == 0)
        return assay_upgrade_fail(u, ASSAY_UNSUPPORTED,
                                  "enlarges one dimension and shrinks another, which later opsets round alike");
    return to_resize(u, shrinks ? "ceil" : "floor");
}

/* ---- forms that have no equivalent here */

enum assay_status assay_upgrade_scan_9(struct assay_upgrade *u)
{
    return assay_upgrade_fail(u, ASSAY_UNSUPPORTED, "has a batch dimension of its own, which Scan lost in opset 9");
}

enum assay_status assay_upgrade_mvn_9(struct assay_upgrade *u)
{
    return assay_upgrade_fail(u, ASSAY_UNSUPPORTED, "was experimental and meant other axes");
}
