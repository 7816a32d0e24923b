/* SPDX-License-Identifier: Apache-2.0 */
/* See rows.h. */
#include "cli/rows.h"

#include "base/range.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const char *const assay_mode_words[] = {"inference", "training", NULL};
const char *const assay_scenario_words[] = {"single-stream", "multi-stream", "offline", "server", NULL};
const char *const assay_status_words[] = {"ok", "unsupported", "no_memory", "mismatch", "timeout", "crashed", NULL};
const char *const assay_provenance_words[] = {"measured", "emulated", "published", "predicted", NULL};

/* The options of ASSAY_OPTIONS_FILTER and where their values go. */
static const struct {
    const char *name;
    enum assay_option_kind kind;
    size_t offset;
} members[] = {
    {"model", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, model)},
    {"platform", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, platform)},
    {"mode", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, mode)},
    {"scenario", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, scenario)},
    {"precision", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, precision)},
    {"status", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, status)},
    {"host", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, host)},
    {"suite", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, suite)},
    {"family", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, family)},
    {"provenance", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, provenance)},
    {"run", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, run_id)},
    {"since", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, since)},
    {"until", ASSAY_OPTION_TEXT, offsetof(struct assay_filter, until)},
    {"batch", ASSAY_OPTION_INT, offsetof(struct assay_filter, batch)},
    {"threads", ASSAY_OPTION_INT, offsetof(struct assay_filter, threads)},
    {"limit", ASSAY_OPTION_INT, offsetof(struct assay_filter, limit)},
    {"latest", ASSAY_OPTION_FLAG, offsetof(struct assay_filter, latest)},
};

/* Numbers count from 1; a limit of 0 is none. */
static enum assay_status set_int(struct assay_filter *filter, size_t i, int64_t value, struct assay_error *err)
{
    int64_t least = members[i].offset == offsetof(struct assay_filter, limit) ? 0 : 1;
    enum assay_status st = assay_range_check_int(members[i].name, value, least, INT64_MAX, err);
    if (st)
        return st;
    memcpy((char *)filter + members[i].offset, &value, sizeof value);
    return ASSAY_OK;
}

static void set_text(struct assay_filter *filter, size_t i, const char *value)
{
    memcpy((char *)filter + members[i].offset, &value, sizeof value);
}

enum assay_status assay_rows_filter(const struct assay_cli *cli, struct assay_filter *filter, struct assay_error *err)
{
    *filter = (struct assay_filter){0};
    for (size_t i = 0; i < ASSAY_COUNT(members); i++) {
        const char *name = members[i].name;
        enum assay_status st = ASSAY_OK;
        if (!assay_cli_given(cli, name))
            continue;
        if (members[i].kind == ASSAY_OPTION_TEXT)
            set_text(filter, i, assay_cli_text(cli, name, NULL));
        else if (members[i].kind == ASSAY_OPTION_INT)
            st = set_int(filter, i, assay_cli_int(cli, name, 0), err);
        else
            filter->latest = true;
        if (st)
            return st;
    }
    return ASSAY_OK;
}

bool assay_rows_is_filtered(const struct assay_cli *cli)
{
    for (size_t i = 0; i < ASSAY_COUNT(members); i++)
        if (assay_cli_given(cli, members[i].name))
            return true;
    return false;
}

enum assay_status assay_rows_filter_set(struct assay_filter *filter, const char *name, const char *value, struct assay_error *err)
{
    char *end;
    size_t i = 0;
    while (i < ASSAY_COUNT(members) && strcmp(members[i].name, name) != 0)
        i++;
    if (i == ASSAY_COUNT(members))
        return assay_error_set(err, ASSAY_INVALID, "there is no filter '%s': they are the filter options of `assay query --help`",
                               name);
    if (!*value)
        return assay_error_set(err, ASSAY_INVALID, "the filter %s= has no value", name);
    if (members[i].kind == ASSAY_OPTION_TEXT) {
        set_text(filter, i, value);
        return ASSAY_OK;
    }
    errno = 0;
    int64_t number = strtoll(value, &end, 10);
    if (*end || errno)
        return assay_error_set(err, ASSAY_INVALID, "the filter %s= takes a whole number, not '%s'", name, value);
    if (members[i].kind == ASSAY_OPTION_INT)
        return set_int(filter, i, number, err);
    filter->latest = number != 0;
    return ASSAY_OK;
}

enum assay_status assay_rows_path(struct assay_cli *cli, char **path, struct assay_error *err)
{
    return assay_lake_path(assay_cli_text(cli, "lake", NULL), &cli->arena, path, err);
}

void assay_rows_warn(void *cli, const char *file, const char *reason)
{
    assay_log_line(&((struct assay_cli *)cli)->log, ASSAY_LOG_WARNING, "%s is left out: %s", file, reason);
}

enum assay_status assay_rows_open(struct assay_cli *cli, struct assay_lake **lake, struct assay_error *err)
{
    char *path = NULL;
    *lake = NULL;
    enum assay_status st = assay_rows_path(cli, &path, err);
    return st ? st : assay_lake_open(lake, path, false, assay_rows_warn, cli, err);
}
