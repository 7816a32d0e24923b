/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/environment.h"

#include "base/test.h"

static bool holds(const char *const *environment, const char *entry)
{
    for (; *environment; environment++)
        if (strcmp(*environment, entry) == 0)
            return true;
    return false;
}

static int n_named(const char *const *environment, const char *name)
{
    int n = 0;
    for (; *environment; environment++)
        n += strncmp(*environment, name, strlen(name)) == 0 && (*environment)[strlen(name)] == '=';
    return n;
}

static const char *recorded(const struct assay_row *row, const char *key)
{
    const struct assay_map_entry *entry = assay_row_map_find(row, ASSAY_ROW_environment, key);
    return entry ? entry->text : NULL;
}

ASSAY_TEST(variables_that_steer_numeric_libraries_are_cleared_and_recorded)
{
    char *ours[] = {(char *)"PATH=/bin",
                    (char *)"OPENBLAS_CORETYPE=Haswell",
                    (char *)"MKL_NUM_THREADS=7",
                    (char *)"ONEDNN_MAX_CPU_ISA=SSE41",
                    (char *)"ORT_X=",
                    NULL};
    struct assay_row row;
    assay_row_init(&row);
    const char *const *childs = assay_environment_make(ours, 2, NULL, &row.arena);
    CHECK(holds(childs, "PATH=/bin"));
    CHECK_INT(n_named(childs, "OPENBLAS_CORETYPE"), 0);
    CHECK_INT(n_named(childs, "MKL_NUM_THREADS"), 0);
    CHECK_INT(n_named(childs, "ONEDNN_MAX_CPU_ISA"), 0);
    CHECK_INT(n_named(childs, "ORT_X"), 0);
    CHECK(holds(childs, "OMP_NUM_THREADS=2"));
    CHECK(holds(childs, "OMP_WAIT_POLICY=passive"));
    assay_environment_record(ours, childs, &row);
    CHECK_TEXT(recorded(&row, "cleared.OPENBLAS_CORETYPE"), "Haswell");
    CHECK_TEXT(recorded(&row, "cleared.MKL_NUM_THREADS"), "7");
    CHECK_TEXT(recorded(&row, "cleared.ORT_X"), "");
    CHECK_TEXT(recorded(&row, "set.OMP_NUM_THREADS"), "2");
    CHECK(!recorded(&row, "kept.PATH") && !recorded(&row, "cleared.PATH") && !recorded(&row, "set.PATH"));
    assay_row_release(&row);
}

ASSAY_TEST(what_a_person_sets_wins_and_is_recorded)
{
    char *ours[] = {(char *)"OPENBLAS_CORETYPE=Haswell", (char *)"MINE=old", (char *)"OMP_NUM_THREADS=9", NULL};
    static const char *const set[] = {"OPENBLAS_CORETYPE=Zen", "OMP_NUM_THREADS=3", "MINE=new", "FRESH=", NULL};
    struct assay_row row;
    assay_row_init(&row);
    const char *const *childs = assay_environment_make(ours, 2, set, &row.arena);
    CHECK(holds(childs, "OPENBLAS_CORETYPE=Zen"));
    CHECK(holds(childs, "OMP_NUM_THREADS=3"));
    CHECK(holds(childs, "MINE=new"));
    CHECK(holds(childs, "FRESH="));
    for (size_t i = 0; set[i]; i++) {
        char name[64] = "";
        strncat(name, set[i], strcspn(set[i], "="));
        CHECK_INT(n_named(childs, name), 1);
    }
    assay_environment_record(ours, childs, &row);
    CHECK_TEXT(recorded(&row, "set.OPENBLAS_CORETYPE"), "Zen");
    CHECK_TEXT(recorded(&row, "set.OMP_NUM_THREADS"), "3");
    CHECK_TEXT(recorded(&row, "set.MINE"), "new");
    CHECK_TEXT(recorded(&row, "set.FRESH"), "");
    assay_row_release(&row);
}

ASSAY_TEST(what_matters_but_stays_is_recorded_as_kept)
{
    char *ours[] = {(char *)"LD_PRELOAD=/lib/x.so", (char *)"CUDA_VISIBLE_DEVICES=1", (char *)"CUDA_LAUNCH_BLOCKING=1", NULL};
    struct assay_row row;
    assay_row_init(&row);
    const char *const *childs = assay_environment_make(ours, 1, NULL, &row.arena);
    CHECK(holds(childs, "LD_PRELOAD=/lib/x.so"));
    CHECK(holds(childs, "CUDA_VISIBLE_DEVICES=1"));
    CHECK_INT(n_named(childs, "CUDA_LAUNCH_BLOCKING"), 0);
    assay_environment_record(ours, childs, &row);
    CHECK_TEXT(recorded(&row, "kept.LD_PRELOAD"), "/lib/x.so");
    CHECK_TEXT(recorded(&row, "kept.CUDA_VISIBLE_DEVICES"), "1");
    CHECK_TEXT(recorded(&row, "cleared.CUDA_LAUNCH_BLOCKING"), "1");
    assay_row_release(&row);
}

ASSAY_TEST(an_empty_environment_and_odd_entries_are_fine)
{
    char *none[] = {NULL}, *odd[] = {(char *)"", (char *)"=x", (char *)"NOVALUE", (char *)"OMP_", NULL};
    struct assay_row row;
    assay_row_init(&row);
    CHECK(holds(assay_environment_make(none, 1, NULL, &row.arena), "OMP_DYNAMIC=false"));
    const char *const *childs = assay_environment_make(odd, 1, NULL, &row.arena);
    CHECK(holds(childs, "NOVALUE"));
    CHECK(!holds(childs, "OMP_"));
    assay_environment_record(odd, childs, &row);
    CHECK_TEXT(recorded(&row, "cleared.OMP_"), "");
    assay_row_release(&row);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(variables_that_steer_numeric_libraries_are_cleared_and_recorded),
                ASSAY_TEST_ENTRY(what_a_person_sets_wins_and_is_recorded),
                ASSAY_TEST_ENTRY(what_matters_but_stays_is_recorded_as_kept),
                ASSAY_TEST_ENTRY(an_empty_environment_and_odd_entries_are_fine))
