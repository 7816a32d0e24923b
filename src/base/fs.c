/* SPDX-License-Identifier: Apache-2.0 */
/* See fs.h: reading, mapping, folders. Atomic writes are in atomic.c, paths in path.c. */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_READ = 16384 };

enum assay_status assay_fs_error(struct assay_error *err, int number, const char *format, ...)
{
    enum assay_status st = number == ENOENT || number == ENOTDIR ? ASSAY_ABSENT : number == ENOMEM ? ASSAY_NO_MEMORY : ASSAY_IO;
    char what[sizeof err->message], reason[128];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return assay_error_set(err, st, "%s: %s", what, strerror_r(number, reason, sizeof reason));
}

/* O_NONBLOCK so that a pipe without a writer does not make the open wait; it means nothing for regular files. */
static enum assay_status open_regular(const char *path, int *fd, struct stat *info, struct assay_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return assay_fs_error(err, errno, "cannot open %s", path);
    enum assay_status st = ASSAY_OK;
    if (fstat(*fd, info) != 0)
        st = assay_fs_error(err, errno, "cannot open %s", path);
    else if (!S_ISREG(info->st_mode))
        st = assay_error_set(err, ASSAY_INVALID, "cannot read %s: it is %s, not a regular file", path,
                             S_ISDIR(info->st_mode) ? "a folder" : "a device or pipe");
    if (st)
        close(*fd);
    return st;
}

enum assay_status assay_map_open(struct assay_map *map, const char *path, struct assay_error *err)
{
    *map = (struct assay_map){0};
    int fd;
    struct stat info;
    enum assay_status st = open_regular(path, &fd, &info, err);
    if (st)
        return st;
    if (info.st_size == 0) {
        map->data = (const unsigned char *)"";
    } else {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            st = assay_fs_error(err, errno, "cannot map %s", path);
        } else {
            map->data = data;
            map->size_bytes = (size_t)info.st_size;
        }
    }
    close(fd);
    return st;
}

void assay_map_release(struct assay_map *map)
{
    if (!map)
        return;
    if (map->size_bytes)
        munmap((void *)(uintptr_t)map->data, map->size_bytes);
    *map = (struct assay_map){0};
}

void assay_map_forget(const void *data, size_t size_bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)data + size_bytes) / page * page;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

