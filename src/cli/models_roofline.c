/* SPDX-License-Identifier: Apache-2.0 */
/* See models.h: a model under this machine's roofs. Bounds come from measured ceilings and counted work; measured points only
 * from rows of the lake that ran the same work here. */
#include "cli/models.h"

#include "base/fs.h"
#include "cli/rows.h"
#include "device/device.h"
#include "report/roofline.h"
#include "report/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_OPS = 14, MAX_NODES = 400, MAX_MEASURED = 4, MAX_POINTS = MAX_OPS + MAX_NODES + MAX_MEASURED + 1 };

struct chart {
    struct assay_cli *cli;
    struct assay_arena *arena;
    const struct assay_models_item *item;
    struct assay_machine machine;
    struct assay_ceilings ceilings;
    int n_threads;  /* of the first roof */
    double seconds; /* that the model takes under it, its nodes one after another */
    struct assay_roofline_roof roofs[2];
    size_t n_roofs;
    struct assay_roofline_point points[MAX_POINTS];
    size_t n_points;
};

static void tell_progress(void *context, const char *what)
{
    struct assay_cli *cli = context;
    assay_log_line(&cli->log, ASSAY_LOG_INFO, "%s", what);
}

static const char *precision_of(const struct chart *c)
{
    return c->item->analysis.precision ? c->item->analysis.precision : "f32";
}

/* The tier that a rate was measured with. */
static const char *tier(const struct chart *c, const char *precision, int n_threads, double rate)
{
    for (int i = 0; i < c->ceilings.n; i++) {
        const struct assay_ceiling *item = &c->ceilings.items[i];
        if (strcmp(item->precision, precision) == 0 && item->n_threads == n_threads && item->rate == rate)
            return item->isa;
    }
    return "";
}

static bool add_roof(struct chart *c, int n_threads)
{
    const char *precision = precision_of(c), *plural = n_threads == 1 ? "" : "s";
    double flops = assay_ceilings_rate(&c->ceilings, precision, n_threads),
           bytes = assay_ceilings_rate(&c->ceilings, "memory", n_threads);
    if (!(flops > 0) || !(bytes > 0))
        return false;
    c->roofs[c->n_roofs++] = (struct assay_roofline_roof){
        .flops_label = assay_arena_printf(c->arena, "%s, %s, %d thread%s: %s", precision, tier(c, precision, n_threads, flops),
                                          n_threads, plural, assay_text_si(c->arena, flops, "FLOP/s")),
        .bytes_label =
            assay_arena_printf(c->arena, "memory, %d thread%s: %s", n_threads, plural, assay_text_si(c->arena, bytes, "B/s")),
        .flops = flops,
        .bytes = bytes,
    };
    return true;
}

static double number(const json_t *object, const char *name) { return json_number_value(json_object_get(object, name)); }

static bool is_of(const json_t *node, const char *type)
{
    const char *own = json_string_value(json_object_get(node, "type"));
    return own && strcmp(own, type) == 0;
}

/* Seconds that work takes under the first roof. */
static double bound_s(const struct chart *c, double flops, double bytes)
{
    return fmax(flops / c->roofs[0].flops, bytes / c->roofs[0].bytes);
}

static enum assay_status set_roofs(struct chart *c, struct assay_error *err)
{
    for (int i = 0; i < c->ceilings.n; i++)
        if (c->ceilings.items[i].n_threads > c->n_threads)
            c->n_threads = c->ceilings.items[i].n_threads;
    if (!add_roof(c, c->n_threads))
        return assay_error_set(err, ASSAY_ABSENT, "this machine has no measured ceiling for %s, so %s has no roof here",
                               precision_of(c), c->item->name);
    if (c->n_threads > 1)
        add_roof(c, 1);
    const struct assay_analysis *a = &c->item->analysis;
    for (int64_t i = 0; i < a->n_nodes; i++)
        c->seconds += bound_s(c, a->node_costs[i].flops, a->node_costs[i].bytes_read + a->node_costs[i].bytes_written);
    return ASSAY_OK;
}

static void add_point(struct chart *c, struct assay_roofline_point point)
{
    if (c->n_points < MAX_POINTS)
        c->points[c->n_points++] = point;
}

