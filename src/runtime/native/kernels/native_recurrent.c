/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM, GRU and RNN of f32 with constant weights and the usual activations.
 *
 * Hidden units are cut into blocks: the weights of all gates of a block's units are one panel of columns, so that whoever has
 * made a block's products also makes its gates. The products with the input of all steps come first; then step follows step.
 * Threads share directions and sequences, which need not wait for one another, and of few sequences, or of weights that the
 * cache of one core does not hold, the blocks of a step, where that is worth their meeting after it.
 */
#include "runtime/native/native.h"
#include "runtime/native/simd/simd.h"

#include <string.h>
#include <strings.h>

enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P, N_IN };
enum kind { RNN, GRU, LSTM };
enum { MAX_GATES = 4, MAX_UNITS = 64, ROW_CHUNK = 96 };
/* Multiply-adds below which a step is not shared, and all steps neither: some times what a meeting of threads takes. */
enum { SHARED_STEP = 1 << 15, SHARED_RUN = 1 << 15 };
/* Bytes of a direction's weights that one core's cache may hold beside what else it needs. */
enum { CACHED_WEIGHTS = 1 << 19 };

struct recurrent {
    enum kind kind;
    const struct native_simd *simd;
    int n_gates, n_units, n_columns; /* of a block: gates · units */
    int n_directions, n_blocks;
    int n_given, n_wanted;    /* inputs and outputs of the node */
    bool reverse;             /* of direction 0 */
    bool linear_before_reset; /* GRU */
    bool by_block;
    int n_row_parts;                              /* of a direction's sequences */
    int64_t steps, batch, inputs, hidden, padded; /* padded: units of all blocks */
    const float *w, *r;                           /* [direction, block, input or hidden, gate, unit] */
    const float *bias, *reset_bias;               /* [direction, block, gate, unit], [direction, padded] or NULL */
    int64_t n_from_x, n_state, n_gate;            /* floats: of all parts of the scratch */
};

/* What a run works on, in the scratch. */
struct run {
    const struct recurrent *r;
    const struct native_args *args;
    float *from_x;       /* [direction, block, step, batch, gate, unit]; but for a GRU, what the states give is added there */
    float *h[2], *c;     /* [direction, batch, padded]; h before and after a step, in turn */
    float *reset_h;      /* the same, of GRU: reset gate · h */
    float *gates;        /* of GRU: [direction, block, batch, gate, unit] of a step */
    int64_t step;        /* in execution */
    int64_t first, rows; /* the sequences of this thread */
    int n_x_parts;       /* of the rows of X */
};

static const struct assay_tensor *input(const struct run *run, int i) { return i < run->r->n_given ? run->args->in[i] : NULL; }

static struct assay_tensor *output(const struct run *run, int i) { return i < run->r->n_wanted ? run->args->out[i] : NULL; }

static int64_t time_of(const struct recurrent *r, int direction, int64_t step)
{
    return direction == 1 || r->reverse ? r->steps - 1 - step : step;
}

/* ---- products with the input */

/* A block's products with rows begin … end of X [step · batch, input]. */
static void multiply_rows(const struct run *run, int64_t block, int64_t begin, int64_t end)
{
    const struct recurrent *r = run->r;
    const float *x = run->args->in[IN_X]->data;
    int64_t columns = r->n_columns;
    float *y = run->from_x + block * r->steps * r->batch * columns;
    const float *w = r->w + block * r->inputs * columns, *bias = r->bias + block * columns;
    for (int64_t row = begin; row < end; row++)
        memcpy(y + row * columns, bias, (size_t)columns * sizeof *y);
    for (int64_t row = begin; row < end; row += ROW_CHUNK) {
        int64_t n = end - row < ROW_CHUNK ? end - row : ROW_CHUNK;
        r->simd->gemm(y + row * columns, columns, x + row * r->inputs, r->inputs, w, columns, n, columns, r->inputs, true);
    }
}

