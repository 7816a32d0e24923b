/* SPDX-License-Identifier: Apache-2.0 */
/* assay devices: what hardware and which platforms are here, with the reason for each that is not. Each section is a table: for
 * people one after the other, in JSON the members of one object. */
#include "cli/cli.h"

#include "base/clock.h"
#include "device/device.h"
#include "runtime/registry.h"

#include <string.h>

static const char *const format_words[] = {"table", "json", "markdown", NULL};

static const struct assay_cli_option options[] = {
    {"measure", ASSAY_OPTION_FLAG, NULL, "Measure the ceilings again, some 10 s, even if they are known.", NULL},
    {"no-measure", ASSAY_OPTION_FLAG, NULL, "Leave the ceilings out, so that nothing is measured.", NULL},
    {"all", ASSAY_OPTION_FLAG, NULL, "List the platforms too that exist for Assay's own tests.", NULL},
    {"format", ASSAY_OPTION_CHOICE, "FORMAT", "How to print results: table, json or markdown [table].", format_words},
    ASSAY_OPTION_END,
};

struct section {
    const char *name, *title;
    struct assay_table table;
};

enum { MACHINE, CACHES, GPUS, SENSORS, CEILINGS, PLATFORMS, NOTES, N_SECTIONS };

static struct assay_table *begin(struct section *s, const char *name, const char *title,
                                 const struct assay_table_heading *columns, size_t n)
{
    s->name = name;
    s->title = title;
    assay_table_init(&s->table);
    assay_table_columns(&s->table, columns, n);
    s->table.wraps = true;
    return &s->table;
}

/* Absent where the text is empty. */
static void set_known(struct assay_table *t, int column, const char *text)
{
    if (text && *text)
        assay_table_text(t, column, text);
}

static void set_bytes(struct assay_table *t, int column, int64_t bytes)
{
    if (bytes > 0)
        assay_table_set(t, column, assay_text_bytes(&t->arena, (double)bytes), json_integer(bytes));
}

/* ---- the sections */

static void add_machine(struct section *s, struct assay_machine *m)
{
    static const struct assay_table_heading columns[] = {
        {"host", "host", false},
        {"system", "os", false},
        {"kernel", "kernel", false},
        {"architecture", "architecture", false},
        {"CPU", "cpu_name", false},
        {"CPU vendor", "cpu_vendor", false},
        {"sockets", "sockets", false},
        {"cores", "cores", false},
        {"hardware threads", "hardware_threads", false},
        {"NUMA nodes", "numa_nodes", false},
        {"CPUs allowed to us", "allowed_cpus", false},
        {"CPU quota", "cpu_quota", false},
        {"instruction sets", "isa", false},
        {"virtualization", "virtualization", false},
        {"governor", "governor", false},
        {"turbo", "turbo", false},
        {"clock, measured", "frequency_hz", false},
        {"memory", "memory_bytes", false},
        {"memory limit", "memory_limit_bytes", false},
    };
    struct assay_table *t = begin(s, "machine", "Machine", columns, ASSAY_COUNT(columns));
    const char *const texts[] = {m->host, m->os, m->kernel, m->architecture, m->cpu_name, m->cpu_vendor};
    const int counts[] = {m->n_sockets, m->n_cores, m->n_threads, m->n_numa_nodes, m->n_allowed_cpus};
    double hz = assay_device_frequency();
    t->upright = true;
    assay_table_row(t);
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++)
        set_known(t, (int)i, texts[i]);
    for (size_t i = 0; i < ASSAY_COUNT(counts); i++)
        assay_table_int(t, 6 + (int)i, counts[i]);
    assay_table_set(t, 11, m->cpu_quota > 0 ? assay_arena_printf(&t->arena, "%.4g CPUs", m->cpu_quota) : "none",
                    m->cpu_quota > 0 ? json_real(m->cpu_quota) : json_null());
    assay_table_text(t, 12, assay_machine_isa_text(m));
    set_known(t, 13, m->virtualization);
    set_known(t, 14, m->governor);
    if (m->turbo >= 0)
        assay_table_set(t, 15, m->turbo ? "on" : "off", json_boolean(m->turbo));
    assay_table_set(t, 16, assay_text_si(&t->arena, hz, "Hz"), json_real(hz));
    set_bytes(t, 17, m->memory_bytes);
    if (m->memory_limit_bytes)
        set_bytes(t, 18, m->memory_limit_bytes);
    else
        assay_table_set(t, 18, "none", json_null());
}

