/* SPDX-License-Identifier: Apache-2.0 */
/* See beams.h. */
#include "bench/beams.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What beams begin with that are not to be chosen before the first one's tokens: they are alike. */
static const double LAST = -1e9;

/* A text that ended, or an open one at the end of the search. */
struct text {
    double score;
    int64_t n_tokens;
    int64_t *tokens; /* [max_new_tokens] */
};

struct candidate {
    double score;
    int64_t row, token;
};

struct assay_beams {
    struct assay_beams_options options;
    int64_t n_steps, n_candidates;
    double *scores;               /* [rows]: sums of log probabilities */
    int64_t *tokens, *sources;    /* [rows]: of the last step */
    int64_t *texts, *next_texts;  /* [rows, max_new_tokens] */
    struct text *ended;           /* [batch, beams], in the order of coming */
    int64_t *n_ended;             /* [batch] */
    bool *done;                   /* [batch] */
    struct candidate *candidates; /* [n_candidates], best first */
    int64_t *ended_tokens;        /* what `ended` points into */
};

enum { MOST_TEXT_TOKENS = 1 << 28 };

static void *room(int64_t n, size_t size, bool *enough)
{
    void *p = calloc(n ? (size_t)n : 1, size);
    *enough &= p != NULL;
    return p;
}

enum assay_status assay_beams_open(const struct assay_beams_options *options, struct assay_beams **beams, struct assay_error *err)
{
    const struct assay_beams_options *o = options;
    int64_t per_beam = o->n_eos_tokens > 0 ? 1 + o->n_eos_tokens : 2;
    if (o->beams < 1 || o->beams > ASSAY_MOST_BEAMS || o->vocabulary < per_beam)
        return assay_error_set(err, ASSAY_INVALID, "beam search takes 1 to %d beams, and at least %lld tokens to choose from",
                               ASSAY_MOST_BEAMS, (long long)per_beam);
    if (o->batch > MOST_TEXT_TOKENS / o->beams / o->max_new_tokens)
        return assay_error_set(err, ASSAY_INVALID, "%lld requests of %lld beams and %lld tokens are too many",
                               (long long)o->batch, (long long)o->beams, (long long)o->max_new_tokens);
    struct assay_beams *b = assay_alloc(sizeof *b);
    int64_t rows = o->batch * o->beams;
    bool enough = true;
    b->options = *o;
    b->n_candidates = per_beam * o->beams;
    b->scores = room(rows, sizeof *b->scores, &enough);
    b->tokens = room(rows, sizeof *b->tokens, &enough);
    b->sources = room(rows, sizeof *b->sources, &enough);
    b->texts = room(rows * o->max_new_tokens, sizeof *b->texts, &enough);
    b->next_texts = room(rows * o->max_new_tokens, sizeof *b->texts, &enough);
    b->ended = room(rows, sizeof *b->ended, &enough);
    b->ended_tokens = room(rows * o->max_new_tokens, sizeof *b->ended_tokens, &enough);
    b->n_ended = room(o->batch, sizeof *b->n_ended, &enough);
    b->done = room(o->batch, sizeof *b->done, &enough);
    b->candidates = room(b->n_candidates, sizeof *b->candidates, &enough);
    if (!enough) {
        assay_beams_close(b);
        return assay_error_set(err, ASSAY_NO_MEMORY, "there is no memory for %lld beams", (long long)rows);
    }
    for (int64_t i = 0; i < rows; i++)
        b->ended[i].tokens = b->ended_tokens + i * o->max_new_tokens;
    for (int64_t r = 0; r < rows; r++)
        b->scores[r] = r % o->beams ? LAST : 0;
    *beams = b;
    return ASSAY_OK;
}

void assay_beams_close(struct assay_beams *b)
{
    if (!b)
        return;
    free(b->scores);
    free(b->tokens);
    free(b->sources);
    free(b->texts);
    free(b->next_texts);
    free(b->ended);
    free(b->ended_tokens);
    free(b->n_ended);
    free(b->done);
    free(b->candidates);
    free(b);
}

/* What is to be added to a logit to make it a log probability. */
static double log_normalizer(const float *logits, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (logits[i] > most)
            most = logits[i];
    for (int64_t i = 0; i < n; i++)
        sum += exp(logits[i] - most);
    return -most - log(sum);
}

/* Puts a candidate into its place among the best, the earlier one before an equal one. */
static void offer(struct assay_beams *b, int64_t *n, double score, int64_t row, int64_t token)
{
    if (!(score > -INFINITY))
        score = -INFINITY;
    if (*n == b->n_candidates && !(score > b->candidates[*n - 1].score))
        return;
    int64_t at = *n < b->n_candidates ? (*n)++ : *n - 1;
    for (; at > 0 && score > b->candidates[at - 1].score; at--)
        b->candidates[at] = b->candidates[at - 1];
    b->candidates[at] = (struct candidate){score, row, token};
}

static bool ends(const struct assay_beams *b, int64_t token)
{
    for (int i = 0; i < b->options.n_eos_tokens; i++)
        if (b->options.eos_tokens[i] == token)
            return true;
    return false;
}

/* Of the request's texts, of which there is one at least. */
static int64_t worst_text(const struct assay_beams *b, int64_t request)
{
    const struct text *texts = b->ended + request * b->options.beams;
    int64_t worst = 0;
    for (int64_t i = 1; i < b->n_ended[request]; i++)
        if (texts[i].score < texts[worst].score)
            worst = i;
    return worst;
}

