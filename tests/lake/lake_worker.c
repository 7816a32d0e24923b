/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process for processes_test.c to start and kill.
 *   lake_worker write LAKE RUN N     commits N files of ROWS rows each (N 0: until killed); prints each file's number once it is
 *                                    committed
 *   lake_worker compact LAKE N       compacts N times (N 0: until killed)
 * It ends when the process that started it does, so that a failed test leaves none behind.
 */
#include "lake/lake.h"

#include "lake/test_rows.h"
#include "worker.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static int fail(const struct assay_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

static int write_files(const char *lake, const char *run, long n)
{
    struct assay_row rows[ROWS];
    struct assay_arena arena;
    struct assay_error err;
    for (long file = 0; !n || file < n; file++) {
        assay_arena_init(&arena);
        for (int i = 0; i < ROWS; i++) {
            assay_row_init(&rows[i]);
            test_row_fill(&rows[i], run, (uint64_t)(file * ROWS + i), 20);
        }
        if (assay_lake_write(lake, rows, ROWS, &arena, NULL, &err))
            return fail(&err);
        printf("%ld\n", file);
        fflush(stdout);
        for (int i = 0; i < ROWS; i++)
            assay_row_release(&rows[i]);
        assay_arena_release(&arena);
    }
    return 0;
}

static int compact(const char *lake, long n)
{
    struct assay_lake_stat before, after;
    struct assay_error err;
    for (long i = 0; !n || i < n; i++) {
        if (assay_lake_compact(lake, &before, &after, NULL, NULL, &err))
            return fail(&err);
    }
    return 0;
}

/* Who started us reads what we print: if nobody does, it was gone before we asked. */
static void end_with_parent(void)
{
    struct pollfd output = {.fd = 1};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (poll(&output, 1, 0) > 0 && (output.revents & POLLERR))
        exit(0);
}

int main(int argc, char **argv)
{
    end_with_parent();
    if (argc == 5 && strcmp(argv[1], "write") == 0)
        return write_files(argv[2], argv[3], atol(argv[4]));
    if (argc == 4 && strcmp(argv[1], "compact") == 0)
        return compact(argv[2], atol(argv[3]));
    fprintf(stderr, "usage: lake_worker write LAKE RUN N | compact LAKE N\n");
    return 2;
}