static void multiply_shared(void *context, int part, int thread)
{
    const struct run *run = context;
    int n_blocks = run->r->n_directions * run->r->n_blocks;
    int64_t begin, end;
    (void)thread;
    native_share(run->r->steps * run->r->batch, 1, part / n_blocks, run->n_x_parts, &begin, &end);
    multiply_rows(run, part % n_blocks, begin, end);
}

/* Of this thread's sequences, so that what it reads next it has written itself. */
static void multiply_own(const struct run *run, int direction)
{
    const struct recurrent *r = run->r;
    for (int block = 0; block < r->n_blocks; block++)
        for (int64_t row = run->first; row < r->steps * r->batch; row += r->batch)
            multiply_rows(run, (int64_t)direction * r->n_blocks + block, row, row + run->rows);
}

/* ---- a step of a block */

/* Adds h · R of gates first … first + n to gates [batch, gate, unit], for which h is `from`. */
static void multiply_state(const struct run *run, float *gates, const float *from, const float *weights, int first, int n)
{
    const struct recurrent *r = run->r;
    int64_t at = (int64_t)first * r->n_units;
    r->simd->gemm(gates + at, r->n_columns, from, r->padded, weights + at, r->n_columns, run->rows, (int64_t)n * r->n_units,
                  r->hidden, true);
}

/* The first half of a GRU's step: gates z and r, and what of h the reset leaves. */
static void gru_gates(const struct recurrent *r, float *gates, const float *h, float *reset_h)
{
    int units = r->n_units;
    r->simd->sigmoid(gates, gates, 2 * units);
    for (int i = 0; i < units; i++)
        reset_h[i] = gates[units + i] * h[i];
}

static void gru(const struct recurrent *r, float *gates, const float *before, float *h)
{
    int units = r->n_units;
    float *update = gates, *candidate = gates + 2 * units;
    r->simd->tanh(candidate, candidate, units);
    for (int i = 0; i < units; i++)
        h[i] = (1 - update[i]) * candidate[i] + update[i] * before[i];
}

/* What a step leaves of one sequence in output Y; a sequence that has ended keeps its state and gives zeros. */
static void store_step(const struct run *run, int direction, int block, int64_t sequence, const float *before, float *h,
                       bool ended)
{
    const struct recurrent *r = run->r;
    const struct assay_tensor *y = output(run, 0);
    int64_t unit = (int64_t)block * r->n_units, n = r->hidden - unit < r->n_units ? r->hidden - unit : r->n_units;
    if (ended)
        memcpy(h, before, (size_t)r->n_units * sizeof *h);
    if (!y)
        return;
    int64_t row = (time_of(r, direction, run->step) * r->n_directions + direction) * r->batch + sequence;
    float *to = (float *)y->data + row * r->hidden + unit;
    if (ended)
        memset(to, 0, (size_t)n * sizeof *to);
    else
        memcpy(to, h, (size_t)n * sizeof *to);
}

/* A block of the sequences of a run. */
struct place {
    int direction, block;
    int64_t state, time;   /* offset in the states */
    float *from_x, *gates; /* [sequence, gate, unit]; one but for a GRU */
    const float *weights, *before;
    float *after;
};

static struct place place_of(const struct run *run, int direction, int block)
{
    const struct recurrent *r = run->r;
    int64_t number = (int64_t)direction * r->n_blocks + block, row = number * r->batch + run->first;
    int64_t state = ((int64_t)direction * r->batch + run->first) * r->padded;
    struct place p = {.direction = direction, .block = block, .time = time_of(r, direction, run->step)};
    p.from_x = run->from_x + ((number * r->steps + p.time) * r->batch + run->first) * r->n_columns;
    p.gates = r->kind == GRU ? run->gates + row * r->n_columns : p.from_x;
    p.weights = r->r + number * r->hidden * r->n_columns;
    p.before = run->h[run->step % 2] + state;
    p.after = run->h[(run->step + 1) % 2] + state;
    p.state = state + (int64_t)block * r->n_units;
    return p;
}