/* Kinds of op with most FLOPs first, and those nodes of them that matter. */
static void add_ops(struct chart *c)
{
    const struct assay_analysis *a = &c->item->analysis;
    double smallest = 0.002 * a->flops;
    int n = 0, n_nodes = 0;
    for (int i = 0; i < a->n_ops && n < MAX_OPS; i++) {
        const struct assay_op_count *op = &a->ops[i];
        if (!(op->flops > 0) || !(op->bytes > 0))
            continue;
        double seconds = 0;
        for (size_t k = 0; k < json_array_size(c->item->nodes); k++)
            if (is_of(json_array_get(c->item->nodes, k), op->type))
                seconds += bound_s(c, number(json_array_get(c->item->nodes, k), "flops"),
                                   number(json_array_get(c->item->nodes, k), "bytes"));
        add_point(c, (struct assay_roofline_point){.kind = ASSAY_ROOFLINE_OP,
                                                   .label = op->type,
                                                   .intensity = op->flops / op->bytes,
                                                   .share = op->flops / a->flops,
                                                   .time_share = seconds / c->seconds,
                                                   .colour = n});
        for (size_t k = 0; k < json_array_size(c->item->nodes); k++) {
            const json_t *node = json_array_get(c->item->nodes, k);
            double flops = number(node, "flops"), bytes = number(node, "bytes");
            if (is_of(node, op->type) && flops > smallest && bytes > 0 && n_nodes++ < MAX_NODES)
                add_point(c, (struct assay_roofline_point){.kind = ASSAY_ROOFLINE_NODE, .intensity = flops / bytes, .colour = n});
        }
        n++;
    }
}

/* The whole model: its nodes one after another, each as fast as the roof allows. */
static void add_model(struct chart *c)
{
    const struct assay_analysis *a = &c->item->analysis;
    double rate = a->flops / c->seconds;
    add_point(c, (struct assay_roofline_point){
                     .kind = ASSAY_ROOFLINE_MODEL,
                     .label = assay_arena_printf(c->arena, "whole model: at most %s", assay_text_si(c->arena, rate, "FLOP/s")),
                     .intensity = a->flops / a->bytes,
                     .rate = rate,
                 });
}

/* The newest row of each platform that did as much work here. */
static enum assay_status add_measured(struct chart *c, struct assay_error *err)
{
    const struct assay_analysis *a = &c->item->analysis;
    const struct assay_filter filter = {.model = c->item->name,
                                        .status = "ok",
                                        .mode = "inference",
                                        .scenario = "single-stream",
                                        .provenance = "measured",
                                        .precision = precision_of(c),
                                        .host = c->machine.host};
    const char *columns = "platform, threads, achieved_flops, flops, strftime(time, '%Y-%m-%d')", *seen[MAX_MEASURED];
    struct assay_lake *lake = NULL;
    struct assay_query *query = NULL;
    size_t n = 0;
    enum assay_status st = assay_rows_open(c->cli, &lake, err);
    if (!st)
        st = assay_lake_query(lake, assay_filter_sql(&filter, columns, c->arena), &query, err);
    while (!st && n < MAX_MEASURED && assay_query_next(query)) {
        const char *cells[5];
        bool is_new = true;
        for (int i = 0; i < 5; i++)
            cells[i] = assay_query_text(query, i, c->arena);
        for (size_t i = 0; i < n && cells[0]; i++)
            is_new &= strcmp(seen[i], cells[0]) != 0;
        double achieved = cells[2] ? strtod(cells[2], NULL) : NAN, flops = cells[3] ? strtod(cells[3], NULL) : NAN;
        if (!cells[0] || !is_new || !(achieved > 0) || !(fabs(flops - a->flops) <= 1e-3 * a->flops))
            continue;
        seen[n++] = cells[0];
        add_point(c, (struct assay_roofline_point){
                         .kind = ASSAY_ROOFLINE_MEASURED,
                         .label = assay_arena_printf(c->arena, "%s: %s", cells[0], assay_text_si(c->arena, achieved, "FLOP/s")),
                         .detail = assay_arena_printf(c->arena, "%s, %s thread%s", cells[0], cells[1] ? cells[1] : "?",
                                                      cells[1] && strcmp(cells[1], "1") == 0 ? "" : "s"),
                         .date = cells[4],
                         .intensity = a->flops / a->bytes,
                         .rate = achieved,
                     });
    }
    assay_query_close(query);
    assay_lake_close(lake);
    return st;
}

