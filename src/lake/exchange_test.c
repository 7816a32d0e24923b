/* SPDX-License-Identifier: Apache-2.0 */
/* Export and import: a lake that goes out and comes in again is the same; a bad file imports nothing and is named with its line.
 */
#include "lake/test_fixture.h"

#include <unistd.h>

static const char *const formats[] = {"jsonl", "csv", "parquet"};

ASSAY_TEST(a_lake_exported_and_imported_is_the_same_in_every_format)
{
    for (size_t i = 0; i < ASSAY_COUNT(formats); i++) {
        struct fixture f;
        int64_t n, n_skipped;
        set_up(&f);
        write_rows(&f, "run", 0, 300, NULL);
        struct assay_lake *lake = open_lake(&f);
        char *file = assay_arena_printf(&f.arena, "%s/out [1] 'x'.%s", f.folder, formats[i]);
        CHECK_OK(assay_lake_export(lake, "SELECT * FROM results ORDER BY time ;\n", file, &n, &f.err), f.err);
        CHECK_INT(n, 300);
        assay_lake_close(lake);
        f.lake = assay_path_join(&f.arena, f.folder, "second");
        CHECK_OK(assay_lake_import(f.lake, file, &n, &n_skipped, &f.err), f.err);
        CHECK_INT(n, 300);
        CHECK_INT(n_skipped, 0);
        lake = open_lake(&f);
        check_rows_of(&f, lake, "run", 0, 300);
        assay_lake_close(lake);
        CHECK_OK(assay_lake_import(f.lake, file, &n, &n_skipped, &f.err), f.err);
        CHECK_INT(n, 0);
        CHECK_INT(n_skipped, 300);
        lake = open_lake(&f);
        check_rows_of(&f, lake, "run", 0, 300);
        assay_lake_close(lake);
        CHECK_INT(f.n_warnings, 0);
        tear_down(&f);
    }
}

ASSAY_TEST(an_import_skips_rows_that_are_there_or_come_twice)
{
    struct fixture f;
    int64_t n, n_skipped;
    set_up(&f);
    write_rows(&f, "run", 0, 30, NULL);
    struct assay_lake *lake = open_lake(&f);
    char *file = assay_path_join(&f.arena, f.folder, "x.jsonl");
    CHECK_OK(assay_lake_export(lake, "SELECT * FROM results UNION ALL SELECT * FROM results", file, &n, &f.err), f.err);
    CHECK_INT(n, 60);
    assay_lake_close(lake);
    CHECK_OK(assay_fs_remove(f.lake, &f.err), f.err);
    write_rows(&f, "run", 0, 10, NULL);
    CHECK_OK(assay_lake_import(f.lake, file, &n, &n_skipped, &f.err), f.err);
    CHECK_INT(n, 20);
    CHECK_INT(n_skipped, 40);
    lake = open_lake(&f);
    check_rows_of(&f, lake, "run", 0, 30);
    assay_lake_close(lake);
    tear_down(&f);
}

#define GOOD                                                                                                                     \
    "{\"result_id\":\"a\",\"run_id\":\"r\",\"schema_version\":1,\"time\":\"2025-01-01T00:00:00Z\",\"provenance\":\"measured\","  \
    "\"status\":\"ok\"}"

