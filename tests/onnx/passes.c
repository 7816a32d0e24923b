/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: passes FOLDER
 *
 * Each model below FOLDER with inputs and outputs (bench/conformance.h), run on the reference after each pass alone, and after
 * all together: what is wanted must come out. Where a pass changes nothing there is nothing to run. Prints a line a pass; fails
 * if an output is wrong, a model no longer runs, or no pass found anything to do.
 */
#include "base/fs.h"
#include "bench/conformance.h"
#include "bench/conformance_data.h"
#include "graph/pass.h"
#include "runtime/registry.h"

#include <stdlib.h>
#include <string.h>

/* The pass under test, which the runtime below cannot be told in another way. */
static const char *only[2]; /* NULL first = all */

static void count(void *context, const struct assay_pass *pass, const struct assay_graph *graph, int n_changes)
{
    (void)pass, (void)graph;
    *(int *)context += n_changes;
}

/* The reference's, of the graph that the pass makes; a graph that stays as it is counts as unsupported. */
static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    int n_changes = 0;
    struct assay_pass_options how = {.only = only[0] ? only : NULL, .on_pass = count, .context = &n_changes};
    struct assay_graph *changed = assay_graph_clone(graph);
    enum assay_status st = assay_graph_optimize(changed, &how, err);
    if (!st && n_changes == 0)
        st = assay_error_set(err, ASSAY_UNSUPPORTED, "nothing changed");
    if (!st)
        st = assay_runtime_find("reference")->compile(changed, options, program, err);
    assay_graph_close(changed); /* the reference works on a copy */
    return st;
}

struct tally {
    int n_run, n_right;
};

static void run_folder(const char *folder, const struct assay_conformance_options *options, struct tally *tally)
{
    struct assay_arena arena;
    struct assay_conformance_result result;
    assay_arena_init(&arena);
    assay_conformance_run(folder, options, &arena, &result);
    if (result.status != ASSAY_UNSUPPORTED) {
        tally->n_run++;
        tally->n_right += result.status == ASSAY_OK;
    }
    if (result.status != ASSAY_OK && result.status != ASSAY_UNSUPPORTED)
        printf("WRONG %s after pass %s: %s\n", folder, only[0] ? only[0] : "all", result.reason);
    assay_arena_release(&arena);
}

struct folders {
    struct assay_arena arena;
    const char **paths;
    size_t n, room;
};

static enum assay_status find_models(struct folders *folders, const char *root, struct assay_error *err)
{
    char **names;
    size_t n;
    enum assay_status st = assay_fs_list(root, &folders->arena, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        const char *path = assay_path_join(&folders->arena, root, names[i]);
        bool is_model = strcmp(names[i], "model.onnx") == 0;
        if (is_model || (strcmp(names[i], "config.json") == 0 && !assay_conformance_is_data(root))) {
            if (folders->n == folders->room) {
                size_t room = folders->room ? 2 * folders->room : 256;
                folders->paths = assay_arena_grow(&folders->arena, folders->paths, folders->n, room, sizeof *folders->paths);
                folders->room = room;
            }
            folders->paths[folders->n++] = assay_arena_strdup(&folders->arena, root);
        } else if (assay_fs_is_folder(path)) {
            st = find_models(folders, path, err);
        }
    }
    return st;
}

int main(int argc, char **argv)
{
    struct assay_error err;
    struct folders folders = {0};
    if (argc != 2 || !assay_fs_exists(argv[1])) {
        printf("skipped: %s is not there (Debian package libonnx-testdata)\n", argc > 1 ? argv[1] : "the folder");
        return 77;
    }
    assay_arena_init(&folders.arena);
    struct assay_runtime runtime = *assay_runtime_find("reference");
    runtime.compile = compile;
    struct assay_platform platform = {
        .name = "cpu/reference", .device = "cpu", .runtime = "reference", .variant = "", .available = true};
    struct assay_conformance_options options = {
        .platform = &platform, .runtime = &runtime, .threads = 1, .rtol = 1e-3, .atol = 1e-7, .tolerance = 2e-5};
    struct tally all = {0};
    if (find_models(&folders, argv[1], &err)) {
        printf("%s\n", err.message);
        return 1;
    }
    for (int p = 0;; p++) {
        struct tally tally = {0};
        only[0] = assay_pass_at(p) ? assay_pass_at(p)->name : NULL;
        for (size_t i = 0; i < folders.n; i++)
            run_folder(folders.paths[i], &options, &tally);
        printf("%-12s %4d of %4d changed models right\n", only[0] ? only[0] : "all", tally.n_right, tally.n_run);
        all.n_run += tally.n_run;
        all.n_right += tally.n_right;
        if (!only[0])
            break;
    }
    assay_arena_release(&folders.arena);
    return all.n_run == 0 || all.n_right < all.n_run;
}
