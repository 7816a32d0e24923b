/* SPDX-License-Identifier: Apache-2.0 */
/* Reading bible.data (dataset_bible_text.h). */
#include "data/dataset_bible_text.h"

#include "base/fs.h"

#include <string.h>

enum { HEAD = 92, SIZE_AT = 84, N_AT = 88, LARGEST_WINDOW = 1 << 20, MOST_WINDOWS = 4096, LARGEST_TEXT = 64 << 20 };
enum { CLEAR = 256, FIRST = 257, FEWEST_BITS = 9, MOST_BITS = 16 };

struct bits {
    const unsigned char *data;
    size_t n_bits, at;
    size_t group; /* where codes of this width began: they are written in groups of eight */
    int width;
};

/* The next code, -1 at the end. */
static int next_code(struct bits *bits)
{
    if (bits->at + (size_t)bits->width > bits->n_bits)
        return -1;
    uint32_t word = 0;
    for (size_t byte = bits->at / 8; byte <= (bits->at + (size_t)bits->width - 1) / 8; byte++)
        word |= (uint32_t)bits->data[byte] << 8 * (byte - bits->at / 8);
    word >>= bits->at % 8;
    bits->at += (size_t)bits->width;
    return (int)(word & ((1U << bits->width) - 1));
}

static void set_width(struct bits *bits, int width)
{
    size_t group = (size_t)bits->width * 8, done = bits->at - bits->group;
    bits->at = bits->group + (done + group - 1) / group * group;
    bits->group = bits->at;
    bits->width = width;
}

struct lzw {
    uint16_t before[1 << MOST_BITS];
    unsigned char last[1 << MOST_BITS];
    unsigned char reversed[1 << MOST_BITS];
};

/* A window of at most `room` bytes into `to`; false if the stream is no such thing. */
static bool decompress(struct lzw *lzw, struct bits bits, char *to, size_t room, size_t *n)
{
    int n_codes = FIRST, old = -1, code;
    unsigned char first = 0;
    for (*n = 0;;) {
        if (n_codes > (1 << bits.width) - 1 && bits.width < MOST_BITS)
            set_width(&bits, bits.width + 1);
        code = next_code(&bits);
        if (code < 0)
            return true;
        if (code == CLEAR) {
            set_width(&bits, FEWEST_BITS);
            n_codes = FIRST;
            old = -1;
            continue;
        }
        if (old < 0 ? code > 255 : code > n_codes)
            return false;
        size_t n_reversed = 0;
        int at = code;
        if (code == n_codes) {
            lzw->reversed[n_reversed++] = first;
            at = old;
        }
        for (; at > 255; at = lzw->before[at])
            lzw->reversed[n_reversed++] = lzw->last[at];
        first = (unsigned char)at;
        lzw->reversed[n_reversed++] = first;
        if (n_reversed > room - *n)
            return false;
        while (n_reversed)
            to[(*n)++] = (char)lzw->reversed[--n_reversed];
        if (old >= 0 && n_codes < 1 << MOST_BITS) {
            lzw->before[n_codes] = (uint16_t)old;
            lzw->last[n_codes++] = first;
        }
        old = code;
    }
}

static size_t big_endian(const unsigned char *p) { return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]; }

static enum assay_status read_windows(const char *path, const struct assay_map *map, struct assay_arena *arena, char **text,
                                      size_t *size_bytes, struct assay_error *err)
{
    const unsigned char *d = map->data;
    if (map->size_bytes < HEAD || memcmp(d, "EC02", 4) != 0)
        return assay_error_set(err, ASSAY_INVALID, "%s is no text of Debian's bible-kjv-text: it does not begin with \"EC02\"",
                               path);
    size_t window = big_endian(d + SIZE_AT), n_windows = big_endian(d + N_AT);
    if (window < 1 || window > LARGEST_WINDOW || n_windows < 1 || n_windows > MOST_WINDOWS || window * n_windows > LARGEST_TEXT ||
        map->size_bytes < HEAD + 4 * (n_windows + 1))
        return assay_error_set(err, ASSAY_INVALID, "%s: %zu windows of %zu bytes do not fit into a file of %zu bytes", path,
                               n_windows, window, map->size_bytes);
    struct lzw *lzw = assay_arena_alloc(arena, sizeof *lzw);
    *text = assay_arena_alloc(arena, window * n_windows + 1);
    *size_bytes = 0;
    for (size_t i = 0; i < n_windows; i++) {
        size_t from = big_endian(d + HEAD + 4 * i), to = big_endian(d + HEAD + 4 * (i + 1)), n = 0;
        bool is_there = from <= to && to <= map->size_bytes;
        struct bits bits = {.data = d + from, .n_bits = is_there ? 8 * (to - from) : 0, .width = FEWEST_BITS};
        if (!is_there || !decompress(lzw, bits, *text + *size_bytes, window, &n) || (n != window && i + 1 < n_windows))
            return assay_error_set(err, ASSAY_INVALID, "%s: window %zu of %zu is damaged; install bible-kjv-text anew", path,
                                   i + 1, n_windows);
        *size_bytes += n;
    }
    (*text)[*size_bytes] = '\0';
    return ASSAY_OK;
}

enum assay_status assay_bible_text(const char *path, struct assay_arena *arena, char **text, size_t *size_bytes,
                                   struct assay_error *err)
{
    struct assay_map map;
    if (!assay_fs_exists(path))
        return assay_error_set(err, ASSAY_ABSENT, "%s is not here; install Debian's package bible-kjv-text", path);
    enum assay_status st = assay_map_open(&map, path, err);
    if (st)
        return st;
    st = read_windows(path, &map, arena, text, size_bytes, err);
    assay_map_release(&map);
    return st;
}
