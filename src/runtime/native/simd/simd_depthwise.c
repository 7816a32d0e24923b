/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolutions of each channel with weights of its own, channels last: the sums of some neighbouring points stay in registers
 * while all taps are added, so that weights are read once for them; and where windows of neighbours share numbers, these once.
 */
#include "runtime/native/simd/simd_lanes.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL_16 _Pragma("unroll")
#else
#define UNROLL_16 _Pragma("GCC unroll 16")
#endif

enum { POINTS = 8, VECTORS = 4, RUN = 4 /* taps whose weights are held at once */ };

/* What of a tile is the same for all its channels. */
struct tile {
    const struct native_depthwise *p;
    int64_t at, tap, n_taps; /* position of the first point's tap `tap`, from which n_taps are added */
    int64_t pitch, w_tap;
    float *y;
    const float *residual;
    int columns; /* of a part of a vector */
};

/* Constants where this is inlined, so that sums are registers. */
struct shape {
    int points, vectors;
    bool slides, clipped, some; /* windows of neighbours share taps; some are outside of the input; a part of a vector */
};

INLINE vector load_part(const float *p, int columns, bool some) { return some ? load_some(p, columns) : load(p); }

/* In a register: compilers would else read it again for each of its products. */
INLINE vector keep(vector v)
{
#if defined(__AVX512F__)
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#endif
    return v;
}

INLINE bool is_inside(const struct tile *t, int64_t position) { return (uint64_t)position < (uint64_t)t->p->length; }

/* n_taps taps of all points, from position `at` on, at x; each number is read once. */
INLINE void add_run(vector *sum, const struct tile *t, const float *x, const float *w, int64_t at, int n_taps, struct shape s)
{
    const int64_t step = t->p->x_tap, pitch = step * t->pitch;
    vector weight[RUN];
    UNROLL for (int k = 0; k < n_taps; k++) weight[k] = load(w + k * t->w_tap);
    UNROLL_16 for (int q = 0; q < s.points + n_taps - 1; q++)
    {
        if (!s.clipped || is_inside(t, at)) {
            vector number = keep(load_part(x, t->columns, s.some));
            UNROLL for (int k = 0; k < n_taps; k++) if (q - k >= 0 && q - k < s.points) sum[q - k] += number * weight[k];
        }
        x += pitch;
        at += step;
    }
}

INLINE void add_runs(vector *sum, const struct tile *t, const float *x, const float *w, struct shape s)
{
    const int64_t step = RUN * t->p->x_tap, x_run = step * t->pitch, w_run = RUN * t->w_tap;
    int64_t left = t->n_taps, at = t->at;
    for (; left > RUN; left -= RUN, at += step, x += x_run, w += w_run)
        add_run(sum, t, x, w, at, RUN, s);
    if (left == 4)
        add_run(sum, t, x, w, at, 4, s);
    else if (left == 3)
        add_run(sum, t, x, w, at, 3, s);
    else if (left == 2)
        add_run(sum, t, x, w, at, 2, s);
    else if (left == 1)
        add_run(sum, t, x, w, at, 1, s);
}

INLINE void add_taps(vector *sum, const struct tile *t, const float *x, const float *w, struct shape s)
{
    const int64_t step = t->p->x_step, pitch = step * t->pitch, x_tap = t->p->x_tap * t->pitch;
    int64_t at = t->at;
    for (int64_t k = t->n_taps; k > 0; k--, x += x_tap, w += t->w_tap, at += t->p->x_tap)
        UNROLL for (int j = 0; j < s.vectors; j++)
        {
            vector weight = load(w + j * LANES);
            UNROLL for (int i = 0; i < s.points; i++) if (!s.clipped || is_inside(t, at + i * step)) sum[i * s.vectors + j] +=
                weight * load_part(x + i * pitch + j * LANES, t->columns, s.some);
        }
}

INLINE void finish_tile(const struct tile *t, vector *sum, int64_t i, struct shape s)
{
    const vector low = (vector){0} + t->p->low, high = (vector){0} + t->p->high;
    const int64_t y_step = t->p->y_step; /* here, since a store might change what t points at */
    const int columns = t->columns;
    UNROLL for (int j = 0; j < s.vectors; j++)
    {
        vector bias = t->p->bias ? load(t->p->bias + i + j * LANES) : (vector){0};
        UNROLL for (int k = 0; k < s.points; k++) sum[k * s.vectors + j] += bias;
    }
    if (t->residual) {
        const float *residual = t->residual + i;
        UNROLL for (int k = 0; k < s.points; k++, residual += y_step) UNROLL for (int j = 0; j < s.vectors; j++)
            sum[k * s.vectors + j] += load_part(residual + j * LANES, columns, s.some);
    }
    float *y = t->y + i;
    UNROLL for (int k = 0; k < s.points; k++, y += y_step) UNROLL for (int j = 0; j < s.vectors; j++)
    {
        vector v = bounded(sum[k * s.vectors + j], low, high);
        if (s.some)
            store_some(y + j * LANES, v, columns);
        else
            memcpy(y + j * LANES, &v, sizeof v);
    }
}