/* What has no place on the plot. */
static const char *describe_rest(const struct chart *c)
{
    const struct assay_analysis *a = &c->item->analysis;
    const char *names = "";
    double bytes = 0;
    int n = 0;
    for (int i = 0; i < a->n_ops; i++) {
        if (a->ops[i].flops > 0 || !(a->ops[i].bytes > 0))
            continue;
        bytes += a->ops[i].bytes;
        if (n++ < 4)
            names = assay_arena_printf(c->arena, "%s%s%s", names, *names ? ", " : "", a->ops[i].type);
    }
    return n == 0 ? "Every op that moves bytes has FLOPs."
                  : assay_arena_printf(c->arena, "Without FLOPs, so not drawn: %s%s; %.3g %% of the bytes.", names,
                                       n > 4 ? ", …" : "", 100 * bytes / a->bytes);
}

static enum assay_status draw(struct chart *c, const char *file, struct assay_error *err)
{
    const struct assay_analysis *a = &c->item->analysis;
    const char *phase = assay_cli_given(c->cli, "phase") ? assay_cli_text(c->cli, "phase", "") : "";
    char when[16] = "";
    time_t seconds = (time_t)(c->ceilings.measured_us / 1000000);
    struct tm utc;
    if (gmtime_r(&seconds, &utc))
        strftime(when, sizeof when, "%Y-%m-%d", &utc);
    const char *const notes[] = {
        assay_arena_printf(c->arena, "Roofs: %s (%s), measured %s by assay devices: FMA loops, STREAM triad.",
                           c->machine.cpu_name, c->machine.host, when),
        "Circles, dots and diamond are predicted bounds: counted work under measured roofs; the model: its ops one after "
        "another.",
        "Bytes as if every op read and wrote memory, unfused and uncached: a runtime that fuses or caches may lie above its "
        "bound.",
        describe_rest(c),
    };
    const struct assay_roofline roofline = {
        .title = assay_arena_printf(c->arena, "Roofline of %s%s%s", c->item->name, *phase ? ", " : "", phase),
        .subtitle = assay_arena_printf(c->arena, "%s · %s, %s, %s a run", c->item->shape_text, precision_of(c),
                                       assay_text_si(c->arena, a->flops, "FLOP"), assay_text_bytes(c->arena, a->bytes)),
        .notes = notes,
        .n_notes = ASSAY_COUNT(notes),
        .roofs = c->roofs,
        .n_roofs = c->n_roofs,
        .points = c->points,
        .n_points = c->n_points,
    };
    char *svg = assay_roofline_svg(&roofline);
    enum assay_status st = assay_fs_write(file, svg, strlen(svg), err);
    free(svg);
    return st;
}

enum assay_status assay_models_roofline(struct assay_cli *cli, const struct assay_models_item *item, const char *file,
                                        struct assay_error *err)
{
    if (item->cost_why || !(item->analysis.flops > 0) || !(item->analysis.bytes > 0))
        return assay_error_set(err, ASSAY_INVALID, "%s has no place under a roofline, because %s", item->name,
                               item->cost_why ? item->cost_why : "its FLOPs are none");
    struct chart *c = assay_arena_alloc(&cli->arena, sizeof *c);
    c->cli = cli;
    c->arena = &cli->arena;
    c->item = item;
    assay_machine_init(&c->machine);
    enum assay_status st = assay_ceilings_get(&c->ceilings, &c->machine, false, tell_progress, cli, err);
    if (st) {
        assay_machine_release(&c->machine);
        return st;
    }
    st = set_roofs(c, err);
    if (!st) {
        add_ops(c);
        add_model(c);
        st = add_measured(c, err);
    }
    if (!st)
        st = draw(c, file, err);
    assay_ceilings_release(&c->ceilings);
    assay_machine_release(&c->machine);
    return st;
}
