/* SPDX-License-Identifier: Apache-2.0 */
#include "report/table.h"

#include "base/test.h"

static char *print(struct assay_table *table, enum assay_format format)
{
    char *text = NULL;
    size_t size = 0;
    struct assay_error err;
    FILE *out = open_memstream(&text, &size);
    CHECK_OK(assay_table_print(table, format, out, &err), err);
    fclose(out);
    return text;
}

#define CHECK_PRINT(table, format, wanted)                                                                                       \
    do {                                                                                                                         \
        char *printed_ = print(table, format);                                                                                   \
        CHECK_TEXT(printed_, wanted);                                                                                            \
        free(printed_);                                                                                                          \
    } while (0)

static void add_columns(struct assay_table *t)
{
    assay_table_init(t);
    assay_table_column(t, "name", "name", false);
    assay_table_column(t, "median", "median_ns", true);
    assay_table_column(t, "n", "n", true);
}

static void add_rows(struct assay_table *t)
{
    assay_table_row(t);
    assay_table_text(t, 0, "caf\xc3\xa9");
    assay_table_ns(t, 1, 1234567.5);
    assay_table_int(t, 2, 12);
    assay_table_row(t);
    assay_table_text(t, 0, "b");
}

ASSAY_TEST(a_table_is_aligned_by_characters_and_shows_a_dash_where_a_cell_is_absent)
{
    struct assay_table t;
    add_columns(&t);
    add_rows(&t);
    CHECK_PRINT(
        &t, ASSAY_FORMAT_TABLE,
        "name   median   n\n"
        "\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80  \xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2\x94\x80\xe2"
        "\x94\x80\xe2\x94\x80  \xe2\x94\x80\xe2\x94\x80\n"
        "caf\xc3\xa9  1.23 ms  12\n"
        "b           \xe2\x80\x94   \xe2\x80\x94\n");
    assay_table_release(&t);
}

ASSAY_TEST(json_csv_and_markdown_have_the_same_cells_with_numbers_as_they_are)
{
    struct assay_table t;
    add_columns(&t);
    add_rows(&t);
    CHECK_PRINT(
        &t, ASSAY_FORMAT_JSON,
        "[\n {\"name\":\"caf\xc3\xa9\",\"median_ns\":1234567.5,\"n\":12},\n {\"name\":\"b\",\"median_ns\":null,\"n\":null}\n]\n");
    CHECK_PRINT(&t, ASSAY_FORMAT_CSV, "name,median_ns,n\ncaf\xc3\xa9,1234567.5,12\nb,,\n");
    CHECK_PRINT(
        &t, ASSAY_FORMAT_MARKDOWN,
        "| name | median | n |\n| --- | ---: | ---: |\n| caf\xc3\xa9 | 1.23 ms | 12 |\n| b | \xe2\x80\x94 | \xe2\x80\x94 |\n");
    assay_table_release(&t);
}

ASSAY_TEST(a_streamed_table_prints_what_a_kept_one_does)
{
    for (int format = ASSAY_FORMAT_TABLE; format <= ASSAY_FORMAT_MARKDOWN; format++) {
        struct assay_table kept, streamed;
        struct assay_error err;
        char *text = NULL;
        size_t size = 0;
        add_columns(&kept);
        add_columns(&streamed);
        FILE *out = open_memstream(&text, &size);
        assay_table_stream(&streamed, (enum assay_format)format, out);
        for (int i = 0; i < 20; i++) {
            add_rows(&kept);
            add_rows(&streamed);
        }
        CHECK_OK(assay_table_print(&streamed, (enum assay_format)format, out, &err), err);
        fclose(out);
        CHECK(format == ASSAY_FORMAT_TABLE || streamed.n_rows == 1);
        CHECK_PRINT(&kept, (enum assay_format)format, text);
        free(text);
        assay_table_release(&kept);
        assay_table_release(&streamed);
    }
}

ASSAY_TEST(a_table_without_rows_is_an_empty_array_or_a_header)
{
    struct assay_table t;
    add_columns(&t);
    CHECK_PRINT(&t, ASSAY_FORMAT_JSON, "[]\n");
    CHECK_PRINT(&t, ASSAY_FORMAT_CSV, "name,median_ns,n\n");
    char *text = print(&t, ASSAY_FORMAT_TABLE);
    CHECK_CONTAINS(text, "name  median  n\n");
    free(text);
    assay_table_release(&t);
}

ASSAY_TEST(an_upright_table_has_a_line_for_each_cell)
{
    struct assay_table t;
    add_columns(&t);
    t.upright = true;
    assay_table_row(&t);
    assay_table_text(&t, 0, "a|b");
    assay_table_int(&t, 2, 3);
    CHECK_PRINT(&t, ASSAY_FORMAT_TABLE, "name    a|b\nmedian  \xe2\x80\x94\nn       3\n");
    CHECK_PRINT(&t, ASSAY_FORMAT_MARKDOWN, "| | |\n| --- | --- |\n| name | a\\|b |\n| median | \xe2\x80\x94 |\n| n | 3 |\n");
    CHECK_PRINT(&t, ASSAY_FORMAT_CSV, "name,median_ns,n\na|b,,3\n");
    assay_table_release(&t);
}

ASSAY_TEST(control_characters_cannot_reach_a_terminal)
{
    struct assay_table t;
    assay_table_init(&t);
    assay_table_column(&t, "a", "a", false);
    assay_table_row(&t);
    assay_table_text(&t, 0, "x\033[31m\n\xc2\x9by\x7f\xc3\xa4");
    char *text = print(&t, ASSAY_FORMAT_TABLE);
    CHECK_CONTAINS(text, "x [31m   y \xc3\xa4\n");
    free(text);
    CHECK_PRINT(&t, ASSAY_FORMAT_JSON, "[\n {\"a\":\"x\\u001B[31m\\n\xc2\x9by\x7f\xc3\xa4\"}\n]\n");
    assay_table_release(&t);
}

