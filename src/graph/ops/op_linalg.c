/* SPDX-License-Identifier: Apache-2.0 */
/* Linear algebra beside matrix products: Det, Einsum. Sums are taken in double; integers wrap. */
#include "graph/ops/rules.h"
#include "graph/ops/util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* ---- Det */

static enum assay_status infer_det(struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_type *in = &call->inputs[0];
    call->outputs[0] = *in;
    enum assay_status st = assay_rule_dtype(call, 0, ASSAY_SET_FLOAT, err);
    if (!st)
        st = assay_rule_rank(call, 0, 2, ASSAY_MAX_RANK, err);
    if (st || in->rank < 0)
        return st;
    call->outputs[0].rank = in->rank - 2;
    int64_t rows = in->dims[in->rank - 2];
    return assay_rule_merge_dim(&rows, in->dims[in->rank - 1], "a side of the matrix", err);
}

/* Gaussian elimination with partial pivoting, in place. */
static double determinant(double *a, int64_t n)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[pivot * n + k]))
                pivot = i;
        double top = a[pivot * n + k];
        det *= pivot == k ? top : -top;
        if (top == 0)
            return 0;
        for (int64_t j = k; j < n && pivot != k; j++) {
            double swap = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = swap;
        }
        for (int64_t i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / top;
            for (int64_t j = k + 1; j < n; j++)
                a[i * n + j] -= factor * a[k * n + j];
        }
    }
    return det;
}

static enum assay_status run_det(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_tensor matrices, *out = &call->results[0];
    enum assay_status st = assay_tensor_convert(&matrices, call->data[0], ASSAY_F64, err);
    if (st)
        return st;
    int64_t n = matrices.type.dims[matrices.type.rank - 1], count = assay_tensor_count(out);
    for (int64_t i = 0; i < count; i++)
        assay_tensor_set_real(out, i, determinant((double *)matrices.data + i * n * n, n));
    assay_tensor_release(&matrices);
    return ASSAY_OK;
}

static void cost_det(const struct assay_op_call *call, struct assay_cost *cost)
{
    const struct assay_type *in = &call->inputs[0];
    double n = in->rank >= 2 ? (double)in->dims[in->rank - 1] : 0;
    cost->flops = (double)assay_type_count(&call->outputs[0]) * 2 * n * n * n / 3;
}

/* ---- Einsum */

/* Labels: the letters of the equation, and DOTS + k for the k-th dimension from the right that "..." stands for. */
enum { MAX_OPERANDS = 8, DOTS = 128, N_LABELS = DOTS + ASSAY_MAX_RANK, MAX_TERM = 2 * ASSAY_MAX_RANK };

struct term {
    char letters[MAX_TERM]; /* '.' for an ellipsis */
    int n;
    bool has_dots;
};

struct equation {
    struct term operands[MAX_OPERANDS], output;
    int n_operands;
};

/* One term, up to `end`. */
static enum assay_status read_term(const char *text, const char *end, struct term *term, struct assay_error *err)
{
    *term = (struct term){0};
    for (; text < end; text++) {
        if (*text == ' ')
            continue;
        bool is_letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
        bool is_dots = end - text >= 3 && memcmp(text, "...", 3) == 0;
        if ((!is_letter && !is_dots) || (is_dots && term->has_dots))
            return assay_error_set(err, ASSAY_INVALID, "the equation has '%c' where a letter belongs", *text);
        if (term->n == MAX_TERM)
            return assay_error_set(err, ASSAY_INVALID, "a term of the equation is too long");
        term->letters[term->n++] = *text;
        if (is_dots) {
            term->has_dots = true;
            text += 2;
        }
    }
    return ASSAY_OK;
}

/* The output of an equation without "->": the ellipsis, then the letters that stand once, in alphabetical order. */
static enum assay_status implicit_output(struct equation *equation, struct assay_error *err)
{
    int count[DOTS] = {0};
    for (int k = 0; k < equation->n_operands; k++)
        for (int i = 0; i < equation->operands[k].n; i++)
            count[(unsigned char)equation->operands[k].letters[i]]++;
    struct term *out = &equation->output;
    *out = (struct term){0};
    for (int letter = 0; letter < DOTS; letter++) {
        if (count[letter] != 1 && !(letter == '.' && count[letter]))
            continue;
        if (out->n == MAX_TERM)
            return assay_error_set(err, ASSAY_INVALID, "the output of the equation has too many dimensions");
        out->letters[out->n++] = (char)letter;
        out->has_dots |= letter == '.';
    }
    return ASSAY_OK;
}