enum assay_status assay_fs_read(const char *path, size_t limit_bytes, struct assay_arena *arena, char **text, size_t *size_bytes,
                                struct assay_error *err)
{
    ASSAY_ASSERT(limit_bytes < SIZE_MAX / 4);
    *text = NULL;
    if (size_bytes)
        *size_bytes = 0;
    int fd;
    struct stat info;
    enum assay_status st = open_regular(path, &fd, &info, err);
    if (st)
        return st;
    /* Files of /proc say that their size is 0, and any file may grow: the size is where to start, the end is where read() ends.
     */
    size_t room = FIRST_READ, n = 0;
    if ((uint64_t)info.st_size >= room)
        room = (uint64_t)info.st_size > limit_bytes ? limit_bytes + 1 : (size_t)info.st_size + 1;
    char *buffer = malloc(room + 1);
    while (buffer && n <= limit_bytes) {
        if (n == room) {
            room *= 2;
            char *larger = realloc(buffer, room + 1);
            if (!larger)
                free(buffer);
            buffer = larger;
            continue;
        }
        ssize_t got = read(fd, buffer + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            st = assay_fs_error(err, errno, "cannot read %s", path);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    if (!buffer) {
        st = assay_error_set(err, ASSAY_NO_MEMORY, "no memory to read %s", path);
    } else if (!st && n > limit_bytes) {
        st = assay_error_set(err, ASSAY_INVALID, "%s is larger than the %zu bytes that such a file may have", path, limit_bytes);
    } else if (!st) {
        *text = assay_arena_strndup(arena, buffer, n);
        if (size_bytes)
            *size_bytes = n;
    }
    free(buffer);
    close(fd);
    return st;
}

enum assay_status assay_fs_make_folder(const char *path, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    char *part = assay_strdup(path);
    for (size_t i = 1, n = strlen(part); i <= n && !st; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && !(errno == EEXIST && assay_fs_is_folder(part))) {
            int number = errno;
            /* A read-only or foreign parent answers with its own errno even for a folder that is there. */
            if (assay_fs_exists(part) && !assay_fs_is_folder(part))
                st = assay_error_set(err, ASSAY_IO, "cannot make the folder %s: %s is no folder", path, part);
            else if (!assay_fs_is_folder(part))
                st = assay_fs_error(err, number, "cannot make the folder %s", part);
        }
        part[i] = kept;
    }
    free(part);
    return st;
}

bool assay_fs_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool assay_fs_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

static enum assay_status tree_open(const char *path, int options, FTS **tree, struct assay_error *err)
{
    char *copy = assay_strdup(path);
    char *roots[] = {copy, NULL};
    *tree = fts_open(roots, options | FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    int number = errno;
    free(copy);
    return *tree ? ASSAY_OK : assay_fs_error(err, number, "cannot read the folder %s", path);
}

enum assay_status assay_fs_remove(const char *path, struct assay_error *err)
{
    FTS *tree;
    enum assay_status st = tree_open(path, 0, &tree, err);
    if (st)
        return st == ASSAY_ABSENT ? ASSAY_OK : st;
    for (FTSENT *entry; !st && (entry = fts_read(tree));) {
        int number = 0;
        switch (entry->fts_info) {
        case FTS_D:
            break;
        case FTS_DP:
            number = rmdir(entry->fts_accpath) == 0 ? 0 : errno;
            break;
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            number = entry->fts_errno;
            break;
        default:
            number = unlink(entry->fts_accpath) == 0 ? 0 : errno;
        }
        if (number && number != ENOENT)
            st = assay_fs_error(err, number, "cannot remove %s", entry->fts_path);
    }
    fts_close(tree);
    return st;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

enum assay_status assay_fs_list(const char *path, struct assay_arena *arena, char ***names, size_t *n_names,
                                struct assay_error *err)
{
    *names = NULL;
    *n_names = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return assay_fs_error(err, errno, "cannot read the folder %s", path);
    enum assay_status st = ASSAY_OK;
    char **list = NULL;
    size_t n = 0, room = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry && errno)
            st = assay_fs_error(err, errno, "cannot read the folder %s", path);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (n == room) {
            size_t larger = room ? room * 2 : 32;
            list = assay_arena_grow(arena, list, n, larger, sizeof *list);
            room = larger;
        }
        list[n++] = assay_arena_strdup(arena, entry->d_name);
    }
    closedir(folder);
    if (st)
        return st;
    if (n)
        qsort(list, n, sizeof *list, by_text);
    *names = list;
    *n_names = n;
    return ASSAY_OK;
}

/* Whether this entry is a regular file or a symbolic link to one. */
static bool is_file(const FTSENT *entry)
{
    struct stat info;
    return entry->fts_info == FTS_F || (entry->fts_info == FTS_SL && stat(entry->fts_path, &info) == 0 && S_ISREG(info.st_mode));
}

enum assay_status assay_fs_walk(const char *path,
                                enum assay_status (*visit)(void *context, const char *path, struct assay_error *err),
                                void *context, struct assay_error *err)
{
    FTS *tree;
    enum assay_status st = tree_open(path, FTS_COMFOLLOW, &tree, err);
    if (st)
        return st;
    for (FTSENT *entry; !st && (entry = fts_read(tree));) {
        bool failed = entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS;
        if (failed && (entry->fts_errno != ENOENT || entry->fts_level == 0))
            st = assay_fs_error(err, entry->fts_errno, "cannot read %s", entry->fts_path);
        else if (is_file(entry))
            st = visit(context, entry->fts_path, err);
    }
    fts_close(tree);
    return st;
}

enum assay_status assay_fs_temporary_folder(struct assay_arena *arena, char **path, struct assay_error *err)
{
    const char *base = getenv("TMPDIR");
    *path = assay_path_join(arena, base && base[0] == '/' ? base : "/tmp", "assay-XXXXXX");
    if (!mkdtemp(*path))
        return assay_fs_error(err, errno, "cannot make a temporary folder %s", *path);
    return ASSAY_OK;
}
