/* SPDX-License-Identifier: Apache-2.0 */
/* DETR and its backbone by what must be equal. (Numbers of PyTorch are compared by `assay check`.) */
#include "model/model.h"

#include "base/test.h"
#include "graph/testing.h"

enum { SIDE = 64 };

static struct assay_graph *build(const char *text, const struct assay_model_options *options, struct assay_model_info *info)
{
    struct assay_error err = {0};
    struct assay_graph *graph;
    json_t *config;
    CHECK_OK(assay_json_parse(text, strlen(text), "config", &config, &err), err);
    CHECK_OK(assay_model_build(config, "config", options, &graph, info, &err), err);
    json_decref(config);
    return graph;
}

ASSAY_TEST(both_namings_of_the_backbone_are_the_same_model)
{
    static const struct {
        const char *name, *config;
    } pairs[] = {
        {"resnet18", "\"layer_type\": \"basic\", \"hidden_sizes\": [64, 128, 256, 512], \"depths\": [2, 2, 2, 2]"},
        {"resnet50.a1_in1k", "\"depths\": [3, 4, 6, 3]"},
        {"resnet101", "\"depths\": [3, 4, 23, 3]"},
    };
    const struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED};
    for (size_t i = 0; i < ASSAY_COUNT(pairs); i++) {
        char text[400];
        struct assay_model_info timm, plain;
        snprintf(text, sizeof text,
                 "{\"model_type\": \"detr\", \"architectures\": [\"DetrForObjectDetection\"], \"backbone\": \"%s\"}",
                 pairs[i].name);
        struct assay_graph *one = build(text, &options, &timm);
        snprintf(text, sizeof text,
                 "{\"model_type\": \"detr\", \"architectures\": [\"DetrForObjectDetection\"], \"use_timm_backbone\": false,"
                 " \"backbone_config\": {\"model_type\": \"resnet\", %s}}",
                 pairs[i].config);
        struct assay_graph *other = build(text, &options, &plain);
        CHECK_INT(timm.parameters, plain.parameters);
        CHECK_INT(one->n_nodes, other->n_nodes);
        CHECK(assay_graph_find(one, "model.backbone.conv_encoder.model.layer2.0.downsample.1.running_var") >= 0);
        CHECK(assay_graph_find(
                  other, "model.backbone.conv_encoder.model.encoder.stages.1.layers.0.shortcut.normalization.running_var") >= 0);
        assay_graph_close(one);
        assay_graph_close(other);
    }
}

/* A small model's last output [1, length, 8] on an image of noise; returns the length. */
static int64_t run(const char *more, const char *output, bool with_mask, float *numbers, int64_t room)
{
    static const char *const names[] = {"pixel_values", "pixel_mask"};
    static float pixels[3 * SIDE * SIDE];
    static int64_t ones[SIDE * SIDE];
    char text[500];
    const struct assay_model_options options = {.inputs = names,
                                                .n_inputs = with_mask ? 2 : 1,
                                                .outputs = &output,
                                                .n_outputs = 1,
                                                .only_those_outputs = true,
                                                .seed = 3};
    snprintf(text, sizeof text,
             "{\"model_type\": \"detr\", \"architectures\": [\"DetrModel\"], \"d_model\": 8, \"encoder_layers\": 1,"
             " \"decoder_layers\": 1, \"encoder_attention_heads\": 2, \"decoder_attention_heads\": 2, \"encoder_ffn_dim\": 8,"
             " \"decoder_ffn_dim\": 8, \"num_queries\": 3, \"backbone\": \"resnet18\"%s}",
             more);
    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        pixels[i] = sinf((float)i * 0.37f);
    for (int i = 0; i < SIDE * SIDE; i++)
        ones[i] = 1;
    struct assay_graph *graph = build(text, &options, NULL);
    struct assay_type image = assay_type_make(ASSAY_F32, 4, (const int64_t[]){1, 3, SIDE, SIDE});
    struct assay_type plane = assay_type_make(ASSAY_I64, 3, (const int64_t[]){1, SIDE, SIDE});
    struct assay_tensor inputs[2], result;
    struct assay_error err = {0};
    assay_tensor_borrow(&inputs[0], &image, pixels);
    assay_tensor_borrow(&inputs[1], &plane, ones);
    CHECK_OK(testing_run(graph, inputs, &result, &err), err);
    int64_t length = result.type.dims[1];
    CHECK(assay_tensor_count(&result) <= room);
    for (int64_t i = 0; i < assay_tensor_count(&result); i++)
        numbers[i] = (float)assay_tensor_real(&result, i);
    assay_tensor_release(&result);
    assay_graph_close(graph);
    return length;
}

ASSAY_TEST(a_mask_of_ones_changes_nothing)
{
    float with[3 * 8], without[3 * 8];
    CHECK_INT(run("", "last_hidden_state", true, with, 24), 3);
    CHECK_INT(run("", "last_hidden_state", false, without, 24), 3);
    for (int i = 0; i < 24; i++)
        CHECK_NEAR(with[i], without[i], 0);
}

ASSAY_TEST(dilation_keeps_the_last_stage_at_a_sixteenth)
{
    float numbers[16 * 8];
    CHECK_INT(run("", "encoder_last_hidden_state", true, numbers, 128), (SIDE / 32) * (SIDE / 32));
    CHECK_INT(run(", \"dilation\": true", "encoder_last_hidden_state", true, numbers, 128), (SIDE / 16) * (SIDE / 16));
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(both_namings_of_the_backbone_are_the_same_model),
                ASSAY_TEST_ENTRY(a_mask_of_ones_changes_nothing), ASSAY_TEST_ENTRY(dilation_keeps_the_last_stage_at_a_sixteenth))
