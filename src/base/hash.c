/* SPDX-License-Identifier: Apache-2.0 */
/* See hash.h. */
#include "base/hash.h"

#include "base/arena.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/core.h>
#include <sodium/utils.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_BYTES = 32, CHUNK = 1 << 18 };

void assay_hash_init(struct assay_hash *hash)
{
    /* Idempotent; picks the fastest implementation for this CPU. */
    ASSAY_ASSERT(sodium_init() >= 0);
    crypto_generichash_init(&hash->state, NULL, 0, HASH_BYTES);
}

void assay_hash_update(struct assay_hash *hash, const void *data, size_t size_bytes)
{
    if (size_bytes)
        crypto_generichash_update(&hash->state, data, size_bytes);
}

void assay_hash_u64(struct assay_hash *hash, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    assay_hash_update(hash, bytes, sizeof bytes);
}

void assay_hash_piece(struct assay_hash *hash, const void *data, size_t size_bytes)
{
    assay_hash_u64(hash, size_bytes);
    assay_hash_update(hash, data, size_bytes);
}

void assay_hash_text(struct assay_hash *hash, const char *text) { assay_hash_piece(hash, text, strlen(text)); }

void assay_hash_final(struct assay_hash *hash, char text[ASSAY_HASH_TEXT_SIZE])
{
    unsigned char bytes[HASH_BYTES];
    crypto_generichash_final(&hash->state, bytes, sizeof bytes);
    sodium_bin2hex(text, ASSAY_HASH_TEXT_SIZE, bytes, sizeof bytes);
}

enum assay_status assay_hash_file(const char *path, char text[ASSAY_HASH_TEXT_SIZE], struct assay_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return assay_fs_error(err, errno, "cannot open %s", path);
    enum assay_status st = ASSAY_OK;
    unsigned char *buffer = assay_alloc(CHUNK);
    struct assay_hash hash;
    assay_hash_init(&hash);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        st = assay_error_set(err, ASSAY_INVALID, "cannot read %s: it is not a regular file", path);
        goto done;
    }
    for (;;) {
        ssize_t n = read(fd, buffer, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = assay_fs_error(err, errno, "cannot read %s", path);
        if (n <= 0)
            break;
        assay_hash_update(&hash, buffer, (size_t)n);
    }
    if (!st)
        assay_hash_final(&hash, text);
done:
    free(buffer);
    close(fd);
    return st;
}
