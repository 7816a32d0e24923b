/* SPDX-License-Identifier: Apache-2.0 */
#include "data/loader.h"

#include "base/test.h"

static struct assay_error err;

static struct assay_dataset *open_dataset(const char *spec)
{
    struct assay_dataset *dataset;
    CHECK_OK(assay_dataset_open(spec, NULL, &dataset, &err), err);
    return dataset;
}

static struct assay_loader *open_loader(const struct assay_dataset *dataset, const struct assay_loader_options *options,
                                        const struct assay_loader_position *position)
{
    struct assay_loader *loader;
    CHECK_OK(assay_loader_open(dataset, options, position, &loader, &err), err);
    return loader;
}

/* All that a batch holds, as one number. */
static uint64_t hash_batch(const struct assay_batch *batch)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < batch->n_tensors; i++)
        for (int64_t j = 0; j < assay_tensor_bytes(&batch->tensors[i]); j++)
            hash = (hash ^ ((const unsigned char *)batch->tensors[i].data)[j]) * 0x100000001b3u;
    return hash ^ (uint64_t)batch->epoch << 32 ^ (uint64_t)batch->sample;
}

static uint64_t next_hash(struct assay_loader *loader)
{
    struct assay_batch batch;
    CHECK_OK(assay_loader_next(loader, &batch, &err), err);
    CHECK(batch.n > 0);
    return hash_batch(&batch);
}

ASSAY_TEST(every_sample_comes_once_an_epoch_in_another_order)
{
    struct assay_dataset *dataset = open_dataset("synthetic:x=f32[3]:train=103");
    struct assay_loader_options options = {.batch = 10, .seed = 5, .shuffle = true, .repeat = true, .n_threads = 3};
    struct assay_loader *loader = open_loader(dataset, &options, NULL);
    int64_t first[100];
    int n_same = 0;
    CHECK_INT(assay_loader_batches(loader), 10);
    for (int epoch = 0; epoch < 4; epoch++) {
        int seen[103] = {0};
        for (int b = 0; b < 10; b++) {
            struct assay_batch batch;
            CHECK_OK(assay_loader_next(loader, &batch, &err), err);
            CHECK_INT(batch.n, 10);
            CHECK_INT(batch.epoch, epoch);
            CHECK_INT(batch.sample, 10 * b);
            CHECK(batch.wait_ns >= 0);
            for (int j = 0; j < 10; j++) {
                CHECK(batch.indices[j] >= 0 && batch.indices[j] < 103);
                CHECK_INT(seen[batch.indices[j]]++, 0);
                if (epoch == 0)
                    first[10 * b + j] = batch.indices[j];
                else
                    n_same += first[10 * b + j] == batch.indices[j];
            }
        }
    }
    /* About one in 103 falls on the same place by chance. */
    CHECK(n_same < 15);
    assay_loader_close(loader);
    assay_dataset_close(dataset);
}

ASSAY_TEST(rows_are_the_samples_that_the_indices_name)
{
    struct assay_dataset *dataset = open_dataset("synthetic:x=f32[2,5]:label=i64[]<9:validation=23");
    struct assay_loader_options options = {
        .split = ASSAY_SPLIT_VALIDATION, .batch = 8, .seed = 2, .shuffle = true, .n_threads = 2};
    struct assay_loader *loader = open_loader(dataset, &options, NULL);
    struct assay_batch batch;
    int64_t n_all = 0;
    for (;;) {
        CHECK_OK(assay_loader_next(loader, &batch, &err), err);
        if (batch.n == 0)
            break;
        CHECK_INT(batch.tensors[0].type.dims[0], 8);
        CHECK_INT(batch.tensors[0].type.rank, 3);
        for (int64_t j = 0; j < 8; j++) {
            float x[10];
            int64_t label;
            int64_t row = j < batch.n ? j : batch.n - 1;
            CHECK_OK(assay_dataset_read(dataset, options.split, batch.indices[row], (void *[]){x, &label}, &err), err);
            CHECK(memcmp(x, (float *)batch.tensors[0].data + 10 * j, sizeof x) == 0);
            CHECK_INT(((int64_t *)batch.tensors[1].data)[j], j < batch.n ? label : ASSAY_LABEL_IGNORED);
        }
        n_all += batch.n;
    }
    CHECK_INT(n_all, 23);
    CHECK_OK(assay_loader_next(loader, &batch, &err), err);
    CHECK_INT(batch.n, 0);
    assay_loader_close(loader);
    assay_dataset_close(dataset);
}

