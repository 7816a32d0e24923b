/* SPDX-License-Identifier: Apache-2.0 */
/* Reading configs: what is not understood is named, defaults hold, sizes are bounded. */
#include "model/config.h"

#include "base/test.h"

struct fixture {
    struct assay_arena arena;
    struct assay_config config;
    struct assay_error err;
    json_t *json;
};

static struct assay_config *init(struct fixture *f, const char *text)
{
    f->err = (struct assay_error){0};
    assay_arena_init(&f->arena);
    CHECK_OK(assay_json_parse(text, strlen(text), "test", &f->json, &f->err), f->err);
    assay_config_init(&f->config, f->json, "c.json", &f->arena, &f->err);
    return &f->config;
}

static void release(struct fixture *f)
{
    json_decref(f->json);
    assay_arena_release(&f->arena);
}

ASSAY_TEST(a_field_that_nobody_asks_for_is_named)
{
    struct fixture f;
    struct assay_config *c = init(&f, "{\"hidden_size\": 8, \"rope_thetta\": 1}");
    CHECK_INT(c_size(c, "hidden_size", 4), 8);
    CHECK_INT(assay_config_finish(c), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "\"rope_thetta\"");
    release(&f);
}

ASSAY_TEST(a_field_of_a_nested_config_is_named_with_its_place)
{
    struct fixture f;
    struct assay_config *c = init(&f, "{\"text_config\": {\"hidden_size\": 8, \"odd\": 1}}");
    CHECK_INT(c_size(c_sub(c, "text_config"), "hidden_size", 4), 8);
    CHECK(c_sub(c, "text_config") == c_sub(c, "text_config"));
    CHECK_INT(assay_config_finish(c), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "text_config: \"odd\"");
    release(&f);
}

ASSAY_TEST(fields_of_generation_and_training_are_known)
{
    struct fixture f;
    struct assay_config *c =
        init(&f, "{\"num_beams\": 4, \"attention_dropout\": 0.1, \"resid_pdrop\": 0.1, \"eos_token_id\": [1, 2],"
                 " \"is_decoder\": false, \"pruned_heads\": {}, \"torch_dtype\": \"float16\"}");
    CHECK_OK(assay_config_finish(c), f.err);
    release(&f);
}

ASSAY_TEST(a_common_field_that_changes_the_graph_must_be_empty)
{
    static const char *const texts[] = {"{\"is_decoder\": true}", "{\"pruned_heads\": {\"0\": [1]}}",
                                        "{\"quantization_config\": {\"bits\": 4}}", "{\"auto_map\": {\"AutoModel\": \"x\"}}"};
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++) {
        struct fixture f;
        struct assay_config *c = init(&f, texts[i]);
        CHECK_INT(assay_config_finish(c), ASSAY_UNSUPPORTED);
        release(&f);
    }
}

ASSAY_TEST(missing_and_null_fields_have_the_default)
{
    struct fixture f;
    int64_t list[ASSAY_CONFIG_MAX_LIST], otherwise[] = {1, 2};
    struct assay_config *c = init(&f, "{\"a\": null}");
    CHECK_INT(c_size(c, "a", 5), 5);
    CHECK_NEAR(c_real(c, "b", 0.5), 0.5, 0);
    CHECK(c_bool(c, "c", true));
    CHECK_TEXT(c_text(c, "d", "x"), "x");
    CHECK_INT(c_ints(c, "e", otherwise, 2, list), 2);
    CHECK_INT(list[1], 2);
    CHECK_INT(c_labels(c, 2), 2);
    CHECK(!c_has(c_sub(c, "f"), "g"));
    CHECK_OK(assay_config_finish(c), f.err);
    release(&f);
}

ASSAY_TEST(values_of_a_wrong_type_or_size_are_named)
{
    static const struct {
        const char *text, *part;
    } cases[] = {{"{\"a\": \"8\"}", "must be an integer"}, {"{\"a\": 0}", "between 1 and"},
                 {"{\"a\": -3}", "between 1 and"},         {"{\"a\": 99999999999}", "between 1 and"},
                 {"{\"a\": 2.5}", "must be an integer"},   {"{\"a\": true}", "must be an integer"}};
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct fixture f;
        struct assay_config *c = init(&f, cases[i].text);
        CHECK_INT(c_size(c, "a", 7), 7);
        CHECK_INT(assay_config_finish(c), ASSAY_INVALID);
        CHECK_CONTAINS(f.err.message, cases[i].part);
        CHECK_CONTAINS(f.err.message, "\"a\"");
        release(&f);
    }
}

ASSAY_TEST(a_required_value_is_demanded_only_where_the_field_is_there)
{
    struct fixture f;
    struct assay_config *c = init(&f, "{}");
    c_require_text(c, "position_embedding_type", "absolute");
    c_require_bool(c, "x", true);
    CHECK_OK(assay_config_finish(c), f.err);
    release(&f);
    c = init(&f, "{\"position_embedding_type\": \"relative_key\"}");
    c_require_text(c, "position_embedding_type", "absolute");
    CHECK_INT(assay_config_finish(c), ASSAY_UNSUPPORTED);
    CHECK_CONTAINS(f.err.message, "relative_key");
    release(&f);
}

ASSAY_TEST(the_first_failure_stays)
{
    struct fixture f;
    struct assay_config *c = init(&f, "{\"a\": \"x\", \"b\": \"y\"}");
    c_int(c, "a", 0);
    c_int(c, "b", 0);
    CHECK_INT(assay_config_finish(c), ASSAY_INVALID);
    CHECK_CONTAINS(f.err.message, "\"a\"");
    release(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_field_that_nobody_asks_for_is_named),
                ASSAY_TEST_ENTRY(a_field_of_a_nested_config_is_named_with_its_place),
                ASSAY_TEST_ENTRY(fields_of_generation_and_training_are_known),
                ASSAY_TEST_ENTRY(a_common_field_that_changes_the_graph_must_be_empty),
                ASSAY_TEST_ENTRY(missing_and_null_fields_have_the_default),
                ASSAY_TEST_ENTRY(values_of_a_wrong_type_or_size_are_named),
                ASSAY_TEST_ENTRY(a_required_value_is_demanded_only_where_the_field_is_there),
                ASSAY_TEST_ENTRY(the_first_failure_stays))
