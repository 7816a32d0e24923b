/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RNN, GRU and LSTM. All in double, whatever the input's type, and rounded at the outputs: the products with the input of many
 * steps at a time, those with the hidden state step by step (gemm.h), and the elementwise part in cell.h.
 */
#include "graph/gradient.h"
#include "graph/ops/cell.h"
#include "graph/ops/gemm.h"
#include "graph/ops/recurrent.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P, N_IN };
enum kind { RNN, GRU, LSTM };
enum { CHUNK_ELEMENTS = 1 << 20 }; /* of the products with the input that are made at a time, at least one step's */

static const char *const input_names[N_IN] = {"X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"};

struct recurrent {
    enum kind kind;
    int n_gates, n_directions, n_activations;
    bool reverse;     /* of direction 0 */
    bool batch_first; /* layout = 1 */
    int64_t steps, batch, inputs, hidden;
};

/* What one node needs beside its tensors; owned. */
struct work {
    struct assay_tensor in[N_IN]; /* f64 copies; X as [step, batch, input], the states as [direction, batch, hidden] */
    double *from_x;               /* [chunk of steps, batch, gates · hidden] */
    double *from_h;               /* [batch, gates · hidden] */
    double *gated;                /* [batch, hidden] */
    double *bias;                 /* [gates · hidden] */
    int64_t chunk;
};

/* ---- shapes */

static int direction_count(const struct assay_node *node)
{
    return strcmp(assay_node_string(node, "direction", "forward"), "bidirectional") == 0 ? 2 : 1;
}

static enum assay_status read_attributes(const struct assay_op_call *call, struct recurrent *r, struct assay_error *err)
{
    const struct assay_node *node = call->node;
    const char *direction = assay_node_string(node, "direction", "forward");
    int64_t layout = assay_node_int(node, "layout", 0);
    *r = (struct recurrent){.kind = strcmp(node->type, "LSTM") == 0 ? LSTM : strcmp(node->type, "GRU") == 0 ? GRU : RNN};
    r->n_gates = r->kind == LSTM ? 4 : r->kind == GRU ? 3 : 1;
    r->n_activations = r->kind == LSTM ? 3 : r->kind == GRU ? 2 : 1;
    r->n_directions = direction_count(node);
    r->reverse = strcmp(direction, "reverse") == 0;
    r->batch_first = layout == 1;
    if (r->n_directions == 1 && !r->reverse && strcmp(direction, "forward") != 0)
        return assay_error_set(err, ASSAY_INVALID, "direction = '%.40s' does not exist", direction);
    if (layout != 0 && layout != 1)
        return assay_error_set(err, ASSAY_INVALID, "layout = %" PRId64 " does not exist", layout);
    struct assay_cell cell;
    return assay_cell_read_activations(&cell, node, r->n_activations, r->n_directions - 1, r->n_directions, err);
}

static enum assay_status infer_recurrent(struct assay_op_call *call, struct assay_error *err)
{
    struct recurrent r;
    const struct assay_type *x = &call->inputs[IN_X], *w = &call->inputs[IN_R];
    enum assay_status st = read_attributes(call, &r, err);
    for (int i = 0; i < call->n_inputs && !st; i++) {
        st = assay_rule_dtype(call, i, i == IN_LENGTHS ? ASSAY_DTYPE_BIT(ASSAY_I32) : (unsigned)ASSAY_SET_FLOAT, err);
        if (!st && i != IN_LENGTHS)
            st = assay_rule_same_dtype(call, 0, i, err);
    }
    for (int i = 0; i <= IN_R && !st; i++)
        st = assay_rule_rank(call, i, 3, 3, err);
    if (st)
        return st;
    int64_t steps = -1, batch = -1, hidden = w->rank == 3 ? w->dims[2] : assay_node_int(call->node, "hidden_size", -1);
    if (x->rank == 3) {
        steps = x->dims[r.batch_first ? 1 : 0];
        batch = x->dims[r.batch_first ? 0 : 1];
    }
    int64_t d = r.n_directions;
    int64_t by_step[2][4] = {{steps, d, batch, hidden}, {batch, steps, d, hidden}};
    int64_t state[2][3] = {{d, batch, hidden}, {batch, d, hidden}};
    call->outputs[0] = assay_type_make(x->dtype, 4, by_step[r.batch_first]);
    for (int i = 1; i < call->n_outputs && i < (r.kind == LSTM ? 3 : 2); i++)
        call->outputs[i] = assay_type_make(x->dtype, 3, state[r.batch_first]);
    return ASSAY_OK;
}

