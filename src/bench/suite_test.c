/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/suite.h"

#include "bench/testing.h"

static enum assay_status parse(struct assay_suite *suite, const char *text, struct assay_error *err)
{
    return assay_suite_parse(suite, text, strlen(text), "/suites", "s.yaml", err);
}

static void refused(const char *text, const char *part)
{
    struct assay_suite suite;
    struct assay_error err = {0};
    enum assay_status st = parse(&suite, text, &err);
    assay_suite_release(&suite);
    if (!st)
        fprintf(stderr, "taken: %s\n", text);
    CHECK_INT(st, ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "s.yaml");
    CHECK_CONTAINS(err.message, part);
}

ASSAY_TEST(every_key_reaches_its_spec)
{
    struct assay_suite suite;
    struct assay_error err;
    CHECK_OK(
        parse(
            &suite,
            "name: n\nabout: a\ncases:\n"
            "  - {name: m, model: [a.onnx, /b.onnx], platform: [p, q], mode: [inference], scenario: [server], precision: [f32],\n"
            "     isa: [avx2], batch: [1, 8], threads: [2], new-tokens: [0, 32], shape: ['x=1'], dim: ['s=3'], input: "
            "['x=ones'], option: ['k=v'],\n"
            "     ep-library: e.so, seed: 7, optimization: 1, memory-limit: 1000000, min-time: 0.5, max-time: 2,\n"
            "     warmup-time: 1.5, interval: 0.02, latency-bound: 0.1, time-limit: 30, tolerance: 0.001, check: false}\n",
            &err),
        err);
    CHECK_TEXT(suite.name, "n");
    CHECK_TEXT(suite.about, "a");
    CHECK_INT(suite.n_specs, 1);
    const struct assay_spec *s = &suite.specs[0];
    CHECK_TEXT(s->name, "m");
    CHECK_TEXT(s->suite, "n");
    CHECK_INT(s->models.n, 2);
    CHECK_TEXT(s->models.items[0], "/suites/a.onnx");
    CHECK_TEXT(s->models.items[1], "/b.onnx");
    CHECK_TEXT(s->platforms.items[1], "q");
    CHECK_TEXT(s->modes.items[0], "inference");
    CHECK_TEXT(s->scenarios.items[0], "server");
    CHECK_TEXT(s->precisions.items[0], "f32");
    CHECK_TEXT(s->isas.items[0], "avx2");
    CHECK_INT(s->batches.n, 2);
    CHECK_INT(s->batches.items[1], 8);
    CHECK_INT(s->threads.items[0], 2);
    CHECK_INT(s->new_tokens.n, 2);
    CHECK_INT(s->new_tokens.items[1], 32);
    CHECK_TEXT(s->shapes.items[0], "x=1");
    CHECK_TEXT(s->dims.items[0], "s=3");
    CHECK_TEXT(s->inputs.items[0], "x=ones");
    CHECK_TEXT(s->options.items[0], "k=v");
    CHECK_TEXT(s->ep_library, "e.so");
    CHECK_INT(s->seed, 7);
    CHECK_INT(s->optimization, 1);
    CHECK_INT(s->memory_limit, 1000000);
    CHECK_NEAR(s->min_time, 0.5, 0);
    CHECK_NEAR(s->max_time, 2, 0);
    CHECK_NEAR(s->warmup_time, 1.5, 0);
    CHECK_NEAR(s->interval, 0.02, 0);
    CHECK_NEAR(s->latency_bound, 0.1, 0);
    CHECK_NEAR(s->time_limit, 30, 0);
    CHECK_NEAR(s->tolerance, 0.001, 0);
    CHECK(s->no_check);
    assay_suite_release(&suite);
}

ASSAY_TEST(a_case_says_more_than_the_defaults)
{
    struct assay_suite suite;
    struct assay_error err;
    CHECK_OK(parse(&suite,
                   "defaults: {model: [d.onnx], threads: [1, 2], max-time: 3, seed: 5}\n"
                   "cases:\n  - {name: first}\n  - {model: [e.onnx], threads: [4], max-time: 1}\n",
                   &err),
             err);
    CHECK_TEXT(suite.name, "s.yaml");
    CHECK_INT(suite.n_specs, 2);
    CHECK_TEXT(suite.specs[0].models.items[0], "/suites/d.onnx");
    CHECK_INT(suite.specs[0].threads.n, 2);
    CHECK_NEAR(suite.specs[0].max_time, 3, 0);
    CHECK(isnan(suite.specs[0].min_time));
    CHECK_TEXT(suite.specs[1].models.items[0], "/suites/e.onnx");
    CHECK_INT(suite.specs[1].threads.n, 1);
    CHECK_INT(suite.specs[1].threads.items[0], 4);
    CHECK_NEAR(suite.specs[1].max_time, 1, 0);
    CHECK_INT(suite.specs[1].seed, 5);
    assay_suite_release(&suite);
}

