/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RNNGradient, GRUGradient, LSTMGradient: see recurrent.h for inputs and outputs, unroll.c for the expansion. In double. A
 * direction at a time: the forward pass is made once more from Y, the steps are walked back, and what they left are the factors
 * of the products that give the gradients of X, W and R.
 */
#include "graph/ops/gemm.h"
#include "graph/ops/recurrent.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { F, G, H };

/* The inputs that the outputs are gradients of. */
static const int like[ASSAY_RECURRENT_OUTPUTS] = {
    ASSAY_RECURRENT_X, ASSAY_RECURRENT_W, ASSAY_RECURRENT_R, ASSAY_RECURRENT_B,
    ASSAY_RECURRENT_H, ASSAY_RECURRENT_C, ASSAY_RECURRENT_P,
};

/* ---- shapes */

static bool is_given(const struct assay_node *node, int i) { return i < node->n_inputs && node->inputs[i] >= 0; }

enum assay_status assay_recurrent_measure(struct assay_recurrent *r, const struct assay_node *node, int n_inputs,
                                          const struct assay_type *inputs, struct assay_error *err)
{
    const char *direction = assay_node_string(node, "direction", "forward");
    struct assay_cell cell;
    *r = (struct assay_recurrent){.kind = *node->type == 'L' ? ASSAY_LSTM : *node->type == 'G' ? ASSAY_GRU : ASSAY_RNN};
    r->n_gates = r->kind == ASSAY_LSTM ? 4 : r->kind == ASSAY_GRU ? 3 : 1;
    r->n_activations = r->kind == ASSAY_LSTM ? 3 : r->kind == ASSAY_GRU ? 2 : 1;
    r->n_directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    r->reverse = strcmp(direction, "reverse") == 0;
    r->steps = r->batch = r->inputs = r->hidden = -1;
    if (r->n_directions == 1 && !r->reverse && strcmp(direction, "forward") != 0)
        return assay_error_set(err, ASSAY_INVALID, "direction = '%.40s' does not exist", direction);
    enum assay_status st = assay_cell_read_activations(&cell, node, r->n_activations, r->n_directions - 1, r->n_directions, err);
    if (st || !assay_type_is_known(&inputs[ASSAY_RECURRENT_X]) || !assay_type_is_known(&inputs[ASSAY_RECURRENT_R]))
        return st;
    const struct assay_type *x = &inputs[ASSAY_RECURRENT_X], *w = &inputs[ASSAY_RECURRENT_R];
    if (x->rank != 3 || w->rank != 3 || w->dims[2] > (int64_t)1 << 30)
        return assay_error_set(err, ASSAY_INVALID, "X and R must have rank 3");
    r->steps = x->dims[0];
    r->batch = x->dims[1];
    r->inputs = x->dims[2];
    r->hidden = w->dims[2];
    int64_t d = r->n_directions, gates = r->n_gates * r->hidden;
    const struct assay_type state = assay_type_make(x->dtype, 3, (int64_t[]){d, r->batch, r->hidden});
    const struct assay_type steps = assay_type_make(x->dtype, 4, (int64_t[]){r->steps, d, r->batch, r->hidden});
    const struct assay_type wanted[ASSAY_RECURRENT_INPUTS] = {
        *x,
        assay_type_make(x->dtype, 3, (int64_t[]){d, gates, r->inputs}),
        assay_type_make(x->dtype, 3, (int64_t[]){d, gates, r->hidden}),
        assay_type_make(x->dtype, 2, (int64_t[]){d, 2 * gates}),
        assay_type_make(ASSAY_I32, 1, &r->batch),
        state,
        state,
        assay_type_make(x->dtype, 2, (int64_t[]){d, 3 * r->hidden}),
        steps,
        steps,
        state,
        state,
    };
    for (int i = 0; i < n_inputs; i++) {
        char got[128], text[128];
        if (is_given(node, i) && assay_type_is_known(&inputs[i]) && !assay_type_equal(&inputs[i], &wanted[i]))
            return assay_error_set(err, ASSAY_INVALID, "input %d is %s, but must be %s", i,
                                   assay_type_text(&inputs[i], got, sizeof got), assay_type_text(&wanted[i], text, sizeof text));
    }
    return ASSAY_OK;
}

