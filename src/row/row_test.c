/* SPDX-License-Identifier: Apache-2.0 */
#include "row/row.h"

#include "base/test.h"

static void fill_minimum(struct assay_row *row)
{
    assay_row_set_text(row, ASSAY_ROW_result_id, "0123456789abcdef0123456789abcdef");
    assay_row_set_text(row, ASSAY_ROW_run_id, "run-1");
    assay_row_set_int(row, ASSAY_ROW_schema_version, ASSAY_SCHEMA_VERSION);
    assay_row_set_int(row, ASSAY_ROW_time, 1763823844123456);
    assay_row_set_text(row, ASSAY_ROW_provenance, "measured");
    assay_row_set_text(row, ASSAY_ROW_status, "ok");
}

/* Sets every column to something of its kind. */
static void fill_all(struct assay_row *row)
{
    static const double reals[] = {0.1, -0.0, 1e300, 5e-324};
    static const int64_t ints[] = {INT64_MIN, 0, INT64_MAX};
    for (int i = 0; i < ASSAY_N_COLUMNS; i++) {
        enum assay_column column = (enum assay_column)i;
        switch (assay_columns[i].kind) {
        case ASSAY_COLUMN_TEXT:
            assay_row_set_text(row, column, "it's \"α\", \n, {}");
            break;
        case ASSAY_COLUMN_INT:
            assay_row_set_int(row, column, INT64_MAX - i);
            break;
        case ASSAY_COLUMN_REAL:
            assay_row_set_real(row, column, 0.1 * i);
            break;
        case ASSAY_COLUMN_BOOL:
            assay_row_set_int(row, column, i & 1);
            break;
        case ASSAY_COLUMN_TIME:
            assay_row_set_int(row, column, 1763823844123456);
            break;
        case ASSAY_COLUMN_REALS:
            assay_row_set_reals(row, column, reals, ASSAY_COUNT(reals));
            break;
        case ASSAY_COLUMN_INTS:
            assay_row_set_ints(row, column, ints, ASSAY_COUNT(ints));
            break;
        case ASSAY_COLUMN_MAP_REAL:
            assay_row_map_real(row, column, "a", 1.5);
            assay_row_map_real(row, column, "b'\"", -2);
            break;
        case ASSAY_COLUMN_MAP_REALS:
            assay_row_map_reals(row, column, "a", reals, ASSAY_COUNT(reals));
            assay_row_map_reals(row, column, "", reals, 0);
            break;
        case ASSAY_COLUMN_MAP_TEXT:
            assay_row_map_text(row, column, "a=b", "ä");
            break;
        }
    }
}

static enum assay_status row_from_text(struct assay_row *row, const char *text, struct assay_error *err)
{
    json_t *object = json_loads(text, JSON_ALLOW_NUL, NULL);
    CHECK(object);
    enum assay_status st = assay_row_from_json(row, object, err);
    json_decref(object);
    return st;
}

ASSAY_TEST(every_column_has_a_name_a_kind_and_a_sentence_and_is_found_by_its_name)
{
    for (int i = 0; i < ASSAY_N_COLUMNS; i++) {
        CHECK_INT(assay_column_find(assay_columns[i].name), i);
        size_t n = strlen(assay_columns[i].doc);
        CHECK(n > 3 && (assay_columns[i].doc[n - 1] == '.' || strstr(assay_columns[i].doc, "…")));
        CHECK(assay_column_kind_word(assay_columns[i].kind) && assay_column_kind_sql(assay_columns[i].kind));
    }
    CHECK_INT(assay_column_find("no_such_column"), ASSAY_N_COLUMNS);
}

ASSAY_TEST(a_row_goes_through_json_text_and_back_unchanged)
{
    struct assay_row row, back;
    struct assay_error err = {0};
    assay_row_init(&row);
    assay_row_init(&back);
    fill_all(&row);
    json_t *object = assay_row_to_json(&row, false);
    CHECK_INT(json_object_size(object), ASSAY_N_COLUMNS);
    char *text = json_dumps(object, 0);
    CHECK_OK(row_from_text(&back, text, &err), err);
    json_t *again = assay_row_to_json(&back, false);
    CHECK(json_equal(object, again));
    CHECK(signbit(back.cells[ASSAY_ROW_samples_ns].reals[1]));
    CHECK_INT(assay_row_int(&back, ASSAY_ROW_time, 0), 1763823844123456);
    free(text);
    json_decref(object);
    json_decref(again);
    assay_row_release(&row);
    assay_row_release(&back);
}

