/* SPDX-License-Identifier: Apache-2.0 */
#include "data/dataset.h"

#include "base/fs.h"
#include "base/test.h"

#include "data/dataset_order.h"

#include <zlib.h>

static struct assay_error err;

static struct assay_dataset *open_or_skip(const char *spec)
{
    struct assay_dataset *dataset;
    enum assay_status st = assay_dataset_open(spec, NULL, &dataset, &err);
    if (st == ASSAY_ABSENT)
        SKIP("%s", err.message);
    CHECK_OK(st, err);
    return dataset;
}

static void expect_refused(const char *spec, enum assay_status status, const char *part)
{
    struct assay_dataset *dataset;
    CHECK_INT(assay_dataset_open(spec, NULL, &dataset, &err), status);
    CHECK(dataset == NULL);
    CHECK_CONTAINS(err.message, part);
}

ASSAY_TEST(an_order_is_a_permutation)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 64, 65, 1000, 4097};
    for (size_t s = 0; s < ASSAY_COUNT(sizes); s++)
        for (uint64_t stream = 0; stream < 3; stream++) {
            char seen[4097] = {0};
            for (int64_t i = 0; i < sizes[s]; i++) {
                int64_t at = assay_order_at(7, stream, sizes[s], i);
                CHECK(at >= 0 && at < sizes[s]);
                CHECK(!seen[at]);
                seen[at] = 1;
            }
        }
}

/* Each place is taken by each index about equally often: chi-squared with 99 degrees of freedom is below 160 with
 * probability 0.9999. */
ASSAY_TEST(orders_of_many_epochs_are_uniform)
{
    enum { N = 10, EPOCHS = 5000 };
    int counts[N][N] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++)
        for (int i = 0; i < N; i++)
            counts[i][assay_order_at(1, epoch, N, i)]++;
    double chi = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            chi += pow(counts[i][j] - EPOCHS / (double)N, 2) / (EPOCHS / (double)N);
    CHECK(chi < 160);
}

ASSAY_TEST(texts_that_name_no_dataset_are_refused)
{
    expect_refused("", ASSAY_INVALID, "there is no dataset ");
    expect_refused("imagenet", ASSAY_INVALID, "fashion-mnist, bible");
    expect_refused("synthetic", ASSAY_INVALID, "no tensor is named");
    expect_refused("synthetic:a=f32[2]:a=f32[2]", ASSAY_INVALID, "twice");
    expect_refused("synthetic:a=f32[2]:nonsense", ASSAY_INVALID, "has no option nonsense");
    expect_refused("synthetic:a=f32[2,]", ASSAY_INVALID, "describes no tensor");
    expect_refused("synthetic:a=f32[0]", ASSAY_INVALID, "describes no tensor");
    expect_refused("synthetic:a=f32[1073741824,2]", ASSAY_INVALID, "describes no tensor");
    expect_refused("synthetic:a=f32", ASSAY_INVALID, "describes no tensor");
    expect_refused("synthetic:a=f32[]<4", ASSAY_INVALID, "describes no tensor");
    expect_refused("synthetic:=f32[]", ASSAY_INVALID, "describes no tensor");
    expect_refused("synthetic:a=f32[2]:train=-1", ASSAY_INVALID, "whole number");
    expect_refused("synthetic:a=f32[2]:train=9999999999999999999999", ASSAY_INVALID, "whole number");
    expect_refused(
        "fashion-mnist:folder=/nowhere", ASSAY_ABSENT,
        "/nowhere does not hold the four files of Fashion-MNIST or MNIST: there is no train-images-idx3-ubyte.gz in it");
    expect_refused("bible:file=/nowhere", ASSAY_ABSENT, "bible-kjv-text");
    expect_refused("bible:sequence=0", ASSAY_INVALID, "sequence=0");
    expect_refused("bible:bytes:bpe=300", ASSAY_INVALID, "not both");
    expect_refused("spoken-commands:words=7", ASSAY_INVALID, "words=7");
}

static void never_told(void *context, const char *what, int64_t n_done, int64_t n_all)
{
    (void)what, (void)n_done, (void)n_all;
    *(bool *)context = true;
}

ASSAY_TEST(an_option_that_no_dataset_has_is_refused_before_anything_is_made)
{
    struct assay_dataset *dataset;
    bool was_told = false;
    struct assay_dataset_progress progress = {never_told, &was_told, NULL};
    CHECK_INT(assay_dataset_open("spoken-commands:foo=1:seed=123454321", &progress, &dataset, &err), ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "dataset spoken-commands: it has no option foo; it has words=");
    CHECK(!was_told);
    expect_refused("bible:bpe=1024:foo", ASSAY_INVALID, "it has no option foo");
}