/* That input i, if given, has these dimensions. */
static enum assay_status check_dims(const struct assay_op_call *call, int i, int rank, const int64_t *dims,
                                    struct assay_error *err)
{
    if (!assay_rule_has_input(call, i))
        return ASSAY_OK;
    struct assay_type wanted = assay_type_make(call->inputs[i].dtype, rank, dims);
    if (assay_type_equal(&wanted, &call->inputs[i]))
        return ASSAY_OK;
    char got_text[128], wanted_text[128];
    return assay_error_set(err, ASSAY_INVALID, "%s is %s, but must be %s", input_names[i],
                           assay_type_text(&call->inputs[i], got_text, sizeof got_text),
                           assay_type_text(&wanted, wanted_text, sizeof wanted_text));
}

/* Sizes, from types that are all known, and whether they go together. */
static enum assay_status measure(const struct assay_op_call *call, struct recurrent *r, struct assay_error *err)
{
    enum assay_status st = read_attributes(call, r, err);
    if (st)
        return st;
    const int64_t *x = call->inputs[IN_X].dims;
    r->steps = x[r->batch_first ? 1 : 0];
    r->batch = x[r->batch_first ? 0 : 1];
    r->inputs = x[2];
    r->hidden = call->inputs[IN_R].dims[2];
    if (r->hidden > (int64_t)1 << 30 || assay_node_int(call->node, "hidden_size", r->hidden) != r->hidden)
        return assay_error_set(err, ASSAY_INVALID, "hidden_size is %" PRId64 ", but R has %" PRId64,
                               assay_node_int(call->node, "hidden_size", r->hidden), r->hidden);
    int64_t d = r->n_directions, gates = r->n_gates * r->hidden;
    st = check_dims(call, IN_W, 3, (int64_t[]){d, gates, r->inputs}, err);
    if (!st)
        st = check_dims(call, IN_R, 3, (int64_t[]){d, gates, r->hidden}, err);
    if (!st)
        st = check_dims(call, IN_B, 2, (int64_t[]){d, 2 * gates}, err);
    if (!st)
        st = check_dims(call, IN_LENGTHS, 1, (int64_t[]){r->batch}, err);
    int64_t state[2][3] = {{d, r->batch, r->hidden}, {r->batch, d, r->hidden}};
    for (int i = IN_H; i <= IN_C && !st; i++)
        st = check_dims(call, i, 3, state[r->batch_first], err);
    if (!st)
        st = check_dims(call, IN_P, 2, (int64_t[]){d, 3 * r->hidden}, err);
    const struct assay_tensor *lengths = assay_rule_data(call, IN_LENGTHS);
    for (int64_t i = 0; i < r->batch && lengths && !st; i++) {
        int32_t length = ((const int32_t *)lengths->data)[i];
        if (length < 0 || length > r->steps)
            st = assay_error_set(err, ASSAY_INVALID, "a sequence of %d steps is not within the %" PRId64 " of X", (int)length,
                                 r->steps);
    }
    return st;
}

/* ---- memory */

static void work_release(struct work *work)
{
    for (int i = 0; i < N_IN; i++)
        assay_tensor_release(&work->in[i]);
    free(work->from_x);
    free(work->from_h);
    free(work->gated);
    free(work->bias);
}

/* [a, b, n] to [b, a, n], in place of the tensor. */
static enum assay_status swap_outer(struct assay_tensor *tensor, struct assay_error *err)
{
    struct assay_tensor swapped;
    struct assay_type type = tensor->type;
    int64_t a = type.dims[0], b = type.dims[1], n = type.dims[2];
    type.dims[0] = b;
    type.dims[1] = a;
    enum assay_status st = assay_tensor_alloc(&swapped, &type, err);
    if (st)
        return st;
    for (int64_t i = 0; i < a && assay_tensor_count(tensor) > 0; i++)
        for (int64_t j = 0; j < b; j++)
            memcpy((double *)swapped.data + (j * a + i) * n, (const double *)tensor->data + (i * b + j) * n,
                   (size_t)n * sizeof(double));
    assay_tensor_release(tensor);
    *tensor = swapped;
    return ASSAY_OK;
}

/* Zeros where the node gives no initial state. */
static enum assay_status read_state(struct work *work, int i, const struct recurrent *r, struct assay_error *err)
{
    struct assay_type type = assay_type_make(ASSAY_F64, 3, (int64_t[]){r->n_directions, r->batch, r->hidden});
    if (work->in[i].data)
        return r->batch_first ? swap_outer(&work->in[i], err) : ASSAY_OK;
    enum assay_status st = assay_tensor_alloc(&work->in[i], &type, err);
    if (!st)
        memset(work->in[i].data, 0, (size_t)assay_tensor_bytes(&work->in[i]));
    return st;
}

