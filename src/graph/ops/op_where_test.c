/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/gradient_testing.h"
#include "graph/ops/fixture.h"

ASSAY_TEST(where_picks_elements_of_every_size){
#define X(name, number, word, size, type)                                                                                        \
    {                                                                                                                            \
        struct fixture f;                                                                                                        \
        fixture_init(&f, "Where");                                                                                               \
        fixture_input(&f, ASSAY_BOOL, "2,1", VALUES(1, 0));                                                                      \
        fixture_input(&f, ASSAY_##name, "2", VALUES(1, 0));                                                                      \
        fixture_input(&f, ASSAY_##name, "", VALUES(1));                                                                          \
        CHECK_OK(fixture_run(&f), f.err);                                                                                        \
        CHECK_RESULT(&f, 0, ASSAY_##name, "2,2", 0, 1, 0, 1, 1);                                                                 \
        fixture_release(&f);                                                                                                     \
    }
    ASSAY_DTYPES(X)
#undef X
}

ASSAY_TEST(a_condition_that_is_no_bool_is_unsupported)
{
    struct fixture f;
    fixture_init(&f, "Where");
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    fixture_input(&f, ASSAY_F32, "1", VALUES(1));
    CHECK_FAILS(fixture_run(&f), ASSAY_UNSUPPORTED, f, "input 0");
    fixture_release(&f);
}

ASSAY_TEST(where_passes_gradients_to_what_it_picked)
{
    static const char *const shapes[][2] = {{"2,3", "2,3"}, {"3", ""}, {"2,1", "2,3"}, {"1", "4,1,1"}};
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct probe p;
        probe_init(&p, seed);
        int x = probe_input(&p, shapes[seed % 4][0], -1, 1), y = probe_input(&p, shapes[seed % 4][1], -1, 1);
        int condition = probe_constant(&p, ASSAY_BOOL, "2,3", VALUES(1, 0, 0, 1, 1, 0));
        probe_output(&p, e_where(&p.e, condition, x, y));
        probe_check(&p);
        probe_release(&p);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(where_picks_elements_of_every_size),
                ASSAY_TEST_ENTRY(a_condition_that_is_no_bool_is_unsupported),
                ASSAY_TEST_ENTRY(where_passes_gradients_to_what_it_picked))
