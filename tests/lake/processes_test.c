/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that write and compact one lake at once, and kills at random moments: what was committed is there, whole and once. */
#include "lake/test_fixture.h"

#include "base/clock.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct worker {
    pid_t pid;
    int output; /* what it prints */
};

static void start(struct worker *worker, const char *a, const char *b, const char *c, const char *d)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    char *argv[] = {LAKE_WORKER, (char *)a, (char *)b, (char *)c, (char *)d, NULL};
    CHECK(posix_spawn(&worker->pid, LAKE_WORKER, &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    worker->output = ends[0];
}

/* Waits for its end; gives how many lines it printed in full, and its exit status (-1: killed). */
static int finish(struct worker *worker, int *n_lines)
{
    char block[4096];
    ssize_t n;
    *n_lines = 0;
    while ((n = read(worker->output, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            *n_lines += block[i] == '\n';
    }
    close(worker->output);
    int status;
    while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Of the run, each file is there as a whole or not at all, all that were told, and at most one more. Returns the number of files.
 */
static int check_run(struct fixture *f, struct assay_lake *lake, const char *run, int n_told)
{
    struct assay_query *query;
    int n_files = 0;
    char *sql =
        assay_arena_printf(&f->arena,
                           "SELECT (epoch_us(time) - 1763823844123456) // %d AS file, count(*), count(DISTINCT result_id), "
                           "count(samples_ns[20]), count(environment) FROM results WHERE run_id = '%s' GROUP BY 1 ORDER BY 1",
                           ROWS, run);
    CHECK_OK(assay_lake_query(lake, sql, &query, &f->err), f->err);
    for (; assay_query_next(query); n_files++) {
        CHECK_INT(atoi(assay_query_text(query, 0, &f->arena)), n_files);
        for (int column = 1; column < 4; column++)
            CHECK_INT(atoi(assay_query_text(query, column, &f->arena)), ROWS);
        CHECK_INT(atoi(assay_query_text(query, 4, &f->arena)), ROWS - 1);
    }
    assay_query_close(query);
    CHECK(n_files == n_told || n_files == n_told + 1);
    return n_files;
}

ASSAY_TEST(writers_readers_and_compactions_at_once_lose_and_double_nothing)
{
    enum { WRITERS = 2, FILES = 12 };
    struct fixture f;
    struct worker writers[WRITERS], compactor;
    static const char *const runs[WRITERS] = {"run-a", "run-b"};
    int n_lines, seen = 0;
    set_up(&f);
    CHECK_OK(assay_fs_make_folder(f.lake, &f.err), f.err);
    for (int i = 0; i < WRITERS; i++)
        start(&writers[i], "write", f.lake, runs[i], "12");
    start(&compactor, "compact", f.lake, "0", NULL);
    /* What a reader saw once, it sees ever after. */
    for (int64_t end = assay_clock_ns() + INT64_C(60000000000); seen < WRITERS * FILES * ROWS && assay_clock_ns() < end;) {
        struct assay_lake *lake = open_lake(&f);
        int n = atoi(ask(&f, lake, "SELECT count(*) FROM results")),
            distinct = atoi(ask(&f, lake, "SELECT count(DISTINCT result_id) FROM results"));
        assay_lake_close(lake);
        CHECK_INT(n % ROWS, 0);
        CHECK(n >= seen && distinct >= n);
        seen = n;
    }
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(finish(&writers[i], &n_lines), 0);
        CHECK_INT(n_lines, FILES);
    }
    kill(compactor.pid, SIGKILL);
    finish(&compactor, &n_lines);
    struct assay_lake *lake = open_lake(&f);
    for (int i = 0; i < WRITERS; i++)
        CHECK_INT(check_run(&f, lake, runs[i], FILES), FILES);
    assay_lake_close(lake);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST(a_writer_killed_at_50_random_moments_leaves_what_it_committed_and_no_half)
{
    struct fixture f;
    struct assay_rng rng;
    int n_told[50], n_all = 0;
    set_up(&f);
    assay_rng_init(&rng, 50, assay_rng_stream("kills"));
    /* What one start and commit take here and now says how long a writer must live to be killed at every stage. */
    struct worker worker;
    int64_t start_ns = assay_clock_ns();
    start(&worker, "write", f.lake, "first", "1");
    CHECK_INT(finish(&worker, &n_told[0]), 0);
    uint64_t longest_ns = 4 * (uint64_t)(assay_clock_ns() - start_ns);
    for (int i = 0; i < 50; i++) {
        start(&worker, "write", f.lake, assay_arena_printf(&f.arena, "run-%d", i), "0");
        assay_clock_sleep_until(assay_clock_ns() + (int64_t)assay_rng_below(&rng, longest_ns));
        kill(worker.pid, SIGKILL);
        CHECK_INT(finish(&worker, &n_told[i]), -1);
        n_all += n_told[i];
    }
    struct assay_lake *lake = open_lake(&f);
    for (int i = 0; i < 50; i++)
        check_run(&f, lake, assay_arena_printf(&f.arena, "run-%d", i), n_told[i]);
    assay_lake_close(lake);
    CHECK_INT(f.n_warnings, 0);
    /* If no writer ever got to a commit, nothing was tested. */
    CHECK(n_all >= 10);
    tear_down(&f);
}

ASSAY_TEST(a_compaction_killed_at_20_random_moments_loses_and_doubles_nothing)
{
    struct fixture f;
    struct assay_rng rng;
    struct assay_lake_stat stat;
    set_up(&f);
    assay_rng_init(&rng, 20, assay_rng_stream("compactions"));
    for (int i = 0; i < 20; i++) {
        struct worker worker;
        int n_lines;
        write_rows(&f, "run", (uint64_t)i * 20, 10, NULL);
        write_rows(&f, "run", (uint64_t)i * 20 + 10, 10, NULL);
        start(&worker, "compact", f.lake, "1", NULL);
        assay_clock_sleep_until(assay_clock_ns() + (int64_t)assay_rng_below(&rng, 300000000));
        kill(worker.pid, SIGKILL);
        finish(&worker, &n_lines);
        struct assay_lake *lake = open_lake(&f);
        check_rows_of(&f, lake, "run", 0, ((size_t)i + 1) * 20);
        assay_lake_close(lake);
    }
    CHECK_OK(assay_lake_verify(f.lake, &stat, remember, &f, &f.err), f.err);
    CHECK_INT(stat.n_rows, 400);
    CHECK_INT(f.n_warnings, 0);
    tear_down(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(writers_readers_and_compactions_at_once_lose_and_double_nothing),
                ASSAY_TEST_ENTRY(a_writer_killed_at_50_random_moments_leaves_what_it_committed_and_no_half),
                ASSAY_TEST_ENTRY(a_compaction_killed_at_20_random_moments_loses_and_doubles_nothing))
