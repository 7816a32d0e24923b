/* SPDX-License-Identifier: Apache-2.0 */
/* See bench_report.h. */
#include "cli/bench_report.h"

#include "base/clock.h"
#include "bench/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the readable columns */

enum when { ALWAYS, CONVERTED, GENERATED, TRAINED }; /* columns that only some cases fill are there if one of the plan's does */

struct readable {
    struct assay_table_heading heading; /* the name of a metric is the metric's own */
    enum when when;
    enum assay_column from;
    void (*fill)(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column);
};

static void fill_text(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    assay_table_text(t, at, assay_row_text(row, column->from, ""));
}

static void fill_int(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    if (row->cells[column->from].set)
        assay_table_int(t, at, assay_row_int(row, column->from, 0));
}

static void fill_ns(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    assay_table_ns(t, at, assay_row_real(row, column->from, NAN));
}

static void fill_metric_ns(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    const struct assay_map_entry *entry = assay_row_map_find(row, column->from, column->heading.name);
    assay_table_ns(t, at, entry ? entry->real : NAN);
}

static const char *interval_text(const struct assay_row *row, struct assay_arena *arena)
{
    double low = assay_row_real(row, ASSAY_ROW_latency_low_ns, NAN), high = assay_row_real(row, ASSAY_ROW_latency_high_ns, NAN);
    double median = assay_row_real(row, ASSAY_ROW_latency_median_ns, NAN);
    if (!(low > 0) || !(median > 0))
        return NULL;
    return assay_arena_printf(arena, "-%.1f +%.1f %%", 100 * (median - low) / median, 100 * (high - median) / median);
}

static void fill_interval(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    (void)column;
    assay_table_text(t, at, interval_text(row, &t->arena));
}

static void fill_throughput(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    double value = assay_row_real(row, column->from, NAN);
    if (isfinite(value))
        assay_table_text(t, at, assay_text_si(&t->arena, value, assay_row_text(row, ASSAY_ROW_throughput_unit, "")));
}

static void fill_share(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    double value = assay_row_real(row, column->from, NAN);
    if (isfinite(value))
        assay_table_text(t, at, assay_arena_printf(&t->arena, "%.1f %%", 100 * value));
}

static void fill_bytes(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    if (row->cells[column->from].set)
        assay_table_text(t, at, assay_text_bytes(&t->arena, (double)assay_row_int(row, column->from, 0)));
}

static void fill_error(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    assay_table_real(t, at, assay_row_real(row, column->from, NAN), 2);
}

static void fill_noise(struct assay_table *t, int at, const struct assay_row *row, const struct readable *column)
{
    bool noisy = assay_row_int(row, column->from, 0) != 0;
    assay_table_text(t, at,
                     noisy ? assay_arena_printf(&t->arena, "steal %.0f %%, others %.0f %%",
                                                100 * assay_row_real(row, ASSAY_ROW_noise_steal_share, 0),
                                                100 * assay_row_real(row, ASSAY_ROW_noise_other_cpu_share, 0))
                           : "");
}