/* The gates' sums; of a GRU whose reset comes before its product, up to that. */
static void begin_block(const struct run *run, int direction, int block)
{
    const struct recurrent *r = run->r;
    struct place p = place_of(run, direction, block);
    int64_t columns = r->n_columns, units = r->n_units, first = (int64_t)block * units;
    if (r->kind != GRU) {
        multiply_state(run, p.gates, p.before, p.weights, 0, r->n_gates);
        return;
    }
    memcpy(p.gates, p.from_x, (size_t)(run->rows * columns) * sizeof *p.gates);
    if (r->linear_before_reset)
        for (int64_t b = 0; b < run->rows; b++)
            memcpy(p.gates + b * columns + 2 * units, r->reset_bias + direction * r->padded + first,
                   (size_t)units * sizeof *p.gates);
    multiply_state(run, p.gates, p.before, p.weights, 0, r->linear_before_reset ? 3 : 2);
    for (int64_t b = 0; b < run->rows; b++)
        gru_gates(r, p.gates + b * columns, p.before + b * r->padded + first, run->reset_h + p.state + b * r->padded);
}

static void end_block(const struct run *run, int direction, int block)
{
    const struct recurrent *r = run->r;
    struct place p = place_of(run, direction, block);
    int64_t units = r->n_units, first = (int64_t)block * units;
    const struct assay_tensor *given = input(run, IN_LENGTHS);
    const int32_t *lengths = given ? given->data : NULL;
    if (r->kind == GRU && !r->linear_before_reset)
        multiply_state(run, p.gates, run->reset_h + p.state - first, p.weights, 2, 1);
    for (int64_t b = 0; b < run->rows; b++) {
        float *gates = p.gates + b * r->n_columns, *h = p.after + b * r->padded + first;
        const float *before = p.before + b * r->padded + first;
        bool ended = lengths && p.time >= lengths[run->first + b];
        if (!ended && r->kind == LSTM)
            r->simd->lstm_cell(h, run->c + p.state + b * r->padded, gates, units);
        else if (!ended && r->kind == RNN)
            r->simd->tanh(h, gates, units);
        else if (!ended) {
            const float *x = p.from_x + b * r->n_columns;
            for (int64_t i = 2 * units; r->linear_before_reset && i < 3 * units; i++)
                gates[i] = x[i] + gates[i - units] * gates[i];
            gru(r, gates, before, h);
        }
        store_step(run, direction, block, run->first + b, before, h, ended);
    }
}

/* ---- steps */

static bool is_in_halves(const struct recurrent *r) { return r->kind == GRU && !r->linear_before_reset; }

static void blocks_of(const struct run *run, int part, int n_parts, bool begins, bool ends)
{
    const struct recurrent *r = run->r;
    int64_t begin, end;
    native_share((int64_t)r->n_directions * r->n_blocks, 1, part, n_parts, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        if (begins)
            begin_block(run, (int)(i / r->n_blocks), (int)(i % r->n_blocks));
        if (ends)
            end_block(run, (int)(i / r->n_blocks), (int)(i % r->n_blocks));
    }
}

struct shared {
    const struct run *run;
    int n_parts;
    bool begins, ends;
};

static void shared_blocks(void *context, int part, int thread)
{
    const struct shared *s = context;
    (void)thread;
    blocks_of(s->run, part, s->n_parts, s->begins, s->ends);
}

/* All steps of some sequences of one direction on this thread. */
static void run_rows(void *context, int part, int thread)
{
    struct run run = *(const struct run *)context;
    const struct recurrent *r = run.r;
    int direction = part / r->n_row_parts;
    int64_t end;
    (void)thread;
    native_share(r->batch, 1, part % r->n_row_parts, r->n_row_parts, &run.first, &end);
    run.rows = end - run.first;
    if (r->n_row_parts > 1)
        multiply_own(&run, direction);
    for (run.step = 0; run.step < r->steps; run.step++) {
        for (int block = 0; block < r->n_blocks; block++)
            begin_block(&run, direction, block);
        for (int block = 0; block < r->n_blocks; block++)
            end_block(&run, direction, block);
    }
}