static void add_caches(struct section *s, const struct assay_machine *m)
{
    static const struct assay_table_heading columns[] = {{"level", "level", true},
                                                         {"kind", "kind", false},
                                                         {"size", "size_bytes", true},
                                                         {"line", "line_bytes", true},
                                                         {"shared by CPUs", "shared_by", true}};
    struct assay_table *t = begin(s, "caches", "Caches", columns, ASSAY_COUNT(columns));
    for (int i = 0; i < m->n_caches; i++) {
        const struct assay_cache_info *cache = &m->caches[i];
        assay_table_row(t);
        assay_table_int(t, 0, cache->level);
        assay_table_text(t, 1, cache->kind == 'd' ? "data" : cache->kind == 'i' ? "instructions" : "unified");
        set_bytes(t, 2, cache->size_bytes);
        set_bytes(t, 3, cache->line_bytes);
        assay_table_int(t, 4, cache->shared_by);
    }
}

static void add_gpus(struct section *s, const struct assay_machine *m)
{
    static const struct assay_table_heading columns[] = {
        {"name", "name", false},          {"vendor", "vendor", false}, {"driver", "driver", false},   {"told by", "api", false},
        {"memory", "memory_bytes", true}, {"cores", "cores", true},    {"kind", "is_software", false}};
    struct assay_table *t = begin(s, "gpus", "GPUs", columns, ASSAY_COUNT(columns));
    for (int i = 0; i < m->n_gpus; i++) {
        const struct assay_gpu_info *gpu = &m->gpus[i];
        assay_table_row(t);
        set_known(t, 0, gpu->name);
        set_known(t, 1, gpu->vendor);
        set_known(t, 2, gpu->driver);
        set_known(t, 3, gpu->api);
        set_bytes(t, 4, gpu->memory_bytes);
        if (gpu->n_cores)
            assay_table_int(t, 5, gpu->n_cores);
        assay_table_set(t, 6, gpu->is_software ? "software, on the CPU" : "hardware", json_boolean(gpu->is_software));
    }
}

static void add_sensors(struct section *s, const struct assay_machine *m)
{
    static const struct assay_table_heading columns[] = {
        {"sensor", "name", false}, {"state", "available", false}, {"reason", "reason", false}};
    struct assay_table *t = begin(s, "sensors", "Energy counters", columns, ASSAY_COUNT(columns));
    for (int i = 0; i < m->n_sensors; i++) {
        assay_table_row(t);
        assay_table_text(t, 0, m->sensors[i].name);
        assay_table_set(t, 1, m->sensors[i].available ? "available" : "absent", json_boolean(m->sensors[i].available));
        assay_table_text(t, 2, m->sensors[i].reason);
    }
}

static void add_notes(struct section *s, const struct assay_machine *m)
{
    static const struct assay_table_heading columns[] = {{"note", "note", false}};
    struct assay_table *t = begin(s, "notes", "What could not be read, and why", columns, ASSAY_COUNT(columns));
    for (int i = 0; i < m->n_notes; i++) {
        assay_table_row(t);
        assay_table_text(t, 0, m->notes[i]);
    }
}

static void add_platforms(struct section *s, struct assay_arena *arena, bool all)
{
    static const struct assay_table_heading columns[] = {
        {"platform", "name", false},   {"state", "available", false}, {"device", "device", false}, {"runtime", "runtime", false},
        {"version", "version", false}, {"variant", "variant", false}, {"reason", "reason", false}};
    struct assay_table *t = begin(s, "platforms", "Platforms", columns, ASSAY_COUNT(columns));
    struct assay_platform_list list;
    assay_platforms_list(arena, &list);
    for (int i = 0; i < list.n; i++) {
        const struct assay_platform *platform = &list.items[i];
        if (platform->is_test && !all)
            continue;
        assay_table_row(t);
        assay_table_text(t, 0, platform->name);
        assay_table_set(t, 1, platform->available ? "available" : "absent", json_boolean(platform->available));
        assay_table_text(t, 2, platform->device);
        assay_table_text(t, 3, platform->runtime);
        set_known(t, 4, platform->version);
        set_known(t, 5, platform->variant);
        assay_table_text(t, 6, platform->reason);
    }
}

/* ---- ceilings */

static void tell_progress(void *context, const char *what)
{
    assay_log_line(&((struct assay_cli *)context)->log, ASSAY_LOG_INFO, "%s", what);
}

static const char *rate_unit(const char *precision)
{
    return strcmp(precision, "memory") == 0 ? "B/s" : strncmp(precision, "int", 3) == 0 ? "OP/s" : "FLOP/s";
}

static void fill_ceilings(struct assay_table *t, const struct assay_ceilings *ceilings)
{
    char time[ASSAY_UTC_TEXT_SIZE];
    assay_clock_utc_text(ceilings->measured_us, time);
    const char *minute = assay_arena_printf(&t->arena, "%.10s %.5s UTC", time, time + 11);
    for (int i = 0; i < ceilings->n; i++) {
        const struct assay_ceiling *c = &ceilings->items[i];
        const char *unit = rate_unit(c->precision);
        assay_table_row(t);
        assay_table_text(t, 0, c->precision);
        assay_table_text(t, 1, c->isa);
        assay_table_int(t, 2, c->n_threads);
        assay_table_set(t, 3, assay_text_si(&t->arena, c->rate, unit), json_real(c->rate));
        assay_table_set(t, 4, assay_arena_printf(&t->arena, "%.1f %%", 100 * c->spread), json_real(c->spread));
        assay_table_text(t, 5, "measured");
        assay_table_set(t, 6, minute, json_string(time));
        if (t->n_columns > 7)
            assay_table_text(t, 7, unit);
    }
}

