/* SPDX-License-Identifier: Apache-2.0 */
/* See train_checkpoint.h: saving and pruning. Reading is in train_checkpoint_open.c. */
#include "train/train_checkpoint.h"

#include "base/hash.h"
#include "base/version.h"
#include "train/train_checkpoint_format.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- hidden names: ".step-00001234.PID.tmp", of folders being written or removed */

static char *hidden_path(struct assay_arena *arena, const char *folder, int64_t step, const char *what)
{
    return assay_arena_printf(arena, "%s/.step-%08lld.%s.%ld.tmp", folder, (long long)step, what, (long)getpid());
}

/* Whether the process that made this hidden folder is gone; it is ours to remove then. */
static bool is_left_over(const char *name)
{
    size_t length = strlen(name);
    if (strncmp(name, ".step-", 6) != 0 || length < 12 || strcmp(name + length - 4, ".tmp") != 0)
        return false;
    size_t start = length - 4;
    while (start > 0 && name[start - 1] >= '0' && name[start - 1] <= '9')
        start--;
    long pid = strtol(name + start, NULL, 10);
    return pid == (long)getpid() || (pid > 0 && pid <= INT_MAX && kill((pid_t)pid, 0) != 0 && errno == ESRCH);
}

static enum assay_status remove_left_overs(const char *folder, struct assay_arena *arena, struct assay_error *err)
{
    char **names;
    size_t n;
    enum assay_status st = assay_fs_list(folder, arena, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++)
        if (is_left_over(names[i]))
            st = assay_fs_remove(assay_path_join(arena, folder, names[i]), err);
    return st;
}

/* ---- state.json */

static json_t *describe_file(const char *path, struct assay_error *err)
{
    char hash[ASSAY_HASH_TEXT_SIZE];
    struct stat info;
    if (assay_hash_file(path, hash, err) != ASSAY_OK)
        return NULL;
    if (stat(path, &info) != 0) {
        assay_fs_error(err, errno, "cannot read %s", path);
        return NULL;
    }
    return json_pack("{s:I, s:s}", "size_bytes", (json_int_t)info.st_size, "hash", hash);
}

/* NULL becomes null. */
static void set_borrowed(json_t *object, const char *name, json_t *value)
{
    if (value)
        json_object_set(object, name, value);
    else
        json_object_set_new(object, name, json_null());
}

static json_t *describe_state(const struct assay_training_state *state)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)state->seed); /* JSON has no integers above 2^63 */
    json_t *object = json_object();
    json_object_set_new(object, "format", json_integer(TRAIN_CHECKPOINT_FORMAT));
    json_object_set_new(object, "assay_version", json_string(ASSAY_VERSION));
    json_object_set_new(object, "model_hash", json_string(state->model_hash));
    json_object_set_new(object, "step", json_integer(state->step));
    json_object_set_new(object, "epoch", json_integer(state->epoch));
    json_object_set_new(object, "seed", json_string(seed));
    json_object_set_new(object, "metric", state->has_metric ? json_real(state->metric) : json_null());
    set_borrowed(object, "data", state->data);
    set_borrowed(object, "schedule", state->schedule);
    set_borrowed(object, "metrics", state->metrics);
    return object;
}