static enum assay_status work_init(struct work *work, const struct assay_op_call *call, const struct recurrent *r,
                                   struct assay_error *err)
{
    *work = (struct work){0};
    enum assay_status st = ASSAY_OK;
    for (int i = 0; i < call->n_inputs && !st; i++)
        if (call->data[i] && i != IN_LENGTHS)
            st = assay_tensor_convert(&work->in[i], call->data[i], ASSAY_F64, err);
    if (!st && r->batch_first)
        st = swap_outer(&work->in[IN_X], err);
    if (!st)
        st = read_state(work, IN_H, r, err);
    if (!st)
        st = read_state(work, IN_C, r, err);
    size_t gates = (size_t)(r->n_gates * r->hidden), row;
    if (!st && __builtin_mul_overflow(gates, (size_t)r->batch, &row))
        st = assay_error_set(err, ASSAY_INVALID, "the sizes overflow");
    if (st)
        goto failed;
    work->chunk = row > 0 && CHUNK_ELEMENTS / row > 1 ? (int64_t)(CHUNK_ELEMENTS / row) : 1;
    if (work->chunk > r->steps)
        work->chunk = r->steps;
    work->from_x = calloc((size_t)work->chunk * row + 1, sizeof(double));
    work->from_h = calloc(row + 1, sizeof(double));
    work->gated = calloc((size_t)(r->batch * r->hidden) + 1, sizeof(double));
    work->bias = calloc(gates + 1, sizeof(double));
    if (work->from_x && work->from_h && work->gated && work->bias)
        return ASSAY_OK;
    st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory for the gates of %" PRId64 " sequences", r->batch);
failed:
    work_release(work);
    return st;
}

/* ---- steps */

/* c[m, n] = a[m, k] · w[n, k]ᵀ + bias[n]; c's rows are `stride` apart. */
static enum assay_status multiply(double *c, int64_t stride, const double *a, const double *w, const double *bias, int64_t m,
                                  int64_t n, int64_t k, struct assay_error *err)
{
    struct assay_gemm g = {.m = m, .n = n, .k = k, .a_type = ASSAY_F64, .b_type = ASSAY_F64, .alpha = 1, .beta = 1};
    g.a = (struct assay_matrix){a, k, 1};
    g.b = (struct assay_matrix){w, 1, k};
    g.add = (struct assay_matrix){bias, 0, 1};
    g.c = c;
    g.c_row_stride = stride;
    return assay_gemm_run(&g, err);
}

/* One direction of a node. */
struct direction {
    const struct recurrent *r;
    struct assay_cell cell;
    int index;
    bool reverse;
    const double *w, *weights_h; /* [gates · hidden, input], [gates · hidden, hidden] */
    double *h, *c;               /* [batch, hidden] */
};

static enum assay_status direction_init(struct direction *d, const struct assay_op_call *call, const struct recurrent *r,
                                        struct work *work, int index, struct assay_error *err)
{
    int64_t hidden = r->hidden, gates = r->n_gates * hidden;
    float clip = assay_node_float(call->node, "clip", 0);
    *d = (struct direction){.r = r, .index = index, .reverse = index == 1 || r->reverse};
    d->w = (const double *)work->in[IN_W].data + index * gates * r->inputs;
    d->weights_h = (const double *)work->in[IN_R].data + index * gates * hidden;
    d->h = (double *)work->in[IN_H].data + index * r->batch * hidden;
    d->c = (double *)work->in[IN_C].data + index * r->batch * hidden;
    d->cell.hidden = hidden;
    d->cell.clip = clip > 0 ? (double)clip : INFINITY;
    d->cell.linear_before_reset = r->kind == GRU && assay_node_int(call->node, "linear_before_reset", 0) != 0;
    d->cell.input_forget = assay_node_int(call->node, "input_forget", 0) != 0;
    if (work->in[IN_P].data)
        d->cell.peepholes = (const double *)work->in[IN_P].data + index * 3 * hidden;
    if (work->in[IN_B].data) {
        const double *from_x = (const double *)work->in[IN_B].data + index * 2 * gates, *from_h = from_x + gates;
        for (int64_t i = 0; i < gates; i++)
            work->bias[i] = from_x[i] + (d->cell.linear_before_reset && i >= 2 * hidden ? 0 : from_h[i]);
        d->cell.reset_bias = from_h + 2 * hidden;
    }
    return assay_cell_read_activations(&d->cell, call->node, r->n_activations, index, r->n_directions, err);
}