static enum assay_status add_ceilings(struct section *s, struct assay_cli *cli, const struct assay_machine *m,
                                      struct assay_error *err)
{
    static const struct assay_table_heading columns[] = {{"of what", "precision", false}, {"instructions", "isa", false},
                                                         {"threads", "threads", true},    {"rate", "rate", true},
                                                         {"spread", "spread", true},      {"provenance", "provenance", false},
                                                         {"when", "time", false},         {"unit", "unit", false}};
    size_t n = ASSAY_COUNT(columns) - (assay_cli_format(cli) != ASSAY_FORMAT_JSON); /* people read the unit in the rate */
    struct assay_ceilings ceilings;
    struct assay_table *t = begin(s, "ceilings", "Ceilings of the CPU", columns, n);
    if (assay_cli_flag(cli, "no-measure"))
        return ASSAY_OK;
    enum assay_status st = assay_ceilings_get(&ceilings, m, assay_cli_flag(cli, "measure"), tell_progress, cli, err);
    if (st)
        return st;
    fill_ceilings(t, &ceilings);
    assay_ceilings_release(&ceilings);
    return ASSAY_OK;
}

/* ---- printing */

static int print_object(struct section *sections)
{
    json_t *object = json_object();
    for (int i = 0; i < N_SECTIONS; i++) {
        json_t *rows = assay_table_to_json(&sections[i].table);
        if (sections[i].table.upright)
            json_object_set(object, sections[i].name, json_array_get(rows, 0));
        else
            json_object_set(object, sections[i].name, rows);
        json_decref(rows);
    }
    assay_json_print(object, stdout);
    putchar('\n');
    json_decref(object);
    return ASSAY_EXIT_OK;
}

static int print_sections(struct assay_cli *cli, struct section *sections)
{
    int code = ASSAY_EXIT_OK;
    for (int i = 0; !code && i < N_SECTIONS; i++) {
        if (i == CEILINGS && assay_cli_flag(cli, "no-measure"))
            continue;
        printf("%s%s%s\n\n", i ? "\n" : "", assay_cli_format(cli) == ASSAY_FORMAT_MARKDOWN ? "## " : "", sections[i].title);
        if (sections[i].table.n_rows)
            code = assay_cli_print(cli, &sections[i].table);
        else
            puts("none");
    }
    return code;
}

static int run(struct assay_cli *cli)
{
    struct assay_machine machine;
    struct assay_error err;
    struct section sections[N_SECTIONS] = {0};
    if (assay_cli_flag(cli, "measure") && assay_cli_flag(cli, "no-measure"))
        return assay_cli_usage(cli, "--measure and --no-measure contradict each other");
    assay_machine_init(&machine);
    add_machine(&sections[MACHINE], &machine);
    add_caches(&sections[CACHES], &machine);
    add_gpus(&sections[GPUS], &machine);
    add_sensors(&sections[SENSORS], &machine);
    add_platforms(&sections[PLATFORMS], &cli->arena, assay_cli_flag(cli, "all"));
    add_notes(&sections[NOTES], &machine);
    /* The rest is worth showing even if this fails. */
    enum assay_status st = add_ceilings(&sections[CEILINGS], cli, &machine, &err);
    int failed = st ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
    int code = assay_cli_format(cli) == ASSAY_FORMAT_JSON ? print_object(sections) : print_sections(cli, sections);
    for (int i = 0; i < N_SECTIONS; i++)
        assay_table_release(&sections[i].table);
    assay_machine_release(&machine);
    return code ? code : failed;
}

const struct assay_verb assay_verb_devices = {
    .name = "devices",
    .summary = "list this machine's hardware, its measured ceilings, and all platforms",
    .usage = "[OPTIONS]",
    .description =
        "Lists the machine, its caches, GPUs and energy counters; the platforms that cases can run on, and why those that are "
        "absent "
        "are; and the ceilings that results are compared with: the CPU's peak in FLOP/s (int8: OP/s) by precision and "
        "instruction "
        "set, and memory bandwidth in B/s (STREAM triad), each at 1 to n threads, with the spread between repetitions. They are "
        "measured once for a machine and kept in ~/.cache/assay.",
    .examples = "  assay devices\n"
                "  assay devices --measure\n"
                "  assay devices --no-measure --format json\n",
    .options = options,
    .run = run,
};
