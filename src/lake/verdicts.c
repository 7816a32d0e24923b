/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts on files, kept so that a lake need not be hashed in full each time it is opened. A verdict holds for the very file,
 * unchanged: same device, inode, size and times of modification and of change (ctime, which no program can set), and for a week,
 * so that rot of the disk under an unchanged file is found too. A file that changed within the last two seconds gets none: its
 * times might not tell a change that follows at once.
 */
#include "lake/internal.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define VALID_NS (INT64_C(7) * 24 * 3600 * 1000000000)
#define SETTLED_NS INT64_C(2000000000)
enum { LARGEST_CACHE = 64 << 20 };

struct verdict {
    char hash[ASSAY_LAKE_HASH_DIGITS + 1];
    uint64_t device, inode;
    int64_t size_bytes, modified_ns, changed_ns, checked_ns;
};

struct assay_lake_verdicts {
    struct assay_arena *arena;
    char *path; /* NULL: no cache folder */
    struct verdict *old, *added;
    size_t n_old, n_added;
};

static int64_t ns_of(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static int by_hash(const void *a, const void *b)
{
    return strcmp(((const struct verdict *)a)->hash, ((const struct verdict *)b)->hash);
}

/* The lines after the first, which is the hash of all that follows. */
static void parse(struct assay_lake_verdicts *v, char *text)
{
    char wanted[ASSAY_HASH_TEXT_SIZE];
    char *body = strchr(text, '\n');
    if (!body++)
        return;
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_update(&hash, body, strlen(body));
    assay_hash_final(&hash, wanted);
    if (strncmp(text, wanted, sizeof wanted - 1) != 0 || text[sizeof wanted - 1] != '\n')
        return;
    size_t n_lines = 0;
    for (const char *p = body; (p = strchr(p, '\n')); p++)
        n_lines++;
    v->old = assay_arena_array(v->arena, n_lines, sizeof *v->old);
    int64_t now = assay_clock_utc_us() * 1000;
    for (char *line = body; *line; line = strchr(line, '\n') + 1) {
        struct verdict *o = &v->old[v->n_old];
        int n = sscanf(line, "%16s %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 "\n", o->hash,
                       &o->device, &o->inode, &o->size_bytes, &o->modified_ns, &o->changed_ns, &o->checked_ns);
        if (n == 7 && o->checked_ns <= now && now - o->checked_ns < VALID_NS)
            v->n_old++;
    }
    if (v->n_old)
        qsort(v->old, v->n_old, sizeof *v->old, by_hash);
}

struct assay_lake_verdicts *assay_lake_verdicts_load(const char *lake_path, struct assay_arena *arena)
{
    struct assay_lake_verdicts *v = assay_arena_alloc(arena, sizeof *v);
    v->arena = arena;
    char *cache = NULL, *text, name[ASSAY_HASH_TEXT_SIZE];
    size_t size;
    if (assay_path_cache(arena, &cache, NULL))
        return v;
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_text(&hash, lake_path);
    assay_hash_final(&hash, name);
    v->path = assay_arena_printf(arena, "%s/lake-%.16s.verdicts", cache, name);
    if (assay_fs_read(v->path, LARGEST_CACHE, arena, &text, &size, NULL) == ASSAY_OK && strlen(text) == size && size &&
        text[size - 1] == '\n')
        parse(v, text);
    return v;
}

static struct verdict verdict_of(const char *hash, const struct stat *info)
{
    struct verdict verdict = {.device = info->st_dev,
                              .inode = info->st_ino,
                              .size_bytes = info->st_size,
                              .modified_ns = ns_of(info->st_mtim),
                              .changed_ns = ns_of(info->st_ctim)};
    memcpy(verdict.hash, hash, sizeof verdict.hash);
    return verdict;
}

bool assay_lake_verdicts_good(const struct assay_lake_verdicts *v, const char *hash, const struct stat *info)
{
    struct verdict key = verdict_of(hash, info);
    const struct verdict *found = v->n_old ? bsearch(&key, v->old, v->n_old, sizeof key, by_hash) : NULL;
    return found && found->device == key.device && found->inode == key.inode && found->size_bytes == key.size_bytes &&
           found->modified_ns == key.modified_ns && found->changed_ns == key.changed_ns;
}

void assay_lake_verdicts_add(struct assay_lake_verdicts *v, const char *hash, const struct stat *info)
{
    struct verdict verdict = verdict_of(hash, info);
    verdict.checked_ns = assay_clock_utc_us() * 1000;
    if (verdict.changed_ns > verdict.checked_ns - SETTLED_NS || verdict.modified_ns > verdict.checked_ns - SETTLED_NS)
        return;
    if ((v->n_added & (v->n_added - 1)) == 0)
        v->added = assay_arena_grow(v->arena, v->added, v->n_added, v->n_added ? 2 * v->n_added : 1, sizeof *v->added);
    v->added[v->n_added++] = verdict;
}

static void print(FILE *out, const struct verdict *o)
{
    fprintf(out, "%s %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", o->hash, o->device, o->inode,
            o->size_bytes, o->modified_ns, o->changed_ns, o->checked_ns);
}

void assay_lake_verdicts_save(struct assay_lake_verdicts *v)
{
    if (!v->path || !v->n_added)
        return;
    char *body = NULL, digest[ASSAY_HASH_TEXT_SIZE];
    size_t size = 0;
    FILE *out = open_memstream(&body, &size);
    if (!out)
        return;
    qsort(v->added, v->n_added, sizeof *v->added, by_hash);
    for (size_t i = 0; i < v->n_old; i++) {
        if (!bsearch(&v->old[i], v->added, v->n_added, sizeof *v->added, by_hash))
            print(out, &v->old[i]);
    }
    for (size_t i = 0; i < v->n_added; i++)
        print(out, &v->added[i]);
    bool good = fclose(out) == 0;
    struct assay_hash hash;
    assay_hash_init(&hash);
    assay_hash_update(&hash, body, size);
    assay_hash_final(&hash, digest);
    struct assay_atomic_file file;
    if (good && size < LARGEST_CACHE && assay_atomic_open(&file, v->path, NULL) == ASSAY_OK) {
        fprintf(file.file, "%s\n%s", digest, body);
        assay_atomic_commit(&file, NULL);
    }
    free(body);
}
