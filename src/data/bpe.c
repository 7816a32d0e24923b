/* SPDX-License-Identifier: Apache-2.0 */
/* Training and applying byte pairs (bpe.h). */
#include "data/bpe.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_WORD = 64 }; /* bytes; what is longer is several words, so that no text makes the work quadratic */

/* ---- a hash table of numbers, open addressing; keys are not 0 */

struct assay_bpe_table {
    uint64_t *keys;
    int64_t *values;
    size_t size, n; /* size: a power of two */
};

static struct assay_bpe_table *table_new(size_t size)
{
    struct assay_bpe_table *table = assay_alloc(sizeof *table);
    table->size = size;
    table->keys = assay_alloc(size * sizeof *table->keys);
    table->values = assay_alloc(size * sizeof *table->values);
    return table;
}

static void table_free(struct assay_bpe_table *table)
{
    if (!table)
        return;
    free(table->keys);
    free(table->values);
    free(table);
}

static size_t slot_of(const struct assay_bpe_table *table, uint64_t key)
{
    size_t slot = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (table->size - 1);
    while (table->keys[slot] && table->keys[slot] != key)
        slot = (slot + 1) & (table->size - 1);
    return slot;
}

static const int64_t *table_find(const struct assay_bpe_table *table, uint64_t key)
{
    size_t slot = slot_of(table, key);
    return table->keys[slot] ? &table->values[slot] : NULL;
}

static void table_grow(struct assay_bpe_table *table)
{
    struct assay_bpe_table *larger = table_new(table->size * 2), old = *table;
    for (size_t i = 0; i < table->size; i++)
        if (table->keys[i]) {
            size_t slot = slot_of(larger, table->keys[i]);
            larger->keys[slot] = table->keys[i];
            larger->values[slot] = table->values[i];
        }
    larger->n = table->n;
    *table = *larger;
    *larger = old;
    table_free(larger);
}

/* The value of a key, made with 0 where it is new; valid until the next call. */
static int64_t *table_value(struct assay_bpe_table *table, uint64_t key)
{
    if (table->n * 2 >= table->size)
        table_grow(table);
    size_t slot = slot_of(table, key);
    if (!table->keys[slot]) {
        table->keys[slot] = key;
        table->n++;
    }
    return &table->values[slot];
}

static uint64_t pair_key(int64_t left, int64_t right) { return ((uint64_t)left << 32 | (uint64_t)right) + 1; }

/* ---- words */

enum sign { SPACE, LETTER, OTHER };

static enum sign sign_of(char c)
{
    unsigned char u = (unsigned char)c;
    if (u == ' ' || (u >= '\t' && u <= '\r'))
        return SPACE;
    return u >= 0x80 || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') ? LETTER : OTHER;
}

/* Bytes of the word that text[n], n > 0, begins with. */
static size_t word_length(const char *text, size_t n)
{
    size_t i = text[0] == ' ' && n > 1 && sign_of(text[1]) != SPACE ? 1 : 0;
    enum sign sign = sign_of(text[i]);
    while (i < n && i < LONGEST_WORD && sign_of(text[i]) == sign) {
        /* The last space before a word is the word's. */
        if (sign == SPACE && i > 0 && text[i] == ' ' && i + 1 < n && sign_of(text[i + 1]) != SPACE)
            break;
        i++;
    }
    return i;
}

/* ---- training */

struct word {
    int64_t count;
    int n; /* tokens it has now */
    int *tokens;
};

struct training {
    struct assay_arena arena;
    struct word *words;
    size_t n_words, room;
    struct assay_bpe_table *pairs; /* how often a pair stands in the text */
};

static uint64_t word_hash(const char *text, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash ? hash : 1;
}

static bool is_word(const struct word *word, const char *text, size_t n)
{
    bool same = (size_t)word->n == n;
    for (size_t i = 0; same && i < n; i++)
        same = word->tokens[i] == (unsigned char)text[i];
    return same;
}

/* The number of a word, a new one where it has not been met; words of equal hash follow each other. */
static size_t word_number(struct training *t, struct assay_bpe_table *table, const char *text, size_t n)
{
    uint64_t hash = word_hash(text, n);
    for (;; hash = hash + 1 ? hash + 1 : 1) {
        int64_t *number = table_value(table, hash);
        if (*number && !is_word(&t->words[*number - 1], text, n))
            continue;
        if (*number)
            return (size_t)*number - 1;
        *number = (int64_t)t->n_words + 1;
        if (t->n_words == t->room) {
            t->room = t->room ? t->room * 2 : 1024;
            t->words = assay_realloc(t->words, t->room * sizeof *t->words);
        }
        struct word *word = &t->words[t->n_words++];
        *word = (struct word){.n = (int)n, .tokens = assay_arena_array(&t->arena, n, sizeof *word->tokens)};
        for (size_t i = 0; i < n; i++)
            word->tokens[i] = (unsigned char)text[i];
        return t->n_words - 1;
    }
}

