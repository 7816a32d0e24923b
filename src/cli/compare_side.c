/* SPDX-License-Identifier: Apache-2.0 */
/* See compare_side.h. */
#include "cli/compare_side.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const enum assay_column assay_side_shown[ASSAY_SIDE_N_SHOWN] = {ASSAY_ROW_model,    ASSAY_ROW_platform,  ASSAY_ROW_mode,
                                                                ASSAY_ROW_scenario, ASSAY_ROW_precision, ASSAY_ROW_batch,
                                                                ASSAY_ROW_threads};

/* ---- what a side is */

static bool is_date(const char *text)
{
    static const char pattern[] = "dddd-dd-dd";
    size_t i = 0;
    for (; text[i] && pattern[i]; i++)
        if (pattern[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != '-')
            return false;
    return !text[i] && !pattern[i];
}

static enum assay_status read_pins(struct assay_side *side, const char *text, struct assay_error *err)
{
    char *copy = assay_arena_strdup(&side->arena, text), *rest = NULL;
    size_t n = 0;
    side->pins = assay_arena_array(&side->arena, strlen(text) + 3, sizeof *side->pins);
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(item, '=');
        if (!equals)
            return assay_error_set(err, ASSAY_INVALID, "'%s' is no NAME=VALUE", item);
        *equals = '\0';
        enum assay_status st = assay_rows_filter_set(&side->filter, item, equals + 1, err);
        if (st)
            return st;
        side->pins[n++] = item;
        side->pins[n++] = equals + 1;
    }
    return ASSAY_OK;
}

enum assay_status assay_side_init(struct assay_side *side, const char *text, struct assay_error *err)
{
    *side = (struct assay_side){0};
    assay_arena_init(&side->arena);
    if (!*text)
        return assay_error_set(err, ASSAY_INVALID, "a side is empty: give a run id, a date or NAME=VALUE,...");
    side->pins = assay_arena_array(&side->arena, 1, sizeof *side->pins);
    if (strchr(text, '=')) {
        enum assay_status st = read_pins(side, text, err);
        return st ? assay_error_prefix(err, st, "'%s'", text) : ASSAY_OK;
    }
    if (is_date(text))
        side->filter.since = side->filter.until = text;
    else
        side->filter.run_id = assay_arena_printf(&side->arena, "%s*", text);
    return ASSAY_OK;
}

void assay_side_release(struct assay_side *side)
{
    free(side->samples_ns);
    assay_arena_release(&side->arena);
}

const char *assay_side_pin(const struct assay_side *side, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; side->pins && side->pins[i]; i += 2)
        if (strcmp(side->pins[i], name) == 0)
            value = side->pins[i + 1];
    return value;
}

/* ---- keys */

static bool is_pinned_apart(const struct assay_side *a, const struct assay_side *b, const char *name)
{
    const char *value_a = assay_side_pin(a, name), *value_b = assay_side_pin(b, name);
    return value_a && value_b && strcmp(value_a, value_b) != 0;
}

enum assay_status assay_side_keys(const struct assay_side *a, const struct assay_side *b, const char *const *names,
                                  size_t n_names, enum assay_column *columns, size_t *n, struct assay_error *err)
{
    /* A column, and the filters that make it differ if they do. */
    static const struct {
        enum assay_column column;
        const char *filters[3];
    } usual[] = {
        {ASSAY_ROW_model_id, {"model", "precision", "family"}},
        {ASSAY_ROW_mode, {"mode"}},
        {ASSAY_ROW_scenario, {"scenario"}},
        {ASSAY_ROW_precision, {"precision"}},
        {ASSAY_ROW_batch, {"batch"}},
        {ASSAY_ROW_shape, {"batch", "model", "family"}},
        {ASSAY_ROW_threads, {"threads"}},
        {ASSAY_ROW_platform, {"platform"}},
        {ASSAY_ROW_isa, {"platform"}},
    };
    *n = 0;
    for (size_t i = 0; i < n_names; i++) {
        enum assay_column column = assay_column_find(names[i]);
        if (column == ASSAY_N_COLUMNS ||
            (assay_columns[column].kind != ASSAY_COLUMN_TEXT && assay_columns[column].kind != ASSAY_COLUMN_INT))
            return assay_error_set(err, ASSAY_INVALID,
                                   "--by: '%s' is no column of texts or whole numbers; see docs/row-reference.md", names[i]);
        if (*n < ASSAY_N_COLUMNS)
            columns[(*n)++] = column;
    }
    for (size_t i = 0; n_names == 0 && i < ASSAY_COUNT(usual); i++) {
        bool apart = false;
        for (size_t k = 0; k < ASSAY_COUNT(usual[i].filters) && usual[i].filters[k]; k++)
            apart |= is_pinned_apart(a, b, usual[i].filters[k]);
        if (!apart)
            columns[(*n)++] = usual[i].column;
    }
    return ASSAY_OK;
}

