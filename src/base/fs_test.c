/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"

#include "base/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct assay_error err;

/* A new folder, its path in `folder`; the arena is released with it by leave(). */
struct place {
    struct assay_arena arena;
    char *folder;
};

static void enter(struct place *p)
{
    assay_arena_init(&p->arena);
    CHECK_OK(assay_fs_temporary_folder(&p->arena, &p->folder, &err), err);
}

static void leave(struct place *p)
{
    CHECK_OK(assay_fs_remove(p->folder, &err), err);
    CHECK(!assay_fs_exists(p->folder));
    assay_arena_release(&p->arena);
}

static char *in(struct place *p, const char *name) { return assay_path_join(&p->arena, p->folder, name); }

static void write_text(const char *path, const char *text) { CHECK_OK(assay_fs_write(path, text, strlen(text), &err), err); }

static const char *read_text(struct place *p, const char *path)
{
    char *text;
    CHECK_OK(assay_fs_read(path, 1 << 20, &p->arena, &text, NULL, &err), err);
    return text;
}

static size_t count(struct place *p)
{
    char **names;
    size_t n;
    CHECK_OK(assay_fs_list(p->folder, &p->arena, &names, &n, &err), err);
    return n;
}

ASSAY_TEST(what_is_written_is_read_back_and_nothing_else_is_left)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "a"), "one");
    CHECK_TEXT(read_text(&p, in(&p, "a")), "one");
    CHECK(chmod(in(&p, "a"), 0640) == 0);
    write_text(in(&p, "a"), "");
    CHECK_TEXT(read_text(&p, in(&p, "a")), "");
    struct stat info;
    CHECK(stat(in(&p, "a"), &info) == 0);
    CHECK_INT(info.st_mode & 0777, 0640); /* the permissions of the file that was replaced */
    CHECK_INT(count(&p), 1);
    leave(&p);
}

ASSAY_TEST(a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file)
{
    struct place p;
    enter(&p);
    enum { SIZE = 300000, KILLS = 30 };
    char *path = in(&p, "file");
    char *data = assay_alloc(SIZE);
    memset(data, 'a', SIZE);
    CHECK_OK(assay_fs_write(path, data, SIZE, &err), err);
    for (int i = 0; i < KILLS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (char c = 'a';; c = c == 'z' ? 'a' : (char)(c + 1)) {
                memset(data, c, SIZE);
                if (assay_fs_write(path, data, SIZE, NULL) != ASSAY_OK)
                    _exit(1);
            }
        }
        usleep(500 + (useconds_t)i * 337);
        kill(child, SIGKILL);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        size_t size;
        char *text;
        struct assay_arena arena;
        assay_arena_init(&arena);
        CHECK_OK(assay_fs_read(path, SIZE, &arena, &text, &size, &err), err);
        CHECK_INT(size, SIZE);
        for (size_t k = 1; k < size; k++)
            CHECK(text[k] == text[0]);
        assay_arena_release(&arena);
    }
    free(data);
    leave(&p);
}

ASSAY_TEST(an_abandoned_write_leaves_the_old_file_and_no_temporary_one)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "a"), "old");
    struct assay_atomic_file f;
    CHECK_OK(assay_atomic_open(&f, in(&p, "a"), &err), err);
    fputs("half", f.file);
    CHECK_CONTAINS(assay_path_name(f.temporary_path), ".a.");
    CHECK(assay_path_name(f.temporary_path)[0] == '.');
    CHECK_INT(count(&p), 2);
    assay_atomic_abandon(&f);
    assay_atomic_abandon(&f);
    assay_atomic_abandon(NULL);
    CHECK_INT(count(&p), 1);
    CHECK_TEXT(read_text(&p, in(&p, "a")), "old");
    leave(&p);
}