enum assay_status assay_recurrent_cell(struct assay_cell *cell, const struct assay_recurrent *r, const struct assay_node *node,
                                       int direction, struct assay_error *err)
{
    float clip = assay_node_float(node, "clip", 0);
    *cell = (struct assay_cell){.hidden = r->hidden, .clip = clip > 0 ? (double)clip : (double)INFINITY};
    cell->linear_before_reset = r->kind == ASSAY_GRU && assay_node_int(node, "linear_before_reset", 0) != 0;
    cell->input_forget = r->kind == ASSAY_LSTM && assay_node_int(node, "input_forget", 0) != 0;
    return assay_cell_read_activations(cell, node, r->n_activations, direction, r->n_directions, err);
}

static enum assay_status infer_gradient(struct assay_op_call *call, struct assay_error *err)
{
    struct assay_recurrent r;
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < call->n_inputs && !st; i++) {
        st =
            assay_rule_dtype(call, i, i == ASSAY_RECURRENT_LENGTHS ? ASSAY_DTYPE_BIT(ASSAY_I32) : (unsigned)ASSAY_SET_FLOAT, err);
        if (!st && i != ASSAY_RECURRENT_LENGTHS)
            st = assay_rule_same_dtype(call, 0, i, err);
    }
    if (!st && !assay_rule_has_input(call, ASSAY_RECURRENT_Y))
        st = assay_error_set(err, ASSAY_INVALID, "input %d, Y, is not given", ASSAY_RECURRENT_Y);
    if (!st)
        st = assay_recurrent_measure(&r, call->node, call->n_inputs, call->inputs, err);
    for (int i = 0; i < call->n_outputs && i < ASSAY_RECURRENT_OUTPUTS && !st; i++) {
        if (assay_rule_has_output(call, i) && !assay_rule_has_input(call, like[i]))
            st = assay_error_set(err, ASSAY_INVALID, "output %d is the gradient of an input that is not given", i);
        else if (like[i] < call->n_inputs)
            call->outputs[i] = call->inputs[like[i]];
    }
    return st;
}

/* ---- memory */

/* All in double. Rows are [step, batch]. */
struct work {
    struct assay_recurrent r;
    struct assay_tensor in[ASSAY_RECURRENT_INPUTS]; /* f64 copies; data NULL = not given */
    const int32_t *lengths;                         /* [batch], or NULL */
    double *before, *act, *d_x, *d_h;               /* [rows, gates · hidden]: into and out of activations, and gradients of the
                                                       former: by what comes from X, and from the hidden state */
    double *h_before, *cell_state, *extra;          /* [rows, hidden]: the state that a step begins with; LSTM: c; GRU: r · h, or
                                                       what r multiplies */
    double *dh, *dc, *direct, *bias;                /* [batch, hidden] three times, [gates · hidden] */
    double *sums;                                   /* [rows, inputs]: dX of one direction; or [batch, hidden] */
    double *all;                                    /* owns them */
    double *results[ASSAY_RECURRENT_OUTPUTS];       /* owned */
};

static void work_release(struct work *w)
{
    for (int i = 0; i < ASSAY_RECURRENT_INPUTS; i++)
        assay_tensor_release(&w->in[i]);
    for (int i = 0; i < ASSAY_RECURRENT_OUTPUTS; i++)
        free(w->results[i]);
    free(w->all);
}

static const double *input(const struct work *w, int i) { return w->in[i].data; }