static void count_words(struct training *t, const char *text, size_t n)
{
    struct assay_bpe_table *table = table_new(1 << 12);
    for (size_t i = 0; i < n;) {
        size_t length = word_length(text + i, n - i), number = word_number(t, table, text + i, length);
        t->words[number].count++;
        i += length;
    }
    table_free(table);
    for (size_t w = 0; w < t->n_words; w++)
        for (int i = 0; i + 1 < t->words[w].n; i++)
            *table_value(t->pairs, pair_key(t->words[w].tokens[i], t->words[w].tokens[i + 1])) += t->words[w].count;
}

/* The most frequent pair's key, 0 where none occurs twice. Keys order as pairs do. */
static uint64_t best_pair(const struct assay_bpe_table *pairs)
{
    uint64_t best = 0;
    int64_t most = 1;
    for (size_t i = 0; i < pairs->size; i++)
        if (pairs->keys[i] && (pairs->values[i] > most || (best && pairs->values[i] == most && pairs->keys[i] < best))) {
            best = pairs->keys[i];
            most = pairs->values[i];
        }
    return best;
}

static void add_pairs(struct training *t, const struct word *word, int64_t count)
{
    for (int i = 0; i + 1 < word->n; i++)
        *table_value(t->pairs, pair_key(word->tokens[i], word->tokens[i + 1])) += count;
}

static bool has_pair(const int *tokens, int n, int left, int right)
{
    for (int i = 0; i + 1 < n; i++)
        if (tokens[i] == left && tokens[i + 1] == right)
            return true;
    return false;
}

/* Joins the pair from left to right, in place; gives the new length. */
static int join(int *tokens, int n, int left, int right, int joined)
{
    int to = 0;
    for (int i = 0; i < n; to++) {
        bool is_pair = i + 1 < n && tokens[i] == left && tokens[i + 1] == right;
        tokens[to] = is_pair ? joined : tokens[i];
        i += is_pair ? 2 : 1;
    }
    return to;
}

static void add_token(struct assay_bpe *bpe, int left, int right)
{
    int joined = bpe->n_tokens++;
    struct assay_bpe_token *a = &bpe->tokens[left], *b = &bpe->tokens[right], *token = &bpe->tokens[joined];
    *token = (struct assay_bpe_token){.left = left, .right = right, .n_bytes = a->n_bytes + b->n_bytes};
    token->text = assay_alloc((size_t)token->n_bytes);
    memcpy(token->text, a->text, (size_t)a->n_bytes);
    memcpy(token->text + a->n_bytes, b->text, (size_t)b->n_bytes);
    *table_value(bpe->ranks, pair_key(left, right)) = joined;
}

static void init(struct assay_bpe *bpe, int n_tokens)
{
    *bpe = (struct assay_bpe){.n_tokens = ASSAY_BPE_BYTES};
    bpe->tokens = assay_alloc((size_t)n_tokens * sizeof *bpe->tokens);
    bpe->ranks = table_new(1 << 10);
    for (int i = 0; i < ASSAY_BPE_BYTES; i++) {
        bpe->tokens[i] = (struct assay_bpe_token){.left = -1, .right = -1, .n_bytes = 1, .text = assay_alloc(1)};
        bpe->tokens[i].text[0] = (unsigned char)i;
    }
}

