/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: whole reads, read-only maps, folders, and writes that are all or nothing.
 *
 * An atomic write goes to a hidden temporary name in the same folder (".NAME.PID.RANDOM.tmp"), is synced, renamed, and the folder
 * is synced, so that a reader sees the old file or the whole new one, also after a kill or a power cut. On any failure the
 * temporary file is removed and the old one is untouched. Where the path is a symbolic link, the file that it names is replaced.
 * What is no regular file (/dev/stdout, a pipe) is written directly.
 * Reads and maps take regular files only (those of /proc and /sys are), so that no pipe or terminal can make them wait.
 * A path that is not there is ASSAY_ABSENT, all else that the system refuses is ASSAY_IO.
 */
#ifndef ASSAY_BASE_FS_H
#define ASSAY_BASE_FS_H

#include "base/arena.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* For a failed system call: the sentence, ": " and what errno `number` means. ABSENT, NO_MEMORY or IO. */
enum assay_status assay_fs_error(struct assay_error *err, int number, const char *format, ...) ASSAY_PRINTF(3, 4);

/* A read-only map of a whole file. An empty file maps to data = "" and size 0. */
struct assay_map {
    const unsigned char *data;
    size_t size_bytes;
};
enum assay_status assay_map_open(struct assay_map *map, const char *path, struct assay_error *err);
void assay_map_release(struct assay_map *map);
/* These bytes of a map will hardly be read again: their pages leave this process, and come back from the file if they are. */
void assay_map_forget(const void *data, size_t size_bytes);

/* The whole file as text with a NUL after it, from the arena; ASSAY_INVALID above `limit_bytes`. Works on /proc and /sys too. */
enum assay_status assay_fs_read(const char *path, size_t limit_bytes, struct assay_arena *arena, char **text, size_t *size_bytes,
                                struct assay_error *err);

/* An atomic write in progress. open, write to `file` (or let another library write `temporary_path`), then commit or abandon. */
struct assay_atomic_file {
    FILE *file;           /* NULL after assay_atomic_open_path */
    char *path;           /* NULL when nothing is in progress */
    char *temporary_path; /* NULL where `path` is written directly */
};
enum assay_status assay_atomic_open(struct assay_atomic_file *f, const char *path, struct assay_error *err);
/* Only chooses the temporary name; somebody else writes that file. ASSAY_INVALID where `path` is no regular file. */
enum assay_status assay_atomic_open_path(struct assay_atomic_file *f, const char *path, struct assay_error *err);
/* Another name, in the same folder, for what commit will make: for names that tell the content. */
void assay_atomic_set_name(struct assay_atomic_file *f, const char *name);
/* Flush, sync, rename, sync the folder. Releases f whatever the outcome. */
enum assay_status assay_atomic_commit(struct assay_atomic_file *f, struct assay_error *err);
/* Removes the temporary file. Does nothing after a commit. */
void assay_atomic_abandon(struct assay_atomic_file *f);
/* All of it in one call. */
enum assay_status assay_fs_write(const char *path, const void *data, size_t size_bytes, struct assay_error *err);

/* The names in a folder (not what is in its files) are on the disk when this returns. */
enum assay_status assay_fs_sync_folder(const char *path, struct assay_error *err);
/* mkdir -p, mode 0777 & ~umask. */
enum assay_status assay_fs_make_folder(const char *path, struct assay_error *err);
/* Removes a file or a whole folder; one that is not there is fine. */
enum assay_status assay_fs_remove(const char *path, struct assay_error *err);
bool assay_fs_exists(const char *path);
bool assay_fs_is_folder(const char *path);

/* Names in a folder (without "." and ".."), sorted, from the arena. */
enum assay_status assay_fs_list(const char *path, struct assay_arena *arena, char ***names, size_t *n_names,
                                struct assay_error *err);
/* Calls visit(context, path) for every regular file (or symbolic link to one) below `path`, in sorted order, symbolic links to
 * folders not followed; stops at the first status that is not OK and returns it. What vanishes meanwhile is passed over. */
enum assay_status assay_fs_walk(const char *path,
                                enum assay_status (*visit)(void *context, const char *path, struct assay_error *err),
                                void *context, struct assay_error *err);

/* "folder/name"; an absolute name stays. */
char *assay_path_join(struct assay_arena *arena, const char *folder, const char *name);
/* The part after the last '/', borrowed from path. */
const char *assay_path_name(const char *path);
/* All before the last '/', "." where there is none. */
char *assay_path_folder(struct assay_arena *arena, const char *path);
/* Resolves folder/name (symbolic links too) and gives ASSAY_INVALID if the result lies outside `folder`, or if the name is
 * absolute or empty: for names that a file from outside supplied. */
enum assay_status assay_path_inside(const char *folder, const char *name, struct assay_arena *arena, char **path,
                                    struct assay_error *err);
/* Assay's own folders, made if missing: $ASSAY_CACHE or $XDG_CACHE_HOME/assay or ~/.cache/assay; and
 * $XDG_DATA_HOME/assay or ~/.local/share/assay. */
enum assay_status assay_path_cache(struct assay_arena *arena, char **path, struct assay_error *err);
enum assay_status assay_path_data(struct assay_arena *arena, char **path, struct assay_error *err);
/* A new empty folder below $TMPDIR or /tmp, for the caller to remove. */
enum assay_status assay_fs_temporary_folder(struct assay_arena *arena, char **path, struct assay_error *err);

#endif
