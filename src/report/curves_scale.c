/* SPDX-License-Identifier: Apache-2.0 */
/* See curves_scale.h. */
#include "report/curves_scale.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A curve of fewer points is drawn as it is; one of more is averaged over about a fiftieth of it. */
enum { MANY_POINTS = 100, N_SPANS = 50 };
static const double widest_linear = 30, padding = 0.05;

/* ---- scales */

struct range {
    double low, high; /* low > high where nothing was seen */
};

static void widen(struct range *range, double value)
{
    if (!isfinite(value))
        return;
    range->low = fmin(range->low, value);
    range->high = fmax(range->high, value);
}

struct assay_curves_scale assay_curves_step_scale(const struct assay_curves *curves)
{
    struct range range = {INFINITY, -INFINITY};
    for (size_t p = 0; p < curves->n_panels; p++)
        for (size_t c = 0; c < curves->panels[p].n_curves; c++)
            for (size_t i = 0; i < curves->panels[p].curves[c].n; i++)
                widen(&range, curves->panels[p].curves[c].steps[i]);
    if (range.low > range.high)
        range = (struct range){0, 1};
    if (range.high - range.low < 1e-9 * fmax(fabs(range.high), 1))
        range = (struct range){range.low - 1, range.high + 1};
    /* A run that begins early is seen from its beginning. */
    if (range.low > 0 && range.low < 0.1 * range.high)
        range.low = 0;
    return (struct assay_curves_scale){range.low, range.high, false};
}

struct assay_curves_scale assay_curves_value_scale(const struct assay_curves_panel *panel)
{
    struct range range = {INFINITY, -INFINITY};
    for (size_t c = 0; c < panel->n_curves; c++)
        for (size_t i = 0; i < panel->curves[c].n; i++)
            widen(&range, panel->curves[c].values[i]);
    if (panel->has_target)
        widen(&range, panel->target);
    if (range.low > range.high)
        range = (struct range){0, 1};
    struct assay_curves_scale scale = {range.low, range.high,
                                       panel->may_be_logarithmic && range.low > 0 && range.high / range.low >= widest_linear};
    if (scale.is_logarithmic) {
        scale.low = log10(range.low);
        scale.high = log10(range.high);
    } else if (range.low >= 0 && (range.low <= 0.3 * range.high || panel->from_zero)) {
        scale.low = 0;
    }
    /* Halves, since the difference of the largest doubles is none. */
    double pad = (scale.high / 2 - scale.low / 2) * 2 * padding;
    if (!(pad > 1e-12 * fmax(fabs(scale.high), 1e-290)))
        pad = fmax(fabs(scale.high) * padding, 1e-300);
    scale.high = fmin(scale.high + pad, DBL_MAX);
    if (scale.low != 0 || scale.is_logarithmic)
        scale.low = fmax(scale.low - pad, -DBL_MAX);
    return scale;
}

double assay_curves_place(const struct assay_curves_scale *scale, double value)
{
    double at = scale->is_logarithmic ? log10(value) : value;
    return (at / 2 - scale->low / 2) / (scale->high / 2 - scale->low / 2);
}

/* ---- ticks */

static char *number_text(double value, int digits, char text[ASSAY_CURVES_TICK_TEXT])
{
    if (fabs(value) >= 1000 && fabs(value) < 1e6 && digits < 7)
        snprintf(text, ASSAY_CURVES_TICK_TEXT, "%.0f", value);
    else
        snprintf(text, ASSAY_CURVES_TICK_TEXT, "%.*g", digits, value);
    char *exponent = strchr(text, 'e');
    if (exponent) {
        char *from = exponent + 1 + (exponent[1] == '-' || exponent[1] == '+'), *to = exponent + 1 + (exponent[1] == '-');
        while (*from == '0' && from[1])
            from++;
        memmove(to, from, strlen(from) + 1);
    }
    return text;
}

char *assay_curves_number(double value, char text[ASSAY_CURVES_TICK_TEXT]) { return number_text(value, 4, text); }

static bool add_tick(const struct assay_curves_scale *scale, double value, int digits, struct assay_curves_tick *ticks, int *n)
{
    double place = assay_curves_place(scale, value);
    if (*n >= ASSAY_CURVES_MAX_TICKS || !(place >= -1e-9 && place <= 1 + 1e-9))
        return false;
    ticks[*n] = (struct assay_curves_tick){.value = value, .place = place};
    number_text(value, digits, ticks[*n].text);
    ++*n;
    return true;
}

/* Powers of ten, of every second or third where there are many; with 2 and 5 between where there are few. */
static int logarithmic_ticks(const struct assay_curves_scale *scale, int n, struct assay_curves_tick *ticks)
{
    int first = (int)ceil(scale->low), last = (int)floor(scale->high), n_ticks = 0;
    int stride = (last - first) / (n > 0 ? n : 1) + 1;
    bool has_between = last - first < 2;
    for (int power = first - has_between; power <= last; power += stride) {
        add_tick(scale, pow(10, power), 1, ticks, &n_ticks);
        if (has_between) {
            add_tick(scale, 2 * pow(10, power), 1, ticks, &n_ticks);
            add_tick(scale, 5 * pow(10, power), 1, ticks, &n_ticks);
        }
    }
    return n_ticks;
}

