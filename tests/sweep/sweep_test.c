/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the program on a tiny model, mostly on the fault runtime, and reads the lake that it leaves. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/subprocess.h"
#include "base/test.h"
#include "bench/testing.h"
#include "lake/lake.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct assay_arena arena;
    const char *folder, *model, *lake;
    struct assay_subprocess_outcome out;
    struct assay_error err;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.folder = NULL};
    assay_arena_init(&f->arena);
    f->folder = testing_folder(&f->arena);
    f->model = testing_save(&f->arena, f->folder, "small.onnx", testing_small_graph());
    f->lake = assay_path_join(&f->arena, f->folder, "lake");
}

static void teardown(struct fixture *f) { testing_folder_release(&f->arena, f->folder); }

/* The words of a command line for our lake, with short times; `rest` is split at spaces. */
static const char **command(struct fixture *f, const char *model, const char *rest)
{
    static const char *const fixed[] = {"--no-ceilings", "--min-time",    "0.01", "--max-time",
                                        "0.05",          "--warmup-time", "0.01", "--lake"};
    const char **argv = assay_arena_array(&f->arena, 64, sizeof *argv);
    int n = 0;
    argv[n++] = ASSAY_PROGRAM;
    argv[n++] = "bench";
    if (model)
        argv[n++] = model;
    for (size_t i = 0; i < ASSAY_COUNT(fixed); i++)
        argv[n++] = fixed[i];
    argv[n++] = f->lake;
    char *words = assay_arena_strdup(&f->arena, rest);
    for (char *word = strtok(words, " "); word && n < 63; word = strtok(NULL, " "))
        argv[n++] = word;
    return argv;
}

static void bench(struct fixture *f, const char *model, const char *rest)
{
    struct assay_subprocess_options options = {.argv = command(f, model, rest), .time_limit_ns = INT64_C(120000000000)};
    CHECK_OK(assay_subprocess_run(&options, &f->arena, &f->out, &f->err), f->err);
    CHECK_INT(f->out.status, ASSAY_OK); /* it ended by itself, and not by a signal */
}

static void check_exit(const struct fixture *f, int code)
{
    if (f->out.exit_code != code)
        fprintf(stderr, "%s\n", f->out.errors);
    CHECK_INT(f->out.exit_code, code);
}

static void no_damage(void *context, const char *file, const char *reason)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", file, reason);
    CHECK(!"a damaged file in the lake");
}

/* Cells of a query, as texts: [row][column]; *n_rows of them. */
static const char ***query(struct fixture *f, const char *sql, size_t *n_rows)
{
    struct assay_lake *lake = NULL;
    struct assay_query *q = NULL;
    const char ***rows = NULL;
    *n_rows = 0;
    CHECK_OK(assay_lake_open(&lake, f->lake, true, no_damage, NULL, &f->err), f->err);
    CHECK_OK(assay_lake_query(lake, sql, &q, &f->err), f->err);
    int n_columns = assay_query_n_columns(q);
    while (assay_query_next(q)) {
        rows = assay_arena_grow(&f->arena, rows, *n_rows, *n_rows + 1, sizeof *rows);
        rows[*n_rows] = assay_arena_array(&f->arena, (size_t)n_columns, sizeof **rows);
        for (int c = 0; c < n_columns; c++)
            rows[*n_rows][c] = assay_query_text(q, c, &f->arena);
        ++*n_rows;
    }
    assay_query_close(q);
    assay_lake_close(lake);
    return rows;
}

static int64_t count(struct fixture *f, const char *what)
{
    size_t n;
    const char ***rows = query(f, assay_arena_printf(&f->arena, "SELECT %s FROM results", what), &n);
    CHECK_INT(n, 1);
    return atoll(rows[0][0]);
}

/* A sweep over the failing platform and the null one: a row each, whatever became of the first. */
static void fails_as(const char *options, const char *status, const char *reason, int exit_code)
{
    struct fixture f;
    size_t n;
    setup(&f);
    bench(&f, f.model, assay_arena_printf(&f.arena, "--platform cpu/fault,cpu/null %s", options));
    check_exit(&f, exit_code);
    const char ***rows = query(&f,
                               "SELECT platform, status, reason, latency_median_ns, len(samples_ns), throughput, repro_command "
                               "FROM results ORDER BY platform",
                               &n);
    CHECK_INT(n, 2);
    CHECK_TEXT(rows[0][0], "cpu/fault");
    CHECK_TEXT(rows[0][1], status);
    CHECK_CONTAINS(rows[0][2], reason);
    for (int c = 3; c < 6; c++)
        CHECK(!rows[0][c]); /* no figure of a run that failed or was wrong */
    CHECK_CONTAINS(rows[0][6], "assay bench ");
    CHECK_TEXT(rows[1][0], "cpu/null");
    CHECK_TEXT(rows[1][1], "ok");
    CHECK(!rows[1][2]);
    CHECK(rows[1][3] && rows[1][4] && rows[1][5]);
    teardown(&f);
}