static const struct readable readable[] = {
    {{"model", "model", false}, ALWAYS, ASSAY_ROW_model, fill_text},
    {{"platform", "platform", false}, ALWAYS, ASSAY_ROW_platform, fill_text},
    {{"mode", "mode", false}, TRAINED, ASSAY_ROW_mode, fill_text},
    {{"precision", "precision", false}, CONVERTED, ASSAY_ROW_precision, fill_text},
    {{"scenario", "scenario", false}, ALWAYS, ASSAY_ROW_scenario, fill_text},
    {{"batch", "batch", true}, ALWAYS, ASSAY_ROW_batch, fill_int},
    {{"new tokens", "new_tokens", true}, GENERATED, ASSAY_ROW_new_tokens, fill_int},
    {{"threads", "threads", true}, ALWAYS, ASSAY_ROW_threads, fill_int},
    {{"status", "status", false}, ALWAYS, ASSAY_ROW_status, fill_text},
    {{"median", "latency_median_ns", true}, ALWAYS, ASSAY_ROW_latency_median_ns, fill_ns},
    {{"95 % interval", "latency_interval", true}, ALWAYS, ASSAY_ROW_latency_low_ns, fill_interval},
    {{"forward", "forward_ns", true}, TRAINED, ASSAY_ROW_metrics, fill_metric_ns},
    {{"backward", "backward_ns", true}, TRAINED, ASSAY_ROW_metrics, fill_metric_ns},
    {{"update", "update_ns", true}, TRAINED, ASSAY_ROW_metrics, fill_metric_ns},
    {{"TTFT", "time_to_first_token_median_ns", true}, GENERATED, ASSAY_ROW_metrics, fill_metric_ns},
    {{"TPOT", "time_per_output_token_median_ns", true}, GENERATED, ASSAY_ROW_metrics, fill_metric_ns},
    {{"p90", "latency_p90_ns", true}, ALWAYS, ASSAY_ROW_latency_p90_ns, fill_ns},
    {{"p99", "latency_p99_ns", true}, ALWAYS, ASSAY_ROW_latency_p99_ns, fill_ns},
    {{"n", "n_samples", true}, ALWAYS, ASSAY_ROW_n_samples, fill_int},
    {{"throughput", "throughput", true}, ALWAYS, ASSAY_ROW_throughput, fill_throughput},
    {{"of peak", "peak_share", true}, ALWAYS, ASSAY_ROW_peak_share, fill_share},
    {{"memory", "peak_memory_bytes", true}, ALWAYS, ASSAY_ROW_peak_memory_bytes, fill_bytes},
    {{"error", "error_max_rel", true}, ALWAYS, ASSAY_ROW_error_max_rel, fill_error},
    {{"noise", "noisy", false}, ALWAYS, ASSAY_ROW_noisy, fill_noise},
};

static bool is_readable(enum assay_format format) { return format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN; }

static bool is_shown(const struct readable *column, const struct assay_plan *plan)
{
    for (size_t i = 0; i < plan->n_cases; i++)
        if (column->when == ALWAYS || (column->when == CONVERTED && assay_case_converts(&plan->cases[i])) ||
            (column->when == GENERATED && plan->cases[i].new_tokens) ||
            (column->when == TRAINED && assay_case_trains(&plan->cases[i])))
            return true;
    return false;
}

void assay_bench_table_columns(struct assay_table *table, enum assay_format format, const struct assay_plan *plan)
{
    for (size_t i = 0; is_readable(format) && i < ASSAY_COUNT(readable); i++)
        if (is_shown(&readable[i], plan))
            assay_table_columns(table, &readable[i].heading, 1);
    for (int i = 0; !is_readable(format) && i < ASSAY_N_COLUMNS; i++)
        assay_table_column(table, assay_columns[i].name, assay_columns[i].name, false);
}

static void fill_readable(struct assay_table *t, const struct assay_row *row)
{
    int column = 0;
    for (size_t i = 0; i < ASSAY_COUNT(readable); i++)
        if (column < t->n_columns && strcmp(t->names[column], readable[i].heading.name) == 0)
            readable[i].fill(t, column++, row, &readable[i]);
}

void assay_bench_table_add(struct assay_table *table, const struct assay_row *row, enum assay_format format)
{
    assay_table_row(table);
    if (is_readable(format)) {
        fill_readable(table, row);
        return;
    }
    json_t *object = assay_row_to_json(row, true);
    for (int i = 0; i < ASSAY_N_COLUMNS; i++)
        assay_table_set(table, i, NULL, json_incref(json_object_get(object, assay_columns[i].name)));
    json_decref(object);
}

/* ---- a line for each finished case */

