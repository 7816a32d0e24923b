/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files: the official conformance models, damaged files, external data, functions, bodies, states. */
#include "graph/onnx.h"
#include "base/fs.h"
#include "base/rng.h"
#include "base/test.h"
#include "graph/onnx.pb-c.h"

#include <sys/wait.h>
#include <unistd.h>

#define TESTDATA "/usr/share/libonnx-testdata/data"

static struct assay_error err;

/* ---- all models of the conformance suite */

struct counts {
    int loaded, unsupported, invalid, changed;
    struct assay_arena *arena;
    const char *folder; /* where saved files go */
    FILE *pairs;        /* "original saved" a line */
};

static enum assay_status visit_model(void *context, const char *path, struct assay_error *error)
{
    struct counts *counts = context;
    struct assay_graph *graph, *again;
    struct assay_error why;
    char hash[ASSAY_HASH_TEXT_SIZE], hash_again[ASSAY_HASH_TEXT_SIZE];
    if (strcmp(assay_path_name(path), "model.onnx") != 0)
        return ASSAY_OK;
    enum assay_status st = assay_onnx_load(path, &graph, &why);
    if (st) {
        counts->unsupported += st == ASSAY_UNSUPPORTED;
        counts->invalid += st != ASSAY_UNSUPPORTED;
        if (st != ASSAY_UNSUPPORTED)
            fprintf(stderr, "%s\n", why.message);
        return ASSAY_OK;
    }
    const char *saved = assay_arena_printf(counts->arena, "%s/%d.onnx", counts->folder, counts->loaded++);
    st = assay_onnx_save(graph, saved, NULL, error);
    if (!st)
        st = assay_onnx_load(saved, &again, error);
    if (st) {
        assay_graph_close(graph);
        return st;
    }
    assay_graph_hash(graph, hash);
    assay_graph_hash(again, hash_again);
    if (strcmp(hash, hash_again) != 0) {
        counts->changed++;
        fprintf(stderr, "%s: another hash after save and load\n", path);
    }
    fprintf(counts->pairs, "%s %s\n", path, saved);
    assay_graph_close(again);
    assay_graph_close(graph);
    return ASSAY_OK;
}

static const char *const check_script = "import sys, onnx\n"
                                        "bad = n = 0\n"
                                        "def sound(path):\n"
                                        "    try:\n"
                                        "        onnx.checker.check_model(onnx.load(path))\n"
                                        "        return None\n"
                                        "    except Exception as e:\n"
                                        "        return str(e)\n"
                                        "for line in open(sys.argv[1]):\n"
                                        "    original, saved = line.split()\n"
                                        "    why = sound(saved)\n"
                                        "    if why is None: n += 1\n"
                                        "    elif sound(original) is None:\n"
                                        "        bad += 1\n"
                                        "        print(original, why, file=sys.stderr)\n"
                                        "print(n, 'saved models pass the checker of onnx', onnx.__version__)\n"
                                        "sys.exit(1 if bad or not n else 0)\n";

/* Exit status of python3 with a script and one argument; Debian's, which has its onnx. */
static int run_python(const char *script, const char *argument)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl("/usr/bin/python3", "python3", "-c", script, argument, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool have_python_onnx(void)
{
    return run_python("import sys\ntry: import onnx\nexcept ImportError: sys.exit(1)", "") == 0;
}

ASSAY_TEST(conformance_models_load_and_keep_their_hash_when_saved)
{
    struct assay_arena arena;
    char *folder;
    if (!assay_fs_is_folder(TESTDATA))
        SKIP("libonnx-testdata is not installed");
    assay_arena_init(&arena);
    CHECK_OK(assay_fs_temporary_folder(&arena, &folder, &err), err);
    char *list = assay_path_join(&arena, folder, "pairs");
    struct counts counts = {.arena = &arena, .folder = folder, .pairs = fopen(list, "w")};
    enum assay_status st = assay_fs_walk(TESTDATA, visit_model, &counts, &err);
    fclose(counts.pairs);
    int checked = have_python_onnx() ? run_python(check_script, list) : -1;
    assay_fs_remove(folder, NULL);
    assay_arena_release(&arena);
    CHECK_OK(st, err);
    printf("  %d loaded, %d unsupported, %d invalid\n", counts.loaded, counts.unsupported, counts.invalid);
    if (checked == -1)
        printf("  not checked with ONNX's checker: python3-onnx is not installed\n");
    CHECK_INT(counts.invalid, 0);
    CHECK_INT(counts.changed, 0);
    CHECK(counts.loaded >= 900);
    CHECK(checked <= 0);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(conformance_models_load_and_keep_their_hash_when_saved))