static enum assay_status read_equation(const struct assay_op_call *call, struct equation *equation, struct assay_error *err)
{
    const char *text = assay_node_string(call->node, "equation", "");
    const char *arrow = strstr(text, "->"), *end = arrow ? arrow : text + strlen(text);
    *equation = (struct equation){0};
    for (const char *at = text; at <= end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        comma = comma ? comma : end;
        if (equation->n_operands == MAX_OPERANDS)
            return assay_error_set(err, ASSAY_UNSUPPORTED, "more than %d operands are not supported", MAX_OPERANDS);
        enum assay_status st = read_term(at, comma, &equation->operands[equation->n_operands++], err);
        if (st)
            return st;
        at = comma + 1;
    }
    if (equation->n_operands != call->n_inputs)
        return assay_error_set(err, ASSAY_INVALID, "the equation has %d operands, the node %d", equation->n_operands,
                               call->n_inputs);
    if (!arrow)
        return implicit_output(equation, err);
    return read_term(arrow + 2, text + strlen(text), &equation->output, err);
}

/* The labels of an operand's dimensions; n_dots is what its ellipsis stands for. */
static int expand_term(const struct term *term, int n_dots, int *labels)
{
    int n = 0;
    for (int i = 0; i < term->n; i++) {
        if (term->letters[i] != '.')
            labels[n++] = term->letters[i];
        for (int k = n_dots - 1; k >= 0 && term->letters[i] == '.'; k--)
            labels[n++] = DOTS + k;
    }
    return n;
}

/* An equation over operands of known ranks: labels of all dimensions, and each label's size (-1 unknown, 0 … of no operand too).
 */
struct einsum {
    int n_operands, n_dots;
    int ranks[MAX_OPERANDS], labels[MAX_OPERANDS][ASSAY_MAX_RANK];
    int out_rank, out_labels[ASSAY_MAX_RANK];
    int64_t sizes[N_LABELS];
    bool is_used[N_LABELS];
};

/* Ranks, and with them what the ellipses stand for. *known is false if a rank is not. */
static enum assay_status place_labels(const struct assay_op_call *call, const struct equation *equation, struct einsum *sum,
                                      bool *known, struct assay_error *err)
{
    *sum = (struct einsum){.n_operands = call->n_inputs};
    *known = true;
    for (int k = 0; k < sum->n_operands; k++) {
        const struct term *term = &equation->operands[k];
        int rank = call->inputs[k].rank, n_dots = rank - (term->n - term->has_dots);
        if (rank < 0) {
            *known = false;
            return ASSAY_OK;
        }
        if (n_dots < 0 || (n_dots > 0 && !term->has_dots))
            return assay_error_set(err, ASSAY_INVALID, "operand %d has rank %d, its term in the equation is for %d", k, rank,
                                   term->n - term->has_dots);
        sum->ranks[k] = expand_term(term, n_dots, sum->labels[k]);
        sum->n_dots = n_dots > sum->n_dots ? n_dots : sum->n_dots;
    }
    const struct term *out = &equation->output;
    int n_dots = out->has_dots ? sum->n_dots : 0;
    if (sum->n_dots > n_dots)
        return assay_error_set(err, ASSAY_INVALID, "the output of the equation lacks the ellipsis of its operands");
    if (out->n - out->has_dots + n_dots > ASSAY_MAX_RANK)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "an output of more than %d dimensions is not supported", ASSAY_MAX_RANK);
    sum->out_rank = expand_term(out, n_dots, sum->out_labels);
    return ASSAY_OK;
}

/* A label that an operand repeats is its diagonal, which must be square. */
static enum assay_status check_diagonals(const struct assay_op_call *call, const struct einsum *sum, int k,
                                         struct assay_error *err)
{
    const struct assay_type *type = &call->inputs[k];
    for (int d = 0; d < type->rank; d++)
        for (int e = 0; e < d; e++)
            if (sum->labels[k][d] == sum->labels[k][e] && type->dims[d] != type->dims[e] && type->dims[d] >= 0 &&
                type->dims[e] >= 0)
                return assay_error_set(err, ASSAY_INVALID, "operand %d has no diagonal along its dimensions %d and %d", k, e, d);
    return ASSAY_OK;
}