/* ", first token 12 ms, then 1.2 ms each"; "" for what generates none. */
static const char *token_text(const struct assay_row *row, struct assay_arena *arena)
{
    const struct assay_map_entry *first = assay_row_map_find(row, ASSAY_ROW_metrics, "time_to_first_token_median_ns"),
                                 *each = assay_row_map_find(row, ASSAY_ROW_metrics, "time_per_output_token_median_ns");
    char first_text[32], each_text[32];
    if (!first || !each)
        return "";
    assay_clock_duration_text(first->real, first_text, sizeof first_text);
    assay_clock_duration_text(each->real, each_text, sizeof each_text);
    return assay_arena_printf(arena, ", first token %s, then %s each", first_text, each_text);
}

const char *assay_bench_line(const struct assay_case *c, const struct assay_row *row, struct assay_arena *arena)
{
    const char *status = assay_row_text(row, ASSAY_ROW_status, ""), *label = assay_case_label(c, arena);
    char time[32];
    if (strcmp(status, "ok") != 0)
        return assay_arena_printf(arena, "%s  %s: %s", status, label, assay_row_text(row, ASSAY_ROW_reason, ""));
    assay_clock_duration_text(assay_row_real(row, ASSAY_ROW_latency_median_ns, 0), time, sizeof time);
    const char *interval = interval_text(row, arena);
    return assay_arena_printf(arena, "ok  %s: %s%s%s%s%s", label, time, interval ? " " : "", interval ? interval : "",
                              token_text(row, arena), assay_row_int(row, ASSAY_ROW_noisy, 0) ? " (noisy)" : "");
}

/* ---- profile */

/* Ops of a training step are part of something. */
static bool has_phases(const json_t *profile)
{
    size_t i;
    json_t *entry;
    json_array_foreach(profile, i, entry) if (json_object_get(entry, "phase")) return true;
    return false;
}

enum { OP, NODE, TIME, SHARE, ROOFLINE, BOUND, PHASE };

static const struct assay_table_heading profile_columns[] = {
    [OP] = {"op", "type", false},
    [NODE] = {"node", "name", false},
    [TIME] = {"time", "mean_ns", true},
    [SHARE] = {"of run", "share", true},
    [ROOFLINE] = {"roofline", "roofline_share", true},
    [BOUND] = {"bound by", "bound", false},
    [PHASE] = {"part", "phase", false},
};

static void set_share(struct assay_table *t, int column, int decimals, double share)
{
    assay_table_set(t, column, assay_arena_printf(&t->arena, "%.*f %%", decimals, 100 * share), json_real(share));
}

static void add_profile_line(struct assay_table *t, const char *type, const char *name, double ns, double share,
                             const json_t *entry)
{
    const json_t *roofline = json_object_get(entry, "roofline_share"), *phase = json_object_get(entry, "phase");
    assay_table_row(t);
    assay_table_text(t, OP, type);
    assay_table_text(t, NODE, name);
    assay_table_ns(t, TIME, ns);
    set_share(t, SHARE, 1, share);
    if (roofline) {
        set_share(t, ROOFLINE, 0, json_number_value(roofline));
        assay_table_text(t, BOUND, json_string_value(json_object_get(entry, "bound")));
    }
    if (phase)
        assay_table_text(t, PHASE, json_string_value(phase));
}

void assay_bench_profile_make(struct assay_table *table, const json_t *profile)
{
    enum { LONGEST = 15 };
    double shown = 0, rest_ns = 0, rest = 0;
    size_t n_rest = 0, i;
    json_t *entry;
    assay_table_init(table);
    assay_table_columns(table, profile_columns, has_phases(profile) ? ASSAY_COUNT(profile_columns) : PHASE);
    json_array_foreach(profile, i, entry)
    {
        double ns = json_number_value(json_object_get(entry, "mean_ns")),
               share = json_number_value(json_object_get(entry, "share"));
        if (i >= LONGEST || shown > 0.95) {
            rest_ns += ns;
            rest += share;
            n_rest++;
            continue;
        }
        shown += share;
        add_profile_line(table, json_string_value(json_object_get(entry, "type")),
                         json_string_value(json_object_get(entry, "name")), ns, share, entry);
    }
    if (n_rest)
        add_profile_line(table, "", assay_arena_printf(&table->arena, "(%zu more)", n_rest), rest_ns, rest, NULL);
}