ASSAY_TEST(a_file_that_another_library_writes_is_committed_as_a_whole)
{
    struct place p;
    enter(&p);
    struct assay_atomic_file f;
    CHECK_OK(assay_atomic_open_path(&f, in(&p, "a"), &err), err);
    CHECK(!f.file && !assay_fs_exists(f.temporary_path));
    FILE *other = fopen(f.temporary_path, "w");
    CHECK(other && fputs("theirs", other) >= 0 && fclose(other) == 0);
    CHECK_OK(assay_atomic_commit(&f, &err), err);
    CHECK_TEXT(read_text(&p, in(&p, "a")), "theirs");
    CHECK_OK(assay_atomic_open_path(&f, in(&p, "b"), &err), err);
    CHECK(assay_atomic_commit(&f, &err) == ASSAY_ABSENT); /* nobody wrote it */
    CHECK_INT(count(&p), 1);
    leave(&p);
}

ASSAY_TEST(a_full_disk_is_an_error_and_keeps_the_device)
{
    struct stat info;
    if (stat("/dev/full", &info) != 0)
        SKIP("no /dev/full here");
    CHECK(assay_fs_write("/dev/full", "x", 1, &err) == ASSAY_IO);
    CHECK_CONTAINS(err.message, "No space left");
    CHECK(stat("/dev/full", &info) == 0 && S_ISCHR(info.st_mode));
    struct assay_atomic_file f;
    CHECK_OK(assay_atomic_open(&f, "/dev/full", &err), err);
    for (int i = 0; i < 100000; i++)
        fputs("more than the buffer holds", f.file);
    CHECK(assay_atomic_commit(&f, &err) == ASSAY_IO);
    CHECK(assay_atomic_open_path(&f, "/dev/full", &err) == ASSAY_INVALID);
    CHECK_OK(assay_fs_write("/dev/null", "x", 1, &err), err);
    CHECK(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
}

ASSAY_TEST(a_disk_that_fills_in_the_middle_of_a_write_keeps_the_old_file)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "a"), "old");
    struct assay_atomic_file f;
    CHECK_OK(assay_atomic_open(&f, in(&p, "a"), &err), err);
    /* From here on every write fails as on a full disk. */
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0)
        SKIP("no /dev/full here");
    CHECK(dup2(full, fileno(f.file)) >= 0 && close(full) == 0);
    for (int i = 0; i < 100000; i++)
        fputs("more than the buffer holds", f.file);
    CHECK(assay_atomic_commit(&f, &err) == ASSAY_IO);
    CHECK_TEXT(read_text(&p, in(&p, "a")), "old");
    CHECK_INT(count(&p), 1);
    leave(&p);
}

ASSAY_TEST(writes_that_cannot_be_say_why)
{
    struct place p;
    enter(&p);
    CHECK(assay_fs_write(in(&p, "none/a"), "x", 1, &err) == ASSAY_ABSENT);
    CHECK_CONTAINS(err.message, "none/a");
    CHECK(assay_fs_write(p.folder, "x", 1, &err) == ASSAY_INVALID);
    CHECK_CONTAINS(err.message, "folder");
    CHECK(assay_fs_write(in(&p, "b/"), "x", 1, &err) == ASSAY_INVALID);
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = 0;
    write_text(in(&p, name), "the longest name that there is");
    CHECK_INT(count(&p), 1);
    leave(&p);
}

ASSAY_TEST(a_symbolic_link_keeps_pointing_at_the_file_that_is_replaced)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "real"), "old");
    CHECK(symlink("real", in(&p, "link")) == 0);
    write_text(in(&p, "link"), "new");
    CHECK_TEXT(read_text(&p, in(&p, "real")), "new");
    struct stat info;
    CHECK(lstat(in(&p, "link"), &info) == 0 && S_ISLNK(info.st_mode));
    leave(&p);
}

