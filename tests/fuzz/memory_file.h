/* SPDX-License-Identifier: Apache-2.0 */
/* A file in memory, for targets whose code under test opens a path. */
#ifndef ASSAY_TESTS_MEMORY_FILE_H
#define ASSAY_TESTS_MEMORY_FILE_H

#include "base/status.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Its path into path[64]; returns the descriptor to close. */
static int memory_file(const unsigned char *data, size_t size, char *path)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    ASSAY_ASSERT(fd >= 0);
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, data + at, size - at);
        ASSAY_ASSERT(n > 0);
        at += (size_t)n;
    }
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