ASSAY_TEST(a_cell_that_is_not_set_is_null_and_zero_is_a_number)
{
    struct assay_row row;
    assay_row_init(&row);
    assay_row_set_real(&row, ASSAY_ROW_energy_j, 0);
    assay_row_set_real(&row, ASSAY_ROW_tolerance, NAN);
    assay_row_set_real(&row, ASSAY_ROW_load_ns, INFINITY);
    assay_row_set_text(&row, ASSAY_ROW_family, NULL);
    assay_row_set_reals(&row, ASSAY_ROW_samples_ns, (const double[]){1, NAN}, 2);
    assay_row_map_real(&row, ASSAY_ROW_metrics, "x", NAN);
    json_t *object = assay_row_to_json(&row, false), *nulls = assay_row_to_json(&row, true);
    CHECK_INT(json_object_size(object), 1);
    CHECK_INT(json_object_size(nulls), ASSAY_N_COLUMNS);
    CHECK(json_is_null(json_object_get(nulls, "tolerance")));
    CHECK(json_real_value(json_object_get(object, "energy_j")) == 0);
    CHECK_NEAR(assay_row_real(&row, ASSAY_ROW_tolerance, 7), 7, 0);
    CHECK_TEXT(assay_row_text(&row, ASSAY_ROW_family, "none"), "none");
    CHECK_INT(assay_row_int(&row, ASSAY_ROW_batch, -3), -3);
    json_decref(object);
    json_decref(nulls);
    assay_row_release(&row);
}

ASSAY_TEST(a_map_key_set_again_is_replaced_and_order_is_of_first_setting)
{
    struct assay_row row;
    assay_row_init(&row);
    char key[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof key, "k%d", i);
            assay_row_map_real(&row, ASSAY_ROW_metrics, key, i + 1000 * round);
        }
    }
    CHECK_INT(row.cells[ASSAY_ROW_metrics].n, 100);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_TEXT(row.cells[ASSAY_ROW_metrics].map[i].key, key);
        CHECK_NEAR(assay_row_map_find(&row, ASSAY_ROW_metrics, key)->real, i + 1000, 0);
    }
    CHECK(!assay_row_map_find(&row, ASSAY_ROW_metrics, "k100"));
    assay_row_clear(&row);
    CHECK(!assay_row_map_find(&row, ASSAY_ROW_metrics, "k1"));
    assay_row_release(&row);
}

ASSAY_TEST(bytes_that_are_not_utf8_become_replacement_characters)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"ok \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "ok \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff", "\xef\xbf\xbd"},
        {"a\xc3", "a\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80!", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    struct assay_row row;
    assay_row_init(&row);
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        assay_row_set_text(&row, ASSAY_ROW_reason, cases[i].in);
        CHECK_TEXT(assay_row_text(&row, ASSAY_ROW_reason, ""), cases[i].out);
    }
    assay_row_release(&row);
}

ASSAY_TEST(json_that_does_not_fit_is_refused_with_the_members_name)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"[]", "object"},
        {"{\"speed\": 1}", "speed"},
        {"{\"batch\": \"8\"}", "batch"},
        {"{\"batch\": 8.5}", "batch"},
        {"{\"batch\": 1e300}", "batch"},
        {"{\"model\": 3}", "model"},
        {"{\"model\": \"a\\u0000b\"}", "model"},
        {"{\"steady\": 1}", "steady"},
        {"{\"tolerance\": true}", "tolerance"},
        {"{\"tolerance\": 9223372036854775807}", "tolerance"},
        {"{\"samples_ns\": 5}", "samples_ns"},
        {"{\"samples_ns\": [1, null]}", "samples_ns"},
        {"{\"metrics\": [1]}", "metrics"},
        {"{\"metrics\": {\"x\": \"y\"}}", "metrics"},
        {"{\"series\": {\"x\": 1}}", "series"},
        {"{\"environment\": {\"x\": 1}}", "environment"},
        {"{\"time\": 5}", "time"},
        {"{\"time\": \"2026-02-30T00:00:00Z\"}", "time"},
        {"{\"time\": \"2026-11-22\"}", "time"},
        {"{\"time\": \"2026-11-22T25:00:00Z\"}", "time"},
        {"{\"time\": \"2026-11-22T15:00:00+01:00\"}", "time"},
        {"{\"schema_version\": 1, \"speed\": 1}", "speed"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_row row;
        struct assay_error err = {0};
        assay_row_init(&row);
        CHECK_INT(row_from_text(&row, cases[i].text, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, cases[i].part);
        assay_row_release(&row);
    }
}

