/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): grey pictures of 28 by 28 pixels of ten kinds of clothes, in the four gzipped
 * idx files of Debian's package. Any folder with four files of these names and this form can be read, so MNIST's too. The
 * validation split is taken out of the training pictures, by a fixed random order.
 */
#include "data/dataset.h"
#include "data/dataset_order.h"

#include "base/fs.h"
#include "base/rng.h"

#include <string.h>
#include <zlib.h>

static const char default_folder[] = "/usr/share/datasets/fashion-mnist";
static const char *const class_names[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                          "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
enum { EDGE = 28, PIXELS = EDGE * EDGE, CLASSES = 10, MOST_PICTURES = 1 << 20 };

/* Mean and deviation of the training pictures' pixels, as fractions of 255. */
static const double mean = 0.2860, deviation = 0.3530;

struct pictures {
    int64_t n;
    struct assay_tensor pixels; /* u8[n, 28, 28] */
    struct assay_tensor labels; /* u8[n] */
};

struct fashion {
    struct pictures train, test;
    int64_t n_validation;
    float values[256]; /* of a pixel */
};

/* Reads exactly n bytes; the sentence says what is wrong with a file that has fewer. */
static enum assay_status read_all(gzFile file, const char *path, void *to, size_t n, struct assay_error *err)
{
    for (size_t at = 0; at < n;) {
        unsigned step = n - at < 1 << 20 ? (unsigned)(n - at) : 1 << 20;
        int got = gzread(file, (char *)to + at, step);
        if (got <= 0) {
            int number;
            const char *text = gzerror(file, &number);
            return assay_error_set(err, ASSAY_INVALID, "%s: it is damaged or ends too early, at byte %zu of %zu%s%s", path, at, n,
                                   number && *text ? ": " : "", number ? text : "");
        }
        at += (size_t)got;
    }
    return ASSAY_OK;
}

static int64_t big_endian(const unsigned char *p)
{
    return (int64_t)p[0] << 24 | (int64_t)p[1] << 16 | (int64_t)p[2] << 8 | p[3];
}

/* An idx file of unsigned bytes (magic 0, 0, 8, rank) whose first dimension is free, and the others are `edge`. */
static enum assay_status read_idx(const char *folder, const char *name, int rank, struct assay_tensor *tensor,
                                  struct assay_error *err)
{
    unsigned char head[16];
    char path[4096], after;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return assay_error_set(err, ASSAY_INVALID, "the name of the folder is too long");
    if (!assay_fs_exists(path) && strcmp(folder, default_folder) != 0)
        return assay_error_set(err, ASSAY_ABSENT,
                               "%s does not hold the four files of Fashion-MNIST or MNIST: there is no %s in it", folder, name);
    if (!assay_fs_exists(path))
        return assay_error_set(err, ASSAY_ABSENT, "%s is not here; install Debian's package dataset-fashion-mnist", path);
    gzFile file = gzopen(path, "rb");
    if (!file)
        return assay_error_set(err, ASSAY_IO, "%s cannot be opened", path);
    enum assay_status st = read_all(file, path, head, 4 + 4 * (size_t)rank, err);
    if (st)
        goto done;
    struct assay_type type = {.dtype = ASSAY_U8, .rank = rank};
    bool is_right = head[0] == 0 && head[1] == 0 && head[2] == 8 && head[3] == rank;
    for (int i = 0; i < rank; i++) {
        type.dims[i] = big_endian(head + 4 + 4 * i);
        is_right &= i == 0 ? type.dims[i] >= 1 && type.dims[i] <= MOST_PICTURES : type.dims[i] == EDGE;
    }
    if (!is_right) {
        st = assay_error_set(err, ASSAY_INVALID, "%s is no idx file of %s", path, rank == 1 ? "labels" : "28 × 28 pictures");
        goto done;
    }
    st = assay_tensor_alloc(tensor, &type, err);
    if (!st)
        st = read_all(file, path, tensor->data, (size_t)assay_type_bytes(&type), err);
    if (!st && gzread(file, &after, 1) != 0)
        st = assay_error_set(err, ASSAY_INVALID, "%s is damaged: something follows its last picture or label", path);
done:
    /* Closing tells of a stream that was cut off after its last byte of data. */
    if (gzclose(file) != Z_OK && !st)
        st = assay_error_set(err, ASSAY_INVALID, "%s is damaged: its end is missing", path);
    return st;
}

static enum assay_status read_pictures(const char *folder, const char *images, const char *labels, struct pictures *pictures,
                                       struct assay_error *err)
{
    enum assay_status st = read_idx(folder, images, 3, &pictures->pixels, err);
    if (!st)
        st = read_idx(folder, labels, 1, &pictures->labels, err);
    if (st)
        return st;
    pictures->n = pictures->pixels.type.dims[0];
    if (pictures->n != pictures->labels.type.dims[0])
        return assay_error_set(err, ASSAY_INVALID, "%s: %lld pictures in %s, but %lld labels in %s", folder,
                               (long long)pictures->n, images, (long long)pictures->labels.type.dims[0], labels);
    for (int64_t i = 0; i < pictures->n; i++)
        if (((const unsigned char *)pictures->labels.data)[i] >= CLASSES)
            return assay_error_set(err, ASSAY_INVALID, "%s: %s has the label %d; there are %d classes", folder, labels,
                                   ((const unsigned char *)pictures->labels.data)[i], CLASSES);
    return ASSAY_OK;
}

static void hash_pictures(struct assay_hash *hash, const struct pictures *pictures)
{
    assay_hash_piece(hash, pictures->pixels.data, (size_t)assay_tensor_bytes(&pictures->pixels));
    assay_hash_piece(hash, pictures->labels.data, (size_t)assay_tensor_bytes(&pictures->labels));
}

static enum assay_status open_fashion(struct assay_dataset *dataset, struct assay_dataset_options *options,
                                      const struct assay_dataset_progress *progress, struct assay_error *err)
{
    (void)progress;
    struct fashion *fashion = dataset->state = assay_arena_alloc(&dataset->arena, sizeof *fashion);
    const char *folder = assay_dataset_option_text(options, "folder", default_folder);
    enum assay_status st =
        read_pictures(folder, "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", &fashion->train, err);
    if (!st)
        st = read_pictures(folder, "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", &fashion->test, err);
    int64_t n = fashion->train.n;
    if (!st)
        st = assay_dataset_option_int(options, "validation", n / 12, 0, n - 1, &fashion->n_validation, err);
    if (st)
        return st;
    for (int i = 0; i < 256; i++)
        fashion->values[i] = (float)((i / 255.0 - mean) / deviation);
    dataset->n[ASSAY_SPLIT_TRAIN] = n - fashion->n_validation;
    dataset->n[ASSAY_SPLIT_VALIDATION] = fashion->n_validation;
    dataset->n[ASSAY_SPLIT_TEST] = fashion->test.n;
    dataset->n_classes = CLASSES;
    dataset->class_names = class_names;
    struct assay_hash hash;
    assay_hash_init(&hash);
    hash_pictures(&hash, &fashion->train);
    hash_pictures(&hash, &fashion->test);
    assay_hash_u64(&hash, (uint64_t)fashion->n_validation);
    assay_hash_final(&hash, dataset->hash);
    assay_dataset_add_tensor(dataset, "image", assay_type_make(ASSAY_F32, 3, (const int64_t[]){1, EDGE, EDGE}), false,
                             (double)fashion->values[0]);
    assay_dataset_add_tensor(dataset, "label", assay_type_make(ASSAY_I64, 0, NULL), true, 0);
    return ASSAY_OK;
}

static enum assay_status read_fashion(const struct assay_dataset *dataset, enum assay_split split, int64_t index, void *const *to,
                                      struct assay_error *err)
{
    (void)err;
    const struct fashion *fashion = dataset->state;
    const struct pictures *pictures = split == ASSAY_SPLIT_TEST ? &fashion->test : &fashion->train;
    if (split != ASSAY_SPLIT_TEST && fashion->n_validation)
        index = assay_order_at(0, assay_rng_stream("fashion-mnist"), pictures->n,
                               split == ASSAY_SPLIT_TRAIN ? index + fashion->n_validation : index);
    const unsigned char *pixels = (const unsigned char *)pictures->pixels.data + index * PIXELS;
    float *image = to[0];
    for (int i = 0; i < PIXELS; i++)
        image[i] = fashion->values[pixels[i]];
    *(int64_t *)to[1] = ((const unsigned char *)pictures->labels.data)[index];
    return ASSAY_OK;
}

static void close_fashion(struct assay_dataset *dataset)
{
    struct fashion *fashion = dataset->state;
    assay_tensor_release(&fashion->train.pixels);
    assay_tensor_release(&fashion->train.labels);
    assay_tensor_release(&fashion->test.pixels);
    assay_tensor_release(&fashion->test.labels);
}

const struct assay_dataset_kind assay_dataset_fashion_mnist = {
    .name = "fashion-mnist",
    .about = "70 000 grey pictures of 28 × 28 pixels of ten kinds of clothes",
    .options = "validation=PICTURES (5000, out of the 60 000 for training), folder=PATH (/usr/share/datasets/fashion-mnist)",
    .licence = "MIT (Expat), Zalando SE 2017",
    .source = "Debian's package dataset-fashion-mnist; Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv 1708.07747",
    .open = open_fashion,
    .read = read_fashion,
    .close = close_fashion,
};
