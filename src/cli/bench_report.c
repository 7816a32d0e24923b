/* SPDX-License-Identifier: Apache-2.0 */
/* See bench_report.h. */
#include "cli/bench_report.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

/* The readable columns, in order; each is filled by the function of its place in fill_readable. */
static const struct {
    const char *header, *name;
    bool right;
} readable[] = {
    {"model", "model", false},
    {"platform", "platform", false},
    {"scenario", "scenario", false},
    {"batch", "batch", true},
    {"threads", "threads", true},
    {"status", "status", false},
    {"median", "latency_median_ns", true},
    {"95 % interval", "latency_interval", true},
    {"p90", "latency_p90_ns", true},
    {"p99", "latency_p99_ns", true},
    {"n", "n_samples", true},
    {"throughput", "throughput", true},
    {"of peak", "peak_share", true},
    {"memory", "peak_memory_bytes", true},
    {"error", "error_max_rel", true},
    {"noise", "noisy", false},
};

static bool is_readable(enum assay_format format) { return format == ASSAY_FORMAT_TABLE || format == ASSAY_FORMAT_MARKDOWN; }

void assay_bench_table_init(struct assay_table *table, enum assay_format format)
{
    assay_table_init(table);
    for (size_t i = 0; is_readable(format) && i < ASSAY_COUNT(readable); i++)
        assay_table_column(table, readable[i].header, readable[i].name, readable[i].right);
    for (int i = 0; !is_readable(format) && i < ASSAY_N_COLUMNS; i++)
        assay_table_column(table, assay_columns[i].name, assay_columns[i].name, false);
}

static const char *interval_text(const struct assay_row *row, struct assay_arena *arena)
{
    double low = assay_row_real(row, ASSAY_ROW_latency_low_ns, NAN), high = assay_row_real(row, ASSAY_ROW_latency_high_ns, NAN);
    double median = assay_row_real(row, ASSAY_ROW_latency_median_ns, NAN);
    if (!(low > 0) || !(median > 0))
        return NULL;
    return assay_arena_printf(arena, "-%.1f +%.1f %%", 100 * (median - low) / median, 100 * (high - median) / median);
}

static const char *noise_text(const struct assay_row *row, struct assay_arena *arena)
{
    if (!assay_row_int(row, ASSAY_ROW_noisy, 0))
        return "";
    return assay_arena_printf(arena, "steal %.0f %%, others %.0f %%", 100 * assay_row_real(row, ASSAY_ROW_noise_steal_share, 0),
                              100 * assay_row_real(row, ASSAY_ROW_noise_other_cpu_share, 0));
}

static void fill_readable(struct assay_table *t, const struct assay_row *row)
{
    static const enum assay_column times[] = {ASSAY_ROW_latency_median_ns, ASSAY_N_COLUMNS, ASSAY_ROW_latency_p90_ns,
                                              ASSAY_ROW_latency_p99_ns};
    struct assay_arena *arena = &t->arena;
    double throughput = assay_row_real(row, ASSAY_ROW_throughput, NAN), share = assay_row_real(row, ASSAY_ROW_peak_share, NAN);
    int64_t memory = assay_row_int(row, ASSAY_ROW_peak_memory_bytes, -1);
    assay_table_text(t, 0, assay_row_text(row, ASSAY_ROW_model, ""));
    assay_table_text(t, 1, assay_row_text(row, ASSAY_ROW_platform, ""));
    assay_table_text(t, 2, assay_row_text(row, ASSAY_ROW_scenario, ""));
    assay_table_int(t, 3, assay_row_int(row, ASSAY_ROW_batch, 0));
    assay_table_int(t, 4, assay_row_int(row, ASSAY_ROW_threads, 0));
    assay_table_text(t, 5, assay_row_text(row, ASSAY_ROW_status, ""));
    for (size_t i = 0; i < ASSAY_COUNT(times); i++)
        if (times[i] != ASSAY_N_COLUMNS)
            assay_table_ns(t, 6 + (int)i, assay_row_real(row, times[i], NAN));
    assay_table_text(t, 7, interval_text(row, arena));
    if (row->cells[ASSAY_ROW_n_samples].set)
        assay_table_int(t, 10, assay_row_int(row, ASSAY_ROW_n_samples, 0));
    if (isfinite(throughput))
        assay_table_text(t, 11, assay_text_si(arena, throughput, assay_row_text(row, ASSAY_ROW_throughput_unit, "")));
    if (isfinite(share))
        assay_table_text(t, 12, assay_arena_printf(arena, "%.1f %%", 100 * share));
    if (memory >= 0)
        assay_table_text(t, 13, assay_text_bytes(arena, (double)memory));
    assay_table_real(t, 14, assay_row_real(row, ASSAY_ROW_error_max_rel, NAN), 2);
    assay_table_text(t, 15, noise_text(row, arena));
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

const char *assay_bench_line(const struct assay_case *c, const struct assay_row *row, struct assay_arena *arena)
{
    const char *status = assay_row_text(row, ASSAY_ROW_status, ""), *label = assay_case_label(c, arena);
    char time[32];
    if (strcmp(status, "ok") != 0)
        return assay_arena_printf(arena, "%s  %s: %s", status, label, assay_row_text(row, ASSAY_ROW_reason, ""));
    assay_clock_duration_text(assay_row_real(row, ASSAY_ROW_latency_median_ns, 0), time, sizeof time);
    const char *interval = interval_text(row, arena);
    return assay_arena_printf(arena, "ok  %s: %s%s%s%s", label, time, interval ? " " : "", interval ? interval : "",
                              assay_row_int(row, ASSAY_ROW_noisy, 0) ? " (noisy)" : "");
}

/* ---- profile */

static void start_profile(struct assay_table *table)
{
    assay_table_init(table);
    assay_table_column(table, "op", "type", false);
    assay_table_column(table, "node", "name", false);
    assay_table_column(table, "median", "median_ns", true);
    assay_table_column(table, "of run", "share", true);
    assay_table_column(table, "roofline", "roofline_share", true);
    assay_table_column(table, "bound by", "bound", false);
}

static void add_profile_line(struct assay_table *t, const char *type, const char *name, double ns, double share,
                             const json_t *entry)
{
    const json_t *roofline = entry ? json_object_get(entry, "roofline_share") : NULL;
    assay_table_row(t);
    assay_table_text(t, 0, type);
    assay_table_text(t, 1, name);
    assay_table_ns(t, 2, ns);
    assay_table_set(t, 3, assay_arena_printf(&t->arena, "%.1f %%", 100 * share), json_real(share));
    if (roofline) {
        assay_table_set(t, 4, assay_arena_printf(&t->arena, "%.0f %%", 100 * json_number_value(roofline)),
                        json_real(json_number_value(roofline)));
        assay_table_text(t, 5, json_string_value(json_object_get(entry, "bound")));
    }
}

void assay_bench_profile_make(struct assay_table *table, const json_t *profile)
{
    enum { LONGEST = 15 };
    double shown = 0, rest_ns = 0, rest = 0;
    size_t n_rest = 0, i;
    json_t *entry;
    start_profile(table);
    json_array_foreach(profile, i, entry)
    {
        double ns = json_number_value(json_object_get(entry, "median_ns")),
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