/* Channels from i on. */
INLINE void make_tile(const struct tile *t, int64_t i, struct shape s)
{
    const struct native_depthwise *p = t->p;
    const int64_t x_at = t->at * t->pitch + i, w_at = p->w_at + t->tap * t->w_tap + i;
    vector sum[POINTS];
    UNROLL for (int k = 0; k < s.points * s.vectors; k++) sum[k] = (vector){0};
    for (int64_t r = 0; r < p->n_rows; r++) {
        if (s.slides)
            add_runs(sum, t, p->x[r] + x_at, p->w[r] + w_at, s);
        else
            add_taps(sum, t, p->x[r] + x_at, p->w[r] + w_at, s);
    }
    finish_tile(t, sum, i, s);
}

INLINE void make_channels(const struct tile *t, struct shape s)
{
    int64_t i = 0, n = t->p->n;
    if (s.points == 1) {
        s.vectors = VECTORS;
        for (; i + VECTORS * LANES <= n; i += VECTORS * LANES)
            make_tile(t, i, s);
        s.vectors = 1;
    }
    for (; i + LANES <= n; i += LANES)
        make_tile(t, i, s);
    if (i < n) {
        struct tile last = *t;
        last.columns = (int)(n - i);
        s.some = true;
        make_tile(&last, i, s);
    }
}

/* A function of each shape, so that each has registers of its own. */
#define SHAPE(points_, slides_, clipped_)                                                                                        \
    static __attribute__((noinline)) void make_##points_##_##slides_##_##clipped_(const struct tile *t)                          \
    {                                                                                                                            \
        make_channels(t, (struct shape){points_, 1, slides_ && points_ > 1, clipped_, false});                                   \
    }
#define SHAPES(points_) SHAPE(points_, 0, 0) SHAPE(points_, 0, 1) SHAPE(points_, 1, 0) SHAPE(points_, 1, 1)
SHAPES(1)
SHAPES(2)
SHAPES(4)
SHAPES(6)
SHAPES(7)
SHAPES(8)

#define OF(points_) [points_] = {{make_##points_##_0_0, make_##points_##_0_1}, {make_##points_##_1_0, make_##points_##_1_1}}
static void (*const makers[POINTS + 1][2][2])(const struct tile *t) = {OF(1), OF(2), OF(4), OF(6), OF(7), OF(8)};

/* Tiles as equal as those that there are allow. */
static int next_points(int64_t left)
{
    int64_t n_tiles = (left + POINTS - 1) / POINTS, points = (left + n_tiles - 1) / n_tiles;
    if (points == 5)
        points = left > 5 ? 6 : 4;
    else if (points == 3)
        points = 2;
    return (int)points;
}

/* Leaves out the taps that no point of a tile finds inside; whether others are not inside for some. */
static bool clip(struct tile *t, int points)
{
    const struct native_depthwise *p = t->p;
    int64_t last = t->at + (points - 1) * p->x_step, from = 0, to = p->n_taps;
    if (t->at >= 0 && last + (to - 1) * p->x_tap < p->length)
        return false;
    if (last < 0)
        from = (-last + p->x_tap - 1) / p->x_tap;
    if (t->at + (to - 1) * p->x_tap >= p->length)
        to = p->length <= t->at ? 0 : (p->length - 1 - t->at) / p->x_tap + 1;
    t->tap = from;
    t->n_taps = to > from ? to - from : 0;
    t->at += from * p->x_tap;
    return true;
}

void SIMD(depthwise)(const struct native_depthwise *p, float *y, const float *residual, int64_t n_points)
{
    const bool slides = p->x_step == p->x_tap;
    for (int64_t i = 0; i < n_points;) {
        int points = next_points(n_points - i);
        struct tile t = {.p = p, .at = p->at + i * p->x_step, .n_taps = p->n_taps, .pitch = p->pitch, .w_tap = p->w_tap};
        t.y = y + i * p->y_step;
        t.residual = residual ? residual + i * p->y_step : NULL;
        bool clipped = clip(&t, points);
        makers[points][slides][clipped](&t);
        i += points;
    }
}