ASSAY_TEST(a_case_that_crashes_is_a_row_and_the_sweep_goes_on)
{
    fails_as("--option kind=crash", "crashed", "its process", 1);
    fails_as("--option kind=crash --option call=compile", "crashed", "its process", 1);
    fails_as("--option kind=abort --option n=3", "crashed", "its process died of SIGABRT", 1);
    fails_as("--option kind=exit", "crashed", "code 3", 1);
}

ASSAY_TEST(a_case_that_hangs_is_a_row_after_its_time_limit)
{
    int64_t start = assay_clock_ns();
    fails_as("--option kind=hang --time-limit 2", "timeout", "2 s", 1);
    double seconds = (double)(assay_clock_ns() - start) / 1e9;
    CHECK(seconds >= 2 && seconds < 60);
}

ASSAY_TEST(a_case_that_eats_memory_is_a_row_at_its_memory_limit)
{
    fails_as("--option kind=eat --memory-limit 500M", "no_memory", "500 MiB", 1);
}

ASSAY_TEST(a_wrong_output_is_a_row_without_figures) { fails_as("--option kind=mismatch", "mismatch", "output 'y'", 1); }

ASSAY_TEST(what_a_runtime_says_of_itself_is_a_row)
{
    fails_as("--option kind=unsupported --option call=compile", "unsupported", "as asked", 0);
    fails_as("--option kind=no_memory", "no_memory", "as asked", 1);
    fails_as("--option kind=strange", "unsupported", "strange", 0);
}

/* ---- requests for text, and precisions */

ASSAY_TEST(a_model_that_generates_has_times_of_its_tokens)
{
    struct fixture f;
    size_t n;
    setup(&f);
    bench(&f, testing_llama(&f.arena, f.folder), "--platform cpu/reference --new-tokens 1,6 --batch 2 --shape input_ids=Nx5");
    check_exit(&f, 0);
    const char ***rows =
        query(&f,
              "SELECT new_tokens, status, throughput_unit, metrics['time_to_first_token_median_ns'], "
              "metrics['time_per_output_token_median_ns'], len(series['step_median_ns']), "
              "metrics['decode_bytes_per_token'], flops, shape, latency_median_ns FROM results ORDER BY new_tokens",
              &n);
    CHECK_INT(n, 2);
    CHECK_TEXT(rows[0][0], "1");
    CHECK_TEXT(rows[1][0], "6");
    for (size_t i = 0; i < n; i++) {
        CHECK_TEXT(rows[i][1], "ok");
        CHECK_TEXT(rows[i][2], "tokens/s");
        CHECK(rows[i][3] && atof(rows[i][3]) > 0);
        CHECK_TEXT(rows[i][5], rows[i][0]);
    }
    CHECK(!rows[0][4] && !rows[0][6]); /* after one token there is none to wait for */
    double first = atof(rows[1][3]), each = atof(rows[1][4]), whole = atof(rows[1][9]);
    CHECK(each > 0 && first + 5 * each < 3 * whole && 3 * (first + 5 * each) > whole); /* medians of parts, and of the whole */
    CHECK(atof(rows[1][6]) > 0 && atof(rows[1][7]) > atof(rows[0][7]));
    CHECK_TEXT(rows[1][8], "input_ids=2x5 attention_mask=2x5 new_tokens=6");
    CHECK_CONTAINS(f.out.output, "TTFT");
    teardown(&f);
}

ASSAY_TEST(a_row_of_a_request_can_be_repeated_by_its_command)
{
    struct fixture f;
    size_t n;
    setup(&f);
    bench(&f, testing_llama(&f.arena, f.folder), "--platform cpu/reference --new-tokens 3 --dim sequence=4 --precision bf16");
    check_exit(&f, 0);
    const char ***rows = query(&f, "SELECT repro_command FROM results", &n);
    CHECK_INT(n, 1);
    CHECK_CONTAINS(rows[0][0], "assay bench ");
    char *folder = assay_arena_strdup(&f.arena, rows[0][0] + 12), *rest = strchr(folder, ' ');
    *rest = 0;
    bench(&f, folder, rest + 1);
    check_exit(&f, 0);
    CHECK_INT(count(&f, "count(*)"), 2);
    CHECK_INT(count(&f, "count(DISTINCT case_id)"), 1);
    teardown(&f);
}

