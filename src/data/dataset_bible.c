/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The King James Bible for language models: one verse a line, an empty line before each chapter, without the references. Each
 * chapter goes whole into one split, one in twenty to validation and one in twenty to the test. A sample is `sequence` tokens
 * and, as labels, the tokens that follow each of them; samples do not overlap.
 */
#include "data/bpe.h"
#include "data/dataset.h"
#include "data/dataset_bible_text.h"
#include "data/dataset_order.h"

#include "base/fs.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

static const char default_path[] = "/usr/lib/bible.data";

struct bible {
    int64_t sequence;
    char *parts[ASSAY_N_SPLITS];
    size_t part_bytes[ASSAY_N_SPLITS];
    struct assay_bpe bpe;
    struct assay_tensor tokens[ASSAY_N_SPLITS]; /* i32[tokens of the split] */
    int64_t n_tokens[ASSAY_N_SPLITS];
};

/* ---- from verses to three texts */

struct chapters {
    const char **begins; /* of each chapter's first verse, and the end of all */
    int64_t n;
};

/* "Ge1:1 In the beginning": the length of "Ge1", 0 if the line has no such reference. */
static size_t chapter_length(const char *line)
{
    size_t n = strcspn(line, ": \n");
    return line[n] == ':' ? n : 0;
}

static const char *line_after(const char *line) { return line + strcspn(line, "\n") + 1; }

static enum assay_status find_chapters(const char *path, const char *text, size_t n, struct assay_arena *arena,
                                       struct chapters *chapters, struct assay_error *err)
{
    size_t n_lines = 0, before = 0;
    for (size_t i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    if (n_lines < 2 || text[n - 1] != '\n' || strlen(text) != n)
        return assay_error_set(err, ASSAY_INVALID, "%s: its text is not made of lines", path);
    chapters->begins = assay_arena_array(arena, n_lines, sizeof *chapters->begins);
    const char *last = NULL;
    for (const char *line = line_after(text); line < text + n; line = line_after(line)) {
        size_t length = chapter_length(line), reference = strcspn(line, " \n");
        if (length == 0 || line[reference] != ' ')
            return assay_error_set(err, ASSAY_INVALID, "%s: a line begins with \"%.20s\"; a verse begins with its reference",
                                   path, line);
        if (!last || length != before || memcmp(line, last, length) != 0)
            chapters->begins[chapters->n++] = line;
        last = line;
        before = length;
    }
    chapters->begins[chapters->n] = text + n;
    return ASSAY_OK;
}

static enum assay_split chapter_split(int64_t chapter, int64_t n)
{
    int64_t place = assay_order_at(0, assay_rng_stream("bible"), n, chapter);
    return place < n / 20 ? ASSAY_SPLIT_TEST : place < n / 20 * 2 ? ASSAY_SPLIT_VALIDATION : ASSAY_SPLIT_TRAIN;
}

static void append_chapter(struct bible *bible, enum assay_split split, const char *from, const char *end)
{
    char *to = bible->parts[split];
    size_t at = bible->part_bytes[split];
    if (at)
        to[at++] = '\n';
    for (const char *line = from; line < end; line = line_after(line)) {
        const char *verse = strchr(line, ' ') + 1;
        size_t length = strcspn(verse, "\n") + 1;
        memcpy(to + at, verse, length);
        at += length;
    }
    bible->part_bytes[split] = at;
}

static enum assay_status read_parts(struct assay_dataset *dataset, struct bible *bible, const char *path, struct assay_error *err)
{
    char *text;
    size_t n;
    struct assay_arena scratch;
    struct chapters chapters = {0};
    assay_arena_init(&scratch);
    enum assay_status st = assay_bible_text(path, &scratch, &text, &n, err);
    if (!st)
        st = find_chapters(path, text, n, &scratch, &chapters, err);
    for (int split = 0; !st && split < ASSAY_N_SPLITS; split++)
        bible->parts[split] = assay_arena_alloc(&dataset->arena, n + 1);
    for (int64_t c = 0; !st && c < chapters.n; c++)
        append_chapter(bible, chapter_split(c, chapters.n), chapters.begins[c], chapters.begins[c + 1]);
    assay_arena_release(&scratch);
    return st;
}

/* ---- from text to tokens */

/* Byte pairs of the training text, from the cache folder where they have been made before: the file's name is the hash of all
 * that they depend on, and a file that is no table of pairs is made anew. */
static enum assay_status find_pairs(struct assay_dataset *dataset, struct bible *bible, int n_tokens, struct assay_error *err)
{
    struct assay_hash hash;
    char digits[ASSAY_HASH_TEXT_SIZE], *path;
    assay_hash_init(&hash);
    assay_hash_text(&hash, "byte pairs 1");
    assay_hash_u64(&hash, (uint64_t)n_tokens);
    assay_hash_piece(&hash, bible->parts[ASSAY_SPLIT_TRAIN], bible->part_bytes[ASSAY_SPLIT_TRAIN]);
    assay_hash_final(&hash, digits);
    enum assay_status st =
        assay_dataset_cache(&dataset->arena, assay_arena_printf(&dataset->arena, "bpe-%.32s.json", digits), &path, err);
    bool has_cache = st == ASSAY_OK;
    json_t *json = NULL;
    if (has_cache && !assay_json_read(path, &json, NULL) && !assay_bpe_from_json(&bible->bpe, json, NULL)) {
        json_decref(json);
        return ASSAY_OK;
    }
    json_decref(json);
    st = assay_bpe_train(&bible->bpe, bible->parts[ASSAY_SPLIT_TRAIN], bible->part_bytes[ASSAY_SPLIT_TRAIN], n_tokens, err);
    if (st || !has_cache)
        return st;
    json = assay_bpe_json(&bible->bpe);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text)
        assay_fs_write(path, text, strlen(text), NULL); /* a cache that cannot be written is made anew next time */
    free(text);
    return ASSAY_OK;
}

