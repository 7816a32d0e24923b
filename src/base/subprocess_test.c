/* SPDX-License-Identifier: Apache-2.0 */
#include "base/subprocess.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct assay_error err;
static const int64_t MS = 1000000;

/* Runs a shell script with the given limits. */
static struct assay_subprocess_outcome run_script(const char *script, struct assay_subprocess_options options,
                                                  struct assay_arena *arena)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    options.argv = argv;
    struct assay_subprocess_outcome outcome;
    CHECK_OK(assay_subprocess_run(&options, arena, &outcome, &err), err);
    return outcome;
}

static struct assay_subprocess_options limits(int64_t time_ms)
{
    return (struct assay_subprocess_options){.time_limit_ns = time_ms * MS};
}

/* Whether a process is there and is not a zombie. */
static bool lives(long pid)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *text, path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    bool found =
        assay_fs_read(path, 4096, &arena, &text, NULL, NULL) == ASSAY_OK && strrchr(text, ')') && strrchr(text, ')')[2] != 'Z';
    assay_arena_release(&arena);
    return found;
}

static bool dies_within(long pid, int64_t ms)
{
    for (int64_t end = assay_clock_ns() + ms * MS; lives(pid) && assay_clock_ns() < end;)
        usleep(10000);
    return !lives(pid);
}

ASSAY_TEST(output_errors_and_exit_code_are_collected)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    struct assay_subprocess_outcome o = run_script("echo out; echo bad >&2; exit 3", limits(20000), &arena);
    CHECK_INT(o.status, ASSAY_OK);
    CHECK_INT(o.exit_code, 3);
    CHECK_INT(o.signal, 0);
    CHECK_TEXT(o.output, "out\n");
    CHECK_TEXT(o.errors, "bad\n");
    CHECK_INT(o.output_size_bytes, 4);
    CHECK(!o.output_cut && o.wall_ns > 0);
    assay_arena_release(&arena);
}

ASSAY_TEST(input_arrives_whole_or_is_ignored)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum { SIZE = 3000000 };
    char *data = assay_arena_alloc(&arena, SIZE);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i % 251);
    struct assay_subprocess_options options = limits(20000);
    options.input = data;
    options.input_size_bytes = SIZE;
    struct assay_subprocess_outcome o = run_script("cat", options, &arena);
    CHECK(o.output_size_bytes == SIZE && memcmp(o.output, data, SIZE) == 0);
    o = run_script("exec <&-; echo fine", options, &arena);
    CHECK_TEXT(o.output, "fine\n");
    o = run_script("cat; echo end", limits(20000), &arena);
    CHECK_TEXT(o.output, "end\n");
    assay_arena_release(&arena);
}

ASSAY_TEST(a_crash_is_crashed_with_its_signal)
{
    static const struct {
        const char *script;
        int signal;
    } crashes[] = {{"echo before; kill -SEGV $$", SIGSEGV}, {"echo before; kill -ABRT $$", SIGABRT}};
    for (size_t i = 0; i < ASSAY_COUNT(crashes); i++) {
        struct assay_arena arena;
        assay_arena_init(&arena);
        struct assay_subprocess_outcome o = run_script(crashes[i].script, limits(20000), &arena);
        CHECK_INT(o.status, ASSAY_CRASHED);
        CHECK_INT(o.signal, crashes[i].signal);
        CHECK_TEXT(o.output, "before\n");
        assay_arena_release(&arena);
    }
    CHECK_TEXT(assay_signal_text(SIGSEGV), "SIGSEGV (invalid memory access)");
}

ASSAY_TEST(a_kill_from_outside_counts_as_out_of_memory)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    CHECK_INT(run_script("kill -KILL $$", limits(20000), &arena).status, ASSAY_NO_MEMORY);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_hang_ends_at_the_time_limit_even_if_it_ignores_signals)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    struct assay_subprocess_outcome o =
        run_script("trap '' TERM INT HUP; echo on; while :; do sleep 100; done", limits(300), &arena);
    CHECK_INT(o.status, ASSAY_TIMEOUT);
    CHECK_INT(o.signal, SIGKILL);
    CHECK_TEXT(o.output, "on\n");
    CHECK(o.wall_ns >= 300 * MS && o.wall_ns < 10000 * MS);
    o = run_script("kill -STOP $$", limits(300), &arena);
    CHECK_INT(o.status, ASSAY_TIMEOUT);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_memory_eater_ends_at_the_memory_limit)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    struct assay_subprocess_options options = limits(60000);
    options.memory_limit_bytes = 64 << 20;
    /* dd reads into a buffer of one block. */
    struct assay_subprocess_outcome o = run_script("exec dd if=/dev/zero of=/dev/null bs=400M", options, &arena);
    CHECK_INT(o.status, ASSAY_NO_MEMORY);
    CHECK(o.peak_resident_bytes > 64 << 20);
    o = run_script("echo small", options, &arena);
    CHECK_INT(o.status, ASSAY_OK);
    assay_arena_release(&arena);
}

