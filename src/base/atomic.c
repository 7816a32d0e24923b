/* SPDX-License-Identifier: Apache-2.0 */
/* See fs.h: writes that are all or nothing. */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_KEPT_NAME = 180 }; /* of the 255 bytes that a name may have; the rest is for PID and random number */

static void release(struct assay_atomic_file *f)
{
    free(f->path);
    free(f->temporary_path);
    *f = (struct assay_atomic_file){0};
}

/* Fills path and temporary_path. The file that a symbolic link names is replaced, not the link. */
static enum assay_status choose_paths(struct assay_atomic_file *f, const char *path, struct stat *old, bool *is_new,
                                      struct assay_error *err)
{
    *f = (struct assay_atomic_file){0};
    *is_new = stat(path, old) != 0;
    if (*is_new && errno != ENOENT)
        return assay_fs_error(err, errno, "cannot write %s", path);
    if (!*is_new && S_ISDIR(old->st_mode))
        return assay_error_set(err, ASSAY_INVALID, "cannot write %s: it is a folder", path);
    f->path = *is_new ? assay_strdup(path) : realpath(path, NULL);
    if (!f->path)
        f->path = assay_strdup(path);
    if (!*is_new && !S_ISREG(old->st_mode))
        return ASSAY_OK;
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint64_t)(uintptr_t)f->path; /* early at boot; O_EXCL still tells a clash */
    const char *name = assay_path_name(f->path);
    if (!name[0]) {
        release(f);
        return assay_error_set(err, ASSAY_INVALID, "cannot write %s: it ends in a slash, so it names a folder", path);
    }
    size_t size = strlen(f->path) + 64;
    f->temporary_path = assay_alloc(size);
    snprintf(f->temporary_path, size, "%.*s.%.*s.%ld.%016llx.tmp", (int)(name - f->path), f->path, LONGEST_KEPT_NAME, name,
             (long)getpid(), (unsigned long long)random);
    return ASSAY_OK;
}

enum assay_status assay_atomic_open(struct assay_atomic_file *f, const char *path, struct assay_error *err)
{
    struct stat old;
    bool is_new;
    enum assay_status st = choose_paths(f, path, &old, &is_new, err);
    if (st)
        return st;
    int fd = f->temporary_path ? open(f->temporary_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)
                               : open(f->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        st = assay_fs_error(err, errno, "cannot write %s", path);
        release(f);
        return st;
    }
    if (f->temporary_path && !is_new && fchmod(fd, old.st_mode & 0777) != 0) {
        st = assay_fs_error(err, errno, "cannot give %s the permissions of the file it replaces", f->temporary_path);
        close(fd);
        assay_atomic_abandon(f);
        return st;
    }
    f->file = fdopen(fd, "w");
    ASSAY_ASSERT(f->file);
    return ASSAY_OK;
}

enum assay_status assay_atomic_open_path(struct assay_atomic_file *f, const char *path, struct assay_error *err)
{
    struct stat old;
    bool is_new;
    enum assay_status st = choose_paths(f, path, &old, &is_new, err);
    if (!st && !f->temporary_path) {
        st = assay_error_set(err, ASSAY_INVALID, "cannot write %s: it is not a regular file", path);
        release(f);
    }
    return st;
}

void assay_atomic_set_name(struct assay_atomic_file *f, const char *name)
{
    ASSAY_ASSERT(f->temporary_path && !strchr(name, '/'));
    size_t n_folder = (size_t)(assay_path_name(f->path) - f->path), n_name = strlen(name) + 1;
    f->path = assay_realloc(f->path, n_folder + n_name);
    memcpy(f->path + n_folder, name, n_name);
}

/* Devices and pipes cannot be synced, and say so. */
static bool sync_failed(int fd) { return fsync(fd) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP; }

static enum assay_status sync_path(const char *path, int flags, struct assay_error *err)
{
    enum assay_status st = ASSAY_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0 || sync_failed(fd))
        st = assay_fs_error(err, errno, "cannot sync %s to the disk", path);
    if (fd >= 0)
        close(fd);
    return st;
}

enum assay_status assay_fs_sync_folder(const char *path, struct assay_error *err) { return sync_path(path, O_DIRECTORY, err); }

static enum assay_status finish_stream(struct assay_atomic_file *f, struct assay_error *err)
{
    bool failed_before = ferror(f->file);
    errno = 0;
    bool failed = fflush(f->file) != 0 || sync_failed(fileno(f->file));
    int number = errno;
    if (fclose(f->file) != 0 && !failed) {
        failed = true;
        number = errno;
    }
    f->file = NULL;
    if (failed)
        return assay_fs_error(err, number, "cannot write %s", f->path);
    if (failed_before)
        return assay_error_set(err, ASSAY_IO, "cannot write %s: a write failed, as on a full disk", f->path);
    return ASSAY_OK;
}

enum assay_status assay_atomic_commit(struct assay_atomic_file *f, struct assay_error *err)
{
    ASSAY_ASSERT(f->path);
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum assay_status st = f->file ? finish_stream(f, err) : sync_path(f->temporary_path, 0, err);
    if (st || !f->temporary_path)
        goto done;
    if (rename(f->temporary_path, f->path) != 0) {
        st = assay_fs_error(err, errno, "cannot rename %s to %s", f->temporary_path, f->path);
        goto done;
    }
    free(f->temporary_path);
    f->temporary_path = NULL;
    st = sync_path(assay_path_folder(&arena, f->path), O_DIRECTORY, err);
done:
    assay_atomic_abandon(f);
    assay_arena_release(&arena);
    return st;
}

void assay_atomic_abandon(struct assay_atomic_file *f)
{
    if (!f)
        return;
    if (f->file)
        fclose(f->file);
    if (f->temporary_path)
        unlink(f->temporary_path);
    release(f);
}

enum assay_status assay_fs_write(const char *path, const void *data, size_t size_bytes, struct assay_error *err)
{
    struct assay_atomic_file f;
    enum assay_status st = assay_atomic_open(&f, path, err);
    if (st)
        return st;
    if (size_bytes && fwrite(data, 1, size_bytes, f.file) != size_bytes) {
        st = assay_fs_error(err, errno, "cannot write %s", path);
        assay_atomic_abandon(&f);
        return st;
    }
    return assay_atomic_commit(&f, err);
}