ASSAY_TEST(reading_stops_at_the_limit_and_takes_regular_files_only)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "a"), "12345");
    char *text;
    size_t size;
    CHECK_OK(assay_fs_read(in(&p, "a"), 5, &p.arena, &text, &size, &err), err);
    CHECK_INT(size, 5);
    CHECK(assay_fs_read(in(&p, "a"), 4, &p.arena, &text, &size, &err) == ASSAY_INVALID);
    CHECK(assay_fs_read(in(&p, "none"), 4, &p.arena, &text, &size, &err) == ASSAY_ABSENT);
    CHECK(assay_fs_read(p.folder, 4, &p.arena, &text, &size, &err) == ASSAY_INVALID);
    CHECK(assay_fs_read("/dev/zero", 4, &p.arena, &text, &size, &err) == ASSAY_INVALID);
    CHECK(mkfifo(in(&p, "pipe"), 0600) == 0);
    CHECK(assay_fs_read(in(&p, "pipe"), 4, &p.arena, &text, &size, &err) == ASSAY_INVALID); /* and does not wait */
    CHECK_OK(assay_fs_read("/proc/self/status", 1 << 20, &p.arena, &text, &size, &err), err);
    CHECK_CONTAINS(text, "VmRSS:");
    CHECK(assay_fs_read("/proc/self/status", 10, &p.arena, &text, &size, &err) == ASSAY_INVALID);
    enum { LARGE = 100000 };
    char *data = assay_arena_alloc(&p.arena, LARGE);
    for (int i = 0; i < LARGE; i++)
        data[i] = (char)(i * 7);
    CHECK_OK(assay_fs_write(in(&p, "large"), data, LARGE, &err), err);
    CHECK_OK(assay_fs_read(in(&p, "large"), LARGE, &p.arena, &text, &size, &err), err);
    CHECK(size == LARGE && memcmp(text, data, LARGE) == 0 && text[LARGE] == 0);
    leave(&p);
}

ASSAY_TEST(forgotten_bytes_of_a_map_come_back_from_the_file)
{
    enum { SIZE = 40000 }; /* some whole pages, and parts at both ends */
    struct place p;
    struct assay_map map;
    enter(&p);
    char *text = assay_arena_alloc(&p.arena, SIZE + 1);
    for (int i = 0; i < SIZE; i++)
        text[i] = (char)('a' + i % 23);
    write_text(in(&p, "a"), text);
    CHECK_OK(assay_map_open(&map, in(&p, "a"), &err), err);
    CHECK(memcmp(map.data, text, SIZE) == 0);
    assay_map_forget(map.data + 100, SIZE - 200);
    assay_map_forget(map.data, 0);
    CHECK(memcmp(map.data, text, SIZE) == 0);
    assay_map_release(&map);
    leave(&p);
}

ASSAY_TEST(a_map_shows_the_file)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "a"), "mapped");
    write_text(in(&p, "empty"), "");
    struct assay_map map;
    CHECK_OK(assay_map_open(&map, in(&p, "a"), &err), err);
    CHECK(map.size_bytes == 6 && memcmp(map.data, "mapped", 6) == 0);
    assay_map_release(&map);
    assay_map_release(&map);
    CHECK_OK(assay_map_open(&map, in(&p, "empty"), &err), err);
    CHECK(map.size_bytes == 0 && map.data);
    assay_map_release(&map);
    CHECK(assay_map_open(&map, in(&p, "none"), &err) == ASSAY_ABSENT);
    CHECK(assay_map_open(&map, p.folder, &err) == ASSAY_INVALID);
    assay_map_release(NULL);
    leave(&p);
}

static enum assay_status note(void *context, const char *path, struct assay_error *e)
{
    (void)e;
    char *list = context;
    strcat(list, assay_path_name(path));
    strcat(list, " ");
    return strcmp(assay_path_name(path), "stop") == 0 ? assay_error_set(e, ASSAY_MISMATCH, "stopped") : ASSAY_OK;
}