ASSAY_TEST(a_converted_model_is_compared_with_what_it_was)
{
    struct fixture f;
    size_t n;
    setup(&f);
    bench(&f, f.model, "--platform cpu/reference --precision f32,bf16 --batch 3");
    check_exit(&f, 0);
    const char ***rows =
        query(&f,
              "SELECT precision, check_against, error_max_rel, tolerance, check_note, flops FROM results ORDER BY "
              "precision",
              &n);
    CHECK_INT(n, 2);
    CHECK_TEXT(rows[0][0], "bf16");
    CHECK_TEXT(rows[0][1], "cpu/reference");
    CHECK(atof(rows[0][2]) > 0 && atof(rows[0][2]) <= atof(rows[0][3])); /* the weights are no numbers of bf16 */
    CHECK_CONTAINS(rows[0][4], "in its own precision");
    CHECK(!rows[1][1]); /* the reference itself */
    CHECK_TEXT(rows[0][5], rows[1][5]);
    teardown(&f);
}

ASSAY_TEST(a_wrong_token_is_a_row_without_figures)
{
    struct fixture f;
    size_t n;
    setup(&f);
    bench(&f, testing_llama(&f.arena, f.folder),
          "--platform cpu/fault --option kind=mismatch --option inner=reference --new-tokens 4 --dim sequence=4");
    check_exit(&f, 1);
    const char ***rows =
        query(&f, "SELECT status, reason, latency_median_ns, map_extract(metrics, 'prefill_tokens_per_s') FROM results", &n);
    CHECK_INT(n, 1);
    CHECK_TEXT(rows[0][0], "mismatch");
    CHECK_CONTAINS(rows[0][1], "logits");
    CHECK(!rows[0][2]);
    teardown(&f);
}

/* ---- stopping and going on */

static pid_t start(struct fixture *f, const char *rest)
{
    const char **argv = command(f, f->model, rest);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(126);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

static enum assay_status count_file(void *context, const char *path, struct assay_error *err)
{
    (void)err;
    size_t length = strlen(path);
    *(int *)context += length > 8 && strcmp(path + length - 8, ".parquet") == 0 && assay_path_name(path)[0] != '.';
    return ASSAY_OK;
}

static int n_files(const struct fixture *f)
{
    int n = 0;
    assay_fs_walk(f->lake, count_file, &n, NULL);
    return n;
}

ASSAY_TEST(ctrl_c_keeps_what_was_measured_and_resume_does_the_rest_once)
{
    static const char sweep[] = "--platform cpu/null --batch 1..5 --min-time 0.3 --max-time 0.3 --interval 0 --rounds 2";
    struct fixture f;
    int status = 0;
    setup(&f);
    pid_t pid = start(&f, sweep);
    for (int i = 0; i < 6000 && n_files(&f) < 3; i++)
        usleep(10000);
    CHECK(kill(pid, SIGINT) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 1);
    int64_t before = count(&f, "count(*)");
    CHECK(before >= 3 && before < 10);
    CHECK_INT(count(&f, "count(*) FILTER (status <> 'ok')"), 0); /* the case that was cut off has no row */
    bench(&f, f.model, assay_arena_printf(&f.arena, "%s --resume", sweep));
    check_exit(&f, 0);
    CHECK_CONTAINS(f.out.errors, "going on with run");
    CHECK_INT(count(&f, "count(*)"), 10);
    CHECK_INT(count(&f, "count(DISTINCT run_id)"), 1);
    CHECK_INT(count(&f, "count(DISTINCT case_id)"), 5);
    CHECK_INT(count(&f, "count(DISTINCT result_id)"), 10);
    size_t n;
    const char ***rows = query(&f, "SELECT count(*) FROM results GROUP BY case_id", &n);
    CHECK_INT(n, 5);
    for (size_t i = 0; i < n; i++)
        CHECK_TEXT(rows[i][0], "2");
    bench(&f, f.model, assay_arena_printf(&f.arena, "%s --resume", sweep)); /* nothing is left */
    check_exit(&f, 0);
    CHECK_INT(count(&f, "count(*)"), 10);
    bench(&f, f.model, sweep); /* without it, a run of its own */
    CHECK_INT(count(&f, "count(*)"), 20);
    CHECK_INT(count(&f, "count(DISTINCT run_id)"), 2);
    teardown(&f);
}

ASSAY_TEST(resume_with_nothing_to_go_on_with_starts_a_run)
{
    struct fixture f;
    setup(&f);
    bench(&f, f.model, "--platform cpu/null --resume");
    check_exit(&f, 0);
    CHECK_INT(count(&f, "count(*)"), 1);
    teardown(&f);
}

/* ---- the child's environment */

/* The environment of the process that measures, as the kernel has it; NULL if it is not there yet. */
static char *environment_of_child(struct fixture *f, pid_t parent)
{
    DIR *folder = opendir("/proc");
    char *found = NULL;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        char *stat = NULL, *words = NULL, *after;
        size_t size;
        int ppid = 0;
        if (atoi(entry->d_name) <= 0 ||
            assay_fs_read(assay_arena_printf(&f->arena, "/proc/%s/stat", entry->d_name), 1 << 16, &f->arena, &stat, &size,
                          NULL) ||
            !(after = strrchr(stat, ')')) || sscanf(after, ") %*c %d", &ppid) != 1 || ppid != parent)
            continue;
        if (assay_fs_read(assay_arena_printf(&f->arena, "/proc/%s/cmdline", entry->d_name), 1 << 16, &f->arena, &words, &size,
                          NULL) ||
            size < 7 || strcmp(words + size - 7, "__case") != 0 ||
            assay_fs_read(assay_arena_printf(&f->arena, "/proc/%s/environ", entry->d_name), 1 << 20, &f->arena, &found, &size,
                          NULL))
            continue;
        for (size_t i = 0; i + 1 < size; i++)
            if (found[i] == 0)
                found[i] = '\n';
    }
    if (folder)
        closedir(folder);
    return found;
}

