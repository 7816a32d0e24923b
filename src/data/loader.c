/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches read ahead (loader.h). Batches are numbered from the position at which the loader was opened; batch k lies in slot k
 * modulo the number of slots. Each thread takes the next number whose slot is free, fills the whole batch, and says so; the
 * caller takes them in order. One slot more than may wait: that of the batch which the caller holds.
 */
#include "data/loader.h"

#include "base/clock.h"
#include "data/dataset_order.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 64, MOST_AHEAD = 1024, LARGEST_BATCH = 1 << 20 };

struct slot {
    struct assay_tensor tensors[ASSAY_DATASET_TENSORS];
    int64_t *indices;
    struct assay_loader_position position;
    int64_t n, n_bytes;
    enum assay_status status;
    struct assay_error error;
    bool is_ready;
};

struct assay_loader {
    const struct assay_dataset *dataset;
    struct assay_loader_options options;
    int64_t n_samples; /* of the split */
    int64_t n_batches; /* of an epoch */
    int64_t first;     /* number, counted from epoch 0, of batch 0 of this loader */
    int64_t n_taken;   /* by threads */
    int64_t n_given;   /* to the caller */
    struct slot *slots;
    int n_slots, n_threads;
    pthread_t threads[MOST_THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t is_ready, is_free;
    bool stop;
};

static struct assay_loader_position position_of(const struct assay_loader *loader, int64_t number)
{
    int64_t all = loader->first + number;
    return (struct assay_loader_position){.epoch = all / loader->n_batches,
                                          .sample = all % loader->n_batches * loader->options.batch};
}

static bool is_past_end(const struct assay_loader *loader, int64_t number)
{
    return !loader->options.repeat && loader->first + number >= loader->n_batches;
}

static int64_t sample_index(const struct assay_loader *loader, struct assay_loader_position position)
{
    const struct assay_loader_options *o = &loader->options;
    if (!o->shuffle)
        return position.sample;
    return assay_order_at(o->seed, assay_rng_stream("epoch") + (uint64_t)position.epoch, loader->n_samples, position.sample);
}

static void *row_of(const struct assay_tensor *tensor, int64_t row)
{
    return (char *)tensor->data + row * (assay_tensor_bytes(tensor) / tensor->type.dims[0]);
}

static void fill_up(const struct assay_loader *loader, struct slot *slot)
{
    const struct assay_dataset *dataset = loader->dataset;
    for (int i = 0; i < dataset->n_tensors; i++) {
        const struct assay_tensor *tensor = &slot->tensors[i];
        size_t bytes = (size_t)(assay_tensor_bytes(tensor) / tensor->type.dims[0]);
        for (int64_t row = slot->n; row < loader->options.batch; row++) {
            memcpy(row_of(tensor, row), row_of(tensor, slot->n - 1), bytes);
            if (dataset->tensors[i].is_label && tensor->type.dtype == ASSAY_I64)
                for (size_t j = 0; j < bytes / sizeof(int64_t); j++)
                    ((int64_t *)row_of(tensor, row))[j] = ASSAY_LABEL_IGNORED;
        }
    }
}

static enum assay_status fill_row(const struct assay_loader *loader, struct slot *slot, int64_t row)
{
    const struct assay_dataset *dataset = loader->dataset;
    const struct assay_loader_options *o = &loader->options;
    void *to[ASSAY_DATASET_TENSORS];
    struct assay_loader_position at = slot->position;
    at.sample += row;
    int64_t index = sample_index(loader, at);
    for (int i = 0; i < dataset->n_tensors; i++)
        to[i] = row_of(&slot->tensors[i], row);
    enum assay_status st = assay_dataset_read(dataset, o->split, index, to, &slot->error);
    if (st)
        return st;
    slot->indices[row] = index;
    slot->n_bytes += assay_dataset_bytes(dataset, o->split, index);
    if (o->augment) {
        struct assay_rng rng;
        assay_rng_init(&rng, o->seed, assay_rng_stream("augment") + (uint64_t)at.epoch);
        rng.counter = (uint64_t)index << 32;
        o->augment(o->augment_context, dataset, &rng, to);
    }
    return ASSAY_OK;
}

static void fill_slot(const struct assay_loader *loader, struct slot *slot, int64_t number)
{
    slot->position = position_of(loader, number);
    int64_t left = loader->n_samples - slot->position.sample;
    slot->n = left < loader->options.batch ? left : loader->options.batch;
    slot->n_bytes = 0;
    slot->status = ASSAY_OK;
    for (int64_t row = 0; !slot->status && row < slot->n; row++)
        slot->status = fill_row(loader, slot, row);
    if (!slot->status)
        fill_up(loader, slot);
}

static void *read_ahead(void *argument)
{
    struct assay_loader *loader = argument;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->stop) {
        int64_t number = loader->n_taken;
        /* The slot of the batch that was given last is still the caller's. */
        if (number >= loader->n_given - 1 + loader->n_slots || is_past_end(loader, number)) {
            pthread_cond_wait(&loader->is_free, &loader->mutex);
            continue;
        }
        loader->n_taken++;
        pthread_mutex_unlock(&loader->mutex);
        struct slot *slot = &loader->slots[number % loader->n_slots];
        fill_slot(loader, slot, number);
        pthread_mutex_lock(&loader->mutex);
        slot->is_ready = true;
        pthread_cond_signal(&loader->is_ready);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

static enum assay_status check(const struct assay_dataset *dataset, const struct assay_loader_options *o,
                               const struct assay_loader_position *position, struct assay_error *err)
{
    int64_t n = dataset->n[o->split];
    if (n < 1)
        return assay_error_set(err, ASSAY_INVALID, "dataset %s has no samples for %s", dataset->spec, assay_split_word(o->split));
    if (o->batch < 1 || o->batch > LARGEST_BATCH || (o->repeat && o->batch > n))
        return assay_error_set(err, ASSAY_INVALID,
                               "a batch of %lld samples cannot be made of the %lld that dataset %s has for %s",
                               (long long)o->batch, (long long)n, dataset->spec, assay_split_word(o->split));
    if (o->n_threads < 0 || o->n_threads > MOST_THREADS || o->n_ahead < 0 || o->n_ahead > MOST_AHEAD)
        return assay_error_set(err, ASSAY_INVALID, "%d threads and %d batches ahead are asked for; at most %d and %d can be had",
                               o->n_threads, o->n_ahead, MOST_THREADS, MOST_AHEAD);
    if (position && (position->epoch < 0 || position->epoch > INT64_MAX / n - 1 || position->sample < 0 || position->sample > n ||
                     position->sample % o->batch != 0 || (position->epoch > 0 && !o->repeat)))
        return assay_error_set(err, ASSAY_INVALID, "epoch %lld, sample %lld is where no batch of %lld of dataset %s begins",
                               (long long)position->epoch, (long long)position->sample, (long long)o->batch, dataset->spec);
    return ASSAY_OK;
}

static enum assay_status alloc_slots(struct assay_loader *loader, struct assay_error *err)
{
    const struct assay_dataset *dataset = loader->dataset;
    loader->slots = assay_alloc((size_t)loader->n_slots * sizeof *loader->slots);
    for (int s = 0; s < loader->n_slots; s++) {
        struct slot *slot = &loader->slots[s];
        for (int i = 0; i < dataset->n_tensors; i++) {
            struct assay_type type = dataset->tensors[i].type;
            memmove(type.dims + 1, type.dims, (size_t)type.rank * sizeof *type.dims);
            type.dims[0] = loader->options.batch;
            type.rank++;
            enum assay_status st = assay_tensor_alloc(&slot->tensors[i], &type, err);
            if (st)
                return st;
        }
        int64_t n = loader->options.batch < loader->n_samples ? loader->options.batch : loader->n_samples;
        slot->indices = assay_alloc((size_t)n * sizeof *slot->indices);
    }
    return ASSAY_OK;
}

enum assay_status assay_loader_open(const struct assay_dataset *dataset, const struct assay_loader_options *options,
                                    const struct assay_loader_position *position, struct assay_loader **loader,
                                    struct assay_error *err)
{
    *loader = NULL;
    enum assay_status st = check(dataset, options, position, err);
    if (st)
        return st;
    struct assay_loader *made = assay_alloc(sizeof *made);
    *made = (struct assay_loader){.dataset = dataset,
                                  .options = *options,
                                  .n_samples = dataset->n[options->split],
                                  .mutex = PTHREAD_MUTEX_INITIALIZER,
                                  .is_ready = PTHREAD_COND_INITIALIZER,
                                  .is_free = PTHREAD_COND_INITIALIZER};
    int64_t batch = options->batch;
    made->n_batches = options->repeat ? made->n_samples / batch : (made->n_samples + batch - 1) / batch;
    if (position)
        made->first = position->epoch * made->n_batches + position->sample / batch;
    made->n_slots = 1 + (options->n_ahead ? options->n_ahead : 2 * options->n_threads);
    st = alloc_slots(made, err);
    /* Threads that cannot be had are no failure: then batches are read when they are asked for. */
    while (!st && made->n_threads < options->n_threads) {
        if (pthread_create(&made->threads[made->n_threads], NULL, read_ahead, made))
            break;
        made->n_threads++;
    }
    if (st) {
        assay_loader_close(made);
        return st;
    }
    *loader = made;
    return ASSAY_OK;
}

void assay_loader_close(struct assay_loader *loader)
{
    if (!loader)
        return;
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->is_free);
    pthread_mutex_unlock(&loader->mutex);
    for (int i = 0; i < loader->n_threads; i++)
        pthread_join(loader->threads[i], NULL);
    for (int s = 0; s < loader->n_slots; s++) {
        for (int i = 0; i < loader->dataset->n_tensors; i++)
            assay_tensor_release(&loader->slots[s].tensors[i]);
        free(loader->slots[s].indices);
    }
    free(loader->slots);
    pthread_cond_destroy(&loader->is_ready);
    pthread_cond_destroy(&loader->is_free);
    pthread_mutex_destroy(&loader->mutex);
    free(loader);
}

/* The slot of the next batch, once it is filled. One whose reading failed stays where it is, to fail again. */
static struct slot *wait_for_slot(struct assay_loader *loader)
{
    struct slot *slot = &loader->slots[loader->n_given % loader->n_slots];
    pthread_mutex_lock(&loader->mutex);
    if (loader->n_threads == 0)
        fill_slot(loader, slot, loader->n_given);
    while (loader->n_threads > 0 && !slot->is_ready)
        pthread_cond_wait(&loader->is_ready, &loader->mutex);
    if (!slot->status) {
        slot->is_ready = false;
        loader->n_given++;
        pthread_cond_broadcast(&loader->is_free);
    }
    pthread_mutex_unlock(&loader->mutex);
    return slot;
}

enum assay_status assay_loader_next(struct assay_loader *loader, struct assay_batch *batch, struct assay_error *err)
{
    int64_t start_ns = assay_clock_ns();
    *batch = (struct assay_batch){0};
    if (is_past_end(loader, loader->n_given))
        return ASSAY_OK;
    struct slot *slot = wait_for_slot(loader);
    if (slot->status)
        return assay_error_set(err, slot->status, "%s", slot->error.message);
    *batch = (struct assay_batch){.tensors = slot->tensors,
                                  .n_tensors = loader->dataset->n_tensors,
                                  .n = slot->n,
                                  .epoch = slot->position.epoch,
                                  .sample = slot->position.sample,
                                  .indices = slot->indices,
                                  .n_bytes = slot->n_bytes,
                                  .wait_ns = assay_clock_ns() - start_ns};
    return ASSAY_OK;
}

struct assay_loader_position assay_loader_position(const struct assay_loader *loader)
{
    return position_of(loader, loader->n_given);
}

int64_t assay_loader_batches(const struct assay_loader *loader) { return loader->n_batches; }

/* ---- as JSON */

static json_t *identity(const struct assay_dataset *dataset, const struct assay_loader_options *o)
{
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed);
    return json_pack("{ss ss ss sI ss sb}", "dataset", dataset->spec, "content", dataset->hash, "split",
                     assay_split_word(o->split), "batch", (json_int_t)o->batch, "seed", seed, "shuffle", o->shuffle);
}

json_t *assay_loader_json(const struct assay_loader *loader)
{
    struct assay_loader_position position = assay_loader_position(loader);
    json_t *json = identity(loader->dataset, &loader->options);
    json_object_set_new(json, "epoch", json_integer(position.epoch));
    json_object_set_new(json, "sample", json_integer(position.sample));
    return json;
}

enum assay_status assay_loader_position_from_json(const json_t *json, const struct assay_dataset *dataset,
                                                  const struct assay_loader_options *options,
                                                  struct assay_loader_position *position, struct assay_error *err)
{
    json_t *wanted = identity(dataset, options), *value;
    const char *name, *differs = NULL;
    json_object_foreach(wanted, name, value)
    {
        if (!differs && !json_equal(value, json_object_get(json, name)))
            differs = name;
    }
    enum assay_status st = ASSAY_OK;
    if (differs)
        st = assay_error_set(err, ASSAY_INVALID, "the stored position in the data is one of another %s, so it cannot be resumed",
                             differs);
    json_decref(wanted);
    if (!st)
        st = assay_json_int(json, "epoch", -1, &position->epoch, err);
    if (!st)
        st = assay_json_int(json, "sample", -1, &position->sample, err);
    return st ? st : check(dataset, options, position, err);
}
