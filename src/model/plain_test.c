/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of models written by hand: sizes out of tensors, strides out of prose. That the graphs compute what PyTorch does is
 * checked on PyTorch's outputs where these lie beside the checkout (tests/families). */
#include "model/plain.h"

#include "base/test.h"

enum { MOST = 24 };

struct folder {
    struct assay_checkpoint checkpoint;
    struct assay_safetensors_entry entries[MOST];
    const struct assay_safetensors_entry *pointers[MOST];
    json_t *config;
};

/* Tensors by name and shape, in the order of names; without bytes, as only shapes are read. */
static void add(struct folder *f, const char *name, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    size_t n = f->checkpoint.n++;
    f->entries[n].name = name;
    f->entries[n].tensor.type = assay_type_make(ASSAY_F32, rank, (const int64_t[]){a, b, c, d});
    f->pointers[n] = &f->entries[n];
    f->checkpoint.entries = f->pointers;
}

static int64_t number(const json_t *config, const char *name) { return json_integer_value(json_object_get(config, name)); }

static void check_list(const json_t *config, const char *name, const char *wanted)
{
    char *text = json_dumps(json_object_get(config, name), JSON_COMPACT);
    CHECK_TEXT(text, wanted);
    free(text);
}

ASSAY_TEST(an_lstm_is_known_by_its_tensors)
{
    struct folder f = {.config = json_pack("{s:s}", "fixture", "torch_lstm")};
    add(&f, "embed.weight", 2, 53, 14, 0, 0);
    add(&f, "fc.weight", 2, 5, 36, 0, 0);
    add(&f, "lstm.weight_hh_l0", 2, 72, 18, 0, 0);
    add(&f, "lstm.weight_hh_l0_reverse", 2, 72, 18, 0, 0);
    add(&f, "lstm.weight_hh_l1", 2, 72, 18, 0, 0);
    json_t *config = assay_plain_config(f.config, &f.checkpoint);
    CHECK(config != NULL);
    CHECK_TEXT(json_string_value(json_object_get(config, "model_type")), "lstm");
    CHECK_INT(number(config, "vocab_size"), 53);
    CHECK_INT(number(config, "embedding_size"), 14);
    CHECK_INT(number(config, "hidden_size"), 18);
    CHECK_INT(number(config, "num_layers"), 2);
    CHECK_INT(number(config, "num_labels"), 5);
    CHECK(json_is_true(json_object_get(config, "bidirectional")));
    json_decref(config);
    json_decref(f.config);
}

ASSAY_TEST(a_ds_cnns_strides_are_read_out_of_prose)
{
    struct folder f = {.config =
                           json_pack("{s:s}", "arch", "stem conv(1->20,k(10,4),s(2,1),p(5,1)); 2 blocks (strides 1,2, p1)")};
    add(&f, "blocks.0.dw.0.weight", 4, 20, 1, 3, 3);
    add(&f, "blocks.0.pw.0.weight", 4, 20, 20, 1, 1);
    add(&f, "blocks.1.pw.0.weight", 4, 20, 20, 1, 1);
    add(&f, "fc.weight", 2, 12, 20, 0, 0);
    add(&f, "stem.0.weight", 4, 20, 1, 10, 4);
    json_t *config = assay_plain_config(f.config, &f.checkpoint);
    CHECK(config != NULL);
    CHECK_INT(number(config, "hidden_size"), 20);
    CHECK_INT(number(config, "num_labels"), 12);
    check_list(config, "stem_kernel", "[10,4]");
    check_list(config, "stem_stride", "[2,1]");
    check_list(config, "stem_padding", "[5,1]");
    check_list(config, "strides", "[1,2]");
    json_decref(config);
    json_decref(f.config);
}

ASSAY_TEST(a_resnets_strides_are_read_out_of_prose)
{
    struct folder f = {.config = json_pack("{s:s}", "arch", "conv1(3->10,k3,s2,p1) -> b1(10->10,s1) b2(10->18,s3)")};
    add(&f, "b1.conv1.weight", 4, 10, 10, 3, 3);
    add(&f, "b2.conv1.weight", 4, 18, 10, 3, 3);
    add(&f, "conv1.weight", 4, 10, 3, 3, 3);
    add(&f, "fc.weight", 2, 7, 18, 0, 0);
    json_t *config = assay_plain_config(f.config, &f.checkpoint);
    CHECK(config != NULL);
    CHECK_INT(number(config, "num_channels"), 3);
    CHECK_INT(number(config, "embedding_size"), 10);
    CHECK_INT(number(config, "stem_stride"), 2);
    check_list(config, "hidden_sizes", "[10,18]");
    check_list(config, "strides", "[1,3]");
    json_decref(config);
    json_decref(f.config);
}

ASSAY_TEST(a_folder_that_names_its_model_type_is_none_of_these)
{
    struct folder f = {.config = json_pack("{s:s}", "model_type", "bert")};
    add(&f, "embed.weight", 2, 53, 14, 0, 0);
    add(&f, "lstm.weight_hh_l0", 2, 72, 18, 0, 0);
    CHECK(!assay_plain_config(f.config, &f.checkpoint));
    json_decref(f.config);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(an_lstm_is_known_by_its_tensors), ASSAY_TEST_ENTRY(a_ds_cnns_strides_are_read_out_of_prose),
                ASSAY_TEST_ENTRY(a_resnets_strides_are_read_out_of_prose),
                ASSAY_TEST_ENTRY(a_folder_that_names_its_model_type_is_none_of_these))