ASSAY_TEST(csv_fields_with_commas_quotes_or_line_breaks_are_quoted)
{
    struct assay_table t;
    assay_table_init(&t);
    assay_table_column(&t, "a,b", "a,b", false);
    assay_table_row(&t);
    assay_table_text(&t, 0, "1 \"2\"\n3");
    CHECK_PRINT(&t, ASSAY_FORMAT_CSV, "\"a,b\"\n\"1 \"\"2\"\"\n3\"\n");
    assay_table_release(&t);
}

ASSAY_TEST(numbers_in_json_read_back_as_the_same_numbers)
{
    static const double values[] = {0.1, 1.0 / 3, 1e300, -5e-324, 123456789.0, 0, 2.5e-7, 9007199254740993.0};
    json_t *list = json_array();
    char *text = NULL;
    size_t size = 0;
    for (size_t i = 0; i < ASSAY_COUNT(values); i++)
        json_array_append_new(list, json_real(values[i]));
    FILE *out = open_memstream(&text, &size);
    assay_json_print(list, out);
    fclose(out);
    json_t *back = json_loads(text, 0, NULL);
    CHECK(back);
    for (size_t i = 0; i < ASSAY_COUNT(values); i++) {
        CHECK(json_is_real(json_array_get(back, i)));
        CHECK(json_real_value(json_array_get(back, i)) == values[i]);
    }
    CHECK(strncmp(text, "[0.1,0.333", 10) == 0);
    free(text);
    json_decref(list);
    json_decref(back);
}

ASSAY_TEST(an_output_that_refuses_is_an_io_error)
{
    struct assay_table t;
    struct assay_error err;
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        SKIP("there is no /dev/full");
    add_columns(&t);
    CHECK_INT(assay_table_print(&t, ASSAY_FORMAT_JSON, full, &err), ASSAY_IO);
    fclose(full);
    assay_table_release(&t);
}

ASSAY_TEST(quantities_have_three_digits_and_a_prefix)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    CHECK_TEXT(assay_text_si(&arena, 0, ""), "0");
    CHECK_TEXT(assay_text_si(&arena, 12, "FLOP"), "12 FLOP");
    CHECK_TEXT(assay_text_si(&arena, 999.6, "B/s"), "1.00 kB/s");
    CHECK_TEXT(assay_text_si(&arena, 1.5e9, "Hz"), "1.50 GHz");
    CHECK_TEXT(assay_text_si(&arena, 5.76e11, "FLOP/s"), "576 GFLOP/s");
    CHECK_TEXT(assay_text_si(&arena, 2e18, ""), "2000 P");
    CHECK_TEXT(assay_text_bytes(&arena, 0), "0 B");
    CHECK_TEXT(assay_text_bytes(&arena, 1023), "1023 B");
    CHECK_TEXT(assay_text_bytes(&arena, 1023.9), "1.0 KiB");
    CHECK_TEXT(assay_text_bytes(&arena, 1536), "1.5 KiB");
    CHECK_TEXT(assay_text_bytes(&arena, 25276502016.0), "23.5 GiB");
    assay_arena_release(&arena);
}

ASSAY_TEST(a_long_text_goes_on_below_its_column)
{
    static const struct assay_table_heading headings[] = {{"n", "n", true}, {"reason", "reason", false}};
    static const char forty[] = "caf\xc3\xa9 and what else makes forty columns..";
    struct assay_table t;
    char *printed;
    assay_table_init(&t);
    assay_table_columns(&t, headings, 2);
    t.wraps = true;
    for (int n = 1; n <= 3; n++) {
        assay_table_row(&t);
        assay_table_int(&t, 0, n);
    }
    assay_table_text(&t, 1, assay_arena_printf(&t.arena, "%s %s %s", forty, forty, forty));
    printed = print(&t, ASSAY_FORMAT_TABLE);
    CHECK_CONTAINS(
        printed, assay_arena_printf(&t.arena, "\n3  %s %s caf\xc3\xa9 and what else\n   makes forty columns..\n", forty, forty));
    free(printed);
    printed = print(&t, ASSAY_FORMAT_MARKDOWN);
    CHECK_CONTAINS(printed, assay_arena_printf(&t.arena, "| %s %s %s |", forty, forty, forty));
    free(printed);
    assay_table_release(&t);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_table_is_aligned_by_characters_and_shows_a_dash_where_a_cell_is_absent),
                ASSAY_TEST_ENTRY(json_csv_and_markdown_have_the_same_cells_with_numbers_as_they_are),
                ASSAY_TEST_ENTRY(a_streamed_table_prints_what_a_kept_one_does),
                ASSAY_TEST_ENTRY(a_table_without_rows_is_an_empty_array_or_a_header),
                ASSAY_TEST_ENTRY(an_upright_table_has_a_line_for_each_cell),
                ASSAY_TEST_ENTRY(control_characters_cannot_reach_a_terminal),
                ASSAY_TEST_ENTRY(csv_fields_with_commas_quotes_or_line_breaks_are_quoted),
                ASSAY_TEST_ENTRY(numbers_in_json_read_back_as_the_same_numbers),
                ASSAY_TEST_ENTRY(an_output_that_refuses_is_an_io_error), ASSAY_TEST_ENTRY(a_long_text_goes_on_below_its_column),
                ASSAY_TEST_ENTRY(quantities_have_three_digits_and_a_prefix))