static enum assay_status size_labels(const struct assay_op_call *call, struct einsum *sum, struct assay_error *err)
{
    for (int k = 0; k < sum->n_operands; k++) {
        enum assay_status st = check_diagonals(call, sum, k, err);
        if (st)
            return st;
        for (int d = 0; d < sum->ranks[k]; d++) {
            int label = sum->labels[k][d];
            int64_t dim = call->inputs[k].dims[d], *size = &sum->sizes[label];
            if (!sum->is_used[label] || *size == 1)
                *size = dim;
            else if (dim != 1 && *size == -1)
                *size = dim;
            else if (dim != 1 && dim != -1 && dim != *size)
                return assay_error_set(err, ASSAY_INVALID, "dimension %d of operand %d is %" PRId64 ", elsewhere %" PRId64, d, k,
                                       dim, *size);
            sum->is_used[label] = true;
        }
    }
    bool is_there[N_LABELS] = {false};
    for (int d = 0; d < sum->out_rank; d++) {
        int label = sum->out_labels[d];
        if (!sum->is_used[label] || is_there[label])
            return assay_error_set(err, ASSAY_INVALID, "the output of the equation names a dimension twice or one of no operand");
        is_there[label] = true;
    }
    return ASSAY_OK;
}

static enum assay_status read_einsum(const struct assay_op_call *call, struct einsum *sum, bool *known, struct assay_error *err)
{
    struct equation equation;
    enum assay_status st = read_equation(call, &equation, err);
    if (!st)
        st = place_labels(call, &equation, sum, known, err);
    return st || !*known ? st : size_labels(call, sum, err);
}

static enum assay_status infer_einsum(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_type *out = &call->outputs[0];
    out->dtype = call->inputs[0].dtype;
    struct einsum sum;
    bool known;
    enum assay_status st = assay_rule_all_given(call, 0, err);
    if (!st)
        st = assay_rule_dtype(call, 0, ASSAY_SET_NUMBER, err);
    for (int i = 1; i < call->n_inputs && !st; i++)
        st = assay_rule_same_dtype(call, 0, i, err);
    if (!st)
        st = read_einsum(call, &sum, &known, err);
    if (st || !known)
        return st;
    out->rank = sum.out_rank;
    for (int d = 0; d < out->rank; d++)
        out->dims[d] = sum.sizes[sum.out_labels[d]];
    return ASSAY_OK;
}

/* The loops: output dimensions, then summed ones, with each operand's stride in elements. A repeated label's strides add up (the
 * diagonal); a dimension of 1 against a larger one has stride 0. */
struct loops {
    int n_out, n;
    int64_t dims[N_LABELS], strides[N_LABELS][MAX_OPERANDS];
};

static void make_loops(const struct assay_op_call *call, const struct einsum *sum, struct loops *loops)
{
    *loops = (struct loops){0};
    int place[N_LABELS];
    for (int label = 0; label < N_LABELS; label++)
        place[label] = -1;
    for (int d = 0; d < sum->out_rank; d++)
        place[sum->out_labels[d]] = loops->n++;
    loops->n_out = loops->n;
    for (int label = 0; label < N_LABELS; label++)
        if (sum->is_used[label] && place[label] < 0)
            place[label] = loops->n++;
    for (int label = 0; label < N_LABELS; label++)
        if (place[label] >= 0)
            loops->dims[place[label]] = sum->sizes[label];
    for (int k = 0; k < sum->n_operands; k++) {
        int64_t strides[ASSAY_MAX_RANK];
        assay_dims_strides(&call->inputs[k], strides);
        for (int d = 0; d < sum->ranks[k]; d++)
            if (call->inputs[k].dims[d] != 1)
                loops->strides[place[sum->labels[k][d]]][k] += strides[d];
    }
    /* The longest summed dimension innermost. */
    for (int i = loops->n_out; i < loops->n - 1; i++)
        if (loops->dims[i] > loops->dims[loops->n - 1]) {
            int64_t dim = loops->dims[i], swap[MAX_OPERANDS];
            memcpy(swap, loops->strides[i], sizeof swap);
            loops->dims[i] = loops->dims[loops->n - 1];
            memcpy(loops->strides[i], loops->strides[loops->n - 1], sizeof swap);
            loops->dims[loops->n - 1] = dim;
            memcpy(loops->strides[loops->n - 1], swap, sizeof swap);
        }
}

/* The next position of loops [from, to); false after the last. */
static bool advance(const struct loops *loops, int from, int to, int n_operands, int64_t *at, int64_t *offsets)
{
    for (int d = to - 1; d >= from; d--) {
        for (int k = 0; k < n_operands; k++)
            offsets[k] += loops->strides[d][k];
        if (++at[d] < loops->dims[d])
            return true;
        for (int k = 0; k < n_operands; k++)
            offsets[k] -= loops->strides[d][k] * loops->dims[d];
        at[d] = 0;
    }
    return false;
}