static enum assay_status encode(struct bible *bible, enum assay_split split, struct assay_error *err)
{
    const char *text = bible->parts[split];
    size_t n = bible->part_bytes[split];
    struct assay_type type = assay_type_make(ASSAY_I32, 1, (const int64_t[]){(int64_t)n});
    enum assay_status st = assay_tensor_alloc(&bible->tokens[split], &type, err);
    if (st)
        return st;
    int32_t *to = bible->tokens[split].data;
    bible->n_tokens[split] = (int64_t)n;
    if (bible->bpe.n_tokens)
        bible->n_tokens[split] = (int64_t)assay_bpe_encode(&bible->bpe, text, n, to);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = (unsigned char)text[i];
    return ASSAY_OK;
}

static enum assay_status open_bible(struct assay_dataset *dataset, struct assay_dataset_options *options,
                                    const struct assay_dataset_progress *progress, struct assay_error *err)
{
    (void)progress;
    struct bible *bible = dataset->state = assay_arena_alloc(&dataset->arena, sizeof *bible);
    int64_t n_pairs;
    enum assay_status st = assay_dataset_option_int(options, "sequence", 128, 1, 65536, &bible->sequence, err);
    if (!st)
        st = assay_dataset_option_int(options, "bpe", 0, ASSAY_BPE_BYTES, ASSAY_BPE_VOCABULARY, &n_pairs, err);
    if (!st && assay_dataset_option_word(options, "bytes") && n_pairs)
        st =
            assay_error_set(err, ASSAY_INVALID, "tokens are either bytes or byte pairs (bpe=%lld), not both", (long long)n_pairs);
    const char *path = assay_dataset_option_text(options, "file", default_path);
    if (!st)
        st = assay_dataset_options_end(dataset, options, err);
    if (!st)
        st = read_parts(dataset, bible, path, err);
    if (!st && n_pairs)
        st = find_pairs(dataset, bible, (int)n_pairs, err);
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_u64(&hash, (uint64_t)bible->sequence);
    for (int split = 0; !st && split < ASSAY_N_SPLITS; split++) {
        st = encode(bible, split, err);
        dataset->n[split] = bible->n_tokens[split] > 0 ? (bible->n_tokens[split] - 1) / bible->sequence : 0;
        if (!st)
            assay_hash_piece(&hash, bible->tokens[split].data, (size_t)bible->n_tokens[split] * sizeof(int32_t));
    }
    if (st)
        return st;
    assay_hash_final(&hash, dataset->hash);
    dataset->n_classes = n_pairs ? bible->bpe.n_tokens : ASSAY_BPE_BYTES;
    struct assay_type type = assay_type_make(ASSAY_I64, 1, &bible->sequence);
    assay_dataset_add_tensor(dataset, "input_ids", type, false, 0);
    assay_dataset_add_tensor(dataset, "labels", type, true, 0);
    return ASSAY_OK;
}

static const int32_t *sample_at(const struct bible *bible, enum assay_split split, int64_t index)
{
    return (const int32_t *)bible->tokens[split].data + index * bible->sequence;
}

static enum assay_status read_bible(const struct assay_dataset *dataset, enum assay_split split, int64_t index, void *const *to,
                                    struct assay_error *err)
{
    (void)err;
    const struct bible *bible = dataset->state;
    const int32_t *tokens = sample_at(bible, split, index);
    int64_t *ids = to[0], *labels = to[1];
    for (int64_t i = 0; i < bible->sequence; i++) {
        ids[i] = tokens[i];
        labels[i] = tokens[i + 1];
    }
    return ASSAY_OK;
}

static int64_t bible_bytes(const struct assay_dataset *dataset, enum assay_split split, int64_t index)
{
    const struct bible *bible = dataset->state;
    const int32_t *tokens = sample_at(bible, split, index);
    int64_t n = bible->sequence;
    if (bible->bpe.n_tokens) {
        n = 0;
        for (int64_t i = 1; i <= bible->sequence; i++)
            n += bible->bpe.tokens[tokens[i]].n_bytes;
    }
    return n;
}

static void close_bible(struct assay_dataset *dataset)
{
    struct bible *bible = dataset->state;
    assay_bpe_release(&bible->bpe);
    for (int split = 0; split < ASSAY_N_SPLITS; split++)
        assay_tensor_release(&bible->tokens[split]);
}

const struct assay_dataset_kind assay_dataset_bible = {
    .name = "bible",
    .about = "the King James Bible as tokens, for language models",
    .options = "bytes or bpe=VOCABULARY (bytes), sequence=TOKENS (128), file=PATH (/usr/lib/bible.data)",
    .licence = "public domain (the translation of 1611); Chip Chapin's electronic text may be copied, modified and distributed",
    .source = "Debian's package bible-kjv-text; chapters are drawn into train, validation and test, 18 : 1 : 1",
    .open = open_bible,
    .read = read_bible,
    .n_bytes = bible_bytes,
    .close = close_bible,
};