static enum assay_status work_init(struct work *w, const struct assay_op_call *call, struct assay_error *err)
{
    const struct assay_recurrent r = w->r;
    size_t rows, wide, narrow, sizes[] = {(size_t)r.n_gates * (size_t)r.hidden, (size_t)r.hidden, (size_t)r.inputs}, sum = 0;
    const struct assay_tensor *lengths = assay_rule_data(call, ASSAY_RECURRENT_LENGTHS);
    enum assay_status st = ASSAY_OK;
    w->lengths = lengths ? lengths->data : NULL;
    for (int64_t b = 0; b < r.batch && w->lengths; b++)
        if (w->lengths[b] < 0 || w->lengths[b] > r.steps)
            return assay_error_set(err, ASSAY_INVALID, "a sequence of %d steps is not within the %" PRId64 " of X",
                                   (int)w->lengths[b], r.steps);
    for (int i = 0; i < call->n_inputs && !st; i++)
        if (call->data[i] && i != ASSAY_RECURRENT_LENGTHS)
            st = assay_tensor_convert(&w->in[i], call->data[i], ASSAY_F64, err);
    if (st)
        return st;
    bool overflows = __builtin_mul_overflow((size_t)r.steps, (size_t)r.batch, &rows);
    overflows |= __builtin_mul_overflow(rows + 1, sizes[0], &wide) || __builtin_mul_overflow(wide, 4, &sum);
    overflows |= __builtin_mul_overflow(rows + 2 * (size_t)r.batch + 1, 3 * sizes[1], &narrow);
    overflows |= __builtin_add_overflow(sum, narrow, &sum) || __builtin_mul_overflow(rows, sizes[2], &wide);
    overflows |= __builtin_add_overflow(sum, wide + sizes[0] + 1, &sum);
    w->all = overflows ? NULL : calloc(sum, sizeof *w->all);
    for (int i = 0; i < ASSAY_RECURRENT_OUTPUTS && w->all; i++)
        w->results[i] =
            calloc((size_t)(w->in[like[i]].data ? assay_tensor_count(&w->in[like[i]]) : 0) + 1, sizeof *w->results[i]);
    for (int i = 0; i < ASSAY_RECURRENT_OUTPUTS; i++)
        if (!w->all || !w->results[i])
            return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the gates of %" PRId64 " sequences", r.batch);
    double *at = w->all;
    double **const arrays[] = {&w->before, &w->act, &w->d_x, &w->d_h,    &w->h_before, &w->cell_state,
                               &w->extra,  &w->dh,  &w->dc,  &w->direct, &w->bias,     &w->sums};
    for (size_t i = 0; i < ASSAY_COUNT(arrays); i++) {
        *arrays[i] = at;
        at += i < 4 ? rows * sizes[0] : i < 7 ? rows * sizes[1] : i < 10 ? (size_t)r.batch * sizes[1] : sizes[0];
    }
    return ASSAY_OK;
}

/* c[m, n] = a · b + add; strides of a and b, rows of c and add one after another, c_stride apart. */
static enum assay_status multiply(double *c, int64_t c_stride, struct assay_matrix a, struct assay_matrix b,
                                  struct assay_matrix add, int64_t m, int64_t n, int64_t k, struct assay_error *err)
{
    struct assay_gemm g = {.m = m, .n = n, .k = k, .a_type = ASSAY_F64, .b_type = ASSAY_F64, .alpha = 1, .beta = 1};
    g.a = a;
    g.b = b;
    g.add = add;
    g.c = c;
    g.c_row_stride = c_stride;
    return m > 0 && n > 0 ? assay_gemm_run(&g, err) : ASSAY_OK;
}

static struct assay_matrix rows_of(const double *data, int64_t stride) { return (struct assay_matrix){data, stride, 1}; }
static struct assay_matrix turned(const double *data, int64_t stride) { return (struct assay_matrix){data, 1, stride}; }
static const struct assay_matrix nothing = {0};

/* ---- one direction */

struct direction {
    struct work *w;
    struct assay_cell cell;
    int index;
    bool reverse, late;                         /* late: GRU whose third product waits for the second gate */
    const double *weights, *weights_h, *bias_h; /* of this direction; bias_h NULL = none */
    int64_t n_rows, hidden, gates;              /* gates: times hidden */
};

static bool has_ended(const struct work *w, int64_t step, int64_t b) { return w->lengths && step >= w->lengths[b]; }

/* The step that comes before in time; beyond the sequence's end or beginning there is none. */
static bool has_before(const struct direction *d, int64_t step, int64_t b, int64_t *before)
{
    *before = d->reverse ? step + 1 : step - 1;
    return *before >= 0 && *before < d->w->r.steps && !has_ended(d->w, *before, b);
}

static const double *state_row(const struct direction *d, int i, int64_t b)
{
    const double *state = input(d->w, i);
    return state ? state + (d->index * d->w->r.batch + b) * d->hidden : NULL;
}

/* [step, direction, batch, hidden] */
static const double *step_row(const struct direction *d, int i, int64_t step, int64_t b)
{
    const double *steps = input(d->w, i);
    return steps ? steps + ((step * d->w->r.n_directions + d->index) * d->w->r.batch + b) * d->hidden : NULL;
}

static void read_states(const struct direction *d)
{
    for (int64_t row = 0; row < d->n_rows; row++) {
        int64_t b = row % d->w->r.batch, before;
        const double *from = has_before(d, row / d->w->r.batch, b, &before) ? step_row(d, ASSAY_RECURRENT_Y, before, b)
                                                                            : state_row(d, ASSAY_RECURRENT_H, b);
        double *to = d->w->h_before + row * d->hidden;
        for (int64_t k = 0; k < d->hidden; k++)
            to[k] = from ? from[k] : 0;
    }
}

