/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets to train on: samples by number, each a few named tensors, in three splits that share nothing.
 *
 * A dataset is named by a text, its kind and then its options: `fashion-mnist`, `bible:bpe=1024:sequence=128`,
 * `spoken-commands:words=12`, `synthetic:image=f32[3,32,32]:label=i64[]<10`. The same text gives the same samples on every
 * machine with the same packages; the hash of the content tells whether it did. What must be made first (speech, byte pairs) is
 * kept in the cache folder.
 *
 * Ownership: open allocates, close frees; all that a dataset points to lives as long as it. Threads: read may be called from
 * several at once.
 *
 * To add one: a file dataset_NAME.c with a const struct assay_dataset_kind, and its line in the table of dataset.c.
 */
#ifndef ASSAY_DATA_DATASET_H
#define ASSAY_DATA_DATASET_H

#include "base/arena.h"
#include "base/hash.h"
#include "graph/tensor.h"

#include <signal.h>

enum assay_split { ASSAY_SPLIT_TRAIN, ASSAY_SPLIT_VALIDATION, ASSAY_SPLIT_TEST, ASSAY_N_SPLITS };

enum { ASSAY_DATASET_TENSORS = 8, ASSAY_DATASET_OPTIONS = 16 };

/* What a label says where there is nothing to be learnt: the ignore index of PyTorch's cross-entropy. */
enum { ASSAY_LABEL_IGNORED = -100 };

struct assay_dataset_tensor {
    const char *name;
    struct assay_type type; /* of one sample, without the batch's dimension */
    bool is_label;
    double fill; /* what stands where a shifted picture has nothing */
};

struct assay_dataset {
    const struct assay_dataset_kind *kind;
    const char *spec; /* the text that was opened */
    int64_t n[ASSAY_N_SPLITS];
    struct assay_dataset_tensor tensors[ASSAY_DATASET_TENSORS];
    int n_tensors;
    int64_t n_classes;               /* values that a label may have: classes, or the vocabulary; 0 = the labels are no classes */
    const char *const *class_names;  /* n_classes of them, or NULL */
    char hash[ASSAY_HASH_TEXT_SIZE]; /* of all content */
    struct assay_arena arena;
    void *state; /* the kind's own, in the arena */
};

/* Told while a dataset is made; may come from any thread, one at a time. All may be NULL. */
struct assay_dataset_progress {
    void (*report)(void *context, const char *what, int64_t n_done, int64_t n_all);
    void *context;
    const volatile sig_atomic_t *stop; /* set by a signal handler: open gives ASSAY_INTERRUPTED */
};

struct assay_dataset_options {
    struct assay_dataset_option {
        const char *name, *value; /* value NULL = a bare word */
        bool is_used;
    } list[ASSAY_DATASET_OPTIONS];
    int n;
};

struct assay_dataset_kind {
    const char *name;
    const char *about;   /* one line: what it holds */
    const char *options; /* one line: NAME=VALUE (default), … */
    const char *licence;
    const char *source; /* where it comes from: a Debian package, a paper, how it is made */
    /* Fills n, tensors, n_classes, class_names, hash, state. What it made before a failure is freed by close. */
    enum assay_status (*open)(struct assay_dataset *dataset, struct assay_dataset_options *options,
                              const struct assay_dataset_progress *progress, struct assay_error *err);
    /* As assay_dataset_read, the index checked. */
    enum assay_status (*read)(const struct assay_dataset *dataset, enum assay_split split, int64_t index, void *const *to,
                              struct assay_error *err);
    /* Text only, else NULL: bytes of text that the sample's labels stand for. */
    int64_t (*n_bytes)(const struct assay_dataset *dataset, enum assay_split split, int64_t index);
    void (*close)(struct assay_dataset *dataset); /* may be NULL; state may be NULL after a failed open */
};

/* ASSAY_ABSENT names the package that is missing; ASSAY_INVALID says what is wrong with the text or the files. */
enum assay_status assay_dataset_open(const char *spec, const struct assay_dataset_progress *progress,
                                     struct assay_dataset **dataset, struct assay_error *err);
void assay_dataset_close(struct assay_dataset *dataset);

/* Writes the sample's tensors to to[0 … n_tensors - 1], each as many bytes as its type says. The index is below n[split]. */
enum assay_status assay_dataset_read(const struct assay_dataset *dataset, enum assay_split split, int64_t index, void *const *to,
                                     struct assay_error *err);
/* Bytes of text that the labels of a sample stand for: bits per byte = loss in nats summed over labels / ln 2 / bytes. 0 where
 * the dataset is no text. */
int64_t assay_dataset_bytes(const struct assay_dataset *dataset, enum assay_split split, int64_t index);

/* All kinds, in the order in which they are listed. */
const struct assay_dataset_kind *const *assay_dataset_kinds(int *n);
const char *assay_split_word(enum assay_split split);

/* ---- for the kinds */

/* Options that were not given have the default. ASSAY_INVALID outside [low, high]. */
enum assay_status assay_dataset_option_int(struct assay_dataset_options *options, const char *name, int64_t otherwise,
                                           int64_t low, int64_t high, int64_t *value, struct assay_error *err);
const char *assay_dataset_option_text(struct assay_dataset_options *options, const char *name, const char *otherwise);
/* A bare word; true if it was given. */
bool assay_dataset_option_word(struct assay_dataset_options *options, const char *name);
/* ASSAY_INVALID where an option was given that nobody asked for. Every open is followed by it; a kind that takes long to make
 * asks before it begins. */
enum assay_status assay_dataset_options_end(const struct assay_dataset *dataset, const struct assay_dataset_options *options,
                                            struct assay_error *err);
/* A file of the cache folder, datasets/NAME. */
enum assay_status assay_dataset_cache(struct assay_arena *arena, const char *name, char **path, struct assay_error *err);
void assay_dataset_add_tensor(struct assay_dataset *dataset, const char *name, struct assay_type type, bool is_label,
                              double fill);

extern const struct assay_dataset_kind assay_dataset_fashion_mnist, assay_dataset_bible, assay_dataset_spoken_commands,
    assay_dataset_synthetic;

#endif