ASSAY_TEST(any_number_of_threads_gives_the_same_batches)
{
    struct assay_dataset *dataset = open_dataset("synthetic:x=f32[1,6,7]:train=57");
    struct assay_augment_shift shift = {.height = 2, .width = 1, .mirror = true};
    uint64_t wanted[40];
    for (int n_threads = 0; n_threads <= 7; n_threads++)
        for (int n_ahead = 0; n_ahead <= 3; n_ahead += 3) {
            struct assay_loader_options options = {.batch = 8,
                                                   .seed = 9,
                                                   .shuffle = true,
                                                   .repeat = true,
                                                   .n_threads = n_threads,
                                                   .n_ahead = n_ahead,
                                                   .augment = assay_augment_images,
                                                   .augment_context = &shift};
            struct assay_loader *loader = open_loader(dataset, &options, NULL);
            for (int i = 0; i < 40; i++) {
                uint64_t hash = next_hash(loader);
                if (n_threads == 0 && n_ahead == 0)
                    wanted[i] = hash;
                CHECK(hash == wanted[i]);
            }
            assay_loader_close(loader);
        }
    assay_dataset_close(dataset);
}

ASSAY_TEST(a_loader_resumed_anywhere_goes_on_as_if_uninterrupted)
{
    struct assay_dataset *dataset = open_dataset("synthetic:x=f32[4]:train=31");
    struct assay_loader_options options = {.batch = 4, .seed = 1, .shuffle = true, .repeat = true, .n_threads = 2};
    uint64_t wanted[30];
    struct assay_loader *loader = open_loader(dataset, &options, NULL);
    for (int i = 0; i < 30; i++)
        wanted[i] = next_hash(loader);
    assay_loader_close(loader);
    for (int stop = 0; stop < 29; stop++) {
        loader = open_loader(dataset, &options, NULL);
        for (int i = 0; i < stop; i++)
            next_hash(loader);
        json_t *json = assay_loader_json(loader), *parsed;
        assay_loader_close(loader);
        char *text = json_dumps(json, 0);
        CHECK_OK(assay_json_parse(text, strlen(text), "position", &parsed, &err), err);
        struct assay_loader_position position;
        CHECK_OK(assay_loader_position_from_json(parsed, dataset, &options, &position, &err), err);
        loader = open_loader(dataset, &options, &position);
        for (int i = stop; i < 30; i++)
            CHECK(next_hash(loader) == wanted[i]);
        assay_loader_close(loader);
        json_decref(json);
        json_decref(parsed);
        free(text);
    }
    assay_dataset_close(dataset);
}