/* RNN, and GRU up to the product that waits. */
static void make_gates(const struct direction *d)
{
    const struct assay_cell *cell = &d->cell;
    const struct work *w = d->w;
    int64_t n = d->hidden;
    for (int64_t row = 0; row < d->n_rows; row++) {
        double *x = w->before + row * d->gates, *act = w->act + row * d->gates, *from_h = w->d_h + row * d->gates;
        double *extra = w->extra + row * n;
        for (int64_t k = 0; k < (w->r.kind == ASSAY_GRU ? 2 * n : n); k++) {
            x[k] += from_h[k];
            act[k] = assay_cell_activate(cell, F, x[k]);
        }
        for (int64_t k = 0; k < n && w->r.kind == ASSAY_GRU; k++) {
            if (d->late) {
                extra[k] = act[n + k] * w->h_before[row * n + k];
                continue;
            }
            extra[k] = from_h[2 * n + k] + (d->bias_h ? d->bias_h[2 * n + k] : 0);
            x[2 * n + k] += act[n + k] * extra[k];
            act[2 * n + k] = assay_cell_activate(cell, G, x[2 * n + k]);
        }
    }
}

static enum assay_status make_late_gate(const struct direction *d, struct assay_error *err)
{
    struct work *w = d->w;
    int64_t n = d->hidden;
    enum assay_status st = multiply(w->before + 2 * n, d->gates, rows_of(w->extra, n), turned(d->weights_h + 2 * n * n, n),
                                    rows_of(w->before + 2 * n, d->gates), d->n_rows, n, n, err);
    for (int64_t i = 0; i < d->n_rows * n && !st; i++) {
        int64_t at = i / n * d->gates + 2 * n + i % n;
        w->act[at] = assay_cell_activate(&d->cell, G, w->before[at]);
    }
    return st;
}

/* The cell state at the step before, an element; 0 where there is none. */
static double cell_before(const struct direction *d, int64_t step, int64_t b, int64_t k)
{
    int64_t before;
    if (has_before(d, step, b, &before))
        return d->w->cell_state[(before * d->w->r.batch + b) * d->hidden + k];
    const double *c = state_row(d, ASSAY_RECURRENT_C, b);
    return c ? c[k] : 0;
}

static void make_lstm(const struct direction *d, int64_t step, int64_t b)
{
    const struct work *w = d->w;
    const struct assay_cell *cell = &d->cell;
    const double *p = cell->peepholes;
    int64_t n = d->hidden, row = step * w->r.batch + b;
    double *x = w->before + row * d->gates, *act = w->act + row * d->gates;
    for (int64_t k = 0; k < d->gates; k++)
        x[k] += w->d_h[row * d->gates + k];
    for (int64_t k = 0; k < n; k++) {
        double c = cell_before(d, step, b, k);
        x[k] += p ? p[k] * c : 0;
        x[2 * n + k] += p ? p[2 * n + k] * c : 0;
        act[k] = assay_cell_activate(cell, F, x[k]);
        act[2 * n + k] = cell->input_forget ? 1 - act[k] : assay_cell_activate(cell, F, x[2 * n + k]);
        act[3 * n + k] = assay_cell_activate(cell, G, x[3 * n + k]);
        c = act[2 * n + k] * c + act[k] * act[3 * n + k];
        w->cell_state[row * n + k] = c;
        x[n + k] += p ? p[n + k] * c : 0;
        act[n + k] = assay_cell_activate(cell, F, x[n + k]);
    }
}

/* The products of all steps, then what goes into and out of each activation. */
static enum assay_status go_forward(const struct direction *d, struct assay_error *err)
{
    struct work *w = d->w;
    int64_t n = d->hidden, batch = w->r.batch;
    read_states(d);
    enum assay_status st =
        multiply(w->before, d->gates, rows_of(input(w, ASSAY_RECURRENT_X), w->r.inputs), turned(d->weights, w->r.inputs),
                 (struct assay_matrix){w->bias, 0, 1}, d->n_rows, d->gates, w->r.inputs, err);
    if (!st)
        st = multiply(w->d_h, d->gates, rows_of(w->h_before, n), turned(d->weights_h, n), nothing, d->n_rows,
                      d->late ? 2 * n : d->gates, n, err);
    if (st)
        return st;
    if (w->r.kind != ASSAY_LSTM) {
        make_gates(d);
        return d->late ? make_late_gate(d, err) : ASSAY_OK;
    }
    for (int64_t k = 0; k < w->r.steps; k++)
        for (int64_t b = 0, step = d->reverse ? w->r.steps - 1 - k : k; b < batch; b++)
            if (!has_ended(w, step, b))
                make_lstm(d, step, b);
    return ASSAY_OK;
}