static enum assay_status write_state(const char *folder, const struct assay_training_state *state, struct assay_arena *arena,
                                     struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    char hash[ASSAY_HASH_TEXT_SIZE], *text = NULL;
    json_t *object = describe_state(state), *files = json_object(), *whole = NULL;
    const char *path = assay_path_join(arena, folder, TRAIN_CHECKPOINT_STATE);
    json_object_set_new(object, "files", files);
    for (int i = 0; i < TRAIN_CHECKPOINT_N_FILES && !st; i++) {
        struct assay_error why = {0};
        json_t *file = describe_file(assay_path_join(arena, folder, assay_train_checkpoint_file(i)), &why);
        if (!file)
            st = assay_error_set(err, why.status, "%s", why.message);
        else
            json_object_set_new(files, assay_train_checkpoint_file(i), file);
    }
    if (st)
        goto done;
    assay_train_checkpoint_hash(object, hash);
    whole = json_pack("{s:s, s:O}", "hash", hash, "state", object);
    text = json_dumps(whole, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    if (text)
        st = assay_fs_write(path, text, strlen(text), err);
    else
        st = assay_error_set(err, ASSAY_NO_MEMORY, "%s: no memory to write it", path);
done:
    free(text);
    json_decref(whole);
    json_decref(object);
    return st;
}

/* ---- saving */

/* Puts a whole new folder in the place of `path`. An older one of that name is swapped for it in one move where the file system
 * can do that, else by way of a second hidden name. */
static enum assay_status put_in_place(const char *hidden, const char *path, const char *aside, struct assay_error *err)
{
    if (rename(hidden, path) == 0)
        return ASSAY_OK;
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
        return assay_fs_error(err, errno, "cannot rename %s to %s", hidden, path);
    if (renameat2(AT_FDCWD, hidden, AT_FDCWD, path, RENAME_EXCHANGE) == 0) {
        assay_fs_remove(hidden, NULL); /* what stays is removed by the next save */
        return ASSAY_OK;
    }
    if (rename(path, aside) != 0)
        return assay_fs_error(err, errno, "cannot rename %s to %s", path, aside);
    if (rename(hidden, path) != 0) {
        int number = errno;
        rename(aside, path);
        return assay_fs_error(err, number, "cannot rename %s to %s", hidden, path);
    }
    assay_fs_remove(aside, NULL);
    return ASSAY_OK;
}

enum assay_status assay_training_checkpoint_save(const char *folder, const struct assay_training_state *state,
                                                 const struct assay_safetensors_entry *parameters, size_t n_parameters,
                                                 const struct assay_safetensors_entry *optimizer, size_t n_optimizer,
                                                 struct assay_error *err)
{
    ASSAY_ASSERT(state->step >= 0 && state->model_hash && (!state->has_metric || isfinite(state->metric)));
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *hidden = hidden_path(&arena, folder, state->step, "new"),
               *aside = hidden_path(&arena, folder, state->step, "old");
    const char *path = assay_arena_printf(&arena, "%s/" TRAIN_CHECKPOINT_NAME, folder, (long long)state->step);
    enum assay_status st = assay_fs_make_folder(folder, err);
    if (!st)
        st = remove_left_overs(folder, &arena, err);
    if (st)
        goto done;
    st = assay_fs_make_folder(hidden, err);
    if (!st)
        st = assay_safetensors_write(assay_path_join(&arena, hidden, assay_train_checkpoint_file(0)), parameters, n_parameters,
                                     NULL, 0, err);
    if (!st)
        st = assay_safetensors_write(assay_path_join(&arena, hidden, assay_train_checkpoint_file(1)), optimizer, n_optimizer,
                                     NULL, 0, err);
    if (!st)
        st = write_state(hidden, state, &arena, err);
    if (!st)
        st = put_in_place(hidden, path, aside, err);
    if (!st)
        st = assay_fs_sync_folder(folder, err);
    if (st)
        assay_fs_remove(hidden, NULL);
done:
    assay_arena_release(&arena);
    return st ? assay_error_prefix(err, st, "the checkpoint of step %lld was not saved", (long long)state->step) : ASSAY_OK;
}

/* ---- pruning */

/* Moved away first, so that nobody finds it half removed. */
static enum assay_status remove_one(const char *folder, int64_t step, struct assay_arena *arena, struct assay_error *err)
{
    const char *path = assay_arena_printf(arena, "%s/" TRAIN_CHECKPOINT_NAME, folder, (long long)step);
    const char *hidden = hidden_path(arena, folder, step, "old");
    if (rename(path, hidden) != 0 && errno != ENOENT)
        return assay_fs_error(err, errno, "cannot remove %s", path);
    return assay_fs_remove(hidden, err);
}

static bool is_better(double a, double b, enum assay_training_best best)
{
    return best == ASSAY_TRAINING_SMALLEST ? a < b : a > b;
}

enum assay_status assay_training_checkpoint_prune(const char *folder, int64_t step, int keep, enum assay_training_best best,
                                                  struct assay_error *err)
{
    ASSAY_ASSERT(keep >= 1);
    struct assay_arena arena;
    assay_arena_init(&arena);
    int64_t *steps;
    size_t n, best_index = SIZE_MAX;
    int n_kept = 0;
    double best_metric = 0;
    enum assay_status st = assay_train_checkpoint_list(folder, &arena, &steps, &n, err);
    bool *is_whole = assay_arena_array(&arena, n, sizeof *is_whole);
    for (size_t i = 0; i < n && !st; i++) {
        struct assay_training_checkpoint checkpoint = {0};
        const char *path = assay_arena_printf(&arena, "%s/" TRAIN_CHECKPOINT_NAME, folder, (long long)steps[i]);
        is_whole[i] = steps[i] <= step && assay_train_checkpoint_read_state(path, &checkpoint, NULL) == ASSAY_OK;
        const struct assay_training_state *state = &checkpoint.state;
        bool can_be_best = is_whole[i] && best != ASSAY_TRAINING_NO_BEST && state->has_metric;
        /* Newest first, and of equals the oldest: it got there first. */
        if (can_be_best && (best_index == SIZE_MAX || !is_better(best_metric, state->metric, best))) {
            best_index = i;
            best_metric = state->metric;
        }
        assay_training_checkpoint_release(&checkpoint);
    }
    for (size_t i = 0; i < n && !st; i++) {
        bool is_kept = steps[i] > step || i == best_index || n_kept < keep;
        n_kept += is_whole[i];
        if (!is_kept)
            st = remove_one(folder, steps[i], &arena, err);
    }
    assay_arena_release(&arena);
    return st;
}