/* ---- rows */

static const char *cell_text(const struct assay_row *row, enum assay_column column, struct assay_arena *arena)
{
    if (!row->cells[column].set)
        return "";
    if (assay_columns[column].kind == ASSAY_COLUMN_TEXT)
        return assay_arena_strdup(arena, row->cells[column].text);
    return assay_arena_printf(arena, "%lld", (long long)row->cells[column].i);
}

static enum assay_status add_samples(struct assay_side *side, const struct assay_cell *cell, struct assay_error *err)
{
    if (side->n_samples + cell->n > side->samples_room) {
        size_t room = 2 * (side->n_samples + cell->n);
        double *grown = realloc(side->samples_ns, room * sizeof *grown);
        if (!grown)
            return assay_error_set(err, ASSAY_NO_MEMORY, "no memory for %zu samples: compare fewer rows", room);
        side->samples_ns = grown;
        side->samples_room = room;
    }
    if (cell->n)
        memcpy(side->samples_ns + side->n_samples, cell->reals, cell->n * sizeof *cell->reals);
    side->n_samples += cell->n;
    return ASSAY_OK;
}

static enum assay_status add_row(struct assay_side *side, const struct assay_row *row, const enum assay_column *keys,
                                 size_t n_keys, struct assay_error *err)
{
    if (side->n_rows == side->room) {
        size_t room = side->room ? 2 * side->room : 64;
        side->rows = assay_arena_grow(&side->arena, side->rows, side->n_rows, room, sizeof *side->rows);
        side->room = room;
    }
    struct assay_side_row *r = &side->rows[side->n_rows++];
    bool timed = strcmp(assay_row_text(row, ASSAY_ROW_status, ""), "ok") == 0 && row->cells[ASSAY_ROW_samples_ns].set;
    r->key = "";
    for (size_t i = 0; i < n_keys; i++)
        r->key = assay_arena_printf(&side->arena, "%s%s\x1f", r->key, cell_text(row, keys[i], &side->arena));
    for (size_t i = 0; i < ASSAY_SIDE_N_SHOWN; i++)
        r->shown[i] = cell_text(row, assay_side_shown[i], &side->arena);
    r->case_id = cell_text(row, ASSAY_ROW_case_id, &side->arena);
    r->status = cell_text(row, ASSAY_ROW_status, &side->arena);
    r->reason = cell_text(row, ASSAY_ROW_reason, &side->arena);
    r->provenance = cell_text(row, ASSAY_ROW_provenance, &side->arena);
    r->noisy = assay_row_int(row, ASSAY_ROW_noisy, 0) != 0;
    r->n_samples = timed ? row->cells[ASSAY_ROW_samples_ns].n : 0;
    return timed ? add_samples(side, &row->cells[ASSAY_ROW_samples_ns], err) : ASSAY_OK;
}

/* A list whose every name has a space before it and a comma behind. */
static const char *with_column(const char *columns, enum assay_column column, struct assay_arena *arena)
{
    const char *item = assay_arena_printf(arena, " %s,", assay_columns[column].name);
    return strstr(columns, item) ? columns : assay_arena_printf(arena, "%s%s", columns, item);
}