/* The cells' own parts of going back a step: from w->dh (and dc), of which dY's share is there already, to d_x and d_h of that
 * row and what goes straight to the state before (direct, dc). */
static void back_rnn(const struct direction *d, int64_t row, const double *dh, double *direct)
{
    const struct work *w = d->w;
    for (int64_t k = 0, at = row * d->hidden; k < d->hidden; k++) {
        w->d_x[at + k] = w->d_h[at + k] = dh[k] * assay_cell_slope(&d->cell, F, w->before[at + k], w->act[at + k]);
        direct[k] = 0;
    }
}

/* But for the second gate where the third is late. */
static void back_gru(const struct direction *d, int64_t row, const double *dh, double *direct)
{
    const struct work *w = d->w;
    int64_t n = d->hidden;
    const double *x = w->before + row * d->gates, *act = w->act + row * d->gates, *h = w->h_before + row * n;
    double *d_x = w->d_x + row * d->gates, *d_h = w->d_h + row * d->gates;
    for (int64_t k = 0; k < n; k++) {
        double z = act[k], r = act[n + k], candidate = act[2 * n + k];
        d_x[k] = d_h[k] = dh[k] * (h[k] - candidate) * assay_cell_slope(&d->cell, F, x[k], z);
        d_x[2 * n + k] = d_h[2 * n + k] = dh[k] * (1 - z) * assay_cell_slope(&d->cell, G, x[2 * n + k], candidate);
        direct[k] = dh[k] * z;
        if (d->late)
            continue;
        d_h[2 * n + k] *= r;
        d_x[n + k] = d_h[n + k] = d_x[2 * n + k] * w->extra[row * n + k] * assay_cell_slope(&d->cell, F, x[n + k], r);
    }
}

static void back_lstm(const struct direction *d, int64_t step, int64_t b, const double *dh, double *dc, double *dp)
{
    const struct work *w = d->w;
    const struct assay_cell *cell = &d->cell;
    const double *p = cell->peepholes;
    int64_t n = d->hidden, row = step * w->r.batch + b;
    const double *x = w->before + row * d->gates, *act = w->act + row * d->gates;
    double *d_x = w->d_x + row * d->gates;
    for (int64_t k = 0; k < n; k++) {
        double c = w->cell_state[row * n + k], before = cell_before(d, step, b, k), out = assay_cell_activate(cell, H, c);
        double i = act[k], o = act[n + k], f = act[2 * n + k], g = act[3 * n + k];
        double d_o = dh[k] * out * assay_cell_slope(cell, F, x[n + k], o);
        double d_c = dc[k] + dh[k] * o * assay_cell_slope(cell, H, c, out) + (p ? d_o * p[n + k] : 0);
        double d_f = d_c * before, d_i = d_c * g - (cell->input_forget ? d_f : 0);
        d_i *= assay_cell_slope(cell, F, x[k], i);
        d_f = cell->input_forget ? 0 : d_f * assay_cell_slope(cell, F, x[2 * n + k], f);
        d_x[k] = d_i;
        d_x[n + k] = d_o;
        d_x[2 * n + k] = d_f;
        d_x[3 * n + k] = d_c * i * assay_cell_slope(cell, G, x[3 * n + k], g);
        dc[k] = d_c * f + (p ? d_i * p[k] + d_f * p[2 * n + k] : 0);
        if (dp) {
            dp[k] += d_i * before;
            dp[n + k] += d_o * c;
            dp[2 * n + k] += d_f * before;
        }
    }
    memcpy(w->d_h + row * d->gates, d_x, (size_t)d->gates * sizeof *d_x);
}

