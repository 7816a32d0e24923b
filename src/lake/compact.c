/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction: the files of each host and day become one. What a kill leaves at any moment is right: before the merged file's
 * rename there are only the old files; after it, readers leave out the old ones because the merged file lists them; and those
 * that were not removed yet go with the next compaction. Before anything goes, the merged file is read back from its place and
 * must hold the same cells.
 */
#include "lake/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file beyond this stays as it is: merging it again would copy much to gain little. */
#define LARGE_BYTES (INT64_C(512) << 20)
/* A writer's temporary file that old belongs to no living writer. */
#define STALE_S (24 * 3600)

struct compaction {
    const char *lake_path;
    struct assay_lake_db db;
    struct assay_lake_files files;
    struct assay_arena arena; /* of one folder */
};

static enum assay_status remove_file(const char *path, struct assay_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return assay_fs_error(err, errno, "cannot remove %s, whose rows are in a merged file now", path);
    return ASSAY_OK;
}

static bool is_small(const struct assay_lake_file *file)
{
    return assay_lake_file_is_read(file) && file->size_bytes < LARGE_BYTES;
}

/* The hashes of all small files of [first, end), and of what these replace. */
static char *replaced_hashes(const struct assay_lake_file *first, const struct assay_lake_file *end, struct assay_arena *arena)
{
    size_t size = 1;
    for (const struct assay_lake_file *f = first; f < end; f++)
        size += is_small(f) ? ASSAY_LAKE_HASH_DIGITS + 2 + (f->replaces ? strlen(f->replaces) : 0) : 0;
    char *text = assay_arena_alloc(arena, size), *out = text;
    for (const struct assay_lake_file *f = first; f < end; f++) {
        if (!is_small(f))
            continue;
        out = stpcpy(out, out == text ? "" : " ");
        out = stpcpy(out, f->name.hash);
        if (f->replaces && f->replaces[0])
            out = stpcpy(stpcpy(out, " "), f->replaces);
    }
    return text;
}

/* A number that any change of any cell changes, whatever the order of rows. */
static enum assay_status fingerprint(struct compaction *c, const char *select, int64_t *value, struct assay_error *err)
{
    return assay_lake_db_int(&c->db, assay_arena_printf(&c->arena, "SELECT bit_xor(hash(r)) >> 1 FROM (%s) r", select), value,
                             err);
}

static enum assay_status merge(struct compaction *c, const struct assay_lake_file *first, const struct assay_lake_file *end,
                               struct assay_error *err)
{
    struct assay_arena *arena = &c->arena;
    const char **paths = assay_arena_array(arena, (size_t)(end - first), sizeof *paths);
    size_t n_paths = 0;
    for (const struct assay_lake_file *f = first; f < end; f++) {
        if (is_small(f))
            paths[n_paths++] = f->path;
    }
    char *rows = assay_arena_printf(arena, "SELECT * FROM assay.no_rows UNION ALL BY NAME (%s)",
                                    assay_lake_sql_read(paths, n_paths, arena));
    int64_t n_rows, n_distinct, before, after;
    enum assay_status st = assay_lake_db_int(&c->db, assay_arena_printf(arena, "SELECT count(*) FROM (%s)", rows), &n_rows, err);
    if (!st)
        st = assay_lake_db_int(&c->db, assay_arena_printf(arena, "SELECT count(DISTINCT result_id) FROM (%s)", rows), &n_distinct,
                               err);
    if (st)
        return st;
    if (n_distinct < n_rows)
        rows = assay_arena_printf(
            arena, "SELECT * FROM (%s) QUALIFY row_number() OVER (PARTITION BY result_id ORDER BY time, run_id) = 1", rows);
    struct assay_lake_commit commit = {
        .lake_path = c->lake_path,
        .folder = assay_path_folder(arena, first->path),
        .stem = assay_arena_printf(arena, "merged-%lld", (long long)assay_clock_utc_us()),
        .select = rows,
        .replaces = replaced_hashes(first, end, arena),
        .n_rows = n_distinct,
    };
    char *file;
    st = fingerprint(c, rows, &before, err);
    if (!st)
        st = assay_lake_commit_file(&c->db, &commit, arena, &file, err);
    if (!st)
        st = fingerprint(c,
                         assay_arena_printf(arena, "SELECT * FROM assay.no_rows UNION ALL BY NAME (%s)",
                                            assay_lake_sql_read((const char *const *)&file, 1, arena)),
                         &after, err);
    if (!st && before != after)
        st = assay_error_set(err, ASSAY_MISMATCH, "the merged file %s does not hold what was written: the old files stay", file);
    if (st)
        return st;
    for (size_t i = 0; i < n_paths && !st; i++)
        st = remove_file(paths[i], err);
    return st;
}

