/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/request.h"

#include "bench/testing.h"
#include "model/analysis.h"

struct fixture {
    struct assay_arena arena;
    const char *folder;
    struct assay_phases phases;
    struct assay_case_input inputs[2];
    struct assay_case c;
    struct assay_error err;
};

/* The small Llama: a prompt of 5 tokens, batch 2, 6 new ones. */
static void setup(struct fixture *f)
{
    struct assay_type type = assay_type_make(ASSAY_I64, 2, (const int64_t[]){2, 5});
    *f = (struct fixture){.inputs = {{"input_ids", type, "tokens:13"}, {"attention_mask", type, "mask"}}};
    assay_arena_init(&f->arena);
    f->folder = testing_folder(&f->arena);
    f->c = (struct assay_case){.batch = 2,
                               .new_tokens = 6,
                               .precision = "f32",
                               .model_precision = "f32",
                               .inputs = f->inputs,
                               .n_inputs = 2,
                               .model_path = testing_llama(&f->arena, f->folder)};
    CHECK_OK(assay_phases_open(&f->phases, f->c.model_path, ASSAY_WEIGHTS_DECLARED, &f->err), f->err);
}

static void teardown(struct fixture *f)
{
    assay_phases_release(&f->phases);
    testing_folder_release(&f->arena, f->folder);
}

static double flops_at(struct fixture *f, int64_t past, int64_t sequence)
{
    struct assay_graph *graph;
    struct assay_analysis analysis;
    CHECK_OK(assay_phases_decode_at(&f->phases, &f->c, past, sequence, false, &f->arena, &graph, &f->err), f->err);
    assay_analysis_init(&analysis, graph);
    CHECK_INT(analysis.n_unknown, 0);
    double flops = analysis.flops;
    assay_analysis_release(&analysis);
    assay_graph_close(graph);
    return flops;
}

ASSAY_TEST(a_requests_flops_are_those_of_its_passes)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_phases_cost(&f.phases, &f.c, &f.arena, &f.err), f.err);
    double sum = flops_at(&f, 0, 5);
    for (int64_t past = 5; past < 10; past++) /* of six tokens, the first is the prompt's */
        sum += flops_at(&f, past, 1);
    CHECK_NEAR(f.c.flops / sum, 1, 1e-12);
    CHECK_INT(f.c.prompt_tokens, 5);
    f.c.new_tokens = 1;
    CHECK_OK(assay_phases_cost(&f.phases, &f.c, &f.arena, &f.err), f.err);
    CHECK_NEAR(f.c.flops, flops_at(&f, 0, 5), 0);
    teardown(&f);
}

/* By hand: a layer has 8x8 + 8x4 + 8x4 + 8x8 + 3x8x12 weights and two norms of 8; the last norm 8; the head 13x8. Of the
 * embeddings a row is read, which counts for nothing. Keys and values: 2 layers x 2 x 2 samples x 1 head x 7 places x 4. */
ASSAY_TEST(a_step_reads_the_weights_and_the_cache)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_phases_cost(&f.phases, &f.c, &f.arena, &f.err), f.err);
    double weights = 2 * (64 + 32 + 32 + 64 + 288 + 16) + 8 + 104, cache = 2 * 2 * 2 * 7 * 4;
    double least = 4 * (weights + cache);
    CHECK(f.c.step_bytes >= least);
    CHECK(f.c.step_bytes < 1.15 * least); /* the token, its mask and position, tables of the rotation */
    teardown(&f);
}

ASSAY_TEST(a_lower_precision_reads_fewer_bytes_and_computes_the_same)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_phases_cost(&f.phases, &f.c, &f.arena, &f.err), f.err);
    double flops = f.c.flops, step_bytes = f.c.step_bytes;
    f.c.precision = "bf16";
    CHECK_OK(assay_phases_cost(&f.phases, &f.c, &f.arena, &f.err), f.err);
    CHECK_NEAR(f.c.flops, flops, 0);
    CHECK(f.c.step_bytes < 0.65 * step_bytes);
    teardown(&f);
}

ASSAY_TEST(a_request_has_the_prompt_and_nothing_of_the_cache)
{
    struct fixture f;
    setup(&f);
    struct assay_open_inputs inputs = assay_phases_inputs(&f.phases, &f.arena);
    CHECK_INT(inputs.n, 2);
    CHECK_TEXT(inputs.items[0].graph->values[inputs.items[0].value].name, "input_ids");
    CHECK_TEXT(inputs.items[1].graph->values[inputs.items[1].value].name, "attention_mask");
    teardown(&f);
}

/* T5: what is asked for is the encoder's; the decoder begins with one token. */
ASSAY_TEST(a_request_to_an_encoder_and_decoder_has_the_encoders_inputs)
{
    struct fixture f;
    setup(&f);
    assay_phases_release(&f.phases);
    CHECK_OK(assay_phases_open(&f.phases, "t5-small", ASSAY_WEIGHTS_DECLARED, &f.err), f.err);
    struct assay_open_inputs inputs = assay_phases_inputs(&f.phases, &f.arena);
    CHECK_INT(inputs.n, (size_t)f.phases.encode->n_inputs);
    CHECK(inputs.items[0].graph == f.phases.encode);
    CHECK_OK(assay_phases_cost(&f.phases, &f.c, &f.arena, &f.err), f.err);
    CHECK(f.c.flops > 0 && f.c.step_bytes > 0);
    teardown(&f);
}

ASSAY_TEST(a_model_that_generates_nothing_has_no_phases)
{
    struct fixture f;
    struct assay_phases phases;
    setup(&f);
    CHECK_INT(assay_phases_open(&phases, "bert-tiny", ASSAY_WEIGHTS_DECLARED, &f.err), ASSAY_UNSUPPORTED);
    CHECK(*f.err.message);
    teardown(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_requests_flops_are_those_of_its_passes),
                ASSAY_TEST_ENTRY(a_step_reads_the_weights_and_the_cache),
                ASSAY_TEST_ENTRY(a_lower_precision_reads_fewer_bytes_and_computes_the_same),
                ASSAY_TEST_ENTRY(a_request_has_the_prompt_and_nothing_of_the_cache),
                ASSAY_TEST_ENTRY(a_request_to_an_encoder_and_decoder_has_the_encoders_inputs),
                ASSAY_TEST_ENTRY(a_model_that_generates_nothing_has_no_phases))