ASSAY_TEST(synthetic_samples_have_the_asked_moments_and_range)
{
    struct assay_dataset *dataset = open_or_skip("synthetic:x=f32[100,100]:label=i64[50]<7:train=20:seed=3");
    static float x[10000], again[10000];
    int64_t label[50], counts[7] = {0};
    void *to[] = {x, label};
    double sum = 0, squares = 0;
    CHECK_INT(dataset->n[ASSAY_SPLIT_TRAIN], 20);
    CHECK_INT(dataset->n_classes, 7);
    CHECK(dataset->tensors[1].is_label);
    for (int64_t i = 0; i < 20; i++) {
        CHECK_OK(assay_dataset_read(dataset, ASSAY_SPLIT_TRAIN, i, to, &err), err);
        for (int j = 0; j < 10000; j++) {
            sum += (double)x[j];
            squares += (double)x[j] * (double)x[j];
        }
        for (int j = 0; j < 50; j++) {
            CHECK(label[j] >= 0 && label[j] < 7);
            counts[label[j]]++;
        }
    }
    /* 200 000 samples: the standard error of the mean is 0.0022, of the variance 0.002; five of them. */
    CHECK_NEAR(sum / 200000, 0, 0.011);
    CHECK_NEAR(squares / 200000, 1, 0.011);
    for (int k = 0; k < 7; k++)
        CHECK_NEAR((double)counts[k], 1000.0 / 7, 60);
    to[0] = again;
    CHECK_OK(assay_dataset_read(dataset, ASSAY_SPLIT_TRAIN, 19, to, &err), err);
    CHECK(memcmp(x, again, sizeof x) == 0);
    CHECK_OK(assay_dataset_read(dataset, ASSAY_SPLIT_VALIDATION, 19, to, &err), err);
    CHECK(memcmp(x, again, sizeof x) != 0);
    assay_dataset_close(dataset);
}

/* ---- Fashion-MNIST */

/* Counts as its authors state them: 60 000 and 10 000 pictures, as many of each class. */
ASSAY_TEST(fashion_mnist_has_its_pictures_and_classes)
{
    struct assay_dataset *dataset = open_or_skip("fashion-mnist:validation=0");
    float image[784];
    int64_t label, counts[10] = {0};
    void *to[] = {image, &label};
    CHECK_INT(dataset->n[ASSAY_SPLIT_TRAIN], 60000);
    CHECK_INT(dataset->n[ASSAY_SPLIT_VALIDATION], 0);
    CHECK_INT(dataset->n[ASSAY_SPLIT_TEST], 10000);
    CHECK_TEXT(dataset->class_names[9], "Ankle boot");
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < 60000; i++) {
        CHECK_OK(assay_dataset_read(dataset, ASSAY_SPLIT_TRAIN, i, to, &err), err);
        counts[label]++;
        for (int j = 0; j < 784; j++) {
            sum += (double)image[j];
            squares += (double)image[j] * (double)image[j];
        }
    }
    for (int k = 0; k < 10; k++)
        CHECK_INT(counts[k], 6000);
    /* The mean and deviation by which pixels are scaled have four digits. */
    CHECK_NEAR(sum / (60000.0 * 784), 0, 2e-4);
    CHECK_NEAR(squares / (60000.0 * 784), 1, 5e-4);
    assay_dataset_close(dataset);
}

/* Labels and sums of pixels of the first pictures, as zcat and od show them. */
ASSAY_TEST(fashion_mnist_has_its_known_pictures)
{
    static const int64_t labels[] = {9, 0, 0, 3, 0};
    struct assay_dataset *dataset = open_or_skip("fashion-mnist:validation=0");
    float image[784];
    int64_t label;
    void *to[] = {image, &label};
    double pixels = 0;
    for (int64_t i = 0; i < 5; i++) {
        CHECK_OK(assay_dataset_read(dataset, ASSAY_SPLIT_TRAIN, i, to, &err), err);
        CHECK_INT(label, labels[i]);
        for (int j = 0; i == 0 && j < 784; j++)
            pixels += ((double)image[j] * 0.3530 + 0.2860) * 255;
    }
    CHECK_NEAR(pixels, 76247, 0.1);
    assay_dataset_close(dataset);
}

ASSAY_TEST(validation_pictures_are_not_in_training)
{
    struct assay_dataset *all = open_or_skip("fashion-mnist:validation=0"), *cut = open_or_skip("fashion-mnist");
    CHECK_INT(cut->n[ASSAY_SPLIT_TRAIN], 55000);
    CHECK_INT(cut->n[ASSAY_SPLIT_VALIDATION], 5000);
    CHECK(strcmp(all->hash, cut->hash) != 0);
    /* The sums of all pictures, weighted so that no two are alike, agree: each is in one of the two splits, once. */
    double sums[2] = {0};
    for (int which = 0; which < 2; which++)
        for (int split = 0; split < 2; split++)
            for (int64_t i = 0; i < (which ? cut : all)->n[split]; i++) {
                float image[784];
                int64_t label;
                void *to[] = {image, &label};
                CHECK_OK(assay_dataset_read(which ? cut : all, (enum assay_split)split, i, to, &err), err);
                double own = (double)label;
                for (int j = 0; j < 784; j++)
                    own += (double)image[j] * (j + 1);
                sums[which] += own * own;
            }
    CHECK_NEAR(sums[0] / sums[1], 1, 1e-12);
    assay_dataset_close(all);
    assay_dataset_close(cut);
}