enum assay_status assay_side_read(struct assay_side *side, struct assay_lake *lake, const char *text,
                                  const enum assay_column *keys, size_t n_keys, struct assay_error *err)
{
    struct assay_row row;
    struct assay_query *query = NULL;
    const char *columns = " case_id, status, reason, provenance, noisy, samples_ns,";
    for (size_t i = 0; i < ASSAY_SIDE_N_SHOWN; i++)
        columns = with_column(columns, assay_side_shown[i], &side->arena);
    for (size_t i = 0; i < n_keys; i++)
        columns = with_column(columns, keys[i], &side->arena);
    columns = assay_arena_strndup(&side->arena, columns, strlen(columns) - 1);
    assay_row_init(&row);
    enum assay_status st = assay_lake_query(lake, assay_filter_sql(&side->filter, columns, &side->arena), &query, err);
    while (!st && assay_query_next(query)) {
        st = assay_query_row(query, &row, err);
        if (!st)
            st = add_row(side, &row, keys, n_keys, err);
    }
    /* Only now, since the array moves while it grows. */
    for (size_t i = 0, at = 0; i < side->n_rows; at += side->rows[i++].n_samples)
        side->rows[i].samples_ns = side->samples_ns + at;
    if (!st && side->n_rows == 0)
        st = assay_error_set(err, ASSAY_ABSENT, "the lake has no row for '%s': `assay query` lists run ids and dates", text);
    assay_query_close(query);
    assay_row_release(&row);
    return st;
}

/* ---- cases */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct assay_side_row *const *)a)->key, (*(struct assay_side_row *const *)b)->key);
}

static struct assay_side_row **sorted(struct assay_side *side, struct assay_arena *arena)
{
    struct assay_side_row **rows = assay_arena_array(arena, side->n_rows, sizeof *rows);
    for (size_t i = 0; i < side->n_rows; i++)
        rows[i] = &side->rows[i];
    qsort(rows, side->n_rows, sizeof *rows, by_key);
    return rows;
}

static int by_what_is_shown(const void *a, const void *b)
{
    const struct assay_side_case *x = a, *y = b;
    const struct assay_side_row *row_x = x->rows[x->n[0] ? 0 : 1][0], *row_y = y->rows[y->n[0] ? 0 : 1][0];
    int order = 0;
    for (size_t i = 0; order == 0 && i < ASSAY_SIDE_N_SHOWN; i++)
        order = strverscmp(row_x->shown[i], row_y->shown[i]);
    return order ? order : strcmp(row_x->key, row_y->key);
}

struct assay_side_case *assay_side_match(struct assay_side *a, struct assay_side *b, struct assay_arena *arena, size_t *n)
{
    struct assay_side_row **rows[2] = {sorted(a, arena), sorted(b, arena)};
    const size_t n_rows[2] = {a->n_rows, b->n_rows};
    size_t at[2] = {0, 0};
    struct assay_side_case *cases = assay_arena_array(arena, a->n_rows + b->n_rows, sizeof *cases);
    *n = 0;
    while (at[0] < n_rows[0] || at[1] < n_rows[1]) {
        struct assay_side_case *c = &cases[(*n)++];
        const char *key = at[0] == n_rows[0]                                                            ? rows[1][at[1]]->key
                          : at[1] == n_rows[1] || strcmp(rows[0][at[0]]->key, rows[1][at[1]]->key) <= 0 ? rows[0][at[0]]->key
                                                                                                        : rows[1][at[1]]->key;
        for (int s = 0; s < 2; s++) {
            c->rows[s] = rows[s] + at[s];
            while (at[s] < n_rows[s] && strcmp(rows[s][at[s]]->key, key) == 0) {
                c->n[s]++;
                at[s]++;
            }
        }
    }
    qsort(cases, *n, sizeof *cases, by_what_is_shown);
    return cases;
}
