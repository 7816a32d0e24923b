/* SPDX-License-Identifier: Apache-2.0 */
/* Which ops run in a low precision. To add one: a line in the list. */
#include "graph/precision_pass.h"

#include <string.h>

/* Ops that are not here are of WIDE_KIND. */
static const struct op_kind kinds[] = {
    {"Abs", MOVE, 0},
    {"Add", CHEAP, 0},
    {"AveragePool", CHEAP, 0},
    {"BatchNormalization", CHEAP, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4},
    {"Cast", ANY_KIND, 0},
    {"Celu", CHEAP, 0},
    {"Clip", MOVE, 0},
    {"Concat", MOVE, 0},
    {"Conv", COMPUTE, 0},
    {"ConvTranspose", COMPUTE, 0},
    {"DepthToSpace", MOVE, 0},
    {"Div", CHEAP, 0},
    {"Dropout", MOVE, 1u << 1},
    {"Einsum", COMPUTE, 0},
    {"Elu", CHEAP, 0},
    {"Expand", MOVE, 0},
    {"Flatten", MOVE, 0},
    {"GRU", COMPUTE, 0},
    {"Gather", MOVE, 0},
    {"GatherElements", MOVE, 0},
    {"GatherND", MOVE, 0},
    {"Gelu", CHEAP, 0},
    {"Gemm", COMPUTE, 0},
    {"GlobalAveragePool", CHEAP, 0},
    {"GlobalMaxPool", MOVE, 0},
    {"HardSigmoid", CHEAP, 0},
    {"HardSwish", CHEAP, 0},
    {"Identity", MOVE, 0},
    {"LSTM", COMPUTE, 0},
    {"LeakyRelu", CHEAP, 0},
    {"MatMul", COMPUTE, 0},
    {"Max", MOVE, 0},
    {"MaxPool", MOVE, 0},
    {"Min", MOVE, 0},
    {"Mul", CHEAP, 0},
    {"Neg", MOVE, 0},
    {"NonZero", ANY_KIND, 0},
    {"PRelu", CHEAP, 0},
    {"Pad", MOVE, 0},
    {"RNN", COMPUTE, 0},
    {"Relu", MOVE, 0},
    {"Reshape", MOVE, 0},
    {"ScatterElements", MOVE, 0},
    {"ScatterND", MOVE, 0},
    {"Selu", CHEAP, 0},
    {"Shape", ANY_KIND, 0},
    {"Sigmoid", CHEAP, 0},
    {"Sign", MOVE, 0},
    {"Size", ANY_KIND, 0},
    {"Slice", MOVE, 0},
    {"SpaceToDepth", MOVE, 0},
    {"Split", MOVE, 0},
    {"Squeeze", MOVE, 0},
    {"Sub", CHEAP, 0},
    {"Sum", CHEAP, 0},
    {"Tanh", CHEAP, 0},
    {"ThresholdedRelu", MOVE, 0},
    {"Tile", MOVE, 0},
    {"Transpose", MOVE, 0},
    {"Trilu", MOVE, 0},
    {"Unsqueeze", MOVE, 0},
    {"Where", MOVE, 0},
};

/* What sums in f32 between reading and writing, where the runtime's kernels do. A mask has numbers that the low precision lacks.
 */
static const struct op_kind fused_kinds[] = {
    {"Attention", COMPUTE, 1u << 3},
    {"LayerNormalization", CHEAP, 1u << 1 | 1u << 2},
    {"Mish", CHEAP, 0},
    {"RMSNormalization", CHEAP, 1u << 1},
    {"RotaryEmbedding", MOVE, 0},
    {"Softmax", CHEAP, 0},
    {"Swish", CHEAP, 0},
    {"assay.Conv", COMPUTE, 0},
    {"assay.Linear", COMPUTE, 0},
};

static const struct op_kind *find_in(const struct assay_node *node, const struct op_kind *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *dot = strchr(list[i].type, '.'), *type = dot ? dot + 1 : list[i].type;
        size_t domain = dot ? (size_t)(dot - list[i].type) : 0;
        if (strcmp(type, node->type) == 0 && strlen(node->domain) == domain && memcmp(node->domain, list[i].type, domain) == 0)
            return &list[i];
    }
    return NULL;
}

const struct op_kind *assay_precision_find_kind(const struct assay_node *node, bool is_fused)
{
    const struct op_kind *kind = find_in(node, kinds, ASSAY_COUNT(kinds));
    return kind || !is_fused ? kind : find_in(node, fused_kinds, ASSAY_COUNT(fused_kinds));
}