/* Keeps the row's text if it is among the request's best. */
static void keep(struct assay_beams *b, int64_t request, int64_t row, double score)
{
    int64_t n = b->n_ended[request], beams = b->options.beams;
    struct text *texts = b->ended + request * beams, *added = &texts[n];
    if (n == beams) {
        int64_t worst = worst_text(b, request);
        if (!(score > texts[worst].score))
            return;
        /* They stay in the order of coming: of equal ones, the last is best. */
        struct text dropped = texts[worst];
        memmove(&texts[worst], &texts[worst + 1], (size_t)(n - 1 - worst) * sizeof *texts);
        added = &texts[n - 1];
        *added = dropped;
    } else {
        b->n_ended[request]++;
    }
    added->score = score;
    added->n_tokens = b->n_steps;
    memcpy(added->tokens, b->texts + row * b->options.max_new_tokens, (size_t)b->n_steps * sizeof *added->tokens);
}

static void go_on(struct assay_beams *b, int64_t row, const struct candidate *from)
{
    int64_t room_of = b->options.max_new_tokens;
    b->tokens[row] = from->token;
    b->sources[row] = from->row;
    memcpy(b->next_texts + row * room_of, b->texts + from->row * room_of, (size_t)b->n_steps * sizeof *b->texts);
    b->next_texts[row * room_of + b->n_steps] = from->token;
}

/* Of a done request the rows go on with padding, which nobody reads. */
static void pad(struct assay_beams *b, int64_t request)
{
    for (int64_t row = request * b->options.beams; row < (request + 1) * b->options.beams; row++) {
        go_on(b, row, &(struct candidate){0, row, b->options.pad_token});
        b->scores[row] = 0;
    }
}

static void step_request(struct assay_beams *b, int64_t request, const float *logits)
{
    int64_t beams = b->options.beams, vocabulary = b->options.vocabulary, first = request * beams, n = 0, chosen = 0;
    double length = (double)(b->n_steps + 1);
    for (int64_t i = 0; i < beams; i++) {
        const float *row = logits + (b->n_steps ? first + i : request) * vocabulary;
        double normalizer = log_normalizer(row, vocabulary), before = b->scores[first + i];
        for (int64_t t = 0; t < vocabulary; t++)
            offer(b, &n, row[t] + normalizer + before, first + i, t);
    }
    for (int64_t rank = 0; rank < n && chosen < beams; rank++) {
        const struct candidate *c = &b->candidates[rank];
        if (!ends(b, c->token)) {
            go_on(b, first + chosen++, c);
        } else if (rank < beams) {
            keep(b, request, c->row, c->score / length);
        }
    }
    /* Scores last: the candidates of all rows were made from the old ones. */
    chosen = 0;
    for (int64_t rank = 0; rank < n && chosen < beams; rank++)
        if (!ends(b, b->candidates[rank].token))
            b->scores[first + chosen++] = b->candidates[rank].score;
    if (b->n_ended[request] >= beams)
        b->done[request] = b->ended[request * beams + worst_text(b, request)].score >= b->candidates[0].score / length;
}

void assay_beams_step(struct assay_beams *b, const float *logits, const int64_t **tokens, const int64_t **sources)
{
    ASSAY_ASSERT(b->n_steps < b->options.max_new_tokens);
    for (int64_t request = 0; request < b->options.batch; request++) {
        if (b->done[request])
            pad(b, request);
        else
            step_request(b, request, logits);
    }
    int64_t *old = b->texts;
    b->texts = b->next_texts;
    b->next_texts = old;
    b->n_steps++;
    *tokens = b->tokens;
    *sources = b->sources;
}

bool assay_beams_done(const struct assay_beams *b)
{
    for (int64_t request = 0; request < b->options.batch; request++)
        if (!b->done[request])
            return false;
    return true;
}

static const struct text *best_text(const struct assay_beams *b, int64_t request)
{
    const struct text *texts = b->ended + request * b->options.beams, *best = texts;
    for (int64_t i = 1; i < b->n_ended[request]; i++)
        if (texts[i].score >= best->score)
            best = &texts[i];
    return best;
}

void assay_beams_finish(struct assay_beams *b, int64_t *tokens, int64_t *n_tokens, double *scores)
{
    int64_t longest = 0, beams = b->options.beams;
    for (int64_t request = 0; request < b->options.batch; request++) {
        for (int64_t row = request * beams; !b->done[request] && row < (request + 1) * beams; row++)
            keep(b, request, row, b->scores[row] / (double)b->n_steps);
        const struct text *best = best_text(b, request);
        longest = best->n_tokens > longest ? best->n_tokens : longest;
        scores[request] = best->score;
    }
    *n_tokens = longest < b->options.max_new_tokens ? longest + 1 : longest;
    for (int64_t request = 0; request < b->options.batch; request++) {
        const struct text *best = best_text(b, request);
        int64_t *row = tokens + request * *n_tokens;
        memcpy(row, best->tokens, (size_t)best->n_tokens * sizeof *row);
        for (int64_t i = best->n_tokens; i < *n_tokens; i++)
            row[i] = i == best->n_tokens && b->options.n_eos_tokens ? b->options.eos_tokens[0] : b->options.pad_token;
    }
}
