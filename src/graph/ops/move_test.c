/* SPDX-License-Identifier: Apache-2.0 */
/* The oracle is the definition: one element after another. */
#include "graph/ops/move.h"

#include "base/rng.h"
#include "base/test.h"

enum { ROOM = 1 << 16 };

/* to and from as bytes of ROOM, by the definition. */
static void move_slowly(const struct assay_move_side *to, const struct assay_move_side *from, int rank, const int64_t *dims,
                        size_t size)
{
    if (rank == 0) {
        memcpy(to->data, from->data, size);
        return;
    }
    struct assay_move_side inner_to = *to, inner_from = *from;
    for (int d = 1; d < rank; d++) {
        inner_to.strides[d - 1] = to->strides[d];
        inner_from.strides[d - 1] = from->strides[d];
    }
    for (int64_t i = 0; i < dims[0]; i++) {
        inner_to.data = to->data + i * to->strides[0];
        inner_from.data = from->data + i * from->strides[0];
        move_slowly(&inner_to, &inner_from, rank - 1, dims + 1, size);
    }
}

/* A random order of the dimensions; which of them a side repeats or walks backwards is random, too. */
static void random_side(struct assay_rng *rng, struct assay_move_side *side, char *bytes, int rank, const int64_t *dims,
                        size_t size, bool read_only)
{
    int order[6];
    for (int d = 0; d < rank; d++) {
        int at = (int)assay_rng_below(rng, (uint64_t)d + 1);
        order[d] = order[at];
        order[at] = d;
    }
    int64_t stride = (int64_t)size;
    side->data = bytes;
    for (int k = 0; k < rank; k++) {
        int d = order[k];
        side->strides[d] = stride;
        stride *= dims[d];
        uint64_t kind = assay_rng_below(rng, 6);
        if (kind == 0) {
            side->data += side->strides[d] * (dims[d] - 1);
            side->strides[d] = -side->strides[d];
        } else if (kind == 1 && read_only) {
            side->strides[d] = 0;
        }
    }
}

ASSAY_TEST(random_moves_equal_the_definition)
{
    static char from_bytes[ROOM], wanted[ROOM], got[ROOM];
    static const size_t sizes[] = {1, 2, 4, 8};
    struct assay_rng rng;
    assay_rng_init(&rng, 7, assay_rng_stream("move"));
    for (int i = 0; i < ROOM; i++)
        from_bytes[i] = (char)assay_rng_u32(&rng);
    for (int trial = 0; trial < 3000; trial++) {
        int rank = (int)assay_rng_below(&rng, 6);
        size_t size = sizes[assay_rng_below(&rng, 4)];
        int64_t dims[6], count = 1;
        for (int d = 0; d < rank; d++) {
            dims[d] = (int64_t)assay_rng_below(&rng, 5 + 60 * (rank <= 2)) + (trial % 10 != 0);
            count *= dims[d];
        }
        if (count * (int64_t)size > ROOM)
            continue;
        struct assay_move_side to, from;
        random_side(&rng, &from, from_bytes, rank, dims, size, true);
        random_side(&rng, &to, wanted, rank, dims, size, false);
        memset(wanted, 0x5a, sizeof wanted);
        memset(got, 0x5a, sizeof got);
        if (count) /* a start beside a dimension of 0 is nowhere */
            move_slowly(&to, &from, rank, dims, size);
        to.data = got + (to.data - wanted);
        assay_move(&to, &from, rank, dims, size);
        CHECK(memcmp(got, wanted, sizeof got) == 0);
    }
}

ASSAY_TEST(dense_strides_survive_dimensions_that_overflow_beside_a_zero)
{
    struct assay_move_side side;
    const int64_t dims[] = {0, INT64_MAX, INT64_MAX, 4};
    assay_move_dense(&side, &side, 4, dims, 4);
    CHECK_INT(side.strides[3], 4);
    CHECK_INT(side.strides[2], 16);
    assay_move(&side, &side, 4, dims, 4);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(random_moves_equal_the_definition),
                ASSAY_TEST_ENTRY(dense_strides_survive_dimensions_that_overflow_beside_a_zero))
