/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: names of old ones, and where an index may point. */
#include "model/checkpoint.h"

#include "base/test.h"

struct place {
    struct assay_arena arena;
    char *folder;
};

static struct assay_error err;

static void enter(struct place *p)
{
    assay_arena_init(&p->arena);
    CHECK_OK(assay_fs_temporary_folder(&p->arena, &p->folder, &err), err);
}

static void leave(struct place *p)
{
    CHECK_OK(assay_fs_remove(p->folder, &err), err);
    assay_arena_release(&p->arena);
}

static void put_tensors(struct place *p, const char *file, const char *const *names, size_t n)
{
    static const float numbers[] = {1, 2};
    struct assay_type type = assay_type_make(ASSAY_F32, 1, (const int64_t[]){2});
    struct assay_safetensors_entry *entries = assay_arena_array(&p->arena, n, sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        entries[i].name = names[i];
        assay_tensor_borrow(&entries[i].tensor, &type, numbers);
    }
    CHECK_OK(assay_safetensors_write(assay_path_join(&p->arena, p->folder, file), entries, n, NULL, 0, &err), err);
}

/* As in the published files of bert-base-uncased. */
ASSAY_TEST(old_names_of_norms_are_read_as_the_new_ones)
{
    static const char *const names[] = {"bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.beta", "gammas"};
    struct place p;
    struct assay_checkpoint checkpoint;
    struct assay_tensor tensor;
    enter(&p);
    put_tensors(&p, "model.safetensors", names, 3);
    CHECK_OK(assay_checkpoint_open(&checkpoint, p.folder, &err), err);
    CHECK_INT(assay_checkpoint_find(&checkpoint, names[0]), -1);
    CHECK(assay_checkpoint_find(&checkpoint, "bert.embeddings.LayerNorm.bias") >= 0);
    CHECK(assay_checkpoint_find(&checkpoint, "gammas") >= 0);
    int64_t weight = assay_checkpoint_find(&checkpoint, "bert.embeddings.LayerNorm.weight");
    CHECK(weight >= 0);
    assay_checkpoint_take(&checkpoint, weight, &tensor);
    assay_checkpoint_release(&checkpoint);
    CHECK_NEAR(assay_tensor_real(&tensor, 1), 2, 0);
    assay_tensor_release(&tensor);
    leave(&p);
}

ASSAY_TEST(one_norm_under_both_names_is_refused)
{
    static const char *const names[] = {"n.gamma", "n.weight"};
    struct place p;
    struct assay_checkpoint checkpoint;
    enter(&p);
    put_tensors(&p, "model.safetensors", names, 2);
    CHECK_INT(assay_checkpoint_open(&checkpoint, p.folder, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "'n.weight'");
    leave(&p);
}

ASSAY_TEST(an_index_that_points_elsewhere_is_refused)
{
    static const char *const names[] = {"a"};
    static const struct {
        const char *shard, *part;
    } cases[] = {{"../model-1.safetensors", "inside its folder"},
                 {"/tmp/model-1.safetensors", "inside its folder"},
                 {".", "no .safetensors file"},
                 {"", "no .safetensors file"},
                 {".safetensors", "no .safetensors file"},
                 {"model.safetensors.index.json", "no .safetensors file"},
                 {"model-2.safetensors", "model-2.safetensors"}};
    struct place p;
    struct assay_checkpoint checkpoint;
    enter(&p);
    put_tensors(&p, "model-1.safetensors", names, 1);
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        const char *index = assay_arena_printf(&p.arena, "{\"weight_map\": {\"a\": \"%s\"}}", cases[i].shard);
        const char *path = assay_path_join(&p.arena, p.folder, "model.safetensors.index.json");
        CHECK_OK(assay_fs_write(path, index, strlen(index), &err), err);
        CHECK_INT(assay_checkpoint_open(&checkpoint, p.folder, &err), ASSAY_INVALID);
        CHECK_CONTAINS(err.message, cases[i].part);
    }
    leave(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(old_names_of_norms_are_read_as_the_new_ones),
                ASSAY_TEST_ENTRY(one_norm_under_both_names_is_refused),
                ASSAY_TEST_ENTRY(an_index_that_points_elsewhere_is_refused))
