/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target without a fuzzer: replay FOLDER MUTATIONS gives it each file of the folder, as it is and with so many changes in
 * all, always the same ones. So every build, with any compiler, runs the target for some seconds.
 */
#include "base/fs.h"
#include "base/rng.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_TO_GROW = 64 };

/* One to six edits: flip a bit, set a byte, cut bytes out, repeat bytes. */
static size_t mutate(struct assay_rng *rng, unsigned char *bytes, size_t n, size_t room)
{
    for (uint64_t edits = 1 + assay_rng_below(rng, 6); edits > 0 && n > 0; edits--) {
        size_t at = assay_rng_below(rng, n), length = 1 + assay_rng_below(rng, n - at < 16 ? n - at : 16);
        switch (assay_rng_below(rng, 4)) {
        case 0:
            bytes[at] ^= (unsigned char)(1u << assay_rng_below(rng, 8));
            break;
        case 1:
            bytes[at] = (unsigned char)assay_rng_u32(rng);
            break;
        case 2:
            memmove(bytes + at, bytes + at + length, n - at - length);
            n -= length;
            break;
        default:
            if (n + length <= room) {
                memmove(bytes + at + length, bytes + at, n - at);
                n += length;
            }
            break;
        }
    }
    return n;
}

/* In memory of its own size, so that a read behind its end is seen. */
static void run(const unsigned char *bytes, size_t n)
{
    unsigned char *copy = assay_alloc(n);
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static enum assay_status replay(const char *folder, size_t n_mutations, struct assay_arena *arena, struct assay_error *err)
{
    char **names;
    size_t n_names;
    enum assay_status st = assay_fs_list(folder, arena, &names, &n_names, err);
    if (st)
        return st;
    if (n_names == 0)
        return assay_error_set(err, ASSAY_ABSENT, "no files in %s", folder);
    for (size_t i = 0; i < n_names; i++) {
        struct assay_map map;
        struct assay_rng rng;
        st = assay_map_open(&map, assay_path_join(arena, folder, names[i]), err);
        if (st)
            return st;
        run(map.data, map.size_bytes);
        size_t room = map.size_bytes + ROOM_TO_GROW;
        unsigned char *bytes = assay_alloc(room);
        assay_rng_init(&rng, 1, assay_rng_stream(names[i]));
        for (size_t k = 0; k < n_mutations / n_names; k++) {
            memcpy(bytes, map.data, map.size_bytes);
            run(bytes, mutate(&rng, bytes, map.size_bytes, room));
        }
        free(bytes);
        assay_map_release(&map);
    }
    printf("%zu files, %zu mutations\n", n_names, n_mutations / n_names * n_names);
    return ASSAY_OK;
}

int main(int argc, char **argv)
{
    struct assay_arena arena;
    struct assay_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: %s FOLDER MUTATIONS\n", argv[0]);
        return 2;
    }
    assay_arena_init(&arena);
    enum assay_status st = replay(argv[1], strtoul(argv[2], NULL, 10), &arena, &err);
    if (st)
        fprintf(stderr, "%s\n", err.message);
    assay_arena_release(&arena);
    return st ? 1 : 0;
}