static void expect_refused(const json_t *json, const struct assay_dataset *dataset, const struct assay_loader_options *options,
                           const char *part)
{
    struct assay_loader_position position;
    CHECK_INT(assay_loader_position_from_json(json, dataset, options, &position, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, part);
}

ASSAY_TEST(a_position_of_another_run_is_refused)
{
    struct assay_dataset *dataset = open_dataset("synthetic:x=f32[4]:train=31");
    struct assay_dataset *other = open_dataset("synthetic:x=f32[5]:train=31");
    struct assay_loader_options options = {.batch = 4, .seed = 1, .shuffle = true, .repeat = true}, changed = options;
    struct assay_loader *loader = open_loader(dataset, &options, NULL);
    json_t *json = assay_loader_json(loader), *empty = json_object();
    expect_refused(json, other, &options, "another dataset");
    changed.seed = 2;
    expect_refused(json, dataset, &changed, "another seed");
    changed = options;
    changed.batch = 5;
    expect_refused(json, dataset, &changed, "another batch");
    changed = options;
    changed.split = ASSAY_SPLIT_TEST;
    expect_refused(json, dataset, &changed, "another split");
    expect_refused(empty, dataset, &options, "another dataset");
    json_object_set_new(json, "sample", json_integer(3));
    expect_refused(json, dataset, &options, "where no batch");
    json_object_set_new(json, "sample", json_integer(400));
    expect_refused(json, dataset, &options, "where no batch");
    json_object_set_new(json, "sample", json_integer(-4));
    expect_refused(json, dataset, &options, "where no batch");
    json_object_set_new(json, "sample", json_string("x"));
    expect_refused(json, dataset, &options, "sample");
    json_object_set_new(json, "sample", json_integer(4));
    json_object_set_new(json, "epoch", json_integer(INT64_MAX));
    expect_refused(json, dataset, &options, "where no batch");
    json_decref(json);
    json_decref(empty);
    assay_loader_close(loader);
    assay_dataset_close(dataset);
    assay_dataset_close(other);
}

ASSAY_TEST(batches_that_cannot_be_made_are_refused)
{
    struct assay_dataset *dataset = open_dataset("synthetic:x=f32[4]:train=31:test=0");
    struct assay_loader *loader;
    struct assay_loader_options options = {.batch = 32, .repeat = true};
    CHECK_INT(assay_loader_open(dataset, &options, NULL, &loader, &err), ASSAY_INVALID);
    CHECK(loader == NULL);
    options.batch = 0;
    CHECK_INT(assay_loader_open(dataset, &options, NULL, &loader, &err), ASSAY_INVALID);
    options = (struct assay_loader_options){.split = ASSAY_SPLIT_TEST, .batch = 1};
    CHECK_INT(assay_loader_open(dataset, &options, NULL, &loader, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "no samples for test");
    options = (struct assay_loader_options){.batch = 1, .n_threads = 1000};
    CHECK_INT(assay_loader_open(dataset, &options, NULL, &loader, &err), ASSAY_INVALID);
    assay_loader_close(NULL);
    assay_dataset_close(dataset);
}

/* ---- augmentation */

ASSAY_TEST(pictures_are_moved_and_mirrored_whole)
{
    enum { H = 4, W = 5 };
    struct assay_dataset dataset = {.n_tensors = 1};
    dataset.tensors[0] = (struct assay_dataset_tensor){.name = "image", .fill = -1};
    dataset.tensors[0].type = assay_type_make(ASSAY_F32, 3, (const int64_t[]){2, H, W});
    struct assay_augment_shift shift = {.height = 2, .width = 3, .mirror = true};
    bool seen[5][7][2] = {{{0}}};
    for (uint64_t seed = 0; seed < 1500; seed++) {
        float image[2 * H * W];
        for (int i = 0; i < 2 * H * W; i++)
            image[i] = (float)i;
        struct assay_rng rng;
        assay_rng_init(&rng, seed, 0);
        assay_augment_images(&shift, &dataset, &rng, (void *[]){image});
        bool found = false;
        for (int down = -2; down <= 2; down++)
            for (int right = -3; right <= 3; right++)
                for (int mirror = 0; mirror < 2; mirror++) {
                    bool same = true;
                    for (int i = 0; same && i < 2 * H * W; i++) {
                        int x = mirror ? W - 1 - i % W : i % W, y = i / W % H - down, from = x - right;
                        bool is_inside = y >= 0 && y < H && from >= 0 && from < W;
                        same = (int)image[i] == (is_inside ? i / (H * W) * H * W + y * W + from : -1);
                    }
                    found |= same;
                    seen[down + 2][right + 3][mirror] |= same;
                }
        CHECK(found);
    }
    for (int i = 0; i < 5 * 7 * 2; i++)
        CHECK((&seen[0][0][0])[i]);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(every_sample_comes_once_an_epoch_in_another_order),
                ASSAY_TEST_ENTRY(rows_are_the_samples_that_the_indices_name),
                ASSAY_TEST_ENTRY(any_number_of_threads_gives_the_same_batches),
                ASSAY_TEST_ENTRY(a_loader_resumed_anywhere_goes_on_as_if_uninterrupted),
                ASSAY_TEST_ENTRY(a_position_of_another_run_is_refused), ASSAY_TEST_ENTRY(batches_that_cannot_be_made_are_refused),
                ASSAY_TEST_ENTRY(pictures_are_moved_and_mirrored_whole))