/* The reset gate's gradient comes through the product that waited for it. */
static enum assay_status back_late(const struct direction *d, int64_t step, struct assay_error *err)
{
    struct work *w = d->w;
    int64_t n = d->hidden, first = step * w->r.batch;
    double *through = w->sums;
    enum assay_status st = multiply(through, n, rows_of(w->d_x + first * d->gates + 2 * n, d->gates),
                                    rows_of(d->weights_h + 2 * n * n, n), nothing, w->r.batch, n, n, err);
    for (int64_t i = 0; i < w->r.batch * n && !st; i++) {
        int64_t row = first + i / n, k = i % n, at = row * d->gates + n + k;
        if (has_ended(w, step, i / n))
            continue;
        w->direct[i] += through[i] * w->act[at];
        w->d_x[at] = w->d_h[at] =
            through[i] * w->h_before[row * n + k] * assay_cell_slope(&d->cell, F, w->before[at], w->act[at]);
    }
    return st;
}

static enum assay_status go_back_step(const struct direction *d, int64_t step, struct assay_error *err)
{
    struct work *w = d->w;
    int64_t n = d->hidden, first = step * w->r.batch;
    double *dp = w->results[6] + d->index * 3 * n;
    for (int64_t b = 0; b < w->r.batch; b++) {
        int64_t row = first + b;
        double *dh = w->dh + b * n, *direct = w->direct + b * n;
        const double *dy = step_row(d, ASSAY_RECURRENT_DY, step, b);
        if (has_ended(w, step, b)) {
            memset(w->d_x + row * d->gates, 0, (size_t)d->gates * sizeof *w->d_x);
            memset(w->d_h + row * d->gates, 0, (size_t)d->gates * sizeof *w->d_h);
            memcpy(direct, dh, (size_t)n * sizeof *dh);
            continue;
        }
        for (int64_t k = 0; k < n && dy; k++)
            dh[k] += dy[k];
        if (w->r.kind == ASSAY_RNN)
            back_rnn(d, row, dh, direct);
        else if (w->r.kind == ASSAY_GRU)
            back_gru(d, row, dh, direct);
        else
            back_lstm(d, step, b, dh, w->dc + b * n, d->cell.peepholes ? dp : NULL);
        if (w->r.kind == ASSAY_LSTM)
            memset(direct, 0, (size_t)n * sizeof *direct);
    }
    enum assay_status st = d->late ? back_late(d, step, err) : ASSAY_OK;
    return st ? st
              : multiply(w->dh, n, rows_of(w->d_h + first * d->gates, d->gates), rows_of(d->weights_h, n), rows_of(w->direct, n),
                         w->r.batch, n, d->late ? 2 * n : d->gates, err);
}

/* What the steps left, multiplied with what they came from. */
static enum assay_status make_products(const struct direction *d, struct assay_error *err)
{
    struct work *w = d->w;
    int64_t n = d->hidden, inputs = w->r.inputs, i = d->index;
    const double *x = input(w, ASSAY_RECURRENT_X);
    double *dw = w->results[1] + i * d->gates * inputs, *dr = w->results[2] + i * d->gates * n, *db = w->results[3];
    enum assay_status st = multiply(w->sums, inputs, rows_of(w->d_x, d->gates), rows_of(d->weights, inputs), nothing, d->n_rows,
                                    inputs, d->gates, err);
    for (int64_t k = 0; k < d->n_rows * inputs && !st; k++)
        w->results[0][k] += w->sums[k];
    if (!st)
        st = multiply(dw, inputs, turned(w->d_x, d->gates), rows_of(x, inputs), nothing, d->gates, inputs, d->n_rows, err);
    if (!st)
        st = multiply(dr, n, turned(w->d_h, d->gates), rows_of(w->h_before, n), nothing, d->late ? 2 * n : d->gates, n, d->n_rows,
                      err);
    if (!st && d->late)
        st = multiply(dr + 2 * n * n, n, turned(w->d_x + 2 * n, d->gates), rows_of(w->extra, n), nothing, n, n, d->n_rows, err);
    for (int64_t k = 0; k < d->n_rows * d->gates && !st && d->bias_h; k++) {
        db[i * 2 * d->gates + k % d->gates] += w->d_x[k];
        db[(i * 2 + 1) * d->gates + k % d->gates] += w->d_h[k];
    }
    return st;
}

