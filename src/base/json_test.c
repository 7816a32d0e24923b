/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/fs.h"
#include "base/test.h"

static struct assay_error err;

static json_t *parsed(const char *text)
{
    json_t *value;
    CHECK_OK(assay_json_parse(text, strlen(text), "text", &value, &err), err);
    return value;
}

ASSAY_TEST(members_have_types_and_defaults)
{
    json_t *object = parsed("{\"s\": \"x\", \"i\": 7, \"r\": 1.5, \"b\": true, \"n\": null}");
    const char *s;
    int64_t i;
    double r;
    bool b;
    CHECK_OK(assay_json_text(object, "s", "d", &s, &err), err);
    CHECK_TEXT(s, "x");
    CHECK_OK(assay_json_text(object, "n", "d", &s, &err), err);
    CHECK_TEXT(s, "d");
    CHECK_OK(assay_json_text(object, "none", NULL, &s, &err), err);
    CHECK(!s);
    CHECK_OK(assay_json_int(object, "i", 1, &i, &err), err);
    CHECK_INT(i, 7);
    CHECK_OK(assay_json_int(object, "none", 1, &i, &err), err);
    CHECK_INT(i, 1);
    CHECK_OK(assay_json_real(object, "r", 1, &r, &err), err);
    CHECK_NEAR(r, 1.5, 0);
    CHECK_OK(assay_json_real(object, "i", 1, &r, &err), err);
    CHECK_NEAR(r, 7, 0);
    CHECK_OK(assay_json_bool(object, "b", false, &b, &err), err);
    CHECK(b);
    CHECK(assay_json_text(object, "i", "d", &s, &err) == ASSAY_INVALID);
    CHECK_TEXT(err.message, "\"i\" must be a string");
    CHECK(assay_json_int(object, "r", 1, &i, &err) == ASSAY_INVALID);
    CHECK(assay_json_real(object, "s", 1, &r, &err) == ASSAY_INVALID);
    CHECK(assay_json_bool(object, "i", true, &b, &err) == ASSAY_INVALID);
    json_decref(object);
    json_t *list = parsed("[1]");
    CHECK(assay_json_int(list, "i", 1, &i, &err) == ASSAY_INVALID);
    json_decref(list);
    CHECK_OK(assay_json_int(NULL, "i", 3, &i, &err), err);
    CHECK_INT(i, 3);
}

ASSAY_TEST(a_bad_text_is_reported_with_its_place)
{
    json_t *value;
    static const char text[] = "{\n  \"a\": 1,\n  \"b\" 2}";
    CHECK(assay_json_parse(text, sizeof text - 1, "config.json", &value, &err) == ASSAY_INVALID);
    CHECK(!value);
    CHECK_CONTAINS(err.message, "config.json: line 3");
    static const char *const bad[] = {"",
                                      "{",
                                      "[1,]",
                                      "{\"a\":1,\"a\":2}",
                                      "1 2",
                                      "nul",
                                      "\xff",
                                      "\"\\u0000\"",
                                      "1e999",
                                      "99999999999999999999",
                                      "{\"\xed\xa0\x80\":1}"};
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++)
        CHECK(assay_json_parse(bad[i], strlen(bad[i]), "x", &value, &err) == ASSAY_INVALID);
    enum { DEPTH = 1 << 20 };
    char *deep = malloc(DEPTH);
    memset(deep, '[', DEPTH);
    CHECK(assay_json_parse(deep, DEPTH, "deep", &value, &err) == ASSAY_INVALID);
    free(deep);
}

ASSAY_TEST(a_file_is_read_or_named)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *folder;
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    char *path = assay_path_join(&arena, folder, "a.json");
    CHECK_OK(assay_fs_write(path, "[1, 2]", 6, &err), err);
    json_t *value;
    CHECK_OK(assay_json_read(path, &value, &err), err);
    CHECK_INT(json_array_size(value), 2);
    json_decref(value);
    CHECK_OK(assay_fs_remove(folder, &err), err);
    CHECK(assay_json_read(path, &value, &err) == ASSAY_ABSENT);
    CHECK(!value);
    CHECK_CONTAINS(err.message, "a.json");
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(members_have_types_and_defaults), ASSAY_TEST_ENTRY(a_bad_text_is_reported_with_its_place),
                ASSAY_TEST_ENTRY(a_file_is_read_or_named))