ASSAY_TEST(our_own_size_is_not_taken_for_the_childs)
{
    enum { SIZE = 300 << 20 };
    char *ours = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (ours == MAP_FAILED)
        SKIP("no 300 MiB of memory");
    struct assay_arena arena;
    assay_arena_init(&arena);
    struct assay_subprocess_options options = limits(60000);
    options.memory_limit_bytes = 100 << 20;
    struct assay_subprocess_outcome o = run_script("sleep 0.1", options, &arena);
    CHECK_INT(o.status, ASSAY_OK);
    CHECK(o.peak_resident_bytes > 0 && o.peak_resident_bytes < 100 << 20);
    munmap(ours, SIZE);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_flood_of_output_is_cut_and_errors_keep_their_end)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    struct assay_subprocess_options options = limits(60000);
    options.output_limit_bytes = 100000;
    struct assay_subprocess_outcome o = run_script("head -c 5000000 /dev/zero | tr '\\0' x; echo done >&2", options, &arena);
    CHECK_INT(o.status, ASSAY_OK);
    CHECK(o.output_cut && o.output_size_bytes == 100000 && strspn(o.output, "x") == 100000);
    CHECK_TEXT(o.errors, "done\n");
    o = run_script("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo last words >&2", options, &arena);
    CHECK_INT(strlen(o.errors), 65536);
    CHECK_CONTAINS(o.errors, "xlast words\n");
    options.time_limit_ns = 300 * MS;
    o = run_script("while :; do echo flood; done", options, &arena);
    CHECK_INT(o.status, ASSAY_TIMEOUT);
    assay_arena_release(&arena);
}

ASSAY_TEST(grandchildren_end_with_the_child)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    /* They hold the pipes open, and the call does not wait for them. */
    struct assay_subprocess_outcome o = run_script("sleep 1000 & echo $!; exit 0", limits(60000), &arena);
    CHECK_INT(o.status, ASSAY_OK);
    CHECK(o.wall_ns < 30000 * MS);
    CHECK(atol(o.output) > 0 && dies_within(atol(o.output), 5000));
    o = run_script("sh -c 'trap \"\" TERM; sleep 1000' & echo $!; wait", limits(300), &arena);
    CHECK_INT(o.status, ASSAY_TIMEOUT);
    CHECK(atol(o.output) > 0 && dies_within(atol(o.output), 5000));
    assay_arena_release(&arena);
}

ASSAY_TEST(child_and_grandchildren_end_when_we_are_killed)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *folder;
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    char *path = assay_path_join(&arena, folder, "pids");
    pid_t runner = fork();
    CHECK(runner >= 0);
    if (runner == 0) {
        run_script(assay_arena_printf(&arena, "sleep 1000 & echo $$ $! > %s.new; mv %s.new %s; wait", path, path, path),
                   limits(60000), &arena);
        _exit(0);
    }
    for (int i = 0; i < 1000 && !assay_fs_exists(path); i++)
        usleep(10000);
    kill(runner, SIGKILL);
    CHECK(waitpid(runner, NULL, 0) == runner);
    char *text;
    CHECK_OK(assay_fs_read(path, 100, &arena, &text, NULL, &err), err);
    long child, grandchild;
    CHECK(sscanf(text, "%ld %ld", &child, &grandchild) == 2);
    CHECK(dies_within(child, 5000) && dies_within(grandchild, 5000));
    CHECK_OK(assay_fs_remove(folder, &err), err);
    assay_arena_release(&arena);
}

static volatile sig_atomic_t stopped;
static void set_stopped(int number)
{
    (void)number;
    stopped = 1;
}

ASSAY_TEST(the_stop_flag_asks_first_and_then_kills)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    struct sigaction action = {.sa_handler = set_stopped}, old;
    sigaction(SIGALRM, &action, &old);
    struct assay_subprocess_options options = limits(60000);
    options.stop = &stopped;
    stopped = 0;
    ualarm(200000, 0);
    struct assay_subprocess_outcome o = run_script("trap 'echo saved; exit 4' TERM; echo on; sleep 1000 & wait", options, &arena);
    CHECK_INT(o.status, ASSAY_INTERRUPTED);
    CHECK_TEXT(o.output, "on\nsaved\n");
    CHECK_INT(o.exit_code, 4);
    CHECK(o.wall_ns < 2000 * MS);
    stopped = 0;
    ualarm(200000, 0);
    o = run_script("trap '' TERM; while :; do sleep 1000; done", options, &arena);
    CHECK_INT(o.status, ASSAY_INTERRUPTED);
    CHECK_INT(o.signal, SIGKILL);
    CHECK(o.wall_ns > 2000 * MS && o.wall_ns < 20000 * MS);
    sigaction(SIGALRM, &old, NULL);
    assay_arena_release(&arena);
}