ASSAY_TEST(members_of_a_newer_schema_are_ignored_and_whole_reals_are_integers)
{
    struct assay_row row;
    struct assay_error err = {0};
    assay_row_init(&row);
    CHECK_OK(row_from_text(&row, "{\"speed\": 1, \"batch\": 8.0, \"family\": null, \"schema_version\": 99}", &err), err);
    CHECK_INT(assay_row_int(&row, ASSAY_ROW_batch, 0), 8);
    CHECK(!row.cells[ASSAY_ROW_family].set);
    assay_row_release(&row);
}

ASSAY_TEST(times_are_read_with_and_without_fraction)
{
    /* Oracle: date -u -d @1763823844. */
    static const struct {
        const char *text;
        long long utc_us;
    } cases[] = {
        {"{\"time\": \"2025-11-22T15:04:04Z\"}", 1763823844000000},
        {"{\"time\": \"2025-11-22 15:04:04.5\"}", 1763823844500000},
        {"{\"time\": \"2025-11-22T15:04:04.123456789Z\"}", 1763823844123456},
        {"{\"time\": \"1970-01-01T00:00:00Z\"}", 0},
        {"{\"time\": \"9999-12-31T23:59:59.999999Z\"}", ASSAY_ROW_LAST_TIME_US},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_row row;
        struct assay_error err = {0};
        assay_row_init(&row);
        CHECK_OK(row_from_text(&row, cases[i].text, &err), err);
        CHECK_INT(assay_row_int(&row, ASSAY_ROW_time, -1), cases[i].utc_us);
        assay_row_release(&row);
    }
}

ASSAY_TEST(a_row_without_what_every_row_has_is_refused_with_the_columns_name)
{
    static const enum assay_column required[] = {ASSAY_ROW_result_id, ASSAY_ROW_run_id,     ASSAY_ROW_schema_version,
                                                 ASSAY_ROW_time,      ASSAY_ROW_provenance, ASSAY_ROW_status};
    struct assay_row row;
    struct assay_error err = {0};
    assay_row_init(&row);
    for (size_t i = 0; i < ASSAY_COUNT(required); i++) {
        assay_row_clear(&row);
        fill_minimum(&row);
        CHECK_OK(assay_row_check(&row, &err), err);
        row.cells[required[i]].set = false;
        CHECK_INT(assay_row_check(&row, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, assay_columns[required[i]].name);
    }
    assay_row_release(&row);
}

ASSAY_TEST(a_wrong_or_emulated_row_has_no_timing_a_failed_one_a_reason_a_published_one_a_source)
{
    struct assay_row row;
    struct assay_error err = {0};
    assay_row_init(&row);
    fill_minimum(&row);
    assay_row_set_text(&row, ASSAY_ROW_status, "mismatch");
    CHECK_INT(assay_row_check(&row, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "reason");
    assay_row_set_text(&row, ASSAY_ROW_reason, "Output y differs by 3.");
    CHECK_OK(assay_row_check(&row, &err), err);
    assay_row_set_real(&row, ASSAY_ROW_latency_median_ns, 1e6);
    CHECK_INT(assay_row_check(&row, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "latency_median_ns");
    assay_row_set_text(&row, ASSAY_ROW_status, "ok");
    CHECK_OK(assay_row_check(&row, &err), err);
    assay_row_set_text(&row, ASSAY_ROW_provenance, "emulated");
    CHECK_INT(assay_row_check(&row, &err), ASSAY_INVALID);
    assay_row_set_text(&row, ASSAY_ROW_provenance, "published");
    CHECK_INT(assay_row_check(&row, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "source");
    assay_row_set_text(&row, ASSAY_ROW_provenance, "guessed");
    CHECK_INT(assay_row_check(&row, &err), ASSAY_INVALID);
    assay_row_release(&row);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_column_has_a_name_a_kind_and_a_sentence_and_is_found_by_its_name),
                ASSAY_TEST_ENTRY(a_row_goes_through_json_text_and_back_unchanged),
                ASSAY_TEST_ENTRY(a_cell_that_is_not_set_is_null_and_zero_is_a_number),
                ASSAY_TEST_ENTRY(a_map_key_set_again_is_replaced_and_order_is_of_first_setting),
                ASSAY_TEST_ENTRY(bytes_that_are_not_utf8_become_replacement_characters),
                ASSAY_TEST_ENTRY(json_that_does_not_fit_is_refused_with_the_members_name),
                ASSAY_TEST_ENTRY(members_of_a_newer_schema_are_ignored_and_whole_reals_are_integers),
                ASSAY_TEST_ENTRY(times_are_read_with_and_without_fraction),
                ASSAY_TEST_ENTRY(a_row_without_what_every_row_has_is_refused_with_the_columns_name),
                ASSAY_TEST_ENTRY(a_wrong_or_emulated_row_has_no_timing_a_failed_one_a_reason_a_published_one_a_source))