/* The end of the run of files that lie in first's folder. */
static struct assay_lake_file *folder_end(struct assay_lake_files *files, struct assay_lake_file *first)
{
    struct assay_lake_file *all = files->files + files->n_files, *end = first;
    size_t n = (size_t)(assay_path_name(first->path) - first->path);
    while (end < all && strncmp(end->path, first->path, n) == 0 && !strchr(end->path + n, '/'))
        end++;
    return end;
}

static enum assay_status compact_folder(struct compaction *c, struct assay_lake_file *first, struct assay_lake_file *end,
                                        struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    size_t n_small = 0;
    for (struct assay_lake_file *f = first; f < end && !st; f++) {
        n_small += is_small(f);
        if (f->good && f->replaced)
            st = remove_file(f->path, err);
    }
    if (!st && n_small > 1)
        st = merge(c, first, end, err);
    assay_arena_clear(&c->arena);
    return st;
}

static enum assay_status remove_stale(void *context, const char *path, struct assay_error *err)
{
    (void)err;
    struct stat info;
    const char *name = assay_path_name(path);
    size_t n = strlen(name);
    bool temporary = name[0] == '.' && n > 4 && strcmp(name + n - 4, ".tmp") == 0;
    if (temporary && stat(path, &info) == 0 && info.st_mtime < *(const int64_t *)context - STALE_S)
        unlink(path);
    return ASSAY_OK;
}

static enum assay_status compact(const char *path, struct assay_error *err)
{
    struct compaction c = {.lake_path = path};
    assay_arena_init(&c.arena);
    int64_t now_s = assay_clock_utc_us() / 1000000;
    enum assay_status st = assay_lake_db_open(&c.db, err);
    if (!st)
        st = assay_lake_files_list(&c.files, path, &c.db, true, NULL, NULL, err);
    for (size_t i = 0; i < c.files.n_files && !st;) {
        struct assay_lake_file *first = &c.files.files[i], *end = folder_end(&c.files, first);
        st = compact_folder(&c, first, end, err);
        i = (size_t)(end - c.files.files);
    }
    if (!st)
        st = assay_fs_walk(assay_path_join(&c.arena, path, "v1"), remove_stale, &now_s, err);
    assay_lake_files_release(&c.files);
    assay_lake_db_close(&c.db);
    assay_arena_release(&c.arena);
    return st;
}

enum assay_status assay_lake_compact(const char *path, struct assay_lake_stat *before, struct assay_lake_stat *after,
                                     assay_lake_warning *warn, void *context, struct assay_error *err)
{
    int fd = -1;
    *before = *after = (struct assay_lake_stat){0};
    if (!assay_fs_is_folder(path))
        return assay_error_set(err, ASSAY_ABSENT, "there is no lake at %s", path);
    enum assay_status st = assay_lake_lock(path, &fd, err);
    if (st)
        return st;
    st = assay_lake_stat(path, before, warn, context, err);
    if (!st)
        st = compact(path, err);
    if (!st)
        st = assay_lake_stat(path, after, NULL, NULL, err);
    assay_lake_unlock(fd);
    return st;
}
