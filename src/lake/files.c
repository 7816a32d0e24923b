/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a lake: which are there, which are good, and which a merged file replaces. See internal.h. */
#include "lake/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST_REPLACES = 64 << 20, MOST_LISTINGS = 20 };

/* ---- listing */

struct names {
    struct assay_arena *arena;
    const char **paths;
    size_t n;
};

static enum assay_status collect(void *context, const char *path, struct assay_error *err)
{
    (void)err;
    struct names *names = context;
    const char *base = assay_path_name(path), *end = strrchr(base, '.');
    if (base[0] == '.' || !end || strcmp(end, ".parquet") != 0)
        return ASSAY_OK;
    if ((names->n & (names->n - 1)) == 0)
        names->paths = assay_arena_grow(names->arena, names->paths, names->n, names->n ? 2 * names->n : 1, sizeof *names->paths);
    names->paths[names->n++] = assay_arena_strdup(names->arena, path);
    return ASSAY_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static enum assay_status list_once(const char *root, struct assay_arena *arena, struct names *names, struct assay_error *err)
{
    *names = (struct names){.arena = arena};
    enum assay_status st = assay_fs_walk(root, collect, names, err);
    if (names->n)
        qsort(names->paths, names->n, sizeof *names->paths, by_text);
    return st == ASSAY_ABSENT ? ASSAY_OK : st;
}

/* Whether a compaction went on between two listings: one file went, or a merged one came. */
static bool compaction_between(const struct names *first, const struct names *second)
{
    for (size_t i = 0; i < first->n; i++) {
        if (!second->n || !bsearch(&first->paths[i], second->paths, second->n, sizeof *second->paths, by_text))
            return true;
    }
    for (size_t i = 0; i < second->n; i++) {
        struct assay_lake_name name;
        bool merged = assay_lake_name_parse(second->paths[i], &name) && name.merged;
        if (merged && (!first->n || !bsearch(&second->paths[i], first->paths, first->n, sizeof *first->paths, by_text)))
            return true;
    }
    return false;
}

/* A folder is not read in one instant. While a compaction runs, a listing might miss the merged file (it came after its place was
 * passed) as well as an old one (it went before its place was reached): rows would be lost to this reader. An old file goes only
 * after the merged file came, so a second listing then sees the merged one; two that agree miss nothing. */
static enum assay_status list_steady(const char *root, struct assay_arena *arena, struct names *names, struct assay_error *err)
{
    struct names before;
    enum assay_status st = list_once(root, arena, &before, err);
    for (int i = 0; !st && i < MOST_LISTINGS; i++) {
        st = list_once(root, arena, names, err);
        if (st)
            break;
        if (!compaction_between(&before, names))
            return ASSAY_OK;
        before = *names;
    }
    return st ? st : assay_error_set(err, ASSAY_IO, "the files of %s change faster than they can be listed: try again", root);
}

/* ---- content */

static enum assay_status check_ends(const char *path, struct assay_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return assay_fs_error(err, errno, "it cannot be opened");
    char head[4] = "", tail[4] = "";
    off_t size = lseek(fd, 0, SEEK_END);
    bool read = size >= 12 && pread(fd, head, 4, 0) == 4 && pread(fd, tail, 4, size - 4) == 4;
    close(fd);
    if (!read || memcmp(tail, "PAR1", 4) != 0)
        return assay_error_set(err, ASSAY_MISMATCH, "its end is missing, as after a copy that was cut short");
    if (memcmp(head, "PAR1", 4) != 0)
        return assay_error_set(err, ASSAY_MISMATCH, "it is not a Parquet file");
    return ASSAY_OK;
}

enum assay_status assay_lake_file_check(const char *path, const struct assay_lake_name *name, struct assay_error *err)
{
    char text[ASSAY_HASH_TEXT_SIZE];
    enum assay_status st = check_ends(path, err);
    if (!st)
        st = assay_hash_file(path, text, err);
    if (!st && strncmp(text, name->hash, ASSAY_LAKE_HASH_DIGITS) != 0)
        st =
            assay_error_set(err, ASSAY_MISMATCH, "its content is damaged: the hash is %.16s, its name says %s", text, name->hash);
    return st;
}

/* ABSENT if the file is gone. */
static enum assay_status judge(struct assay_lake_file *file, struct assay_lake_verdicts *verdicts, bool check_hashes,
                               struct assay_error *err)
{
    struct stat info;
    if (stat(file->path, &info) != 0)
        return assay_fs_error(err, errno, "it cannot be read");
    file->size_bytes = info.st_size;
    if (!assay_lake_name_parse(file->path, &file->name))
        return assay_error_set(err, ASSAY_INVALID,
                               "its name carries no content hash, so it was not written by Assay: use `assay import`");
    if (!check_hashes && assay_lake_verdicts_good(verdicts, file->name.hash, &info))
        return ASSAY_OK;
    enum assay_status st = assay_lake_file_check(file->path, &file->name, err);
    if (!st)
        assay_lake_verdicts_add(verdicts, file->name.hash, &info);
    return st;
}

/* ---- merged files */

static enum assay_status read_replaces(struct assay_lake_file *file, struct assay_lake_db *db, struct assay_arena *arena,
                                       struct assay_error *err)
{
    struct assay_query *query = NULL;
    char *paths = assay_lake_sql_paths(&file->path, 1, arena);
    char *sql = assay_arena_printf(
        arena, "SELECT decode(value) FROM parquet_kv_metadata(%s) WHERE decode(key) = 'assay_replaces'", paths);
    enum assay_status st = assay_lake_query_all(db, sql, &query, NULL, err);
    if (!st) {
        char *text = assay_query_next(query) ? assay_query_text(query, 0, arena) : NULL;
        if (!text || strlen(text) > LARGEST_REPLACES)
            st = assay_error_set(err, ASSAY_INVALID, "it does not say which files it replaces");
        file->replaces = text;
    }
    assay_query_close(query);
    return st;
}

struct replacement {
    char hash[ASSAY_LAKE_HASH_DIGITS + 1];
    struct assay_lake_file *by;
};

struct replacements {
    struct replacement *all; /* sorted by hash, then by file */
    size_t n;
};

static int by_hash_and_file(const void *a, const void *b)
{
    const struct replacement *x = a, *y = b;
    int order = strcmp(x->hash, y->hash);
    return order ? order : (x->by > y->by) - (x->by < y->by);
}

/* Takes the next word of hash length from *text into `hash`; false at the end. */
static bool next_hash(const char **text, char hash[ASSAY_LAKE_HASH_DIGITS + 1])
{
    for (const char *p = *text ? *text + strspn(*text, " ") : ""; *p; p += strspn(p, " ")) {
        size_t length = strcspn(p, " ");
        *text = p + length;
        if (length == ASSAY_LAKE_HASH_DIGITS) {
            memcpy(hash, p, length);
            hash[length] = '\0';
            return true;
        }
        p += length;
    }
    return false;
}

static void collect_replacements(struct assay_lake_files *list, struct replacements *r)
{
    *r = (struct replacements){0};
    struct replacement entry;
    for (size_t i = 0; i < list->n_files; i++) {
        for (const char *text = list->files[i].replaces; next_hash(&text, entry.hash);)
            list->files[i].n_replaces++;
        r->n += list->files[i].n_replaces;
    }
    r->all = assay_arena_array(&list->arena, r->n, sizeof *r->all);
    struct replacement *at = r->all;
    for (size_t i = 0; i < list->n_files; i++) {
        entry.by = &list->files[i];
        for (const char *text = list->files[i].replaces; next_hash(&text, entry.hash);)
            *at++ = entry;
    }
    if (r->n)
        qsort(r->all, r->n, sizeof *r->all, by_hash_and_file);
}

/* The first entry with this hash, or `end` where there is none. */
static struct replacement *find_hash(const struct replacements *r, const char *hash)
{
    struct replacement *low = r->all, *high = r->all + r->n;
    while (low < high) {
        struct replacement *middle = low + (high - low) / 2;
        if (strcmp(middle->hash, hash) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool holds_all_of(const struct replacements *r, struct assay_lake_file *by, const struct assay_lake_file *file)
{
    struct replacement key = {.by = by};
    for (const char *text = file->replaces; next_hash(&text, key.hash);) {
        if (!bsearch(&key, r->all, r->n, sizeof key, by_hash_and_file))
            return false;
    }
    return true;
}

/* A file is replaced if a merged one lists it, or lists all that it lists itself (of two alike the first stays). */
static bool is_replaced(const struct replacements *r, const struct assay_lake_file *file)
{
    const struct replacement *end = r->all + r->n, *e = find_hash(r, file->name.hash);
    for (; e < end && strcmp(e->hash, file->name.hash) == 0; e++) {
        if (e->by != file)
            return true;
    }
    char first[ASSAY_LAKE_HASH_DIGITS + 1];
    const char *text = file->replaces;
    if (!next_hash(&text, first))
        return false;
    for (e = find_hash(r, first); e < end && strcmp(e->hash, first) == 0; e++) {
        bool larger = e->by->n_replaces > file->n_replaces || (e->by->n_replaces == file->n_replaces && e->by < file);
        if (e->by != file && larger && holds_all_of(r, e->by, file))
            return true;
    }
    return false;
}

static void mark_replaced(struct assay_lake_files *list)
{
    struct replacements r;
    collect_replacements(list, &r);
    if (!r.n)
        return;
    for (size_t i = 0; i < list->n_files; i++)
        list->files[i].replaced = is_replaced(&r, &list->files[i]);
    const struct replacement *before = NULL;
    for (const struct replacement *e = r.all; e < r.all + r.n; e++) {
        if (e->by->replaced)
            continue;
        if (before && before->by != e->by && strcmp(before->hash, e->hash) == 0)
            before->by->overlaps = e->by->overlaps = true;
        before = e;
    }
}

/* *vanished: a file went after it was listed, so the list must be made anew. */
static enum assay_status list_attempt(struct assay_lake_files *list, const char *root, struct assay_lake_db *db,
                                      bool check_hashes, assay_lake_warning *warn, void *context, bool *vanished,
                                      struct assay_error *err)
{
    struct assay_arena *arena = &list->arena;
    struct names names;
    enum assay_status st = list_steady(assay_path_join(arena, root, "v1"), arena, &names, err);
    if (st)
        return st;
    *vanished = false;
    struct assay_lake_verdicts *verdicts = assay_lake_verdicts_load(root, arena);
    list->files = assay_arena_array(arena, names.n, sizeof *list->files);
    for (size_t i = 0; i < names.n; i++) {
        struct assay_lake_file *file = &list->files[list->n_files++];
        *file = (struct assay_lake_file){.path = names.paths[i]};
        struct assay_error reason = {0};
        st = judge(file, verdicts, check_hashes, &reason);
        if (!st && file->name.merged)
            st = read_replaces(file, db, arena, &reason);
        file->good = !st;
        *vanished |= st == ASSAY_ABSENT || (st && !assay_fs_exists(file->path));
        if (st && !*vanished && warn)
            warn(context, file->path, reason.message);
    }
    mark_replaced(list);
    assay_lake_verdicts_save(verdicts);
    return ASSAY_OK;
}

enum assay_status assay_lake_files_list(struct assay_lake_files *list, const char *path, struct assay_lake_db *db,
                                        bool check_hashes, assay_lake_warning *warn, void *context, struct assay_error *err)
{
    *list = (struct assay_lake_files){0};
    assay_arena_init(&list->arena);
    char *root = realpath(path, NULL);
    if (!root)
        return errno == ENOENT ? ASSAY_OK : assay_fs_error(err, errno, "cannot open the lake %s", path);
    enum assay_status st = ASSAY_OK;
    bool vanished = true;
    for (int i = 0; i < MOST_LISTINGS && vanished && !st; i++) {
        list->n_files = 0;
        st = list_attempt(list, root, db, check_hashes, warn, context, &vanished, err);
    }
    if (!st && vanished)
        st = assay_error_set(err, ASSAY_IO, "the files of the lake %s change faster than they can be read: try again", path);
    free(root);
    return st;
}

void assay_lake_files_release(struct assay_lake_files *list)
{
    assay_arena_release(&list->arena);
    *list = (struct assay_lake_files){0};
}