static void run_shared(struct run *run, struct native_pool *pool)
{
    const struct recurrent *r = run->r;
    struct shared shared = {.run = run, .n_parts = native_pool_threads(pool)};
    for (run->step = 0; run->step < r->steps; run->step++) {
        shared.begins = true;
        shared.ends = !is_in_halves(r);
        native_pool_run(pool, shared.n_parts, shared_blocks, &shared);
        if (is_in_halves(r)) {
            shared.begins = false;
            shared.ends = true;
            native_pool_run(pool, shared.n_parts, shared_blocks, &shared);
        }
    }
}

static void load_state(const struct recurrent *r, float *to, const struct assay_tensor *from)
{
    memset(to, 0, (size_t)(r->n_directions * r->batch * r->padded) * sizeof *to);
    for (int64_t i = 0; from && i < r->n_directions * r->batch; i++)
        memcpy(to + i * r->padded, (const float *)from->data + i * r->hidden, (size_t)r->hidden * sizeof *to);
}

static void store_state(const struct recurrent *r, struct assay_tensor *to, const float *from)
{
    for (int64_t i = 0; to && i < r->n_directions * r->batch; i++)
        memcpy((float *)to->data + i * r->hidden, from + i * r->padded, (size_t)r->hidden * sizeof *from);
}

static void multiply_inputs(struct run *run, struct native_pool *pool)
{
    const struct recurrent *r = run->r;
    int n_threads = native_pool_threads(pool), n_blocks = r->n_directions * r->n_blocks;
    double work = (double)(r->steps * r->batch * r->inputs) * n_blocks * r->n_columns;
    run->n_x_parts = n_blocks >= n_threads || r->steps * r->batch < n_threads ? 1 : n_threads;
    if (work > SHARED_RUN)
        native_pool_run(pool, n_blocks * run->n_x_parts, multiply_shared, run);
    else
        for (int part = 0; part < n_blocks * run->n_x_parts; part++)
            multiply_shared(run, part, 0);
}

static enum assay_status run_whole(const struct native_args *args, struct native_pool *pool, struct assay_error *err)
{
    const struct recurrent *r = args->kernel->data;
    float *scratch = (float *)(void *)args->scratch;
    struct run run = {.r = r, .args = args, .from_x = scratch, .rows = r->batch};
    double work = (double)(r->steps * r->batch * r->hidden) * r->n_directions * r->n_blocks * r->n_columns;
    (void)err;
    run.h[0] = run.from_x + r->n_from_x;
    run.h[1] = run.h[0] + r->n_state;
    run.c = run.h[1] + r->n_state;
    run.reset_h = run.c + r->n_state;
    run.gates = run.reset_h + r->n_state;
    load_state(r, run.h[0], input(&run, IN_H));
    memset(run.h[1], 0, (size_t)r->n_state * sizeof *run.h[1]);
    load_state(r, run.c, input(&run, IN_C));
    if (r->by_block || r->n_row_parts == 1)
        multiply_inputs(&run, pool);
    if (r->by_block)
        run_shared(&run, pool);
    else if (work > SHARED_RUN)
        native_pool_run(pool, r->n_directions * r->n_row_parts, run_rows, &run);
    else
        for (int part = 0; part < r->n_directions * r->n_row_parts; part++)
            run_rows(&run, part, 0);
    store_state(r, output(&run, 1), run.h[r->steps % 2]);
    store_state(r, output(&run, 2), run.c);
    return ASSAY_OK;
}

/* ---- making */

/* [direction, gate · hidden, k] to [direction, block, k, gate, unit], with zeros for units beyond the last. */
static const float *pack(struct native_build *b, const struct recurrent *r, int in, const char *key, int64_t k)
{
    const void *found = native_pack_find(b, in, key);
    int64_t panel = k * r->n_columns, size = (int64_t)r->n_directions * r->n_blocks * panel * 4;
    if (found)
        return found;
    float *packed = native_pack_add(b, in, key, size);
    if (!packed)
        return NULL;
    memset(packed, 0, (size_t)size);
    const float *from = b->constants[in]->data;
    for (int64_t d = 0; d < r->n_directions; d++)
        for (int64_t gate = 0; gate < r->n_gates; gate++)
            for (int64_t unit = 0; unit < r->hidden; unit++) {
                const float *row = from + ((d * r->n_gates + gate) * r->hidden + unit) * k;
                float *to = packed + (d * r->n_blocks + unit / r->n_units) * panel + gate * r->n_units + unit % r->n_units;
                for (int64_t i = 0; i < k; i++)
                    to[i * r->n_columns] = row[i];
            }
    return packed;
}

