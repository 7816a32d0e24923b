/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presets against two oracles: the exact numbers of parameters, which are those of the PyTorch classes (Transformers 4.41, or as
 * the classics' files describe them), and what the makers and catalogues publish, to the digits that they give.
 */
#include "model/presets.h"

#include "base/test.h"

#include <ctype.h>

/* "88.30M" → 88300000 and its unit, 10000; "340M" → 340000000 and 10000000, as trailing zeros are no digits there. */
static bool read_published(const char *text, int64_t *value, int64_t *unit)
{
    bool behind_point = false;
    int64_t n_behind = 0;
    *value = 0;
    for (; isdigit((unsigned char)*text) || *text == '.'; text++) {
        behind_point |= *text == '.';
        if (*text == '.')
            continue;
        *value = 10 * *value + (*text - '0');
        n_behind += behind_point;
    }
    *unit = *text == 'K' ? 1000 : *text == 'M' ? 1000000 : *text == 'B' ? 1000000000 : 1;
    for (; n_behind; n_behind--)
        *unit /= 10;
    *value *= *unit;
    while (!behind_point && *value && *value % (10 * *unit) == 0)
        *unit *= 10;
    return *value > 0 && (!*text || !text[1]);
}

ASSAY_TEST(every_preset_builds_with_the_parameters_of_pytorch)
{
    struct assay_model_options options = {.weights = ASSAY_WEIGHTS_DECLARED};
    for (int i = 0; assay_preset_at(i); i++) {
        const struct assay_preset *preset = assay_preset_at(i);
        struct assay_graph *graph;
        struct assay_model_info info;
        struct assay_error err = {0};
        CHECK_OK(assay_preset_open(preset, &options, &graph, &info, &err), err);
        assay_graph_close(graph);
        if (info.parameters != preset->parameters)
            fprintf(stderr, "%s: ", preset->name);
        CHECK_INT(info.parameters, preset->parameters);
        CHECK_TEXT(info.weights, "declared");
        CHECK_TEXT(info.architecture, preset->architecture);
    }
}

ASSAY_TEST(published_counts_agree_to_the_digits_given)
{
    int n_without = 0;
    for (int i = 0; assay_preset_at(i); i++) {
        const struct assay_preset *preset = assay_preset_at(i);
        int64_t published, unit, counted = preset->parameters + preset->counted_beside;
        if (!*preset->published) {
            printf("%s: not compared, we know of nobody who published its count\n", preset->name);
            n_without++;
            continue;
        }
        CHECK(read_published(preset->published, &published, &unit));
        if ((counted + unit / 2) / unit != published / unit)
            fprintf(stderr, "%s: %lld is not %s: ", preset->name, (long long)counted, preset->published);
        CHECK_INT((counted + unit / 2) / unit, published / unit);
    }
    CHECK(n_without <= 3);
}

ASSAY_TEST(presets_are_found_by_their_public_names)
{
    CHECK(assay_preset_find("bert-base-uncased") != NULL);
    CHECK(assay_preset_find("no-such-model") == NULL);
    for (int i = 0; assay_preset_at(i); i++)
        CHECK(assay_preset_find(assay_preset_at(i)->name) == assay_preset_at(i));
}

ASSAY_TEST(a_presets_fields_become_a_config)
{
    const struct assay_preset *preset = assay_preset_find("clap-htsat-fused");
    CHECK(preset != NULL);
    json_t *config = assay_preset_config(preset), *audio = json_object_get(config, "audio_config");
    CHECK_TEXT(json_string_value(json_object_get(config, "model_type")), "clap");
    CHECK(json_is_true(json_object_get(audio, "enable_fusion")));
    CHECK_TEXT(json_string_value(json_object_get(audio, "fusion_type")), "aff_2d");
    json_decref(config);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_preset_builds_with_the_parameters_of_pytorch),
                ASSAY_TEST_ENTRY(published_counts_agree_to_the_digits_given),
                ASSAY_TEST_ENTRY(presets_are_found_by_their_public_names), ASSAY_TEST_ENTRY(a_presets_fields_become_a_config))