ASSAY_TEST(a_walk_sees_files_in_order_and_does_not_follow_links_to_folders)
{
    struct place p;
    enter(&p);
    CHECK_OK(assay_fs_make_folder(in(&p, "b/deep/er"), &err), err);
    CHECK_OK(assay_fs_make_folder(in(&p, "b/deep/er"), &err), err);
    write_text(in(&p, "c"), "");
    write_text(in(&p, "a"), "");
    write_text(in(&p, "b/deep/er/x"), "");
    write_text(in(&p, "b/y"), "");
    CHECK(symlink("..", in(&p, "b/around")) == 0 && symlink("../a", in(&p, "b/z")) == 0 && symlink("none", in(&p, "d")) == 0);
    CHECK(mkfifo(in(&p, "e"), 0600) == 0);
    char list[200] = "";
    CHECK_OK(assay_fs_walk(p.folder, note, list, &err), err);
    CHECK_TEXT(list, "a x y z c ");
    write_text(in(&p, "b/stop"), "");
    list[0] = 0;
    CHECK(assay_fs_walk(p.folder, note, list, &err) == ASSAY_MISMATCH);
    CHECK_TEXT(list, "a x stop ");
    CHECK(assay_fs_walk(in(&p, "none"), note, list, &err) == ASSAY_ABSENT);
    CHECK_CONTAINS(err.message, "none");
    char **names;
    size_t n;
    CHECK_OK(assay_fs_list(p.folder, &p.arena, &names, &n, &err), err);
    CHECK_INT(n, 5);
    CHECK_TEXT(names[1], "b");
    CHECK(assay_fs_list(in(&p, "none"), &p.arena, &names, &n, &err) == ASSAY_ABSENT);
    leave(&p);
}

ASSAY_TEST(removing_a_folder_does_not_touch_what_links_in_it_name)
{
    struct place p;
    enter(&p);
    CHECK_OK(assay_fs_make_folder(in(&p, "kept"), &err), err);
    CHECK_OK(assay_fs_make_folder(in(&p, "gone/deep"), &err), err);
    write_text(in(&p, "kept/file"), "here");
    CHECK(symlink("../kept", in(&p, "gone/link")) == 0 && symlink("../kept/file", in(&p, "gone/deep/link")) == 0);
    CHECK_OK(assay_fs_remove(in(&p, "gone"), &err), err);
    CHECK(!assay_fs_exists(in(&p, "gone")));
    CHECK_TEXT(read_text(&p, in(&p, "kept/file")), "here");
    CHECK_OK(assay_fs_remove(in(&p, "gone"), &err), err);
    CHECK_OK(assay_fs_remove(in(&p, "kept/file"), &err), err);
    CHECK(!assay_fs_exists(in(&p, "kept/file")) && assay_fs_is_folder(in(&p, "kept")));
    leave(&p);
}

ASSAY_TEST(a_folder_cannot_be_made_where_a_file_is)
{
    struct place p;
    enter(&p);
    write_text(in(&p, "a"), "");
    CHECK(assay_fs_make_folder(in(&p, "a"), &err) != ASSAY_OK);
    CHECK(assay_fs_make_folder(in(&p, "a/b"), &err) != ASSAY_OK);
    CHECK_CONTAINS(err.message, "cannot make the folder");
    CHECK_CONTAINS(err.message, "/a is no folder");
    CHECK_OK(assay_fs_make_folder("/", &err), err);
    leave(&p);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(what_is_written_is_read_back_and_nothing_else_is_left),
                ASSAY_TEST_ENTRY(a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file),
                ASSAY_TEST_ENTRY(an_abandoned_write_leaves_the_old_file_and_no_temporary_one),
                ASSAY_TEST_ENTRY(a_file_that_another_library_writes_is_committed_as_a_whole),
                ASSAY_TEST_ENTRY(a_full_disk_is_an_error_and_keeps_the_device),
                ASSAY_TEST_ENTRY(a_disk_that_fills_in_the_middle_of_a_write_keeps_the_old_file),
                ASSAY_TEST_ENTRY(writes_that_cannot_be_say_why),
                ASSAY_TEST_ENTRY(a_symbolic_link_keeps_pointing_at_the_file_that_is_replaced),
                ASSAY_TEST_ENTRY(reading_stops_at_the_limit_and_takes_regular_files_only),
                ASSAY_TEST_ENTRY(forgotten_bytes_of_a_map_come_back_from_the_file), ASSAY_TEST_ENTRY(a_map_shows_the_file),
                ASSAY_TEST_ENTRY(a_walk_sees_files_in_order_and_does_not_follow_links_to_folders),
                ASSAY_TEST_ENTRY(removing_a_folder_does_not_touch_what_links_in_it_name),
                ASSAY_TEST_ENTRY(a_folder_cannot_be_made_where_a_file_is))