/* ---- the profile in words */

/* Ops that a person counts together; others are a kind of their own. Names as graphs and runtimes have them. */
static const struct {
    const char *one, *many, *types;
} kinds[] = {
    {"matrix product", "matrix products",
     " MatMul Gemm Linear QuantizedLinear FusedMatMul FusedGemm MatMulInteger QLinearMatMul QGemm MatMulNBits "
     "DynamicQuantizeMatMul MatMulIntegerToFloat Einsum "},
    {"convolution", "convolutions",
     " Conv ConvGradientInput ConvGradientWeight FusedConv ConvTranspose QLinearConv ConvInteger NhwcFusedConv NhwcMaxPool "},
    {"attention", "attentions", " Attention AttentionGradient MultiHeadAttention GroupQueryAttention QAttention "},
    {"recurrent layer", "recurrent layers", " LSTM LSTMGradient GRU GRUGradient RNN DynamicQuantizeLSTM "},
    {"normalization", "normalizations",
     " LayerNormalization LayerNormalizationGradient RMSNormalizationGradient BatchNormalizationGradient RMSNormalization "
     "SkipLayerNormalization SimplifiedLayerNormalization "
     "SkipSimplifiedLayerNormalization BatchNormalization InstanceNormalization GroupNormalization LpNormalization "
     "EmbedLayerNormalization "},
    {"softmax", "softmaxes", " Softmax LogSoftmax SoftmaxGradient LogSoftmaxGradient "},
    {"loss", "losses", " SoftmaxCrossEntropyLoss SoftmaxCrossEntropyLossGradient "},
    {"optimizer's update", "optimizer's updates", " Adam SGD SumSquares "},
    {"quantization", "quantizations", " QuantizeLinear DequantizeLinear DynamicQuantizeLinear "},
    {"pooling", "poolings",
     " MaxPool MaxPoolGradient AveragePool GlobalAveragePool GlobalMaxPool QLinearAveragePool QLinearGlobalAveragePool "},
    {"elementwise op", "elementwise ops",
     " Fused Add Sub Mul Div Pow Sqrt Exp Log Erf Tanh Sigmoid Relu LeakyRelu Gelu FastGelu BiasGelu QuickGelu Swish HardSwish "
     "HardSigmoid Clip Neg Abs Where Min Max Sum Greater Less Equal And Or Not Sin Cos Reciprocal Softplus Elu QLinearAdd "
     "QLinearMul QLinearSigmoid QLinearLeakyRelu "},
    {"movement of data", "movements of data",
     " Reorder ReorderInput ReorderOutput Transpose Cast Concat Slice Split Gather GatherND GatherElements Expand Tile Pad "
     "Reshape "
     "Squeeze Unsqueeze Flatten Identity MemcpyToHost MemcpyFromHost QLinearConcat "},
    {"update of state", "updates of state", " State "},
    {"choice of tokens", "choices of tokens", " Choice "},
};

struct kind {
    const char *one, *many;
    double ns, compute_ns, memory_ns; /* measured, and at least by the roofline: of the ops that each side bounds */
    double share;
    json_int_t n;
};

static int find_kind(struct kind *found, int *n_found, const char *type, struct assay_arena *arena)
{
    const char *one = type, *many = type, *word = assay_arena_printf(arena, " %s ", type);
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++)
        if (strstr(kinds[i].types, word)) {
            one = kinds[i].one;
            many = kinds[i].many;
        }
    for (int i = 0; i < *n_found; i++)
        if (strcmp(found[i].one, one) == 0)
            return i;
    found[*n_found] = (struct kind){.one = one, .many = many};
    return (*n_found)++;
}

static int most_first(const void *a, const void *b)
{
    double x = ((const struct kind *)a)->ns, y = ((const struct kind *)b)->ns;
    return (x < y) - (x > y);
}

