/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the lake begin with: a lake in a temporary folder (its name full of wild cards and quotes), and rows in it.
 */
#ifndef ASSAY_LAKE_TEST_FIXTURE_H
#define ASSAY_LAKE_TEST_FIXTURE_H

#include "base/test.h"
#include "lake/internal.h"
#include "lake/test_rows.h"

struct fixture {
    struct assay_arena arena;
    struct assay_error err;
    char *folder, *lake;
    int n_warnings;
    char warning[1024];
};

static inline void remember(void *context, const char *file, const char *reason)
{
    struct fixture *f = context;
    f->n_warnings++;
    snprintf(f->warning, sizeof f->warning, "%s: %s", file, reason);
}

static inline void set_up(struct fixture *f)
{
    *f = (struct fixture){0};
    assay_arena_init(&f->arena);
    CHECK_OK(assay_fs_temporary_folder(&f->arena, &f->folder, &f->err), f->err);
    f->lake = assay_path_join(&f->arena, f->folder, "la[k]e *'?");
    setenv("ASSAY_CACHE", assay_path_join(&f->arena, f->folder, "cache"), 1);
}

static inline void tear_down(struct fixture *f)
{
    CHECK_OK(assay_fs_remove(f->folder, &f->err), f->err);
    assay_arena_release(&f->arena);
}

static inline char *write_rows(struct fixture *f, const char *run, uint64_t first, size_t n, const char *host)
{
    struct assay_row *rows = assay_alloc(n * sizeof *rows);
    char *file;
    for (size_t i = 0; i < n; i++) {
        assay_row_init(&rows[i]);
        test_row_fill(&rows[i], run, first + i, 20);
        if (host)
            assay_row_set_text(&rows[i], ASSAY_ROW_host, host);
    }
    CHECK_OK(assay_lake_write(f->lake, rows, n, &f->arena, &file, &f->err), f->err);
    for (size_t i = 0; i < n; i++)
        assay_row_release(&rows[i]);
    free(rows);
    return file;
}

static inline struct assay_lake *open_lake(struct fixture *f)
{
    struct assay_lake *lake;
    CHECK_OK(assay_lake_open(&lake, f->lake, false, remember, f, &f->err), f->err);
    return lake;
}

static inline char *ask(struct fixture *f, struct assay_lake *lake, const char *sql)
{
    struct assay_query *query;
    CHECK_OK(assay_lake_query(lake, sql, &query, &f->err), f->err);
    CHECK(assay_query_next(query));
    char *text = assay_query_text(query, 0, &f->arena);
    assay_query_close(query);
    return text;
}

/* Every row of `lake` equals the row made from its number. */
static inline void check_rows_of(struct fixture *f, struct assay_lake *lake, const char *run, uint64_t first, size_t n)
{
    struct assay_query *query;
    struct assay_row row, wanted;
    assay_row_init(&row);
    assay_row_init(&wanted);
    CHECK_OK(assay_lake_query(lake, "SELECT * FROM results ORDER BY time", &query, &f->err), f->err);
    for (size_t i = 0; i < n; i++) {
        CHECK(assay_query_next(query));
        CHECK_OK(assay_query_row(query, &row, &f->err), f->err);
        assay_row_clear(&wanted);
        test_row_fill(&wanted, run, first + i, 20);
        json_t *a = assay_row_to_json(&row, true), *b = assay_row_to_json(&wanted, true);
        CHECK(json_equal(a, b));
        json_decref(a);
        json_decref(b);
    }
    CHECK(!assay_query_next(query));
    assay_query_close(query);
    assay_row_release(&row);
    assay_row_release(&wanted);
}

#endif
