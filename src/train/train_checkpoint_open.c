/* SPDX-License-Identifier: Apache-2.0 */
/* See train_checkpoint.h: finding, checking and reading. */
#include "train/train_checkpoint.h"

#include "base/hash.h"
#include "train/train_checkpoint_format.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char prefix[] = "step-";
enum { FEWEST_DIGITS = 8, MOST_DIGITS = 18 };

const char *assay_train_checkpoint_file(int index) { return index == 0 ? "parameters.safetensors" : "optimizer.safetensors"; }

void assay_train_checkpoint_hash(const json_t *state, char hash[ASSAY_HASH_TEXT_SIZE])
{
    struct assay_hash h;
    char *text = json_dumps(state, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    assay_hash_init(&h);
    assay_hash_text(&h, text ? text : "");
    assay_hash_final(&h, hash);
    free(text);
}

/* ---- finding */

/* -1 for what is no checkpoint's name. */
static int64_t step_of(const char *name)
{
    size_t n_prefix = sizeof prefix - 1;
    if (strncmp(name, prefix, n_prefix) != 0)
        return -1;
    const char *digits = name + n_prefix;
    size_t n = strspn(digits, "0123456789");
    bool is_ours = digits[n] == 0 && n >= FEWEST_DIGITS && n <= MOST_DIGITS && (n == FEWEST_DIGITS || digits[0] != '0');
    return is_ours ? strtoll(digits, NULL, 10) : -1;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

enum assay_status assay_train_checkpoint_list(const char *folder, struct assay_arena *arena, int64_t **steps, size_t *n,
                                              struct assay_error *err)
{
    char **names;
    size_t n_names;
    *n = 0;
    *steps = NULL;
    enum assay_status st = assay_fs_list(folder, arena, &names, &n_names, err);
    if (st)
        return st == ASSAY_ABSENT ? ASSAY_OK : st;
    *steps = assay_arena_array(arena, n_names, sizeof **steps);
    for (size_t i = 0; i < n_names; i++)
        if (step_of(names[i]) >= 0)
            (*steps)[(*n)++] = step_of(names[i]);
    if (*n)
        qsort(*steps, *n, sizeof **steps, newest_first);
    return ASSAY_OK;
}

/* ---- state.json */

static enum assay_status read_members(const json_t *object, struct assay_training_checkpoint *c, struct assay_error *err)
{
    struct assay_training_state *state = &c->state;
    int64_t format;
    const char *seed, *model_hash, *version;
    enum assay_status st = assay_json_int(object, "format", 0, &format, err);
    if (!st && format != TRAIN_CHECKPOINT_FORMAT)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "its format is %" PRId64 ", and this Assay reads %d", format,
                               TRAIN_CHECKPOINT_FORMAT);
    if (!st)
        st = assay_json_int(object, "step", -1, &state->step, err);
    if (!st)
        st = assay_json_int(object, "epoch", 0, &state->epoch, err);
    if (!st)
        st = assay_json_text(object, "seed", "", &seed, err);
    if (!st)
        st = assay_json_text(object, "model_hash", "", &model_hash, err);
    if (!st)
        st = assay_json_text(object, "assay_version", "", &version, err);
    if (!st)
        st = assay_json_real(object, "metric", NAN, &state->metric, err);
    if (st)
        return st;
    char *end;
    errno = 0;
    state->seed = strtoull(seed, &end, 10);
    if (errno || *seed < '0' || *seed > '9' || *end || state->step < 0 || state->epoch < 0)
        return assay_error_set(err, ASSAY_INVALID, "\"seed\", \"step\" or \"epoch\" is no number that a run can have");
    state->has_metric = isfinite(state->metric);
    state->model_hash = assay_arena_strdup(&c->arena, model_hash);
    c->assay_version = assay_arena_strdup(&c->arena, version);
    json_t **const values[] = {&state->data, &state->schedule, &state->metrics};
    const char *const names[] = {"data", "schedule", "metrics"};
    for (size_t i = 0; i < ASSAY_COUNT(values); i++) {
        json_t *value = json_object_get(object, names[i]);
        *values[i] = json_is_null(value) ? NULL : json_incref(value);
    }
    return ASSAY_OK;
}

/* What state.json says of a file, and that the file is as long. */
static enum assay_status check_size(const json_t *object, const char *folder, const char *name, struct assay_arena *arena,
                                    struct assay_error *err)
{
    int64_t wanted;
    struct stat info;
    const json_t *file = json_object_get(json_object_get(object, "files"), name);
    enum assay_status st = assay_json_int(file, "size_bytes", -1, &wanted, err);
    if (st)
        return st;
    if (stat(assay_path_join(arena, folder, name), &info) != 0)
        return assay_fs_error(err, errno, "%s cannot be read", name);
    if ((int64_t)info.st_size != wanted)
        return assay_error_set(err, ASSAY_INVALID, "%s has %lld bytes, and %" PRId64 " were written", name,
                               (long long)info.st_size, wanted);
    return ASSAY_OK;
}

/* Reads state.json; *object is a new reference to what it says, whose hash has been checked. */
static enum assay_status read_json(const char *path, struct assay_arena *arena, json_t **object, struct assay_error *err)
{
    char hash[ASSAY_HASH_TEXT_SIZE];
    const char *wanted;
    json_t *whole = NULL;
    *object = NULL;
    enum assay_status st = assay_json_read(assay_path_join(arena, path, TRAIN_CHECKPOINT_STATE), &whole, err);
    if (!st && !json_is_object(json_object_get(whole, "state")))
        st = assay_error_set(err, ASSAY_INVALID, TRAIN_CHECKPOINT_STATE " holds no state of a training run");
    if (!st)
        st = assay_json_text(whole, "hash", "", &wanted, err);
    if (st)
        goto done;
    assay_train_checkpoint_hash(json_object_get(whole, "state"), hash);
    if (strcmp(hash, wanted) != 0)
        st = assay_error_set(err, ASSAY_INVALID, TRAIN_CHECKPOINT_STATE " is not what was written: its hash differs");
    else
        *object = json_incref(json_object_get(whole, "state"));
done:
    json_decref(whole);
    return st;
}

static enum assay_status read_state(const char *path, struct assay_training_checkpoint *c, json_t **object,
                                    struct assay_error *err)
{
    c->path = assay_arena_strdup(&c->arena, path);
    c->name = assay_path_name(c->path);
    enum assay_status st = read_json(path, &c->arena, object, err);
    if (!st)
        st = read_members(*object, c, err);
    if (!st && step_of(c->name) >= 0 && step_of(c->name) != c->state.step)
        st = assay_error_set(err, ASSAY_INVALID, TRAIN_CHECKPOINT_STATE " is that of step %" PRId64, c->state.step);
    for (int i = 0; i < TRAIN_CHECKPOINT_N_FILES && !st; i++)
        st = check_size(*object, path, assay_train_checkpoint_file(i), &c->arena, err);
    return st;
}

enum assay_status assay_train_checkpoint_read_state(const char *path, struct assay_training_checkpoint *checkpoint,
                                                    struct assay_error *err)
{
    *checkpoint = (struct assay_training_checkpoint){0};
    json_t *object = NULL;
    enum assay_status st = read_state(path, checkpoint, &object, err);
    json_decref(object);
    if (st)
        assay_training_checkpoint_release(checkpoint);
    return st;
}

/* ---- opening */

static enum assay_status check_hash(const json_t *object, const char *path, const char *name, struct assay_error *err)
{
    char hash[ASSAY_HASH_TEXT_SIZE];
    const char *wanted;
    const json_t *file = json_object_get(json_object_get(object, "files"), name);
    enum assay_status st = assay_json_text(file, "hash", "", &wanted, err);
    if (!st)
        st = assay_hash_file(path, hash, err);
    if (!st && strcmp(hash, wanted) != 0)
        st = assay_error_set(err, ASSAY_INVALID, "%s is not what was written: its hash differs", name);
    return st;
}

enum assay_status assay_training_checkpoint_open(const char *path, const char *model_hash, struct assay_training_checkpoint *c,
                                                 struct assay_error *err)
{
    *c = (struct assay_training_checkpoint){0};
    struct assay_safetensors *const opened[TRAIN_CHECKPOINT_N_FILES] = {&c->parameters, &c->optimizer};
    json_t *object = NULL;
    enum assay_status st = read_state(path, c, &object, err);
    bool is_other = !st && model_hash && strcmp(model_hash, c->state.model_hash) != 0;
    if (is_other)
        st = assay_error_set(err, ASSAY_INVALID,
                             "it is of another model, or of one trained with another batch, optimizer, precision, --accumulate, "
                             "--recompute or --freeze (%.12s, and this one is %.12s)",
                             c->state.model_hash, model_hash);
    for (int i = 0; i < TRAIN_CHECKPOINT_N_FILES && !st; i++) {
        const char *name = assay_train_checkpoint_file(i), *file = assay_path_join(&c->arena, path, name);
        st = check_hash(object, file, name, err);
        if (!st)
            st = assay_safetensors_open(opened[i], file, err);
    }
    json_decref(object);
    if (!st)
        return ASSAY_OK;
    assay_training_checkpoint_release(c);
    if (st == ASSAY_INVALID && !is_other) /* a damaged file, and no wrong request */
        st = ASSAY_IO;
    return assay_error_prefix(err, st, "checkpoint %s is refused", assay_path_name(path));
}

enum assay_status assay_training_checkpoint_open_newest(const char *folder, const char *model_hash,
                                                        void (*refused)(void *context, const char *sentence), void *context,
                                                        struct assay_training_checkpoint *checkpoint, struct assay_error *err)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    int64_t *steps;
    size_t n;
    struct assay_error first = {0}, why = {0};
    bool is_other = false;
    *checkpoint = (struct assay_training_checkpoint){0};
    enum assay_status st = assay_train_checkpoint_list(folder, &arena, &steps, &n, err);
    if (!st && n == 0)
        st = assay_error_set(err, ASSAY_ABSENT, "there is no checkpoint in %s", folder);
    if (st)
        goto done;
    for (size_t i = 0; i < n; i++) {
        const char *path = assay_arena_printf(&arena, "%s/" TRAIN_CHECKPOINT_NAME, folder, (long long)steps[i]);
        st = assay_training_checkpoint_open(path, model_hash, checkpoint, &why);
        if (st == ASSAY_OK)
            goto done;
        if (st == ASSAY_NO_MEMORY) { /* says nothing about the checkpoint */
            st = assay_error_set(err, st, "%s", why.message);
            goto done;
        }
        if (i == 0)
            first = why;
        is_other = is_other || st == ASSAY_INVALID;
        if (refused)
            refused(context, why.message);
    }
    st = assay_error_set(err, is_other ? ASSAY_INVALID : ASSAY_IO, "none of the %zu checkpoints in %s can be used: %s", n, folder,
                         first.message);
done:
    assay_arena_release(&arena);
    return st;
}

void assay_training_checkpoint_release(struct assay_training_checkpoint *c)
{
    if (!c)
        return;
    assay_safetensors_release(&c->parameters);
    assay_safetensors_release(&c->optimizer);
    json_decref(c->state.data);
    json_decref(c->state.schedule);
    json_decref(c->state.metrics);
    assay_arena_release(&c->arena);
    *c = (struct assay_training_checkpoint){0};
}