/* ", at 88 % of peak"; "" where nothing tells. */
static const char *bound_text(const struct kind *k, struct assay_arena *arena)
{
    double least = k->compute_ns + k->memory_ns;
    if (!(least > 0) || !(k->ns > 0))
        return "";
    double share = least / k->ns;
    if (k->compute_ns > k->memory_ns)
        return assay_arena_printf(arena, " at %.0f %% of peak", 100 * share);
    if (share > 1)
        return assay_arena_printf(arena, " from the caches, at %.1f times the bandwidth of memory", share);
    return assay_arena_printf(arena, " bound by memory at %.0f %% of bandwidth", 100 * share);
}

/* "Forward 31.0 %, backward 58.2 %, update 9.1 %; 1.7 % in what the runtime added or outside ops.\n"; "" of what is no step. */
static const char *phase_words(const json_t *profile, struct assay_arena *arena)
{
    static const char *const phases[] = {"forward", "backward", "update"};
    double shares[ASSAY_COUNT(phases)] = {0}, other = 0;
    size_t i;
    json_t *entry;
    if (!has_phases(profile))
        return "";
    json_array_foreach(profile, i, entry)
    {
        const char *phase = json_string_value(json_object_get(entry, "phase"));
        double share = json_number_value(json_object_get(entry, "share"));
        for (size_t k = 0; k < ASSAY_COUNT(phases); k++)
            shares[k] += phase && strcmp(phase, phases[k]) == 0 ? share : 0;
        other += phase ? 0 : share;
    }
    return assay_arena_printf(
        arena, "Forward pass %.1f %%, backward pass %.1f %%, update %.1f %%; %.1f %% in what the runtime added or outside ops.\n",
        100 * shares[0], 100 * shares[1], 100 * shares[2], 100 * other);
}

const char *assay_bench_profile_words(const json_t *profile, struct assay_arena *arena)
{
    enum { MOST = 6 };
    const double UNTOLD = 0.02; /* beyond, it is worth a word */
    struct kind *found = assay_arena_array(arena, json_array_size(profile) + 1, sizeof *found);
    int n_found = 0;
    size_t i;
    json_t *entry;
    double outside = 0, rest = 0;
    const char *text = "";
    json_array_foreach(profile, i, entry)
    {
        const char *type = json_string_value(json_object_get(entry, "type")),
                   *bound = json_string_value(json_object_get(entry, "bound"));
        double ns = json_number_value(json_object_get(entry, "mean_ns")),
               share = json_number_value(json_object_get(entry, "share")),
               least = ns * json_number_value(json_object_get(entry, "roofline_share"));
        if (!*type) {
            outside += share;
            continue;
        }
        struct kind *k = &found[find_kind(found, &n_found, type, arena)];
        k->ns += ns;
        k->share += share;
        k->n += json_integer_value(json_object_get(entry, "count"));
        k->compute_ns += bound && strcmp(bound, "compute") == 0 ? least : 0;
        k->memory_ns += bound && strcmp(bound, "memory") == 0 ? least : 0;
    }
    qsort(found, (size_t)n_found, sizeof *found, most_first);
    for (int k = 0; k < n_found; k++) {
        if (k >= MOST || found[k].share < 0.005) {
            rest += found[k].share;
            continue;
        }
        text = assay_arena_printf(arena, "%s%s%.1f %% in %lld %s%s", text, *text ? "; " : "", 100 * found[k].share,
                                  (long long)found[k].n, found[k].n == 1 ? found[k].one : found[k].many,
                                  bound_text(&found[k], arena));
    }
    if (rest > 0)
        text = assay_arena_printf(arena, "%s; %.1f %% in other ops", text, 100 * rest);
    const char *what = outside < UNTOLD ? "" : " (between kernels, and what recording costs: the runtime does not tell)";
    return n_found
               ? assay_arena_printf(arena, "%s%s; %.1f %% outside ops%s.", phase_words(profile, arena), text, 100 * outside, what)
               : text;
}
