/* SPDX-License-Identifier: Apache-2.0 */
/* See fs.h: the functions on paths, and where Assay's own folders are. */
#include "base/fs.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *assay_path_join(struct assay_arena *arena, const char *folder, const char *name)
{
    if (name[0] == '/' || !folder[0])
        return assay_arena_strdup(arena, name);
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    return assay_arena_printf(arena, "%s%s%s", folder, slash, name);
}

const char *assay_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *assay_path_folder(struct assay_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return assay_arena_strdup(arena, ".");
    return assay_arena_strndup(arena, path, slash == path ? 1 : (size_t)(slash - path));
}

/* Whether the components of a relative name, read without the file system, ever step above where they start. Looked at first, so
 * that a name that escapes is refused whether or not something is there. */
static bool steps_outside(const char *name)
{
    int depth = 0;
    for (const char *part = name; *part && depth >= 0;) {
        size_t n = strcspn(part, "/");
        if (n == 2 && memcmp(part, "..", 2) == 0)
            depth--;
        else if (n && !(n == 1 && part[0] == '.'))
            depth++;
        part += n + (part[n] == '/');
    }
    return depth < 0;
}

enum assay_status assay_path_inside(const char *folder, const char *name, struct assay_arena *arena, char **path,
                                    struct assay_error *err)
{
    *path = NULL;
    if (!name[0] || name[0] == '/' || steps_outside(name))
        return assay_error_set(err, ASSAY_INVALID, "the name '%s' does not stay inside its folder %s", name, folder);
    char *root = realpath(folder, NULL);
    if (!root)
        return assay_fs_error(err, errno, "cannot resolve the folder %s", folder);
    enum assay_status st = ASSAY_OK;
    char *found = realpath(assay_path_join(arena, root, name), NULL);
    if (!found) {
        st = assay_fs_error(err, errno, "cannot find '%s' in %s", name, folder);
        goto done;
    }
    size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(found, root, n) != 0 || found[n] != '/')
        st = assay_error_set(err, ASSAY_INVALID, "the name '%s' leads outside its folder %s, to %s", name, folder, found);
    else
        *path = assay_arena_strdup(arena, found);
done:
    free(found);
    free(root);
    return st;
}

/* A variable that holds an absolute path; others do not count, as the XDG base directory specification wants it. */
static const char *absolute_variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

static enum assay_status home_folder(struct assay_arena *arena, char **path, struct assay_error *err)
{
    const char *home = absolute_variable("HOME");
    struct passwd entry, *found = NULL;
    char buffer[4096];
    if (!home && getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found)
        home = found->pw_dir;
    if (!home || home[0] != '/')
        return assay_error_set(err, ASSAY_ABSENT, "there is no home folder for user %u: set HOME", (unsigned)getuid());
    *path = assay_arena_strdup(arena, home);
    return ASSAY_OK;
}

/* $VARIABLE/assay, else HOME/otherwise/assay; made if missing. */
static enum assay_status own_folder(const char *variable, const char *otherwise, struct assay_arena *arena, char **path,
                                    struct assay_error *err)
{
    const char *base = absolute_variable(variable);
    if (base) {
        *path = assay_path_join(arena, base, "assay");
    } else {
        char *home;
        enum assay_status st = home_folder(arena, &home, err);
        if (st)
            return st;
        *path = assay_arena_printf(arena, "%s/%s/assay", home, otherwise);
    }
    return assay_fs_make_folder(*path, err);
}

enum assay_status assay_path_cache(struct assay_arena *arena, char **path, struct assay_error *err)
{
    const char *given = getenv("ASSAY_CACHE");
    if (given && given[0]) {
        *path = assay_arena_strdup(arena, given);
        return assay_fs_make_folder(*path, err);
    }
    return own_folder("XDG_CACHE_HOME", ".cache", arena, path, err);
}

enum assay_status assay_path_data(struct assay_arena *arena, char **path, struct assay_error *err)
{
    return own_folder("XDG_DATA_HOME", ".local/share", arena, path, err);
}
