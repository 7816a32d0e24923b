/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a lake's files to another: see lake.h. A damaged file of the target is replaced by its good original. */
#include "lake/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

/* Copies and hashes on the way; nothing is committed if the source is not what its name says. */
static enum assay_status copy_checked(const struct assay_lake_file *file, const char *to, struct assay_error *err)
{
    struct assay_atomic_file f = {0};
    struct assay_hash hash;
    char text[ASSAY_HASH_TEXT_SIZE];
    unsigned char *block = assay_alloc(BLOCK);
    ssize_t n = 0;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    enum assay_status st = fd < 0 ? assay_fs_error(err, errno, "cannot open %s", file->path) : assay_atomic_open(&f, to, err);
    assay_hash_init(&hash);
    while (!st && (n = read(fd, block, BLOCK)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = assay_fs_error(err, errno, "cannot read %s", file->path);
        else if (fwrite(block, 1, (size_t)n, f.file) != (size_t)n)
            st = assay_fs_error(err, errno, "cannot write %s", to);
        else
            assay_hash_update(&hash, block, (size_t)n);
    }
    if (!st) {
        assay_hash_final(&hash, text);
        if (strncmp(text, file->name.hash, ASSAY_LAKE_HASH_DIGITS) != 0)
            st = assay_error_set(err, ASSAY_MISMATCH, "%s changed while it was copied", file->path);
    }
    if (!st)
        st = assay_atomic_commit(&f, err);
    if (!st) {
        st = assay_lake_file_check(to, &file->name, err);
        if (st)
            assay_error_prefix(err, st, "%s, just copied", to);
    }
    assay_atomic_abandon(&f);
    free(block);
    if (fd >= 0)
        close(fd);
    return st;
}

/* Whether the target has these rows already: the very file, or a merged one that lists it. */
static bool has_rows(const struct assay_lake_files *target, const struct assay_lake_file *file)
{
    for (size_t i = 0; i < target->n_files; i++) {
        const struct assay_lake_file *t = &target->files[i];
        if (t->good && (strcmp(t->name.hash, file->name.hash) == 0 || (t->replaces && strstr(t->replaces, file->name.hash))))
            return true;
    }
    return false;
}

static enum assay_status check_apart(const char *root, const char *to_root, struct assay_error *err)
{
    size_t n = strlen(root), n_to = strlen(to_root), shorter = n < n_to ? n : n_to;
    bool nested = strncmp(root, to_root, shorter) == 0 && (n == n_to || (n < n_to ? to_root : root)[shorter] == '/');
    return nested ? assay_error_set(err, ASSAY_INVALID, "%s and %s lie in one another: choose another folder", root, to_root)
                  : ASSAY_OK;
}

enum assay_status assay_lake_backup(const char *path, const char *to, int64_t *n_copied, assay_lake_warning *warn, void *context,
                                    struct assay_error *err)
{
    struct assay_lake_db db = {0};
    struct assay_lake_files source = {0}, target = {0};
    struct assay_arena arena;
    *n_copied = 0;
    assay_arena_init(&arena);
    char *root = realpath(path, NULL), *to_root = NULL;
    enum assay_status st = root ? assay_fs_make_folder(to, err) : assay_fs_error(err, errno, "cannot open the lake %s", path);
    if (st)
        goto done;
    to_root = realpath(to, NULL);
    st = to_root ? check_apart(root, to_root, err) : assay_fs_error(err, errno, "cannot open %s", to);
    if (!st)
        st = assay_lake_db_open(&db, err);
    if (!st)
        st = assay_lake_files_list(&source, root, &db, true, warn, context, err);
    if (!st)
        st = assay_lake_files_list(&target, to_root, &db, false, NULL, NULL, err);
    for (size_t i = 0; i < source.n_files && !st; i++) {
        const struct assay_lake_file *file = &source.files[i];
        if (!assay_lake_file_is_read(file) || has_rows(&target, file))
            continue;
        char *copy = assay_arena_printf(&arena, "%s%s", to_root, file->path + strlen(root));
        st = assay_fs_make_folder(assay_path_folder(&arena, copy), err);
        if (!st)
            st = copy_checked(file, copy, err);
        *n_copied += !st;
    }
done:
    assay_lake_files_release(&source);
    assay_lake_files_release(&target);
    assay_lake_db_close(&db);
    assay_arena_release(&arena);
    free(root);
    free(to_root);
    return st;
}
