/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/case.h"

#include "base/test.h"

#include <unistd.h>

static struct assay_case_input inputs[] = {{"x", {ASSAY_F32, 4, {2, 3, 8, 8}}, "image"},
                                           {"sr", {ASSAY_I64, 0, {0}}, "constant:16000"}};
static struct assay_option options[] = {{"session.x", "1 2"}, {"ep.y", "it's"}};

static struct assay_case sample(void)
{
    return (struct assay_case){
        .model_path = "/models/a b/it's.onnx",
        .model = "it's",
        .model_id = "0123",
        .family = "resnet",
        .modality = "vision",
        .weights = "file",
        .model_precision = "f32",
        .precision = "f32",
        .parameters = 1234567890123,
        .flops = 1.5e9,
        .bytes = NAN,
        .new_tokens = 0,
        .prompt_tokens = -1,
        .step_bytes = 1e6,
        .platform = "cpu/onnxruntime",
        .mode = "inference",
        .scenario = "single-stream",
        .isa = "",
        .suite = "first",
        .batch = 2,
        .threads = 4,
        .optimization = 3,
        .seed = 9007199254740993, /* no double holds it */
        .min_time = 0.1,
        .max_time = 3,
        .warmup_time = 1,
        .interval = 0.01,
        .latency_bound = 0,
        .time_limit = 60,
        .memory_limit = INT64_C(1) << 40,
        .check = true,
        .tolerance = 1e-4,
        .peak_flops = NAN,
        .peak_bytes = 5.7e10,
        .inputs = inputs,
        .n_inputs = 2,
        .options = options,
        .n_options = 2,
    };
}

ASSAY_TEST(a_case_survives_json)
{
    struct assay_arena arena;
    struct assay_error err;
    struct assay_case c = sample(), back;
    assay_arena_init(&arena);
    json_t *json = assay_case_to_json(&c);
    char *text = json_dumps(json, JSON_REAL_PRECISION(17));
    json_decref(json);
    CHECK_OK(assay_json_parse(text, strlen(text), "case", &json, &err), err);
    free(text);
    CHECK_OK(assay_case_from_json(&back, json, &arena, &err), err);
    json_decref(json);
#define CHECK_TEXT_FIELD(name) CHECK((!c.name && !back.name) || strcmp(c.name, back.name) == 0)
#define CHECK_INT_FIELD(name) CHECK_INT(back.name, c.name)
#define CHECK_REAL_FIELD(name) CHECK(isnan(c.name) ? isnan(back.name) : back.name == c.name)
#define CHECK_BOOL_FIELD(name) CHECK_INT(back.name, c.name)
#define X(kind, name) CHECK_##kind##_FIELD(name);
    ASSAY_CASE_FIELDS(X)
#undef X
    CHECK_INT(back.n_inputs, 2);
    for (int i = 0; i < 2; i++) {
        CHECK_TEXT(back.inputs[i].name, inputs[i].name);
        CHECK_TEXT(back.inputs[i].kind, inputs[i].kind);
        CHECK(assay_type_equal(&back.inputs[i].type, &inputs[i].type));
    }
    CHECK_INT(back.n_options, 2);
    CHECK_TEXT(back.options[1].name, "ep.y");
    CHECK_TEXT(back.options[1].value, "it's");
    assay_arena_release(&arena);
}