/* The hidden state of one step of one sequence, to output Y. */
static void store_step(struct assay_tensor *y, const struct direction *d, int64_t step, int64_t sequence, const double *h)
{
    const struct recurrent *r = d->r;
    int64_t row = r->batch_first ? (sequence * r->steps + step) * r->n_directions + d->index
                                 : (step * r->n_directions + d->index) * r->batch + sequence;
    for (int64_t i = 0; i < r->hidden; i++) {
        if (y->type.dtype == ASSAY_F32)
            ((float *)y->data)[row * r->hidden + i] = h ? (float)h[i] : 0;
        else
            ((double *)y->data)[row * r->hidden + i] = h ? h[i] : 0;
    }
}

/* All sequences' step `step`; from_x are its rows. */
static enum assay_status run_step(const struct direction *d, struct work *work, const double *from_x, int64_t step,
                                  const int32_t *lengths, struct assay_tensor *y, struct assay_error *err)
{
    const struct recurrent *r = d->r;
    int64_t hidden = r->hidden, gates = r->n_gates * hidden;
    bool late = r->kind == GRU && !d->cell.linear_before_reset; /* the third gate's product waits for the second gate */
    enum assay_status st =
        multiply(work->from_h, gates, d->h, d->weights_h, NULL, r->batch, late ? 2 * hidden : gates, hidden, err);
    for (int64_t b = 0; r->kind == GRU && b < r->batch && !st; b++)
        assay_cell_gru_gates(&d->cell, from_x + b * gates, work->from_h + b * gates, d->h + b * hidden, work->gated + b * hidden);
    if (!st && late)
        st = multiply(work->from_h + 2 * hidden, gates, work->gated, d->weights_h + 2 * hidden * hidden, NULL, r->batch, hidden,
                      hidden, err);
    for (int64_t b = 0; b < r->batch && !st; b++) {
        const double *x = from_x + b * gates, *from_h = work->from_h + b * gates;
        double *h = d->h + b * hidden;
        bool ended = lengths && step >= lengths[b];
        if (!ended && r->kind == RNN)
            assay_cell_rnn(&d->cell, x, from_h, h);
        else if (!ended && r->kind == GRU)
            assay_cell_gru(&d->cell, x, from_h, h);
        else if (!ended && !assay_cell_lstm(&d->cell, x, from_h, h, d->c + b * hidden))
            st = assay_error_set(err, ASSAY_UNSUPPORTED,
                                 "a cell state beyond clip is not supported: implementations differ on it");
        store_step(y, d, step, b, ended ? NULL : h);
    }
    return st;
}

/* A reversed sequence begins at its own last step, since a step beyond its length leaves its state alone. */
static enum assay_status run_direction(const struct direction *d, struct work *work, const int32_t *lengths,
                                       struct assay_tensor *y, struct assay_error *err)
{
    const struct recurrent *r = d->r;
    int64_t gates = r->n_gates * r->hidden;
    const double *x = work->in[IN_X].data;
    enum assay_status st = ASSAY_OK;
    for (int64_t done = 0; done < r->steps && !st; done += work->chunk) {
        int64_t n = r->steps - done < work->chunk ? r->steps - done : work->chunk;
        int64_t first = d->reverse ? r->steps - done - n : done;
        st = multiply(work->from_x, gates, x + first * r->batch * r->inputs, d->w, work->bias, n * r->batch, gates, r->inputs,
                      err);
        for (int64_t i = 0; i < n && !st; i++) {
            int64_t k = d->reverse ? n - 1 - i : i;
            st = run_step(d, work, work->from_x + k * r->batch * gates, first + k, lengths, y, err);
        }
    }
    return st;
}

/* The last states, [direction, batch, hidden], to output i. */
static enum assay_status store_state(struct assay_op_call *call, int i, struct assay_tensor *state, const struct recurrent *r,
                                     struct assay_error *err)
{
    if (i >= call->n_outputs)
        return ASSAY_OK;
    enum assay_status st = r->batch_first ? swap_outer(state, err) : ASSAY_OK;
    if (st)
        return st;
    assay_tensor_release(&call->results[i]);
    return assay_tensor_convert(&call->results[i], state, call->inputs[IN_X].dtype, err);
}