int assay_curves_ticks(const struct assay_curves_scale *scale, int n, struct assay_curves_tick ticks[ASSAY_CURVES_MAX_TICKS])
{
    if (scale->is_logarithmic)
        return logarithmic_ticks(scale, n, ticks);
    double rough = (scale->high / n - scale->low / n), power = pow(10, floor(log10(rough))), ratio = rough / power;
    double step = power * (ratio < 1.5 ? 1 : ratio < 3.2 ? 2 : ratio < 7 ? 5 : 10);
    int n_ticks = 0;
    if (!isfinite(step) || step <= 0)
        return 0;
    /* As many digits as tell neighbours apart. */
    int digits = 1 + (int)floor(fmin(log10(fmax(fabs(scale->low), fabs(scale->high)) / step), 13)) + 1;
    double first = ceil(scale->low / step - 1e-9);
    for (int i = 0; i < ASSAY_CURVES_MAX_TICKS; i++)
        if (!add_tick(scale, (first + i) * step + 0.0, digits < 4 ? 4 : digits, ticks, &n_ticks) && n_ticks > 0)
            break;
    return n_ticks;
}

/* ---- curves */

size_t assay_curves_span(const struct assay_curve *curve)
{
    return curve->kind != ASSAY_CURVE_NOISY || curve->n < MANY_POINTS ? 1 : curve->n / N_SPANS | 1;
}

struct sum {
    double total, n; /* of finite values */
};

static struct sum add(struct sum sum, double value) { return isfinite(value) ? (struct sum){sum.total + value, sum.n + 1} : sum; }

/* Sums from the start of each block of `span` points and to its end: a window is the end of one and the start of the next (van
 * Herk, 1992). Nothing is ever subtracted, so that no spike leaves its rounding error in what follows. */
double *assay_curves_average(const struct assay_curve *curve)
{
    size_t span = assay_curves_span(curve), n = curve->n, half = span / 2;
    if (span == 1)
        return NULL;
    double *average = assay_alloc(n * sizeof *average);
    struct sum *from_start = assay_alloc(n * sizeof *from_start), *to_end = assay_alloc(n * sizeof *to_end);
    for (size_t i = 0; i < n; i++)
        from_start[i] = add(i % span ? from_start[i - 1] : (struct sum){0, 0}, curve->values[i]);
    for (size_t i = n; i-- > 0;)
        to_end[i] = add(i + 1 < n && (i + 1) % span ? to_end[i + 1] : (struct sum){0, 0}, curve->values[i]);
    for (size_t i = 0; i < n; i++) {
        size_t first = i > half ? i - half : 0, last = i + half < n ? i + half : n - 1;
        struct sum a = to_end[first], b = from_start[last];
        /* Within one block a window lies only at its start, or at the end of all. */
        if (first / span == last / span)
            *(first % span ? &b : &a) = (struct sum){0, 0};
        average[i] = isfinite(curve->values[i]) ? (a.total + b.total) / (a.n + b.n) : NAN;
    }
    free(from_start);
    free(to_end);
    return average;
}

size_t assay_curves_best_index(const struct assay_curve *curve, enum assay_curves_best best)
{
    size_t index = curve->n;
    for (size_t i = 0; i < curve->n && best != ASSAY_CURVES_NO_BEST; i++) {
        double value = curve->values[i];
        if (!isfinite(value))
            continue;
        if (index == curve->n || (best == ASSAY_CURVES_SMALLEST ? value < curve->values[index] : value > curve->values[index]))
            index = i;
    }
    return index;
}

size_t assay_curves_last_index(const struct assay_curve *curve)
{
    for (size_t i = curve->n; i-- > 0;)
        if (isfinite(curve->values[i]))
            return i;
    return curve->n;
}

size_t assay_curves_broken_index(const struct assay_curve *curve)
{
    size_t i = 0;
    while (i < curve->n && isfinite(curve->values[i]))
        i++;
    return i;
}

bool assay_curves_reached(const struct assay_curves_panel *panel, double *step)
{
    bool is_reached = false;
    for (size_t c = 0; c < panel->n_curves; c++) {
        const struct assay_curve *curve = &panel->curves[c];
        for (size_t i = 0; i < curve->n && curve->kind == ASSAY_CURVE_SPARSE && panel->has_target; i++) {
            double value = curve->values[i];
            bool is_there = panel->best == ASSAY_CURVES_SMALLEST ? value <= panel->target : value >= panel->target;
            if (is_there && (!is_reached || curve->steps[i] < *step)) {
                *step = curve->steps[i];
                is_reached = true;
            }
        }
    }
    return is_reached;
}

char *assay_curves_target_text(const struct assay_curves_panel *panel, const char *step_label, struct assay_arena *arena)
{
    char target[ASSAY_CURVES_TICK_TEXT], at[ASSAY_CURVES_TICK_TEXT];
    double step;
    assay_curves_number(panel->target, target);
    if (assay_curves_reached(panel, &step))
        return assay_arena_printf(arena, "%s reached at %s %s", target, step_label, assay_curves_number(step, at));
    return assay_arena_printf(arena, "%s not reached", target);
}