ASSAY_TEST(what_is_no_case_is_refused)
{
    static const struct {
        const char *json, *part;
    } bad[] = {
        {"[]", "object"},
        {"{}", "lacks"},
        {"{\"model_path\": 3}", "model_path"},
        {"{\"threads\": \"2\"}", "threads"},
        {"{\"check\": 1}", "check"},
        {"{\"max_time\": \"long\"}", "max_time"},
        {"{\"model_path\": \"m\", \"platform\": \"p\", \"scenario\": \"s\", \"threads\": 0}", "threads"},
        {"{\"inputs\": [{}]}", "name, kind, dtype or dims"},
        {"{\"inputs\": [{\"name\": \"x\", \"kind\": \"zeros\", \"dtype\": \"f33\", \"dims\": []}]}", "dtype"},
        {"{\"inputs\": [{\"name\": \"x\", \"kind\": \"zeros\", \"dtype\": \"f32\", \"dims\": [1,1,1,1,1,1,1,1,1,1,1]}]}", "dims"},
        {"{\"options\": [{\"name\": \"x\"}]}", "value"},
        {"{\"options\": [7]}", "name"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++) {
        struct assay_arena arena;
        struct assay_error err = {0};
        struct assay_case c;
        json_t *json = NULL;
        assay_arena_init(&arena);
        CHECK_OK(assay_json_parse(bad[i].json, strlen(bad[i].json), "case", &json, &err), err);
        CHECK_INT(assay_case_from_json(&c, json, &arena, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, bad[i].part);
        json_decref(json);
        assay_arena_release(&arena);
    }
}

ASSAY_TEST(shape_and_inputs_say_what_the_row_needs)
{
    struct assay_arena arena;
    struct assay_case c = sample();
    assay_arena_init(&arena);
    CHECK_TEXT(assay_case_shape(&c, &arena), "x=2x3x8x8 sr=");
    CHECK_TEXT(assay_case_inputs(&c, &arena), "x=image sr=constant:16000 seed=9007199254740993 philox4x32-10");
    CHECK_TEXT(assay_case_label(&c, &arena), "it's cpu/onnxruntime, batch 2, 4 threads");
    c.precision = "bf16";
    c.new_tokens = 32;
    CHECK_TEXT(assay_case_shape(&c, &arena), "x=2x3x8x8 sr= new_tokens=32");
    CHECK_TEXT(assay_case_label(&c, &arena), "it's cpu/onnxruntime, batch 2, 4 threads, bf16, 32 new tokens");
    c = sample();
    c.scenario = "server";
    c.threads = 1;
    CHECK_TEXT(assay_case_label(&c, &arena), "it's cpu/onnxruntime server, batch 2, 1 thread");
    assay_arena_release(&arena);
}

ASSAY_TEST(the_id_tells_what_is_asked_apart_and_not_how_long_it_is_measured)
{
    struct assay_arena arena;
    struct assay_case c = sample();
    assay_arena_init(&arena);
    const char *id = assay_case_id(&c, "host", &arena);
    CHECK_INT(strlen(id), 32);
    CHECK(strcmp(assay_case_id(&c, "other", &arena), id) != 0);
#define DIFFERS(change)                                                                                                          \
    do {                                                                                                                         \
        struct assay_case other = sample();                                                                                      \
        other.change;                                                                                                            \
        CHECK(strcmp(assay_case_id(&other, "host", &arena), id) != 0);                                                           \
    } while (0)
#define AGREES(change)                                                                                                           \
    do {                                                                                                                         \
        struct assay_case other = sample();                                                                                      \
        other.change;                                                                                                            \
        CHECK_TEXT(assay_case_id(&other, "host", &arena), id);                                                                   \
    } while (0)
    DIFFERS(platform = "cpu/reference");
    DIFFERS(model_id = "0124");
    DIFFERS(mode = "training");
    DIFFERS(scenario = "offline");
    DIFFERS(precision = "f16");
    DIFFERS(new_tokens = 8);
    DIFFERS(isa = "avx2");
    DIFFERS(ep_library = "x.so");
    DIFFERS(batch = 3);
    DIFFERS(threads = 2);
    DIFFERS(optimization = 1);
    DIFFERS(seed = 1);
    DIFFERS(n_options = 1);
    AGREES(min_time = 9);
    AGREES(max_time = 9);
    AGREES(interval = 0.5);
    AGREES(time_limit = 9);
    AGREES(model_path = "/elsewhere/same.onnx");
    AGREES(profile = true);
    assay_arena_release(&arena);
}

/* The shell is the oracle: it splits the command, and hands back the words. */
ASSAY_TEST(the_shell_reads_the_command_back_word_for_word)
{
    struct assay_arena arena;
    struct assay_case c = sample();
    char line[300];
    int n = 0;
    static const char *const wanted[] = {"assay", "bench", "/models/a b/it's.onnx", "--platform", "cpu/onnxruntime"};
    assay_arena_init(&arena);
    c.precision = "f16";
    c.new_tokens = 8;
    c.isa = "$(rm -rf x) `y` \"z\" *";
    const char *command = assay_arena_printf(&arena, "printf '%%s\\n' %s", assay_case_command(&c, &arena));
    FILE *shell = popen(command, "r");
    CHECK(shell);
    bool isa = false, option = false, shape = false, precision = false, tokens = false;
    while (fgets(line, sizeof line, shell)) {
        line[strcspn(line, "\n")] = 0;
        if (n < 5)
            CHECK_TEXT(line, wanted[n]);
        n++;
        isa |= strcmp(line, c.isa) == 0;
        option |= strcmp(line, "ep.y=it's") == 0;
        shape |= strcmp(line, "x=2x3x8x8") == 0;
        precision |= strcmp(line, "f16") == 0;
        tokens |= strcmp(line, "8") == 0;
    }
    CHECK_INT(pclose(shell), 0);
    CHECK(isa && option && shape && precision && tokens);
    assay_arena_release(&arena);
}

ASSAY_TEST(the_row_gets_the_cells_of_the_case)
{
    struct assay_row row;
    struct assay_case c = sample();
    assay_row_init(&row);
    assay_case_fill_row(&c, "host", &row);
    CHECK_TEXT(assay_row_text(&row, ASSAY_ROW_model, ""), "it's");
    CHECK_INT(assay_row_int(&row, ASSAY_ROW_parameters, 0), 1234567890123);
    CHECK(!row.cells[ASSAY_ROW_bytes].set); /* not known is null */
    CHECK(!row.cells[ASSAY_ROW_isa].set);
    CHECK_TEXT(assay_row_text(&row, ASSAY_ROW_shape, ""), "x=2x3x8x8 sr=");
    CHECK_TEXT(assay_row_text(&row, ASSAY_ROW_suite, ""), "first");
    CHECK(row.cells[ASSAY_ROW_repro_command].set);
    CHECK(!row.cells[ASSAY_ROW_new_tokens].set); /* one forward pass */
    c.new_tokens = 5;
    assay_case_fill_row(&c, "host", &row);
    CHECK_INT(assay_row_int(&row, ASSAY_ROW_new_tokens, 0), 5);
    assay_row_release(&row);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_case_survives_json), ASSAY_TEST_ENTRY(what_is_no_case_is_refused),
                ASSAY_TEST_ENTRY(shape_and_inputs_say_what_the_row_needs),
                ASSAY_TEST_ENTRY(the_id_tells_what_is_asked_apart_and_not_how_long_it_is_measured),
                ASSAY_TEST_ENTRY(the_shell_reads_the_command_back_word_for_word),
                ASSAY_TEST_ENTRY(the_row_gets_the_cells_of_the_case))
