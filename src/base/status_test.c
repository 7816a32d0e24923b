/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include "base/test.h"

ASSAY_TEST(words_and_statuses_map_both_ways)
{
    for (int i = 0; i < ASSAY_N_STATUSES; i++)
        CHECK_INT(assay_status_from_word(assay_status_word((enum assay_status)i)), i);
    CHECK_TEXT(assay_status_word(ASSAY_NO_MEMORY), "no_memory");
    CHECK_INT(assay_status_from_word("fine"), ASSAY_N_STATUSES);
    CHECK_INT(assay_status_from_word(""), ASSAY_N_STATUSES);
}

ASSAY_TEST(an_error_holds_its_sentence_and_context)
{
    struct assay_error err;
    CHECK_INT(assay_error_set(&err, ASSAY_INVALID, "node %d has no input", 3), ASSAY_INVALID);
    CHECK_TEXT(err.message, "node 3 has no input");
    CHECK_INT(assay_error_prefix(&err, ASSAY_UNSUPPORTED, "model %s", "a.onnx"), ASSAY_UNSUPPORTED);
    CHECK_TEXT(err.message, "model a.onnx: node 3 has no input");
    CHECK_INT(err.status, ASSAY_UNSUPPORTED);
    CHECK_INT(assay_error_set(NULL, ASSAY_IO, "nobody listens"), ASSAY_IO);
    CHECK_INT(assay_error_prefix(NULL, ASSAY_IO, "nobody listens"), ASSAY_IO);
}

ASSAY_TEST(a_long_sentence_is_cut_between_characters_with_dots)
{
    struct assay_error err;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assay_error_set(&err, ASSAY_INVALID, "%s", text);
    CHECK_INT(strlen(err.message), sizeof err.message - 1);
    CHECK_TEXT(err.message + sizeof err.message - 5, "x...");
    assay_error_prefix(&err, ASSAY_INVALID, "file");
    CHECK_INT(strlen(err.message), sizeof err.message - 1);
    CHECK(strncmp(err.message, "file: xxx", 9) == 0);
    /* Two-byte characters at odd and even places: no half of one before the dots. */
    for (size_t i = 0; i + 1 < sizeof text - 1; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    for (int odd = 0; odd < 2; odd++) {
        assay_error_set(&err, ASSAY_INVALID, "%s%s", odd ? "x" : "", text);
        const char *dots = strstr(err.message, "...");
        CHECK(dots && dots[3] == 0 && (unsigned char)dots[-1] == 0xa9);
    }
    /* The longest that fits is not cut. */
    text[sizeof err.message - 1] = 0;
    memset(text, 'y', sizeof err.message - 1);
    assay_error_set(&err, ASSAY_INVALID, "%s", text);
    CHECK_TEXT(err.message, text);
}

ASSAY_TEST(a_sentence_is_always_printable_utf_8)
{
    static const struct {
        const char *name, *wanted;
    } names[] = {
        {"a\x1b[2Jb\n\x7f", "a?[2Jb ?"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff\xc3", "??"},
        {"\xc0\xaf", "??"},           /* overlong */
        {"\xed\xa0\x80", "???"},      /* a surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* above U+10FFFF */
        {"\xe2\x82", "??"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(names); i++) {
        struct assay_error err;
        assay_error_set(&err, ASSAY_INVALID, "%s", names[i].name);
        CHECK_TEXT(err.message, names[i].wanted);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(words_and_statuses_map_both_ways), ASSAY_TEST_ENTRY(an_error_holds_its_sentence_and_context),
                ASSAY_TEST_ENTRY(a_long_sentence_is_cut_between_characters_with_dots),
                ASSAY_TEST_ENTRY(a_sentence_is_always_printable_utf_8))