ASSAY_TEST(variables_that_steer_libraries_do_not_reach_the_child_and_are_in_the_row)
{
    struct fixture f;
    size_t n;
    char *seen = NULL;
    setup(&f);
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    setenv("OMP_NUM_THREADS", "7", 1);
    pid_t pid = start(&f, "--platform cpu/fault --option kind=hang --time-limit 3 --env MINE=1");
    for (int i = 0; i < 300 && !(seen && *seen); i++) {
        usleep(10000);
        seen = environment_of_child(&f, pid);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("OMP_NUM_THREADS");
    CHECK(seen);
    CHECK(!strstr(seen, "OPENBLAS_CORETYPE"));
    CHECK_CONTAINS(seen, "OMP_NUM_THREADS=1\n");
    CHECK_CONTAINS(seen, "MINE=1");
    const char ***rows = query(&f,
                               "SELECT environment['cleared.OPENBLAS_CORETYPE'], environment['set.OMP_NUM_THREADS'], "
                               "environment['set.MINE'] FROM results",
                               &n);
    CHECK_INT(n, 1);
    CHECK_CONTAINS(rows[0][0], "Haswell");
    CHECK_CONTAINS(rows[0][1], "1");
    CHECK_CONTAINS(rows[0][2], "1");
    teardown(&f);
}

/* ---- what cannot be read or written */

ASSAY_TEST(a_broken_model_file_ends_with_a_sentence_and_no_row)
{
    struct fixture f;
    struct assay_map map;
    setup(&f);
    CHECK_OK(assay_map_open(&map, f.model, &f.err), f.err);
    const char *truncated = assay_path_join(&f.arena, f.folder, "truncated.onnx");
    CHECK_OK(assay_fs_write(truncated, map.data, map.size_bytes / 2, &f.err), f.err);
    assay_map_release(&map);
    const char *const broken[] = {truncated,
                                  testing_write(&f.arena, f.folder, "text.onnx", "this is no model\n"),
                                  testing_write(&f.arena, f.folder, "empty.onnx", ""),
                                  f.folder,
                                  assay_path_join(&f.arena, f.folder, "missing.onnx"),
                                  "/dev/zero"};
    for (size_t i = 0; i < ASSAY_COUNT(broken); i++) {
        bench(&f, broken[i], "--platform cpu/null");
        CHECK(f.out.exit_code == 1 || f.out.exit_code == 2);
        CHECK_CONTAINS(f.out.errors, "assay: ");
        CHECK_CONTAINS(f.out.errors, broken[i]);
    }
    CHECK_INT(n_files(&f), 0);
    /* In a suite, the others go on. */
    const char *suite =
        testing_write(&f.arena, f.folder, "s.yaml", "name: s\ncases:\n  - {model: [missing.onnx]}\n  - {model: [small.onnx]}\n");
    bench(&f, NULL, assay_arena_printf(&f.arena, "--suite %s --platform cpu/null", suite));
    check_exit(&f, 1);
    CHECK_CONTAINS(f.out.errors, "left out: ");
    CHECK_CONTAINS(f.out.errors, "missing.onnx");
    CHECK_INT(count(&f, "count(*) FILTER (status = 'ok')"), 1);
    teardown(&f);
}

ASSAY_TEST(a_lake_that_cannot_be_made_ends_with_a_sentence)
{
    struct fixture f;
    setup(&f);
    f.lake = assay_path_join(&f.arena, testing_write(&f.arena, f.folder, "file", "x"), "lake");
    bench(&f, f.model, "--platform cpu/null");
    check_exit(&f, 1);
    CHECK_CONTAINS(f.out.errors, f.lake);
    teardown(&f);
}

/* In a mount namespace of its own, a lake of 16 KiB: the rows that fit are kept, then a sentence. */
ASSAY_TEST(a_full_disk_ends_with_a_sentence_and_keeps_the_rows_before)
{
    struct fixture f;
    setup(&f);
    CHECK_OK(assay_fs_make_folder(f.lake, &f.err), f.err);
    const char *script = assay_arena_printf(&f.arena,
                                            "mount -t tmpfs -o size=96k none '%s' || exit 77\n"
                                            "'%s' bench '%s' --no-ceilings --min-time 0.01 --max-time 0.02 --warmup-time 0.01 "
                                            "--platform cpu/null --batch 1..40 --lake '%s'\n"
                                            "code=$?\n"
                                            "n=$(find '%s' -name '*.parquet' | wc -l)\n"
                                            "echo \"code $code files $n left $(find '%s' -name '*.tmp' | wc -l)\"\n",
                                            f.lake, ASSAY_PROGRAM, f.model, f.lake, f.lake, f.lake);
    const char *const argv[] = {"/usr/bin/unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, NULL};
    struct assay_subprocess_options options = {.argv = argv, .time_limit_ns = INT64_C(200000000000)};
    enum assay_status st = assay_subprocess_run(&options, &f.arena, &f.out, &f.err);
    if (st || f.out.exit_code == 77 || !strstr(f.out.output, "code ")) {
        teardown(&f);
        SKIP("no mount namespace can be made here");
    }
    int code = 0, files = 0, left = 0;
    CHECK(sscanf(strstr(f.out.output, "code "), "code %d files %d left %d", &code, &files, &left) == 3);
    CHECK_INT(code, 1);
    CHECK(files >= 1 && files < 40);
    CHECK_INT(left, 0);
    CHECK_CONTAINS(f.out.errors, "No space left");
    teardown(&f);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_case_that_crashes_is_a_row_and_the_sweep_goes_on),
                ASSAY_TEST_ENTRY(a_case_that_hangs_is_a_row_after_its_time_limit),
                ASSAY_TEST_ENTRY(a_case_that_eats_memory_is_a_row_at_its_memory_limit),
                ASSAY_TEST_ENTRY(a_wrong_output_is_a_row_without_figures),
                ASSAY_TEST_ENTRY(what_a_runtime_says_of_itself_is_a_row),
                ASSAY_TEST_ENTRY(a_model_that_generates_has_times_of_its_tokens),
                ASSAY_TEST_ENTRY(a_row_of_a_request_can_be_repeated_by_its_command),
                ASSAY_TEST_ENTRY(a_converted_model_is_compared_with_what_it_was),
                ASSAY_TEST_ENTRY(a_wrong_token_is_a_row_without_figures),
                ASSAY_TEST_ENTRY(ctrl_c_keeps_what_was_measured_and_resume_does_the_rest_once),
                ASSAY_TEST_ENTRY(resume_with_nothing_to_go_on_with_starts_a_run),
                ASSAY_TEST_ENTRY(variables_that_steer_libraries_do_not_reach_the_child_and_are_in_the_row),
                ASSAY_TEST_ENTRY(a_broken_model_file_ends_with_a_sentence_and_no_row),
                ASSAY_TEST_ENTRY(a_lake_that_cannot_be_made_ends_with_a_sentence),
                ASSAY_TEST_ENTRY(a_full_disk_ends_with_a_sentence_and_keeps_the_rows_before))