enum assay_status assay_bpe_train(struct assay_bpe *bpe, const char *text, size_t n, int n_tokens, struct assay_error *err)
{
    *bpe = (struct assay_bpe){0};
    if (n_tokens < ASSAY_BPE_BYTES || n_tokens > ASSAY_BPE_VOCABULARY)
        return assay_error_set(err, ASSAY_INVALID, "a vocabulary of %d tokens is asked for; %d to %d can be made", n_tokens,
                               ASSAY_BPE_BYTES, ASSAY_BPE_VOCABULARY);
    if (n > INT32_MAX)
        return assay_error_set(err, ASSAY_INVALID, "byte pairs are made from at most 2 GiB of text; these are %zu bytes", n);
    init(bpe, n_tokens);
    struct training t = {.pairs = table_new(1 << 12)};
    count_words(&t, text, n);
    uint64_t best;
    while (bpe->n_tokens < n_tokens && (best = best_pair(t.pairs))) {
        int left = (int)((best - 1) >> 32), right = (int)((best - 1) & UINT32_MAX);
        for (size_t w = 0; w < t.n_words; w++) {
            struct word *word = &t.words[w];
            if (!has_pair(word->tokens, word->n, left, right))
                continue;
            add_pairs(&t, word, -word->count);
            word->n = join(word->tokens, word->n, left, right, bpe->n_tokens);
            add_pairs(&t, word, word->count);
        }
        add_token(bpe, left, right);
    }
    table_free(t.pairs);
    free(t.words);
    assay_arena_release(&t.arena);
    return ASSAY_OK;
}

void assay_bpe_release(struct assay_bpe *bpe)
{
    if (!bpe || !bpe->tokens)
        return;
    for (int i = 0; i < bpe->n_tokens; i++)
        free(bpe->tokens[i].text);
    free(bpe->tokens);
    table_free(bpe->ranks);
    *bpe = (struct assay_bpe){0};
}

/* ---- applying */

/* Pairs of a word are joined in the order in which they were learnt. */
static size_t encode_word(const struct assay_bpe *bpe, const char *text, size_t n, int32_t *to)
{
    int tokens[LONGEST_WORD + 1], length = (int)n;
    for (int i = 0; i < length; i++)
        tokens[i] = (unsigned char)text[i];
    for (;;) {
        int64_t first = INT64_MAX;
        for (int i = 0; i + 1 < length; i++) {
            const int64_t *token = table_find(bpe->ranks, pair_key(tokens[i], tokens[i + 1]));
            first = token && *token < first ? *token : first;
        }
        if (first == INT64_MAX)
            break;
        length = join(tokens, length, bpe->tokens[first].left, bpe->tokens[first].right, (int)first);
    }
    for (int i = 0; i < length; i++)
        to[i] = tokens[i];
    return (size_t)length;
}

size_t assay_bpe_encode(const struct assay_bpe *bpe, const char *text, size_t n, int32_t *to)
{
    size_t n_tokens = 0;
    for (size_t i = 0; i < n;) {
        size_t length = word_length(text + i, n - i);
        n_tokens += encode_word(bpe, text + i, length, to + n_tokens);
        i += length;
    }
    return n_tokens;
}

/* ---- as JSON */

json_t *assay_bpe_json(const struct assay_bpe *bpe)
{
    json_t *pairs = json_array();
    for (int i = ASSAY_BPE_BYTES; i < bpe->n_tokens; i++)
        json_array_append_new(pairs, json_pack("[ii]", bpe->tokens[i].left, bpe->tokens[i].right));
    return json_pack("{so}", "pairs", pairs);
}

enum assay_status assay_bpe_from_json(struct assay_bpe *bpe, const json_t *json, struct assay_error *err)
{
    const json_t *pairs = json_object_get(json, "pairs");
    size_t n = json_array_size(pairs);
    *bpe = (struct assay_bpe){0};
    if (!json_is_array(pairs) || n > ASSAY_BPE_VOCABULARY - ASSAY_BPE_BYTES)
        return assay_error_set(err, ASSAY_INVALID, "a table of byte pairs is an array of at most %d pairs",
                               ASSAY_BPE_VOCABULARY - ASSAY_BPE_BYTES);
    init(bpe, ASSAY_BPE_BYTES + (int)n);
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(pairs, i), *a = json_array_get(pair, 0), *b = json_array_get(pair, 1);
        json_int_t left = json_integer_value(a), right = json_integer_value(b);
        bool is_pair = json_array_size(pair) == 2 && json_is_integer(a) && json_is_integer(b) && left >= 0 && right >= 0 &&
                       left < bpe->n_tokens && right < bpe->n_tokens;
        if (!is_pair || bpe->tokens[left].n_bytes + bpe->tokens[right].n_bytes > LONGEST_WORD ||
            table_find(bpe->ranks, pair_key(left, right))) {
            assay_bpe_release(bpe);
            return assay_error_set(err, ASSAY_INVALID, "pair %zu of a table of byte pairs does not join two tokens before it", i);
        }
        add_token(bpe, (int)left, (int)right);
    }
    return ASSAY_OK;
}