static enum assay_status run_recurrent(struct assay_op_call *call, struct assay_error *err)
{
    struct recurrent r;
    struct work work;
    struct direction direction;
    const struct assay_tensor *lengths = assay_rule_data(call, IN_LENGTHS);
    enum assay_status st = measure(call, &r, err);
    if (!st)
        st = work_init(&work, call, &r, err);
    if (st)
        return st;
    for (int i = 0; i < r.n_directions && !st; i++) {
        st = direction_init(&direction, call, &r, &work, i, err);
        if (!st && r.batch > 0 && r.hidden > 0)
            st = run_direction(&direction, &work, lengths ? lengths->data : NULL, &call->results[0], err);
    }
    if (!st)
        st = store_state(call, 1, &work.in[IN_H], &r, err);
    if (!st && r.kind == LSTM)
        st = store_state(call, 2, &work.in[IN_C], &r, err);
    work_release(&work);
    return st;
}

/* Multiply-adds with the weights, and about ten operations a hidden element for activations and gates. */
static void cost_recurrent(const struct assay_op_call *call, struct assay_cost *cost)
{
    struct recurrent r;
    if (measure(call, &r, NULL))
        return;
    double cells = (double)r.steps * (double)r.batch * r.n_directions * (double)r.hidden;
    cost->flops = cells * (2 * r.n_gates * (double)(r.inputs + r.hidden) + 10);
}

/* ---- gradients */

/* With layout = 1 batches change places with steps, or directions; none stays none. */
static int exchange(struct assay_emit *e, int x, bool states)
{
    if (x < 0)
        return -1;
    return e_type(e, x)->rank == 3 ? e_transpose(e, x, E_INTS(1, 0, 2))
           : states                ? e_transpose(e, x, E_INTS(1, 2, 0, 3))
                                   : e_transpose(e, x, E_INTS(2, 0, 1, 3));
}

static void gradient_recurrent(struct assay_gradient *g)
{
    struct assay_emit *e = g->e;
    bool lstm = strcmp(g->node->type, "LSTM") == 0, batch_first = assay_node_int(g->node, "layout", 0) != 0;
    int inputs[ASSAY_RECURRENT_INPUTS], outputs[ASSAY_RECURRENT_OUTPUTS];
    static const int places[ASSAY_RECURRENT_OUTPUTS] = {IN_X, IN_W, IN_R, IN_B, IN_H, IN_C, IN_P};
    for (int i = 0; i < N_IN; i++)
        inputs[i] = g_input(g, i);
    inputs[ASSAY_RECURRENT_Y] = g_need_output(g, 0);
    for (int i = 0; i < 3; i++)
        inputs[ASSAY_RECURRENT_DY + i] = i < g->node->n_outputs && i < (lstm ? 3 : 2) ? g->out[i] : -1;
    for (int i = 0; i < ASSAY_RECURRENT_INPUTS && batch_first; i++)
        if (i == IN_X || i == IN_H || i == IN_C || i >= ASSAY_RECURRENT_Y)
            inputs[i] = exchange(e, inputs[i], true);
    bool any = false;
    for (int i = 0; i < ASSAY_RECURRENT_OUTPUTS; i++) {
        outputs[i] = g_wants(g, places[i]) ? 0 : -1;
        any |= outputs[i] >= 0;
    }
    if (!any)
        return;
    e_many(e,
           lstm                      ? "LSTMGradient"
           : g->node->type[0] == 'G' ? "GRUGradient"
                                     : "RNNGradient",
           "assay", ASSAY_RECURRENT_INPUTS, inputs, ASSAY_RECURRENT_OUTPUTS, outputs);
    e_set_like(e, g->node);
    e_set_int(e, "layout", 0);
    for (int i = 0; i < ASSAY_RECURRENT_OUTPUTS; i++)
        if (outputs[i] >= 0)
            g->in[places[i]] = batch_first && (places[i] == IN_X || places[i] == IN_H || places[i] == IN_C)
                                   ? exchange(e, outputs[i], false)
                                   : outputs[i];
}

const struct assay_op assay_ops_recurrent[] = {
    {"RNN", "", 3, 6, ASSAY_OP_VIA_F32, infer_recurrent, run_recurrent, cost_recurrent, gradient_recurrent},
    {"GRU", "", 3, 6, ASSAY_OP_VIA_F32, infer_recurrent, run_recurrent, cost_recurrent, gradient_recurrent},
    {"LSTM", "", 3, 8, ASSAY_OP_VIA_F32, infer_recurrent, run_recurrent, cost_recurrent, gradient_recurrent},
    {0},
};