/* Sum of products along one loop: two operands as a rule. `wide` is double, or uint64_t so that integers wrap. */
#define SUM_LINE(word, type, wide)                                                                                               \
    static wide sum_line_##word(const void *const *data, int n_operands, const int64_t *offsets, const int64_t *strides,         \
                                int64_t n)                                                                                       \
    {                                                                                                                            \
        wide sum = 0;                                                                                                            \
        if (n_operands == 2) {                                                                                                   \
            const type *a = (const type *)data[0] + offsets[0], *b = (const type *)data[1] + offsets[1];                         \
            int64_t a_step = strides[0], b_step = strides[1];                                                                    \
            for (int64_t i = 0; i < n; i++)                                                                                      \
                sum += (wide)a[i * a_step] * (wide)b[i * b_step];                                                                \
            return sum;                                                                                                          \
        }                                                                                                                        \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            wide product = 1;                                                                                                    \
            for (int k = 0; k < n_operands; k++)                                                                                 \
                product *= (wide)((const type *)data[k])[offsets[k] + i * strides[k]];                                           \
            sum += product;                                                                                                      \
        }                                                                                                                        \
        return sum;                                                                                                              \
    }

#define EINSUM(word, type, wide)                                                                                                 \
    SUM_LINE(word, type, wide)                                                                                                   \
    static void einsum_##word(const struct loops *loops, int n_operands, const void *const *data, type *out)                     \
    {                                                                                                                            \
        static const int64_t no_strides[MAX_OPERANDS];                                                                           \
        int64_t at[N_LABELS] = {0}, offsets[MAX_OPERANDS] = {0};                                                                 \
        bool has_sum = loops->n > loops->n_out;                                                                                  \
        int last = loops->n - 1;                                                                                                 \
        const int64_t *strides = has_sum ? loops->strides[last] : no_strides;                                                    \
        int64_t n = has_sum ? loops->dims[last] : 1;                                                                             \
        do {                                                                                                                     \
            wide sum = 0;                                                                                                        \
            do                                                                                                                   \
                sum += sum_line_##word(data, n_operands, offsets, strides, n);                                                   \
            while (has_sum && advance(loops, loops->n_out, last, n_operands, at, offsets));                                      \
            *out++ = (type)sum;                                                                                                  \
        } while (advance(loops, 0, loops->n_out, n_operands, at, offsets));                                                      \
    }
EINSUM(F32, float, double)
EINSUM(F64, double, double)
EINSUM(I8, int8_t, uint64_t)
EINSUM(U8, uint8_t, uint64_t)
EINSUM(I16, int16_t, uint64_t)
EINSUM(U16, uint16_t, uint64_t)
EINSUM(I32, int32_t, uint64_t)
EINSUM(U32, uint32_t, uint64_t)
EINSUM(I64, int64_t, uint64_t)
EINSUM(U64, uint64_t, uint64_t)

static enum assay_status run_einsum(struct assay_op_call *call, struct assay_error *err)
{
    struct einsum sum;
    struct assay_tensor *out = &call->results[0];
    bool known, is_empty = assay_tensor_count(out) == 0;
    enum assay_status st = read_einsum(call, &sum, &known, err);
    if (st || is_empty)
        return st;
    const void *data[MAX_OPERANDS];
    for (int k = 0; k < call->n_inputs; k++) {
        data[k] = call->data[k]->data;
        is_empty |= assay_tensor_count(call->data[k]) == 0;
    }
    for (int label = 0; label < N_LABELS; label++)
        is_empty |= sum.is_used[label] && sum.sizes[label] == 0;
    if (is_empty) { /* a sum of nothing */
        memset(out->data, 0, (size_t)assay_tensor_bytes(out));
        return ASSAY_OK;
    }
    struct loops loops;
    make_loops(call, &sum, &loops);
    switch (out->type.dtype) {
#define CASE(name)                                                                                                               \
    case ASSAY_##name:                                                                                                           \
        einsum_##name(&loops, call->n_inputs, data, out->data);                                                                  \
        break;
        CASE(F32)
        CASE(F64)
        CASE(I8)
        CASE(U8)
        CASE(I16)
        CASE(U16)
        CASE(I32)
        CASE(U32)
        CASE(I64)
        CASE(U64)
#undef CASE
    default:
        ASSAY_ASSERT(!"a dtype that the rule lets pass");
    }
    return ASSAY_OK;
}

