/* SPDX-License-Identifier: Apache-2.0 */
/* One compaction or import of a lake at a time, among the processes that see the same file system: see internal.h. */
#include "lake/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define LONGEST_WAIT_NS (INT64_C(60) * 1000000000)
#define STEP_NS INT64_C(50000000)

enum assay_status assay_lake_lock(const char *lake_path, int *fd, struct assay_error *err)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    *fd = -1;
    char *folder = assay_path_join(&arena, lake_path, "v1");
    enum assay_status st = assay_fs_make_folder(folder, err);
    if (st)
        goto done;
    char *path = assay_path_join(&arena, folder, ".lock");
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) {
        st = assay_fs_error(err, errno, "cannot open %s", path);
        goto done;
    }
    int64_t start_ns = assay_clock_ns();
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            st = assay_fs_error(err, errno, "cannot lock %s", path);
        else if (assay_clock_ns() - start_ns > LONGEST_WAIT_NS)
            st = assay_error_set(err, ASSAY_TIMEOUT,
                                 "another process has been compacting or importing into %s for a minute: try later", lake_path);
        if (st)
            break;
        assay_clock_sleep_until(assay_clock_ns() + STEP_NS);
    }
done:
    if (st)
        assay_lake_unlock(*fd);
    assay_arena_release(&arena);
    return st;
}

void assay_lake_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}