ASSAY_TEST(what_is_wrong_is_named_with_its_line_and_key)
{
    refused("", "s.yaml: ");
    refused("# only a comment\n", "s.yaml: ");
    refused("name: x\n", "cases");
    refused("cases: []\n", "s.yaml: ");
    refused("cases: 3\n", "line");
    refused("cases:\n  - {model: [a], batchh: [1]}\n", "batchh");
    refused("cases:\n  - {model: [a], batch: [one]}\n", "one");
    refused("cases:\n  - {model: [a], max-time: long}\n", "long");
    refused("cases:\n  - {model: [a], batch: [99999999999999999999]}\n", "99999999999999999999");
    refused("cases:\n  - {model: a.onnx}\n", "line");
    refused("cases:\n  - {model: [a], model: [b]}\n", "model");
    refused("cases:\n - [a\n", "s.yaml: ");
    refused("cases: &a\n  - {model: [a]}\ndefaults: *a\n", "s.yaml: ");
    refused("\xff\xfe", "s.yaml: ");
    refused("cases:\n\t- {model: [a]}\n", "s.yaml: ");
    refused("%YAML 1.1\n---\ncases: [{model: [a]}]\n---\n", "line 4");
    refused("--- {cases: [{model: [a]}]}\n--- {cases: [{model: [b]}]}\n", "s.yaml: ");
}

ASSAY_TEST(comments_directives_and_a_marker_may_stand_before_a_suite)
{
    struct assay_suite suite;
    struct assay_error err;
    CHECK_OK(parse(&suite, "# about\n%YAML 1.1\n---\nname: dashes---\ncases: [{model: [a]}]\n...\n", &err), err);
    CHECK_TEXT(suite.name, "dashes---");
    assay_suite_release(&suite);
}

ASSAY_TEST(a_nul_byte_and_deep_nesting_are_refused)
{
    enum { DEPTH = 20000 };
    struct assay_suite suite;
    struct assay_error err = {0};
    CHECK_INT(assay_suite_parse(&suite, "cases:\0", 7, "/", "s.yaml", &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "NUL");
    assay_suite_release(&suite);
    char *deep = assay_alloc(DEPTH + 16);
    strcpy(deep, "cases: ");
    memset(deep + 7, '[', DEPTH);
    CHECK_INT(assay_suite_parse(&suite, deep, DEPTH + 7, "/", "s.yaml", &err), ASSAY_INVALID);
    assay_suite_release(&suite);
    free(deep);
}

ASSAY_TEST(a_file_that_is_missing_or_too_large_is_reported)
{
    struct assay_arena arena;
    struct assay_suite suite;
    struct assay_error err = {0};
    assay_arena_init(&arena);
    const char *folder = testing_folder(&arena);
    const char *path = assay_path_join(&arena, folder, "large.yaml");
    CHECK_INT(assay_suite_open(&suite, assay_path_join(&arena, folder, "none.yaml"), &err), ASSAY_ABSENT);
    CHECK_CONTAINS(err.message, "none.yaml");
    assay_suite_release(&suite);
    char *large = assay_alloc(2 << 20);
    memset(large, '#', 2 << 20);
    CHECK_OK(assay_fs_write(path, large, 2 << 20, &err), err);
    CHECK_INT(assay_suite_open(&suite, path, &err), ASSAY_INVALID);
    assay_suite_release(&suite);
    free(large);
    testing_folder_release(&arena, folder);
}

ASSAY_TEST(a_known_models_name_is_no_path)
{
    struct assay_suite suite;
    struct assay_error err;
    CHECK_OK(parse(&suite, "name: x\ncases:\n  - model: [bert-tiny, bert-tiny.onnx, ./bert-tiny]\n", &err), err);
    const struct assay_text_list *models = &suite.specs[0].models;
    CHECK_INT(models->n, 3);
    CHECK_TEXT(models->items[0], "bert-tiny");
    CHECK_TEXT(models->items[1], "/suites/bert-tiny.onnx");
    CHECK_TEXT(models->items[2], "/suites/./bert-tiny");
    assay_suite_release(&suite);
}

ASSAY_TEST(the_suites_that_come_with_assay_are_read)
{
    struct assay_arena arena;
    struct assay_error err;
    char **names = NULL;
    size_t n = 0;
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_list(ASSAY_SOURCE_FOLDER "/suites", &arena, &names, &n, &err), err);
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++) {
        const char *path = assay_path_join(&arena, ASSAY_SOURCE_FOLDER "/suites", names[i]);
        struct assay_suite suite;
        if (assay_fs_is_folder(path))
            continue;
        CHECK_OK(assay_suite_open(&suite, path, &err), err);
        CHECK(suite.n_specs > 0);
        assay_suite_release(&suite);
    }
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_key_reaches_its_spec), ASSAY_TEST_ENTRY(a_case_says_more_than_the_defaults),
                ASSAY_TEST_ENTRY(what_is_wrong_is_named_with_its_line_and_key),
                ASSAY_TEST_ENTRY(comments_directives_and_a_marker_may_stand_before_a_suite),
                ASSAY_TEST_ENTRY(a_nul_byte_and_deep_nesting_are_refused),
                ASSAY_TEST_ENTRY(a_file_that_is_missing_or_too_large_is_reported),
                ASSAY_TEST_ENTRY(a_known_models_name_is_no_path), ASSAY_TEST_ENTRY(the_suites_that_come_with_assay_are_read))
