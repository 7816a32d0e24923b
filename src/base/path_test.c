/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include "base/test.h"

#include <unistd.h>

static struct assay_error err;

ASSAY_TEST(paths_join_and_split)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    CHECK_TEXT(assay_path_join(&arena, "a", "b"), "a/b");
    CHECK_TEXT(assay_path_join(&arena, "a/", "b"), "a/b");
    CHECK_TEXT(assay_path_join(&arena, "/", "b"), "/b");
    CHECK_TEXT(assay_path_join(&arena, "", "b"), "b");
    CHECK_TEXT(assay_path_join(&arena, "a", "/b"), "/b");
    CHECK_TEXT(assay_path_name("a/b.onnx"), "b.onnx");
    CHECK_TEXT(assay_path_name("b.onnx"), "b.onnx");
    CHECK_TEXT(assay_path_folder(&arena, "a/b/c"), "a/b");
    CHECK_TEXT(assay_path_folder(&arena, "c"), ".");
    CHECK_TEXT(assay_path_folder(&arena, "/c"), "/");
    assay_arena_release(&arena);
}

ASSAY_TEST(a_name_from_outside_stays_inside_its_folder)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *top, *found;
    CHECK_OK(assay_fs_temporary_folder(&arena, &top, &err), err);
    char *folder = assay_path_join(&arena, top, "model");
    CHECK_OK(assay_fs_make_folder(assay_path_join(&arena, folder, "sub"), &err), err);
    CHECK_OK(assay_fs_make_folder(assay_path_join(&arena, top, "model-of-others"), &err), err);
    CHECK_OK(assay_fs_write(assay_path_join(&arena, top, "secret"), "s", 1, &err), err);
    CHECK_OK(assay_fs_write(assay_path_join(&arena, top, "model-of-others/w"), "s", 1, &err), err);
    CHECK_OK(assay_fs_write(assay_path_join(&arena, folder, "weights"), "w", 1, &err), err);
    CHECK(symlink("../secret", assay_path_join(&arena, folder, "escape")) == 0);
    CHECK(symlink("..", assay_path_join(&arena, folder, "up")) == 0);
    CHECK(symlink("../weights", assay_path_join(&arena, folder, "sub/link")) == 0);
    CHECK(symlink("loop", assay_path_join(&arena, folder, "loop")) == 0);

    static const char *const fine[] = {"weights", "./weights", "sub/../weights", "sub/link", "sub//.././weights"};
    for (size_t i = 0; i < ASSAY_COUNT(fine); i++) {
        CHECK_OK(assay_path_inside(folder, fine[i], &arena, &found, &err), err);
        CHECK_TEXT(assay_path_name(found), "weights");
    }
    static const char *const bad[] = {
        "",       "../secret", "../none",          "sub/../../secret",    "escape", "up/secret", "/etc/passwd", "..", ".",
        "sub/..", "up",        "../model/weights", "../model-of-others/w"};
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++) {
        CHECK_INT(assay_path_inside(folder, bad[i], &arena, &found, &err), ASSAY_INVALID);
        CHECK(!found);
    }
    CHECK(assay_path_inside(folder, "up/model-of-others/w", &arena, &found, &err) == ASSAY_INVALID);
    CHECK(assay_path_inside(folder, "none", &arena, &found, &err) == ASSAY_ABSENT);
    CHECK(assay_path_inside(folder, "loop", &arena, &found, &err) == ASSAY_IO);
    CHECK_OK(assay_path_inside("/", "dev/null", &arena, &found, &err), err);
    CHECK_OK(assay_fs_remove(top, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST(own_folders_follow_the_environment)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    char *top, *path;
    CHECK_OK(assay_fs_temporary_folder(&arena, &top, &err), err);
    setenv("HOME", top, 1);
    unsetenv("ASSAY_CACHE");
    setenv("XDG_CACHE_HOME", "relative/does/not/count", 1);
    unsetenv("XDG_DATA_HOME");
    CHECK_OK(assay_path_cache(&arena, &path, &err), err);
    CHECK_TEXT(path, assay_path_join(&arena, top, ".cache/assay"));
    CHECK(assay_fs_is_folder(path));
    CHECK_OK(assay_path_data(&arena, &path, &err), err);
    CHECK_TEXT(path, assay_path_join(&arena, top, ".local/share/assay"));
    setenv("XDG_CACHE_HOME", assay_path_join(&arena, top, "xdg"), 1);
    CHECK_OK(assay_path_cache(&arena, &path, &err), err);
    CHECK_TEXT(path, assay_path_join(&arena, top, "xdg/assay"));
    setenv("ASSAY_CACHE", assay_path_join(&arena, top, "own"), 1);
    CHECK_OK(assay_path_cache(&arena, &path, &err), err);
    CHECK_TEXT(path, assay_path_join(&arena, top, "own"));
    setenv("ASSAY_CACHE", "/proc/none", 1);
    CHECK(assay_path_cache(&arena, &path, &err) != ASSAY_OK);
    CHECK_OK(assay_fs_remove(top, &err), err);
    assay_arena_release(&arena);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(paths_join_and_split), ASSAY_TEST_ENTRY(a_name_from_outside_stays_inside_its_folder),
                ASSAY_TEST_ENTRY(own_folders_follow_the_environment))
