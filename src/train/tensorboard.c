/* SPDX-License-Identifier: Apache-2.0 */
/* See tensorboard.h. The four messages that are needed are encoded by hand: tags and wire types of event.proto, summary.proto and
 * histogram.proto of TensorFlow. */
#include "train/tensorboard.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER = 12, /* of a record: length and its checksum */
    FOOTER = 4,
    LONGEST_TAG = 1000,
    /* From 1e-12 by 10 % to below 1e20, then the largest double; mirrored, with 0 between. */
    N_POSITIVE = 775,
    N_LIMITS = 2 * N_POSITIVE + 1,
    MOST_FILES = 1000,
};

struct assay_tensorboard {
    struct assay_arena arena;
    int fd;
    int64_t size_bytes; /* of the whole records in the file */
    char *path;
    unsigned char *buffer; /* the record being made */
    size_t n, room;
    uint32_t crc_table[256];
    double limits[N_LIMITS]; /* upper ends of TensorFlow's default buckets */
};

/* ---- checksums */

static void make_crc_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0);
        table[i] = value;
    }
}

static uint32_t crc_with(const uint32_t table[256], const unsigned char *bytes, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

uint32_t assay_tensorboard_crc(const void *data, size_t size_bytes)
{
    uint32_t table[256];
    make_crc_table(table);
    return crc_with(table, data, size_bytes);
}

/* A checksum of data that holds checksums is weak, so TFRecords turn and shift theirs. */
static uint32_t masked_crc(const struct assay_tensorboard *w, const unsigned char *bytes, size_t n)
{
    uint32_t crc = crc_with(w->crc_table, bytes, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- protocol buffers */

static void put_bytes(struct assay_tensorboard *w, const void *bytes, size_t n)
{
    if (w->room - w->n < n) {
        w->room = (w->room + n) * 2;
        w->buffer = assay_realloc(w->buffer, w->room);
    }
    if (n)
        memcpy(w->buffer + w->n, bytes, n);
    w->n += n;
}

static void put_little_endian(struct assay_tensorboard *w, uint64_t value, int n)
{
    unsigned char bytes[8];
    for (int i = 0; i < n; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    put_bytes(w, bytes, (size_t)n);
}

static void put_varint(struct assay_tensorboard *w, uint64_t value)
{
    unsigned char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    put_bytes(w, bytes, n);
}

enum wire { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

static void put_key(struct assay_tensorboard *w, unsigned field, enum wire wire) { put_varint(w, field << 3 | wire); }

static void put_double(struct assay_tensorboard *w, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_little_endian(w, bits, 8);
}

static void put_double_field(struct assay_tensorboard *w, unsigned field, double value)
{
    put_key(w, field, FIXED64);
    put_double(w, value);
}

static void put_text_field(struct assay_tensorboard *w, unsigned field, const char *text)
{
    put_key(w, field, LENGTH);
    put_varint(w, strlen(text));
    put_bytes(w, text, strlen(text));
}

/* A message within a message: begin puts its key, end moves its bytes up and puts their number before them. */
static size_t begin_message(struct assay_tensorboard *w, unsigned field)
{
    put_key(w, field, LENGTH);
    return w->n;
}

static void end_message(struct assay_tensorboard *w, size_t start)
{
    size_t length = w->n - start;
    put_varint(w, length);
    unsigned char prefix[10];
    size_t n = w->n - start - length;
    memcpy(prefix, w->buffer + start + length, n);
    memmove(w->buffer + start + n, w->buffer + start, length);
    memcpy(w->buffer + start, prefix, n);
}

/* ---- records and events */

static void begin_event(struct assay_tensorboard *w, int64_t step)
{
    w->n = 0;
    put_bytes(w, (const unsigned char[HEADER]){0}, HEADER);
    put_double_field(w, 1, (double)assay_clock_utc_us() * 1e-6);
    put_key(w, 2, VARINT);
    put_varint(w, (uint64_t)step);
}

static enum assay_status end_event(struct assay_tensorboard *w, struct assay_error *err)
{
    size_t end = w->n, at = 0;
    w->n = 0;
    put_little_endian(w, end - HEADER, 8);
    put_little_endian(w, masked_crc(w, w->buffer, 8), 4);
    w->n = end;
    put_little_endian(w, masked_crc(w, w->buffer + HEADER, end - HEADER), FOOTER);
    while (at < w->n) {
        ssize_t n = write(w->fd, w->buffer + at, w->n - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        int number = n < 0 ? errno : ENOSPC;
        /* Half a record would hide all that comes after it. */
        if (at > 0 && ftruncate(w->fd, (off_t)w->size_bytes) != 0)
            return assay_fs_error(err, number, "%s could not be written, and ends in half an event", w->path);
        return assay_fs_error(err, number, "%s could not be written", w->path);
    }
    w->size_bytes += (int64_t)w->n;
    return ASSAY_OK;
}

static bool is_utf8(const char *text)
{
    json_t *value = json_string(text);
    json_decref(value);
    return value != NULL;
}

/* Summary.Value up to its value. */
static enum assay_status begin_value(struct assay_tensorboard *w, const char *tag, int64_t step, size_t starts[2],
                                     struct assay_error *err)
{
    if (*tag == 0 || strlen(tag) > LONGEST_TAG || !is_utf8(tag))
        return assay_error_set(err, ASSAY_INVALID, "the tag '%.64s' cannot stand in %s: it must be UTF-8 of 1 to %d bytes", tag,
                               w->path, LONGEST_TAG);
    begin_event(w, step);
    starts[0] = begin_message(w, 5);
    starts[1] = begin_message(w, 1);
    put_text_field(w, 1, tag);
    return ASSAY_OK;
}

static enum assay_status end_value(struct assay_tensorboard *w, const size_t starts[2], struct assay_error *err)
{
    end_message(w, starts[1]);
    end_message(w, starts[0]);
    return end_event(w, err);
}

enum assay_status assay_tensorboard_scalar(struct assay_tensorboard *w, const char *tag, int64_t step, double value,
                                           struct assay_error *err)
{
    size_t starts[2];
    enum assay_status st = begin_value(w, tag, step, starts, err);
    if (st)
        return st;
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    put_key(w, 2, FIXED32);
    put_little_endian(w, bits, 4);
    return end_value(w, starts, err);
}

/* ---- histograms */

/* InitDefaultBucketsInner of TensorFlow's lib/histogram/histogram.cc: the limits come from repeated products. */
static void make_limits(double limits[N_LIMITS])
{
    double limit = 1e-12;
    limits[N_POSITIVE] = 0;
    for (int i = 1; i <= N_POSITIVE; i++) {
        ASSAY_ASSERT(i == N_POSITIVE ? limit >= 1e20 : limit < 1e20);
        if (i == N_POSITIVE)
            limit = DBL_MAX;
        limits[N_POSITIVE + i] = limit;
        limits[N_POSITIVE - i] = -limit;
        limit *= 1.1;
    }
}

/* The first bucket whose limit is above the value, as std::upper_bound finds it. */
static size_t bucket_of(const double limits[N_LIMITS], double value)
{
    size_t low = 0, high = N_LIMITS - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (limits[middle] > value)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Of a run of empty buckets only the last is written, as TensorFlow's EncodeToProto does. */
static size_t choose_buckets(const double counts[N_LIMITS], size_t chosen[N_LIMITS])
{
    size_t n = 0;
    for (size_t i = 0; i < N_LIMITS; i++)
        if (counts[i] > 0 || i + 1 == N_LIMITS || counts[i + 1] > 0)
            chosen[n++] = i;
    return n;
}

static void put_packed(struct assay_tensorboard *w, unsigned field, const double *values, const size_t *chosen, size_t n)
{
    put_key(w, field, LENGTH);
    put_varint(w, n * sizeof(double));
    for (size_t i = 0; i < n; i++)
        put_double(w, values[chosen[i]]);
}

enum assay_status assay_tensorboard_histogram(struct assay_tensorboard *w, const char *tag, int64_t step, const float *values,
                                              size_t n, struct assay_error *err)
{
    size_t starts[2], chosen[N_LIMITS];
    double counts[N_LIMITS] = {0}, least = INFINITY, most = -INFINITY, number = 0, sum = 0, squares = 0;
    enum assay_status st = begin_value(w, tag, step, starts, err);
    if (st)
        return st;
    for (size_t i = 0; i < n; i++) {
        double value = (double)values[i];
        if (!isfinite(value))
            continue;
        counts[bucket_of(w->limits, value)]++;
        least = fmin(least, value);
        most = fmax(most, value);
        number++;
        sum += value;
        squares += value * value;
    }
    size_t n_chosen = choose_buckets(counts, chosen), histogram = begin_message(w, 5);
    put_double_field(w, 1, number > 0 ? least : 0);
    put_double_field(w, 2, number > 0 ? most : 0);
    put_double_field(w, 3, number);
    put_double_field(w, 4, sum);
    put_double_field(w, 5, squares);
    put_packed(w, 6, w->limits, chosen, n_chosen);
    put_packed(w, 7, counts, chosen, n_chosen);
    end_message(w, histogram);
    return end_value(w, starts, err);
}

/* ---- opening and closing */

/* TensorBoard reads the files of a folder in the order of their names, so the time leads, and two of one second are numbered. */
static enum assay_status make_file(struct assay_tensorboard *w, const char *folder, struct assay_error *err)
{
    char host[65] = "";
    if (gethostname(host, sizeof host - 1) != 0 || strchr(host, '/') || host[0] == 0)
        strcpy(host, "localhost");
    long long seconds = assay_clock_utc_us() / 1000000;
    for (int i = 0; i < MOST_FILES && w->fd < 0; i++) {
        w->path =
            assay_arena_printf(&w->arena, "%s/events.out.tfevents.%010lld.%s.%ld.%d", folder, seconds, host, (long)getpid(), i);
        w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (w->fd < 0 && errno != EEXIST)
            break;
    }
    return w->fd < 0 ? assay_fs_error(err, errno, "cannot make %s", w->path) : ASSAY_OK;
}

/* The events that every file begins with. */
static enum assay_status write_first(struct assay_tensorboard *w, int64_t first_step, struct assay_error *err)
{
    begin_event(w, 0);
    put_text_field(w, 3, "brain.Event:2");
    size_t source = begin_message(w, 10);
    put_text_field(w, 1, "assay");
    end_message(w, source);
    enum assay_status st = end_event(w, err);
    if (st)
        return st;
    begin_event(w, first_step);
    size_t session = begin_message(w, 7);
    put_key(w, 1, VARINT);
    put_varint(w, 1); /* START */
    end_message(w, session);
    return end_event(w, err);
}

enum assay_status assay_tensorboard_open(const char *folder, int64_t first_step, struct assay_tensorboard **writer,
                                         struct assay_error *err)
{
    *writer = NULL;
    enum assay_status st = assay_fs_make_folder(folder, err);
    if (st)
        return st;
    struct assay_tensorboard *w = assay_alloc(sizeof *w);
    memset(w, 0, sizeof *w);
    assay_arena_init(&w->arena);
    w->fd = -1;
    make_crc_table(w->crc_table);
    make_limits(w->limits);
    st = make_file(w, folder, err);
    if (!st)
        st = write_first(w, first_step, err);
    if (st)
        assay_tensorboard_close(w, NULL);
    else
        *writer = w;
    return st;
}

enum assay_status assay_tensorboard_close(struct assay_tensorboard *w, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    if (!w)
        return st;
    if (w->fd >= 0 && fsync(w->fd) != 0 && errno != EINVAL)
        st = assay_fs_error(err, errno, "%s could not be written", w->path);
    if (w->fd >= 0)
        close(w->fd);
    free(w->buffer);
    assay_arena_release(&w->arena);
    free(w);
    return st;
}

const char *assay_tensorboard_path(const struct assay_tensorboard *w) { return w->path; }