ASSAY_TEST(the_environment_is_what_was_given)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *const environment[] = {"ONE=1", "TWO=2", NULL};
    struct assay_subprocess_options options = limits(20000);
    options.environment = environment;
    struct assay_subprocess_outcome o = run_script("echo \"$ONE $TWO $HOME\"", options, &arena);
    CHECK_TEXT(o.output, "1 2 \n");
    setenv("ASSAY_TEST_VARIABLE", "inherited", 1);
    o = run_script("echo $ASSAY_TEST_VARIABLE", limits(20000), &arena);
    CHECK_TEXT(o.output, "inherited\n");
    assay_arena_release(&arena);
}

static int n_open_files(void)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char **names;
    size_t n;
    CHECK_OK(assay_fs_list("/proc/self/fd", &arena, &names, &n, &err), err);
    assay_arena_release(&arena);
    return (int)n;
}

ASSAY_TEST(no_open_file_leaks_into_the_child_or_stays_here)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    int leak = open("/dev/null", O_RDONLY);
    int before = n_open_files();
    struct assay_subprocess_outcome o = run_script("ls /proc/self/fd | sort -n | tr '\\n' ' '", limits(20000), &arena);
    CHECK_TEXT(o.output, "0 1 2 3 "); /* 3 is the folder that ls reads */
    CHECK_INT(n_open_files(), before);
    close(leak);
    assay_arena_release(&arena);
}

ASSAY_TEST(a_program_that_cannot_start_is_an_error_of_the_call)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    const char *const none[] = {"/nowhere/program", NULL}, *const folder[] = {"/", NULL};
    struct assay_subprocess_options options = {.argv = none};
    struct assay_subprocess_outcome o;
    int before = n_open_files();
    CHECK(assay_subprocess_run(&options, &arena, &o, &err) == ASSAY_ABSENT);
    CHECK_CONTAINS(err.message, "/nowhere/program");
    options.argv = folder;
    CHECK(assay_subprocess_run(&options, &arena, &o, &err) == ASSAY_IO);
    CHECK_INT(n_open_files(), before);
    assay_arena_release(&arena);
}

ASSAY_TEST(it_works_with_the_standard_files_closed)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(0);
        close(1);
        close(2);
        const char *const argv[] = {"/bin/sh", "-c", "cat; echo bad >&2", NULL};
        struct assay_subprocess_options options = {.argv = argv, .input = "in", .input_size_bytes = 2};
        struct assay_subprocess_outcome o;
        bool fine = assay_subprocess_run(&options, &arena, &o, NULL) == ASSAY_OK && o.status == ASSAY_OK &&
                    strcmp(o.output, "in") == 0 && strcmp(o.errors, "bad\n") == 0;
        _exit(fine ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assay_arena_release(&arena);
}

static void *run_some(void *failures)
{
    for (int i = 0; i < 10; i++) {
        struct assay_arena arena;
        assay_arena_init(&arena);
        const char *const argv[] = {"/bin/sh", "-c", "cat; exit 5", NULL};
        struct assay_subprocess_options options = limits(60000);
        options.argv = argv;
        options.input = "in";
        options.input_size_bytes = 2;
        struct assay_subprocess_outcome o;
        if (assay_subprocess_run(&options, &arena, &o, NULL) != ASSAY_OK || o.exit_code != 5 || strcmp(o.output, "in") != 0)
            ++*(int *)failures;
        assay_arena_release(&arena);
    }
    return NULL;
}

ASSAY_TEST(threads_run_children_at_the_same_time)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int failures[THREADS] = {0}, before = n_open_files();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run_some, &failures[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK_INT(failures[i], 0);
    }
    CHECK_INT(n_open_files(), before);
}

ASSAY_TEST_MAIN(
    ASSAY_TEST_ENTRY(output_errors_and_exit_code_are_collected), ASSAY_TEST_ENTRY(input_arrives_whole_or_is_ignored),
    ASSAY_TEST_ENTRY(a_crash_is_crashed_with_its_signal), ASSAY_TEST_ENTRY(a_kill_from_outside_counts_as_out_of_memory),
    ASSAY_TEST_ENTRY(a_hang_ends_at_the_time_limit_even_if_it_ignores_signals),
    ASSAY_TEST_ENTRY(a_memory_eater_ends_at_the_memory_limit), ASSAY_TEST_ENTRY(our_own_size_is_not_taken_for_the_childs),
    ASSAY_TEST_ENTRY(a_flood_of_output_is_cut_and_errors_keep_their_end), ASSAY_TEST_ENTRY(grandchildren_end_with_the_child),
    ASSAY_TEST_ENTRY(child_and_grandchildren_end_when_we_are_killed), ASSAY_TEST_ENTRY(the_stop_flag_asks_first_and_then_kills),
    ASSAY_TEST_ENTRY(the_environment_is_what_was_given), ASSAY_TEST_ENTRY(no_open_file_leaks_into_the_child_or_stays_here),
    ASSAY_TEST_ENTRY(a_program_that_cannot_start_is_an_error_of_the_call),
    ASSAY_TEST_ENTRY(it_works_with_the_standard_files_closed), ASSAY_TEST_ENTRY(threads_run_children_at_the_same_time))