struct idx_folder {
    struct assay_arena arena;
    char *folder, *spec;
};

static void write_idx(const struct idx_folder *f, const char *name, int rank, int n, int edge, int value)
{
    unsigned char bytes[16 + 4 * 784] = {0, 0, 8, (unsigned char)rank, 0, 0, 0, (unsigned char)n};
    struct assay_arena arena = {0};
    size_t size = rank == 1 ? 8 + (size_t)n : 16 + (size_t)n * 784;
    if (rank == 3)
        bytes[11] = bytes[15] = (unsigned char)edge;
    memset(bytes + (rank == 1 ? 8 : 16), value, (size_t)n * (rank == 1 ? 1 : 784));
    gzFile file = gzopen(assay_path_join(&arena, f->folder, name), "wb");
    CHECK(file != NULL);
    CHECK_INT(gzwrite(file, bytes, (unsigned)size), size);
    gzclose(file);
    assay_arena_release(&arena);
}

static void write_folder(struct idx_folder *f)
{
    *f = (struct idx_folder){0};
    CHECK_OK(assay_fs_temporary_folder(&f->arena, &f->folder, &err), err);
    f->spec = assay_arena_printf(&f->arena, "fashion-mnist:folder=%s", f->folder);
    write_idx(f, "train-images-idx3-ubyte.gz", 3, 4, 28, 255);
    write_idx(f, "train-labels-idx1-ubyte.gz", 1, 4, 0, 3);
    write_idx(f, "t10k-images-idx3-ubyte.gz", 3, 2, 28, 0);
    write_idx(f, "t10k-labels-idx1-ubyte.gz", 1, 2, 0, 9);
}

static void remove_folder(struct idx_folder *f)
{
    CHECK_OK(assay_fs_remove(f->folder, &err), err);
    assay_arena_release(&f->arena);
}

ASSAY_TEST(damaged_idx_files_are_refused)
{
    struct idx_folder f;
    write_folder(&f);
    assay_dataset_close(open_or_skip(f.spec));
    write_idx(&f, "train-labels-idx1-ubyte.gz", 1, 3, 0, 3);
    expect_refused(f.spec, ASSAY_INVALID, "4 pictures in train-images-idx3-ubyte.gz, but 3 labels");
    write_idx(&f, "train-labels-idx1-ubyte.gz", 1, 4, 0, 10);
    expect_refused(f.spec, ASSAY_INVALID, "has the label 10");
    write_idx(&f, "train-labels-idx1-ubyte.gz", 1, 4, 0, 1);
    write_idx(&f, "train-images-idx3-ubyte.gz", 3, 4, 27, 0);
    expect_refused(f.spec, ASSAY_INVALID, "no idx file of 28");
    write_idx(&f, "train-images-idx3-ubyte.gz", 1, 4, 28, 0);
    expect_refused(f.spec, ASSAY_INVALID, "ends too early");
    write_idx(&f, "train-images-idx3-ubyte.gz", 3, 4, 28, 0);
    char *path = assay_path_join(&f.arena, f.folder, "train-images-idx3-ubyte.gz"), *bytes;
    size_t n;
    CHECK_OK(assay_fs_read(path, 1 << 20, &f.arena, &bytes, &n, &err), err);
    for (size_t cut = 0; cut < n; cut++) {
        CHECK_OK(assay_fs_write(path, bytes, cut, &err), err);
        expect_refused(f.spec, ASSAY_INVALID, "train-images");
    }
    /* A changed byte is found by gzip's checksum, or changes nothing of what is read. */
    CHECK_OK(assay_fs_write(path, bytes, n, &err), err);
    struct assay_dataset *dataset = open_or_skip(f.spec), *changed;
    for (size_t i = 10; i < n; i++) {
        bytes[i] ^= 0x55;
        CHECK_OK(assay_fs_write(path, bytes, n, &err), err);
        if (!assay_dataset_open(f.spec, NULL, &changed, &err))
            CHECK_TEXT(changed->hash, dataset->hash);
        else
            CHECK_CONTAINS(err.message, "train-images");
        assay_dataset_close(changed);
        bytes[i] ^= 0x55;
    }
    assay_dataset_close(dataset);
    remove_folder(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(an_order_is_a_permutation), ASSAY_TEST_ENTRY(orders_of_many_epochs_are_uniform),
                ASSAY_TEST_ENTRY(texts_that_name_no_dataset_are_refused),
                ASSAY_TEST_ENTRY(an_option_that_no_dataset_has_is_refused_before_anything_is_made),
                ASSAY_TEST_ENTRY(synthetic_samples_have_the_asked_moments_and_range),
                ASSAY_TEST_ENTRY(fashion_mnist_has_its_pictures_and_classes),
                ASSAY_TEST_ENTRY(fashion_mnist_has_its_known_pictures), ASSAY_TEST_ENTRY(validation_pictures_are_not_in_training),
                ASSAY_TEST_ENTRY(damaged_idx_files_are_refused))