/* Each point of all loops multiplies the operands and adds. */
static void cost_einsum(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct einsum sum;
    bool known;
    if (read_einsum(call, &sum, &known, NULL) || !known)
        return;
    cost->flops = call->n_inputs > 1 ? call->n_inputs : 1;
    for (int label = 0; label < N_LABELS; label++)
        if (sum.is_used[label])
            cost->flops *= sum.sizes[label] < 0 ? 0 : (double)sum.sizes[label];
}

/* ---- gradient: the gradient of a sum of products is a sum of products, of the result's gradient and the other operands */

/* Letters in place of all labels, so that an ellipsis can be summed over; false if there are more of them. */
static bool name_labels(const struct einsum *sum, char letters[N_LABELS])
{
    int used = 0;
    for (int label = 0; label < N_LABELS; label++)
        if (sum->is_used[label]) {
            letters[label] = (char)(used < 26 ? 'a' + used : 'A' + used - 26);
            used++;
        }
    return used <= 52;
}

static bool einsum_of(const struct assay_gradient *g, struct einsum *sum)
{
    bool known = false;
    struct assay_op_call call = e_call(g->e, g->node);
    return e_take_known(g->e, read_einsum(&call, sum, &known, NULL), &known, "its equation does not fit its operands");
}

/* The gradient of operand k, whose labels stand once each: those that no other term names are ones, to be expanded. */
static int operand_gradient(struct assay_gradient *g, const struct einsum *sum, const char *letters, int k)
{
    struct assay_emit *e = g->e;
    char equation[(MAX_OPERANDS + 2) * (ASSAY_MAX_RANK + 2)], *at = equation;
    int inputs[MAX_OPERANDS + 1] = {g->out[0]}, n = 1;
    bool is_named[N_LABELS] = {false};
    for (int d = 0; d < sum->out_rank; d++) {
        *at++ = letters[sum->out_labels[d]];
        is_named[sum->out_labels[d]] = true;
    }
    for (int i = 0; i < sum->n_operands; i++) {
        if (i == k)
            continue;
        *at++ = ',';
        inputs[n++] = g_input(g, i);
        for (int d = 0; d < sum->ranks[i]; d++) {
            *at++ = letters[sum->labels[i][d]];
            is_named[sum->labels[i][d]] = true;
        }
    }
    *at++ = '-';
    *at++ = '>';
    const struct assay_type x = *g_type(g, k);
    int64_t dims[ASSAY_MAX_RANK];
    bool is_short = false;
    for (int d = 0; d < sum->ranks[k]; d++) {
        int label = sum->labels[k][d];
        if (is_named[label])
            *at++ = letters[label];
        is_short |= !is_named[label];
    }
    *at = 0;
    int dx = e_op(e, "Einsum", n, inputs);
    e_set_text(e, "equation", equation);
    const struct assay_type got = *e_type(e, dx);
    for (int d = 0, from = 0; d < x.rank && !e->status; d++)
        dims[d] = is_named[sum->labels[k][d]] ? got.dims[from++] : 1;
    if (is_short)
        dx = e_reshape(e, dx, (size_t)x.rank, dims);
    dx = g_sum_to(e, e_expand(e, dx, e_ints(e, (size_t)x.rank, x.dims)), g_input(g, k));
    return dx;
}

static void gradient_einsum(struct assay_gradient *g)
{
    struct einsum sum;
    char letters[N_LABELS] = {0};
    if (!einsum_of(g, &sum))
        return;
    if (!name_labels(&sum, letters)) {
        e_fail(g->e, ASSAY_UNSUPPORTED, "its equation has more dimensions than letters");
        return;
    }
    for (int k = 0; k < sum.n_operands; k++) {
        if (!g_wants(g, k))
            continue;
        for (int d = 0; d < sum.ranks[k]; d++)
            for (int c = 0; c < d; c++)
                if (sum.labels[k][d] == sum.labels[k][c]) {
                    e_fail(g->e, ASSAY_UNSUPPORTED, "the diagonal that it takes of operand %d has no gradient", k);
                    return;
                }
        g->in[k] = operand_gradient(g, &sum, letters, k);
    }
}

const struct assay_op assay_ops_linalg[] = {
    {"Det", "", 1, 1, ASSAY_OP_VIA_F32, infer_det, run_det, cost_det},
    {"Einsum", "", 1, -1, ASSAY_OP_VIA_F32, infer_einsum, run_einsum, cost_einsum, gradient_einsum},
    {0},
};