ASSAY_TEST(the_first_bad_row_is_named_with_its_line_and_nothing_is_imported)
{
    static const struct {
        const char *name, *text, *part;
    } cases[] = {
        {"a.jsonl", GOOD "\n\n{\"result_id\":\"b\"}\n", "line 3"},
        {"b.jsonl", GOOD "\n{\"x\": \n", "line 2"},
        {"c.jsonl", GOOD "\n[1]\n", "line 2"},
        {"d.jsonl", GOOD "\n{\"speed\":1}", "speed"},
        {"e.jsonl", GOOD "\n{\"model\":\"a\",\"model\":\"b\"}", "line 2"},
        {"f.jsonl", "\xff\xfe", "line 1"},
        {"a.csv", "result_id,run_id\nx,\"y\nz\"\n", "line 2"},
        {"b.csv", "result_id,run_id\nx\n", "2"},
        {"c.csv", "result_id,run_id\n\"x,y\n", "quote"},
        {"d.csv", "result_id,speed\nx,1\n", "speed"},
        {"e.csv", "result_id,batch\nx,eight\n", "batch"},
        {"f.csv", "", "empty"},
        {"g.csv", "result_id\n\"x\"y\n", "line 2"},
        {"h.csv", "result_id\n\xff\n", "line 2"},
        {"a.parquet", "PAR1 this is no Parquet file PAR1", "a.parquet"},
        {"b.parquet", "", "b.parquet"},
        {"a.xml", "<x/>", ".jsonl, .csv or .parquet"},
    };
    struct fixture f;
    int64_t n, n_skipped;
    set_up(&f);
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        char *file = assay_path_join(&f.arena, f.folder, cases[i].name);
        CHECK_OK(assay_fs_write(file, cases[i].text, strlen(cases[i].text), &f.err), f.err);
        CHECK(assay_lake_import(f.lake, file, &n, &n_skipped, &f.err) != ASSAY_OK);
        CHECK_CONTAINS(f.err.message, cases[i].part);
        CHECK_CONTAINS(f.err.message, cases[i].name);
        CHECK_INT(n, 0);
    }
    CHECK_INT(assay_lake_import(f.lake, assay_path_join(&f.arena, f.folder, "none.csv"), &n, &n_skipped, &f.err), ASSAY_ABSENT);
    CHECK_INT(assay_lake_import(f.lake, assay_path_join(&f.arena, f.folder, "none.parquet"), &n, &n_skipped, &f.err),
              ASSAY_ABSENT);
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results"), "0");
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(csv_as_spreadsheets_write_it_is_read)
{
    struct fixture f;
    int64_t n, n_skipped;
    set_up(&f);
    static const char text[] =
        "\xef\xbb\xbf"
        "\"result_id\",\"run_id\",\"schema_version\",\"time\",\"provenance\",\"status\",\"model\",\"batch\","
        "\"samples_ns\",\"metrics\",\"family\"\r\n"
        "\"a\",\"r\",\"1\",\"2025-01-01 00:00:00\",\"measured\",\"ok\",\"say \"\"hi\"\",\r\nbert\",\"8\",\"[1, "
        "2.5]\",\"{\"\"x_ns\"\": 3}\",\"\"\r\n";
    char *file = assay_path_join(&f.arena, f.folder, "x.csv");
    CHECK_OK(assay_fs_write(file, text, sizeof text - 1, &f.err), f.err);
    CHECK_OK(assay_lake_import(f.lake, file, &n, &n_skipped, &f.err), f.err);
    CHECK_INT(n, 1);
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT model FROM results"), "say \"hi\",\r\nbert");
    CHECK_TEXT(ask(&f, lake, "SELECT batch FROM results"), "8");
    CHECK_TEXT(ask(&f, lake, "SELECT samples_ns FROM results"), "[1.0,2.5]");
    CHECK_TEXT(ask(&f, lake, "SELECT metrics['x_ns'] FROM results"), "3");
    CHECK_TEXT(ask(&f, lake, "SELECT family FROM results"), "");
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(rows_of_a_newer_schema_are_imported_as_far_as_they_are_known)
{
    struct fixture f;
    int64_t n, n_skipped;
    set_up(&f);
    static const char text[] = "{\"result_id\":\"a\",\"run_id\":\"r\",\"schema_version\":99,\"time\":\"2025-01-01T00:00:00Z\","
                               "\"provenance\":\"measured\","
                               "\"status\":\"ok\",\"carbon_g\":3}\n";
    char *file = assay_path_join(&f.arena, f.folder, "x.jsonl");
    CHECK_OK(assay_fs_write(file, text, sizeof text - 1, &f.err), f.err);
    CHECK_OK(assay_lake_import(f.lake, file, &n, &n_skipped, &f.err), f.err);
    CHECK_INT(n, 1);
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT schema_version FROM results"), "1");
    /* The same from Parquet, and refused where the file does not say that it is newer. */
    for (int version = 1; version < 3; version++) {
        char *parquet = assay_path_join(&f.arena, f.folder, "y.parquet");
        char *sql =
            assay_arena_printf(&f.arena,
                               "SELECT result_id || 'y' AS result_id, run_id, %d AS schema_version, time, provenance, status, "
                               "1.5 AS carbon_g FROM results",
                               version);
        CHECK_OK(assay_lake_export(lake, sql, parquet, &n, &f.err), f.err);
        enum assay_status st = assay_lake_import(f.lake, parquet, &n, &n_skipped, &f.err);
        CHECK_INT(st, version == 1 ? ASSAY_INVALID : ASSAY_OK);
    }
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(an_export_that_fails_leaves_the_old_file)
{
    struct fixture f;
    int64_t n;
    set_up(&f);
    write_rows(&f, "run", 0, 3000, NULL);
    struct assay_lake *lake = open_lake(&f);
    for (size_t i = 0; i < ASSAY_COUNT(formats); i++) {
        char *file = assay_arena_printf(&f.arena, "%s/out.%s", f.folder, formats[i]), *text;
        size_t size;
        CHECK_OK(assay_fs_write(file, "old", 3, &f.err), f.err);
        CHECK_INT(assay_lake_export(lake, "SELECT nothing FROM results", file, &n, &f.err), ASSAY_INVALID);
        /* The last row fails after all others were written. */
        char *sql =
            "SELECT CASE WHEN time = max(time) OVER () THEN error('stop') ELSE model END AS model FROM results ORDER BY time";
        CHECK(assay_lake_export(lake, sql, file, &n, &f.err) != ASSAY_OK);
        CHECK_OK(assay_fs_read(file, 10, &f.arena, &text, &size, &f.err), f.err);
        CHECK_TEXT(text, "old");
    }
    char **names;
    size_t n_names;
    CHECK_OK(assay_fs_list(f.folder, &f.arena, &names, &n_names, &f.err), f.err);
    for (size_t i = 0; i < n_names; i++)
        CHECK(!strstr(names[i], ".tmp"));
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(an_export_to_a_full_device_says_so)
{
    struct fixture f;
    int64_t n;
    set_up(&f);
    write_rows(&f, "run", 0, 3000, NULL);
    struct assay_lake *lake = open_lake(&f);
    char *file = assay_path_join(&f.arena, f.folder, "full.jsonl");
    CHECK(symlink("/dev/full", file) == 0);
    CHECK_INT(assay_lake_export(lake, "SELECT * FROM results", file, &n, &f.err), ASSAY_IO);
    CHECK_CONTAINS(f.err.message, "space");
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_lake_exported_and_imported_is_the_same_in_every_format),
                ASSAY_TEST_ENTRY(an_import_skips_rows_that_are_there_or_come_twice),
                ASSAY_TEST_ENTRY(the_first_bad_row_is_named_with_its_line_and_nothing_is_imported),
                ASSAY_TEST_ENTRY(csv_as_spreadsheets_write_it_is_read),
                ASSAY_TEST_ENTRY(rows_of_a_newer_schema_are_imported_as_far_as_they_are_known),
                ASSAY_TEST_ENTRY(an_export_that_fails_leaves_the_old_file), ASSAY_TEST_ENTRY(an_export_to_a_full_device_says_so))