static enum assay_status run_direction(struct direction *d, struct assay_error *err)
{
    struct work *w = d->w;
    size_t size = (size_t)(w->r.batch * d->hidden) * sizeof(double);
    const double *dh = state_row(d, ASSAY_RECURRENT_DY_H, 0), *dc = state_row(d, ASSAY_RECURRENT_DY_C, 0);
    enum assay_status st = go_forward(d, err);
    memset(w->dh, 0, size);
    memset(w->dc, 0, size);
    if (dh)
        memcpy(w->dh, dh, size);
    if (dc)
        memcpy(w->dc, dc, size);
    for (int64_t k = w->r.steps - 1; k >= 0 && !st; k--)
        st = go_back_step(d, d->reverse ? w->r.steps - 1 - k : k, err);
    if (!st)
        st = make_products(d, err);
    int64_t at = d->index * w->r.batch * d->hidden;
    if (!st && input(w, ASSAY_RECURRENT_H))
        memcpy(w->results[4] + at, w->dh, size);
    if (!st && input(w, ASSAY_RECURRENT_C))
        memcpy(w->results[5] + at, w->dc, size);
    return st;
}

static enum assay_status direction_init(struct direction *d, struct work *w, const struct assay_node *node, int index,
                                        struct assay_error *err)
{
    const struct assay_recurrent *r = &w->r;
    int64_t gates = r->n_gates * r->hidden;
    *d = (struct direction){.w = w, .index = index, .reverse = index == 1 || r->reverse, .hidden = r->hidden, .gates = gates};
    enum assay_status st = assay_recurrent_cell(&d->cell, r, node, index, err);
    d->n_rows = r->steps * r->batch;
    d->late = r->kind == ASSAY_GRU && !d->cell.linear_before_reset;
    d->weights = input(w, ASSAY_RECURRENT_W) + index * gates * r->inputs;
    d->weights_h = input(w, ASSAY_RECURRENT_R) + index * gates * r->hidden;
    if (input(w, ASSAY_RECURRENT_P))
        d->cell.peepholes = input(w, ASSAY_RECURRENT_P) + index * 3 * r->hidden;
    const double *bias = input(w, ASSAY_RECURRENT_B);
    if (bias)
        d->bias_h = bias + (index * 2 + 1) * gates;
    for (int64_t i = 0; i < gates; i++)
        w->bias[i] =
            !bias ? 0 : bias[index * 2 * gates + i] + (d->cell.linear_before_reset && i >= 2 * r->hidden ? 0 : d->bias_h[i]);
    return st;
}

static enum assay_status run_gradient(struct assay_op_call *call, struct assay_error *err)
{
    struct work w = {0};
    struct direction d;
    enum assay_status st = assay_recurrent_measure(&w.r, call->node, call->n_inputs, call->inputs, err);
    if (!st)
        st = work_init(&w, call, err);
    for (int i = 0; i < w.r.n_directions && !st; i++) {
        st = direction_init(&d, &w, call->node, i, err);
        if (!st && w.r.batch > 0 && w.r.hidden > 0)
            st = run_direction(&d, err);
    }
    for (int i = 0; i < call->n_outputs && i < ASSAY_RECURRENT_OUTPUTS && !st; i++) {
        struct assay_tensor *out = &call->results[i];
        int64_t n = assay_rule_has_output(call, i) ? assay_tensor_count(out) : 0;
        if (n > 0 && out->type.dtype == ASSAY_F64)
            memcpy(out->data, w.results[i], (size_t)n * sizeof(double));
        else
            for (int64_t k = 0; k < n; k++)
                ((float *)out->data)[k] = (float)w.results[i][k];
    }
    work_release(&w);
    return st;
}

/* The products of the forward pass once more, and twice as many back. */
static void cost_gradient(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct assay_recurrent r;
    if (assay_recurrent_measure(&r, call->node, call->n_inputs, call->inputs, NULL))
        return;
    double cells = (double)r.steps * (double)r.batch * r.n_directions * (double)r.hidden;
    cost->flops = cells * (6 * r.n_gates * (double)(r.inputs + r.hidden) + 30);
}

const struct assay_op assay_ops_gradient_recurrent[] = {
    {"RNNGradient", "assay", 3, 12, ASSAY_OP_VIA_F32, infer_gradient, run_gradient, cost_gradient, NULL, assay_recurrent_unroll},
    {"GRUGradient", "assay", 3, 12, ASSAY_OP_VIA_F32, infer_gradient, run_gradient, cost_gradient, NULL, assay_recurrent_unroll},
    {"LSTMGradient", "assay", 3, 12, ASSAY_OP_VIA_F32, infer_gradient, run_gradient, cost_gradient, NULL, assay_recurrent_unroll},
    {0},
};
