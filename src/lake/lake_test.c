/* SPDX-License-Identifier: Apache-2.0 */
/* Rows into the lake and out again, filters, and the lake's growing schema. Damage is in damage_test.c, compaction in
 * compact_test.c. */
#include "lake/internal.h"

#include "base/test.h"
#include "lake/test_fixture.h"

ASSAY_TEST(rows_come_back_as_they_were_written)
{
    struct fixture f;
    set_up(&f);
    /* More than two vectors of 2,048, so that nulls and lists of one chunk would show in the next. */
    char *file = write_rows(&f, "run-1", 0, 5000, NULL);
    CHECK_CONTAINS(file, "/v1/host=test-host/date=2025-11-22/run-1-");
    struct assay_lake *lake = open_lake(&f);
    check_rows_of(&f, lake, "run-1", 0, 5000);
    CHECK_TEXT(ask(&f, lake, "SELECT typeof(time) FROM results"), "TIMESTAMP");
    assay_lake_close(lake);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(a_missing_or_empty_lake_has_all_columns_and_no_rows)
{
    struct fixture f;
    set_up(&f);
    for (int made = 0; made < 2; made++) {
        struct assay_lake *lake = open_lake(&f);
        struct assay_query *query;
        CHECK_OK(assay_lake_query(lake, "SELECT * FROM results", &query, &f.err), f.err);
        CHECK_INT(assay_query_n_columns(query), ASSAY_N_COLUMNS);
        for (int i = 0; i < ASSAY_N_COLUMNS; i++)
            CHECK_TEXT(assay_query_column_name(query, i), assay_columns[i].name);
        CHECK(!assay_query_next(query));
        assay_query_close(query);
        assay_lake_close(lake);
        CHECK_INT(assay_fs_exists(f.lake), made);
        CHECK_OK(assay_fs_make_folder(f.lake, &f.err), f.err);
    }
    tear_down(&f);
}

ASSAY_TEST(a_row_that_breaks_the_rules_commits_nothing)
{
    struct fixture f;
    struct assay_row rows[2];
    set_up(&f);
    for (int i = 0; i < 2; i++) {
        assay_row_init(&rows[i]);
        test_row_fill(&rows[i], "run", (uint64_t)i, 3);
    }
    rows[1].cells[ASSAY_ROW_status].set = false;
    CHECK_INT(assay_lake_write(f.lake, rows, 2, &f.arena, NULL, &f.err), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "row 2 of 2");
    CHECK(!assay_fs_exists(f.lake));
    for (int i = 0; i < 2; i++)
        assay_row_release(&rows[i]);
    tear_down(&f);
}

ASSAY_TEST(names_from_outside_stay_inside_the_lake)
{
    struct fixture f;
    set_up(&f);
    static const char *const hosts[] = {"../../etc", ".hidden", "a/b", "x\ny", "", "h\xc3\xb6st", "\"';--"};
    for (size_t i = 0; i < ASSAY_COUNT(hosts); i++) {
        char *file = write_rows(&f, i ? hosts[i][0] ? hosts[i] : "run" : "../../../run", i, 1, hosts[i]);
        char *inside;
        CHECK(strncmp(file, f.lake, strlen(f.lake)) == 0);
        CHECK_OK(assay_path_inside(f.lake, file + strlen(f.lake) + 1, &f.arena, &inside, &f.err), f.err);
    }
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results"), "7");
    /* The folder's part host=… must not stand in for the column. */
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results WHERE host = '../../etc'"), "1");
    assay_lake_close(lake);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(an_older_file_reads_null_for_a_newer_column_and_a_newer_file_adds_its_own)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "run", 0, 2, NULL);
    struct assay_lake_db db;
    CHECK_OK(assay_lake_db_open(&db, &f.err), f.err);
    static const char *const selects[] = {
        "SELECT 'old' AS result_id, 'r' AS run_id, 1::BIGINT AS schema_version, TIMESTAMP '2020-01-01' AS time, 'measured' AS "
        "provenance, 'ok' AS status",
        "SELECT 'new' AS result_id, 'r' AS run_id, 2::BIGINT AS schema_version, TIMESTAMP '2030-01-01' AS time, 'measured' AS "
        "provenance, 'ok' AS status, 7.5::DOUBLE AS carbon_g",
    };
    for (size_t i = 0; i < 2; i++) {
        struct assay_lake_commit commit = {.lake_path = f.lake,
                                           .folder = assay_lake_folder(f.lake, "h", 0, &f.arena),
                                           .stem = "other",
                                           .select = selects[i],
                                           .n_rows = 1};
        char *file;
        CHECK_OK(assay_lake_commit_file(&db, &commit, &f.arena, &file, &f.err), f.err);
    }
    assay_lake_db_close(&db);
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results"), "4");
    CHECK(!ask(&f, lake, "SELECT model FROM results WHERE result_id = 'old'"));
    CHECK_TEXT(ask(&f, lake, "SELECT carbon_g FROM results WHERE result_id = 'new'"), "7.5");
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results WHERE carbon_g IS NULL"), "3");
    assay_lake_close(lake);
    struct assay_lake_stat before, after;
    CHECK_OK(assay_lake_compact(f.lake, &before, &after, NULL, NULL, &f.err), f.err);
    lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT carbon_g FROM results WHERE result_id = 'new'"), "7.5");
    assay_lake_close(lake);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(a_file_whose_column_has_another_type_is_named_and_left_out)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "run", 0, 2, NULL);
    struct assay_lake_db db;
    CHECK_OK(assay_lake_db_open(&db, &f.err), f.err);
    struct assay_lake_commit commit = {.lake_path = f.lake,
                                       .folder = assay_lake_folder(f.lake, "h", 0, &f.arena),
                                       .stem = "odd",
                                       .select = "SELECT 'x' AS result_id, 'eight' AS batch",
                                       .n_rows = 1};
    char *file;
    CHECK_OK(assay_lake_commit_file(&db, &commit, &f.arena, &file, &f.err), f.err);
    assay_lake_db_close(&db);
    struct assay_lake *lake = open_lake(&f);
    CHECK_INT(f.n_warnings, 1);
    CHECK_CONTAINS(f.warning, "batch");
    CHECK_TEXT(ask(&f, lake, "SELECT sum(batch) FROM results"), "9");
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(filters_find_their_rows_and_no_text_escapes_its_quotes)
{
    struct fixture f;
    set_up(&f);
    write_rows(&f, "run-1", 0, 16, NULL);
    struct assay_lake *lake = open_lake(&f);
    static const struct {
        struct assay_filter filter;
        int n;
    } cases[] = {
        {{.model = "bert-base"}, 4},
        {{.model = "*-*"}, 12},
        {{.model = "BERT-base"}, 0},
        {{.model = "it's 100%_odd**"}, 4},
        {{.model = "it's*"}, 4},
        {{.model = "%"}, 0},
        {{.model = "%*"}, 0},
        {{.model = "bert_base*"}, 0},
        {{.model = "x' OR '1'='1"}, 0},
        {{.model = "x*' OR '1'='1"}, 0},
        {{.model = "'; DROP VIEW results; --"}, 0},
        {{.model = "\\*"}, 0},
        {{.platform = "cpu/*", .batch = 8}, 8},
        {{.platform = "cpu/reference", .model = "gpt-2"}, 2},
        {{.since = "2025-11-22T15:04:04.123464Z"}, 8},
        {{.until = "2025-11-22"}, 16},
        {{.until = "2025-11-21"}, 0},
        {{.until = "2025-11-22 15:04:04.123459"}, 4},
        {{.since = "2025-11-23"}, 0},
        {{.limit = 3}, 3},
        {{.latest = true}, 3}, /* case_id is one of three */
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        char *sql = assay_filter_sql(&cases[i].filter, "result_id, time", &f.arena);
        struct assay_query *query;
        CHECK_OK(assay_lake_query(lake, sql, &query, &f.err), f.err);
        int n = 0;
        char before[64] = "~";
        while (assay_query_next(query)) {
            char *time = assay_query_text(query, 1, &f.arena);
            CHECK(strcmp(time, before) <= 0);
            snprintf(before, sizeof before, "%s", time);
            n++;
        }
        assay_query_close(query);
        if (n != cases[i].n)
            fprintf(stderr, "%s\n", sql);
        CHECK_INT(n, cases[i].n);
    }
    struct assay_query *query;
    struct assay_filter wrong = {.since = "yesterday'"};
    CHECK_INT(assay_lake_query(lake, assay_filter_sql(&wrong, "*", &f.arena), &query, &f.err), ASSAY_INVALID);
    CHECK(!query);
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(cells_of_every_type_are_read)
{
    static const struct {
        const char *sql, *text;
    } cases[] = {
        {"true", "true"},
        {"(-128)::TINYINT", "-128"},
        {"40000::USMALLINT", "40000"},
        {"9223372036854775807", "9223372036854775807"},
        {"18446744073709551615::UBIGINT", "1.8446744073709552e+19"},
        {"sum(x) FROM (VALUES (1::BIGINT), (2)) t(x)", "3"},
        {"(-5)::HUGEINT", "-5"},
        {"170141183460469231731687303715884105727::HUGEINT", "1.7014118346046923e+38"},
        {"1::UHUGEINT", "1"},
        {"1.25", "1.25"},
        {"(-1180591620717411303424)::DECIMAL(38,0)", "-1.1805916207174113e+21"},
        {"(-1.5)::DECIMAL(4,1)", "-1.5"},
        {"0.1::DOUBLE", "0.1"},
        {"1/3::DOUBLE", "0.3333333333333333"},
        {"0.5::FLOAT", "0.5"},
        {"'NaN'::DOUBLE", "NaN"},
        {"'-inf'::DOUBLE", "-Infinity"},
        {"'a''b'", "a'b"},
        {"repeat('long ', 4)", "long long long long "},
        {"'\\x00\\xFF'::BLOB", "00ff"},
        {"'b'::ENUM('a','b')", "b"},
        {"DATE '2024-02-29'", "2024-02-29"},
        {"TIME '01:02:03.5'", "01:02:03.500000"},
        {"TIMESTAMP '1969-12-31 23:59:59.9'", "1969-12-31T23:59:59.900000Z"},
        {"TIMESTAMP_S '2024-01-02 03:04:05'", "2024-01-02T03:04:05.000000Z"},
        {"TIMESTAMP_MS '2024-01-02 03:04:05.678'", "2024-01-02T03:04:05.678000Z"},
        {"TIMESTAMP_NS '2024-01-02 03:04:05.678901234'", "2024-01-02T03:04:05.678901Z"},
        {"TIMESTAMPTZ '2024-01-02 03:04:05+01'", "2024-01-02T02:04:05.000000Z"},
        {"'infinity'::TIMESTAMP", "Infinity"},
        {"INTERVAL '1 month 2 days 3 us'", "1 months 2 days 3 us"},
        {"'00112233-4455-6677-8899-aabbccddeeff'::UUID", "00112233-4455-6677-8899-aabbccddeeff"},
        {"[1, NULL, 3]", "[1,null,3]"},
        {"[1, 2]::INTEGER[2]", "[1,2]"},
        {"[[1], []]", "[[1],[]]"},
        {"MAP {'a': [0.5]}", "{\"a\":[0.5]}"},
        {"MAP {1: 'x'}", "{\"1\":\"x\"}"},
        {"{'a': 1, 'b': {'c': NULL}}", "{\"a\":1,\"b\":{\"c\":null}}"},
        {"NULL", NULL},
    };
    struct fixture f;
    set_up(&f);
    struct assay_lake *lake = open_lake(&f);
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        char *text = ask(&f, lake, assay_arena_printf(&f.arena, "SELECT %s", cases[i].sql));
        if (cases[i].text)
            CHECK_TEXT(text, cases[i].text);
        else
            CHECK(!text);
    }
    struct assay_query *query;
    CHECK_INT(assay_lake_query(lake, "SELECT '101'::BIT AS flags", &query, &f.err), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "flags");
    CHECK_INT(assay_lake_query(lake, "SELEC 1", &query, &f.err), ASSAY_INVALID);
    CHECK(!strchr(f.err.message, '\n'));
    CHECK_INT(assay_lake_query(lake, "", &query, &f.err) == ASSAY_OK && query && assay_query_next(query), 0);
    assay_query_close(query);
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(many_chunks_are_walked_in_order)
{
    struct fixture f;
    struct assay_query *query;
    set_up(&f);
    struct assay_lake *lake = open_lake(&f);
    CHECK_OK(
        assay_lake_query(lake, "SELECT i::BIGINT, repeat('x', (i % 40)::INT) FROM range(10000) t(i) ORDER BY i", &query, &f.err),
        f.err);
    for (int i = 0; i < 10000; i++) {
        CHECK(assay_query_next(query));
        json_t *number = assay_query_json(query, 0), *text = assay_query_json(query, 1);
        CHECK(json_integer_value(number) == i && json_string_length(text) == (size_t)i % 40);
        json_decref(number);
        json_decref(text);
    }
    CHECK(!assay_query_next(query) && !assay_query_next(query));
    assay_query_close(query);
    assay_lake_close(lake);
    tear_down(&f);
}

ASSAY_TEST(a_row_with_a_million_samples_is_kept)
{
    enum { N = 1000000 };
    struct fixture f;
    struct assay_row rows[20];
    set_up(&f);
    double *samples = assay_alloc(N * sizeof *samples);
    for (int i = 0; i < N; i++)
        samples[i] = i;
    for (int i = 0; i < 20; i++) {
        assay_row_init(&rows[i]);
        test_row_fill(&rows[i], "run", (uint64_t)i, 3);
        if (i % 5 == 0)
            assay_row_set_reals(&rows[i], ASSAY_ROW_samples_ns, samples, N);
    }
    CHECK_OK(assay_lake_write(f.lake, rows, 20, &f.arena, NULL, &f.err), f.err);
    struct assay_lake *lake = open_lake(&f);
    CHECK_TEXT(ask(&f, lake, "SELECT sum(list_sum(samples_ns))::HUGEINT FROM results WHERE len(samples_ns) > 3"),
               "1999998000000");
    CHECK_TEXT(ask(&f, lake, "SELECT count(*) FROM results WHERE len(samples_ns) = 3"), "16");
    assay_lake_close(lake);
    for (int i = 0; i < 20; i++)
        assay_row_release(&rows[i]);
    free(samples);
    tear_down(&f);
}

ASSAY_TEST(the_place_of_the_lake_is_the_option_the_variable_or_the_users_folder)
{
    struct fixture f;
    char *path;
    set_up(&f);
    setenv("ASSAY_LAKE", "/some/where", 1);
    CHECK_OK(assay_lake_path("given", &f.arena, &path, &f.err), f.err);
    CHECK_TEXT(path, "given");
    CHECK_OK(assay_lake_path(NULL, &f.arena, &path, &f.err), f.err);
    CHECK_TEXT(path, "/some/where");
    unsetenv("ASSAY_LAKE");
    setenv("XDG_DATA_HOME", f.folder, 1);
    CHECK_OK(assay_lake_path(NULL, &f.arena, &path, &f.err), f.err);
    CHECK_TEXT(path, assay_arena_printf(&f.arena, "%s/assay/lake", f.folder));
    CHECK_INT(assay_lake_path("", &f.arena, &path, &f.err), ASSAY_INVALID);
    tear_down(&f);
}

ASSAY_TEST(a_lake_that_cannot_be_written_says_so)
{
    struct fixture f;
    struct assay_row row;
    set_up(&f);
    assay_row_init(&row);
    test_row_fill(&row, "run", 0, 3);
    CHECK_OK(assay_fs_write(f.lake, "a file", 6, &f.err), f.err);
    CHECK_INT(assay_lake_write(f.lake, &row, 1, &f.arena, NULL, &f.err), ASSAY_IO);
    CHECK_CONTAINS(f.err.message, f.lake);
    assay_row_release(&row);
    tear_down(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(rows_come_back_as_they_were_written),
                ASSAY_TEST_ENTRY(a_missing_or_empty_lake_has_all_columns_and_no_rows),
                ASSAY_TEST_ENTRY(a_row_that_breaks_the_rules_commits_nothing),
                ASSAY_TEST_ENTRY(names_from_outside_stay_inside_the_lake),
                ASSAY_TEST_ENTRY(an_older_file_reads_null_for_a_newer_column_and_a_newer_file_adds_its_own),
                ASSAY_TEST_ENTRY(a_file_whose_column_has_another_type_is_named_and_left_out),
                ASSAY_TEST_ENTRY(filters_find_their_rows_and_no_text_escapes_its_quotes),
                ASSAY_TEST_ENTRY(cells_of_every_type_are_read), ASSAY_TEST_ENTRY(many_chunks_are_walked_in_order),
                ASSAY_TEST_ENTRY(a_row_with_a_million_samples_is_kept),
                ASSAY_TEST_ENTRY(the_place_of_the_lake_is_the_option_the_variable_or_the_users_folder),
                ASSAY_TEST_ENTRY(a_lake_that_cannot_be_written_says_so))
