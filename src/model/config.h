/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as Transformers writes it, read field by field by the family that it configures.
 *
 * A field counts as understood once somebody asked for it: a getter uses it, a require says which value alone Assay can build,
 * an ignore says that it doesn't change the computation. assay_config_finish then names the first field that nobody understood,
 * so that no model is built with a meaning it doesn't have. Fields that no family's computation depends on (token ids, texts,
 * generation settings, dropout, …) are known to config.c. A field that is missing or null has the default of Transformers' config
 * class, which the caller gives; `config_hub.json` leaves such fields out.
 *
 * Errors stick: after the first one (config->status) getters give the default and change nothing, so a family reads its fields in
 * a row and the frame looks once. Every size is bounded, so that products of three fit in an int64.
 * Ownership: all handles and texts belong to the arena and the JSON given to init. Threads: one at a time.
 */
#ifndef ASSAY_MODEL_CONFIG_H
#define ASSAY_MODEL_CONFIG_H

#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ASSAY_CONFIG_MAX_SIZE = 1 << 20,  /* of a layer, a vocabulary, a sequence */
    ASSAY_CONFIG_MAX_COUNT = 1 << 10, /* of layers, heads, stages */
    ASSAY_CONFIG_MAX_LIST = 64,       /* numbers in a list */
};

struct assay_config {
    const json_t *object; /* NULL = all defaults */
    const char *path;     /* "config.json", "config.json: text_config": begins every sentence */
    struct assay_config *parent, *first_sub, *next_sub;
    const char *name;   /* in the parent */
    const char **known; /* fields asked for */
    size_t n_known, known_room;
    struct assay_arena *arena;
    enum assay_status status; /* the first failure, of the outermost config; so is *err */
    struct assay_error *err;
};

/* `where` begins the sentences: the file's path. */
void assay_config_init(struct assay_config *config, const json_t *object, const char *where, struct assay_arena *arena,
                       struct assay_error *err);
/* ASSAY_OK, or the first failure: one of a getter's, else a field that nobody asked for. */
enum assay_status assay_config_finish(struct assay_config *config);
/* The first failure so far. */
enum assay_status assay_config_status(const struct assay_config *config);
/* Records a failure: "PATH: SENTENCE". Only the first counts. */
void assay_config_fail(struct assay_config *config, enum assay_status status, const char *format, ...) ASSAY_PRINTF(3, 4);

/* The short names are for families/, where they stand on every line. */

/* A nested config; one without fields if it is missing or null. The same handle at each call. */
struct assay_config *c_sub(struct assay_config *config, const char *name);
/* Whether the field is there and not null. Doesn't count as asking. */
bool c_has(const struct assay_config *config, const char *name);

int64_t c_size(struct assay_config *config, const char *name, int64_t otherwise);  /* 1 … ASSAY_CONFIG_MAX_SIZE */
int64_t c_count(struct assay_config *config, const char *name, int64_t otherwise); /* 0 … ASSAY_CONFIG_MAX_COUNT */
int64_t c_int(struct assay_config *config, const char *name, int64_t otherwise);   /* within ±2^31 */
double c_real(struct assay_config *config, const char *name, double otherwise);    /* finite */
bool c_bool(struct assay_config *config, const char *name, bool otherwise);
const char *c_text(struct assay_config *config, const char *name, const char *otherwise);
/* A list of sizes into values[ASSAY_CONFIG_MAX_LIST]; one number stands for a list of one. Returns its length; where it is
 * missing, `otherwise` (n_otherwise) is taken. Each number is within ±ASSAY_CONFIG_MAX_SIZE. */
int c_ints(struct assay_config *config, const char *name, const int64_t *otherwise, int n_otherwise, int64_t *values);
/* The raw field for what is no plain type; NULL if it is missing or null. Counts as asking. */
const json_t *c_json(struct assay_config *config, const char *name);
/* Number of classes of a head: entries of id2label, else num_labels, else `otherwise`. */
int64_t c_labels(struct assay_config *config, int64_t otherwise);
/* The same of models that leave the head out where there are no classes: 0 then. */
int64_t c_labels_or_none(struct assay_config *config, int64_t otherwise);

/* A share of what training zeroes; NaN where it is no number, which b_dropout names. */
double c_dropout(struct assay_config *config, const char *name, double otherwise);
/* The row of an embedding of n that "pad_token_id" names, counted from the end where it is negative; -1 = none: null, or missing
 * with `otherwise` -1. */
int64_t c_padding_row(struct assay_config *config, int64_t otherwise, int64_t n);

/* The only value that Assay builds; another is ASSAY_UNSUPPORTED and named. A missing field is fine. */
void c_require_bool(struct assay_config *config, const char *name, bool value);
void c_require_text(struct assay_config *config, const char *name, const char *value);
void c_require_int(struct assay_config *config, const char *name, int64_t value);
void c_require_null(struct assay_config *config, const char *name); /* null, false, [] or {} */
/* Fields that don't change what is computed; ended by NULL. */
void c_ignore(struct assay_config *config, const char *name, ...) __attribute__((sentinel));

#endif