static void pack_biases(struct native_build *b, struct recurrent *r)
{
    int64_t gates = r->n_gates * r->hidden;
    float *bias = assay_arena_array(b->arena, (size_t)(r->n_directions * r->n_blocks * r->n_columns), sizeof *bias);
    float *reset = assay_arena_array(b->arena, (size_t)(r->n_directions * r->padded), sizeof *reset);
    const float *given = b->n_inputs > IN_B && b->constants[IN_B] ? b->constants[IN_B]->data : NULL;
    for (int64_t d = 0; given && d < r->n_directions; d++)
        for (int64_t i = 0; i < gates; i++) {
            const float *from_x = given + d * 2 * gates, *from_h = from_x + gates;
            int64_t gate = i / r->hidden, unit = i % r->hidden;
            bool apart = r->kind == GRU && r->linear_before_reset && gate == 2;
            bias[(d * r->n_blocks + unit / r->n_units) * r->n_columns + gate * r->n_units + unit % r->n_units] =
                apart ? from_x[i] : from_x[i] + from_h[i];
            if (apart)
                reset[d * r->padded + unit] = from_h[i];
        }
    r->bias = bias;
    r->reset_bias = reset;
}

static bool has_usual_attributes(const struct assay_node *node, enum kind kind)
{
    static const char *const usual[3][3] = {{"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const struct assay_attr *words = assay_node_attr(node, "activations");
    int n = kind == RNN ? 1 : kind == GRU ? 2 : 3;
    if (words && words->kind != ASSAY_ATTR_STRINGS)
        return false;
    for (size_t i = 0; words && i < words->n; i++)
        if (strcasecmp(words->strings[i], usual[kind][i % (size_t)n]) != 0)
            return false;
    return !(assay_node_float(node, "clip", 0) > 0) && !assay_node_int(node, "input_forget", 0) &&
           assay_node_int(node, "layout", 0) == 0;
}

static bool has_dims(const struct native_build *b, int in, int rank, const int64_t *dims)
{
    if (in >= b->n_inputs || b->node->inputs[in] < 0)
        return true;
    struct assay_type wanted = assay_type_make(in == IN_LENGTHS ? ASSAY_I32 : ASSAY_F32, rank, dims);
    return assay_type_equal(&wanted, &b->inputs[in]);
}

/* Sizes, if it is of the kind that is made here. */
static bool measure(struct native_build *b, struct recurrent *r)
{
    const struct assay_node *node = b->node;
    const struct assay_type *x = &b->inputs[IN_X];
    const char *direction = assay_node_string(node, "direction", "forward");
    if (!has_usual_attributes(node, r->kind) || native_is_given(b, IN_P) || x->rank != 3 || x->dtype != ASSAY_F32 ||
        b->inputs[IN_R].rank != 3 || !b->constants[IN_W] || !b->constants[IN_R] ||
        (native_is_given(b, IN_B) && !b->constants[IN_B]) || (b->n_outputs > 0 && b->outputs[0].dtype != ASSAY_F32))
        return false;
    r->n_gates = r->kind == LSTM ? 4 : r->kind == GRU ? 3 : 1;
    r->n_directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    r->reverse = strcmp(direction, "reverse") == 0;
    r->linear_before_reset = assay_node_int(node, "linear_before_reset", 0) != 0;
    r->steps = x->dims[0];
    r->batch = x->dims[1];
    r->inputs = x->dims[2];
    r->hidden = b->inputs[IN_R].dims[2];
    int64_t d = r->n_directions, gates = r->n_gates * r->hidden;
    return r->steps > 0 && r->batch > 0 && r->inputs > 0 && r->hidden > 0 && r->hidden < (1 << 20) &&
           assay_node_int(node, "hidden_size", r->hidden) == r->hidden &&
           has_dims(b, IN_W, 3, (int64_t[]){d, gates, r->inputs}) && has_dims(b, IN_R, 3, (int64_t[]){d, gates, r->hidden}) &&
           has_dims(b, IN_B, 2, (int64_t[]){d, 2 * gates}) && has_dims(b, IN_LENGTHS, 1, (int64_t[]){r->batch}) &&
           has_dims(b, IN_H, 3, (int64_t[]){d, r->batch, r->hidden}) && has_dims(b, IN_C, 3, (int64_t[]){d, r->batch, r->hidden});
}

/* Who shares what, and the scratch. */
static void divide(struct native_build *b, struct recurrent *r)
{
    r->n_units = r->kind == RNN ? MAX_UNITS : MAX_UNITS / MAX_GATES;
    r->n_columns = r->n_units * r->n_gates;
    r->n_blocks = (int)((r->hidden + r->n_units - 1) / r->n_units);
    r->padded = (int64_t)r->n_blocks * r->n_units;
    double weights = (double)(r->n_gates * r->hidden) * (double)r->hidden;
    int64_t rows = r->n_directions * r->batch;
    bool few = rows < b->n_threads || weights * sizeof(float) > CACHED_WEIGHTS;
    r->by_block = b->n_threads > 1 && few && r->n_directions * r->n_blocks >= b->n_threads && weights * rows >= SHARED_STEP;
    r->n_row_parts = (b->n_threads + r->n_directions - 1) / r->n_directions;
    if (r->n_row_parts > r->batch)
        r->n_row_parts = (int)r->batch;
    int64_t blocks = (int64_t)r->n_directions * r->n_blocks;
    r->n_from_x = blocks * r->steps * r->batch * r->n_columns;
    r->n_state = r->n_directions * r->batch * r->padded;
    r->n_gate = r->kind == GRU ? blocks * r->batch * r->n_columns : 0;
    int64_t size = (r->n_from_x + 4 * r->n_state + r->n_gate) * (int64_t)sizeof(float);
    b->kernel.scratch_bytes = (size / b->n_threads + 127) / 64 * 64;
}

static enum assay_status make(struct native_build *b, enum kind kind, struct assay_error *err)
{
    struct recurrent *r = assay_arena_alloc(b->arena, sizeof *r);
    *r = (struct recurrent){.kind = kind, .simd = native_simd_of(b->isa)};
    if (!measure(b, r))
        return assay_error_set(err, ASSAY_UNSUPPORTED, "only the usual form with constant weights is taken");
    r->n_given = b->n_inputs;
    r->n_wanted = b->n_outputs < (kind == LSTM ? 3 : 2) ? b->n_outputs : kind == LSTM ? 3 : 2;
    divide(b, r);
    r->w = pack(b, r, IN_W, "recurrent w", r->inputs);
    r->r = pack(b, r, IN_R, "recurrent r", r->hidden);
    if (!r->w || !r->r)
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for packed weights");
    pack_biases(b, r);
    for (int k = 0; k < b->n_inputs; k++) {
        b->in_layouts[k] = NATIVE_PLAIN;
        b->unneeded[k] = k == IN_W || k == IN_R || k == IN_B;
    }
    b->kernel.name = "recurrent";
    b->kernel.run_whole = run_whole;
    b->kernel.data = r;
    return ASSAY_OK;
}

static enum assay_status make_rnn(struct native_build *b, struct assay_error *err) { return make(b, RNN, err); }
static enum assay_status make_gru(struct native_build *b, struct assay_error *err) { return make(b, GRU, err); }
static enum assay_status make_lstm(struct native_build *b, struct assay_error *err) { return make(b, LSTM, err); }

const struct native_maker native_makers_recurrent[] = {
    {.type = "RNN", .domain = "", .make = make_rnn},
    {.type = "GRU", .domain = "", .make = make_gru},
    {.type = "LSTM", .domain = "", .make = make_lstm},
    {.type = NULL},
};
