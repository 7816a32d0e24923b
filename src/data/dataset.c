/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a dataset by its text, and what the kinds have in common (dataset.h). */
#include "data/dataset.h"

#include "base/fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct assay_dataset_kind *const kinds[] = {&assay_dataset_fashion_mnist, &assay_dataset_bible,
                                                         &assay_dataset_spoken_commands, &assay_dataset_synthetic};

const struct assay_dataset_kind *const *assay_dataset_kinds(int *n)
{
    *n = (int)ASSAY_COUNT(kinds);
    return kinds;
}

const char *assay_split_word(enum assay_split split)
{
    static const char *const words[ASSAY_N_SPLITS] = {"train", "validation", "test"};
    return words[split];
}

static const struct assay_dataset_kind *find_kind(const char *name)
{
    for (size_t i = 0; i < ASSAY_COUNT(kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

static char *kind_names(struct assay_arena *arena)
{
    char *names = assay_arena_strdup(arena, kinds[0]->name);
    for (size_t i = 1; i < ASSAY_COUNT(kinds); i++)
        names = assay_arena_printf(arena, "%s, %s", names, kinds[i]->name);
    return names;
}

/* NAME:OPTION:OPTION=VALUE, cut in place; *name is the first part. */
static enum assay_status cut_spec(char *text, const char **name, struct assay_dataset_options *options, struct assay_error *err)
{
    char *rest = text;
    *name = strsep(&rest, ":");
    for (char *part; (part = strsep(&rest, ":"));) {
        if (options->n == ASSAY_DATASET_OPTIONS)
            return assay_error_set(err, ASSAY_INVALID, "dataset %s: at most %d options can be given", *name,
                                   ASSAY_DATASET_OPTIONS);
        char *value = strchr(part, '=');
        if (value)
            *value++ = '\0';
        for (int i = 0; i < options->n; i++)
            if (strcmp(options->list[i].name, part) == 0)
                return assay_error_set(err, ASSAY_INVALID, "dataset %s: the option %s is given twice", *name, part);
        options->list[options->n++] = (struct assay_dataset_option){.name = part, .value = value};
    }
    return ASSAY_OK;
}

static enum assay_status open_kind(struct assay_dataset *dataset, const struct assay_dataset_progress *progress,
                                   struct assay_error *err)
{
    static const struct assay_dataset_progress silent = {0};
    struct assay_dataset_options options = {0};
    const char *name;
    enum assay_status st = cut_spec(assay_arena_strdup(&dataset->arena, dataset->spec), &name, &options, err);
    if (st)
        return st;
    dataset->kind = find_kind(name);
    if (!dataset->kind)
        return assay_error_set(err, ASSAY_INVALID, "there is no dataset %s; these can be trained on: %s", name,
                               kind_names(&dataset->arena));
    st = dataset->kind->open(dataset, &options, progress ? progress : &silent, err);
    if (!st)
        st = assay_dataset_options_end(dataset, &options, err);
    return st ? assay_error_prefix(err, st, "dataset %s", name) : ASSAY_OK;
}

enum assay_status assay_dataset_open(const char *spec, const struct assay_dataset_progress *progress,
                                     struct assay_dataset **dataset, struct assay_error *err)
{
    struct assay_dataset *opened = assay_alloc(sizeof *opened);
    assay_arena_init(&opened->arena);
    opened->spec = assay_arena_strdup(&opened->arena, spec);
    enum assay_status st = open_kind(opened, progress, err);
    if (st) {
        assay_dataset_close(opened);
        opened = NULL;
    }
    *dataset = opened;
    return st;
}

void assay_dataset_close(struct assay_dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->kind && dataset->kind->close && dataset->state)
        dataset->kind->close(dataset);
    assay_arena_release(&dataset->arena);
    free(dataset);
}

enum assay_status assay_dataset_read(const struct assay_dataset *dataset, enum assay_split split, int64_t index, void *const *to,
                                     struct assay_error *err)
{
    ASSAY_ASSERT(index >= 0 && index < dataset->n[split]);
    return dataset->kind->read(dataset, split, index, to, err);
}

int64_t assay_dataset_bytes(const struct assay_dataset *dataset, enum assay_split split, int64_t index)
{
    ASSAY_ASSERT(index >= 0 && index < dataset->n[split]);
    return dataset->kind->n_bytes ? dataset->kind->n_bytes(dataset, split, index) : 0;
}

static struct assay_dataset_option *find_option(struct assay_dataset_options *options, const char *name, bool is_word)
{
    for (int i = 0; i < options->n; i++)
        if (strcmp(options->list[i].name, name) == 0 && !options->list[i].value == is_word) {
            options->list[i].is_used = true;
            return &options->list[i];
        }
    return NULL;
}

enum assay_status assay_dataset_option_int(struct assay_dataset_options *options, const char *name, int64_t otherwise,
                                           int64_t low, int64_t high, int64_t *value, struct assay_error *err)
{
    *value = otherwise;
    const struct assay_dataset_option *option = find_option(options, name, false);
    if (!option)
        return ASSAY_OK;
    char *end;
    errno = 0;
    *value = strtoll(option->value, &end, 10);
    if (errno || end == option->value || *end || *value < low || *value > high)
        return assay_error_set(err, ASSAY_INVALID, "%s=%s; a whole number from %lld to %lld is needed", name, option->value,
                               (long long)low, (long long)high);
    return ASSAY_OK;
}

const char *assay_dataset_option_text(struct assay_dataset_options *options, const char *name, const char *otherwise)
{
    const struct assay_dataset_option *option = find_option(options, name, false);
    return option ? option->value : otherwise;
}

bool assay_dataset_option_word(struct assay_dataset_options *options, const char *name)
{
    return find_option(options, name, true) != NULL;
}

enum assay_status assay_dataset_options_end(const struct assay_dataset *dataset, const struct assay_dataset_options *options,
                                            struct assay_error *err)
{
    for (int i = 0; i < options->n; i++)
        if (!options->list[i].is_used)
            return assay_error_set(err, ASSAY_INVALID, "it has no option %s; it has %s", options->list[i].name,
                                   dataset->kind->options);
    return ASSAY_OK;
}

enum assay_status assay_dataset_cache(struct assay_arena *arena, const char *name, char **path, struct assay_error *err)
{
    char *folder;
    enum assay_status st = assay_path_cache(arena, &folder, err);
    if (st)
        return st;
    folder = assay_path_join(arena, folder, "datasets");
    *path = assay_path_join(arena, folder, name);
    return assay_fs_make_folder(folder, err);
}

void assay_dataset_add_tensor(struct assay_dataset *dataset, const char *name, struct assay_type type, bool is_label, double fill)
{
    ASSAY_ASSERT(dataset->n_tensors < ASSAY_DATASET_TENSORS);
    dataset->tensors[dataset->n_tensors++] =
        (struct assay_dataset_tensor){.name = name, .type = type, .is_label = is_label, .fill = fill};
}
