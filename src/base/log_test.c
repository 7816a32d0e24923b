/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/test.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A log into memory, as into a file or pipe, but with `terminal` and `colour` as wanted. */
struct memory_log {
    struct assay_log log;
    char *text;
    size_t size;
    FILE *file;
};

static void open_memory(struct memory_log *m, bool terminal, bool colour)
{
    m->file = open_memstream(&m->text, &m->size);
    CHECK(m->file != NULL);
    m->log = (struct assay_log){.out = m->file, .level = ASSAY_LOG_INFO, .terminal = terminal, .colour = colour};
}

static void close_memory(struct memory_log *m)
{
    fclose(m->file);
    free(m->text);
}

ASSAY_TEST(away_from_a_terminal_lines_are_plain)
{
    struct memory_log m;
    open_memory(&m, false, false);
    assay_log_line(&m.log, ASSAY_LOG_WARNING, "busy: %d %%", 7);
    assay_log_line(&m.log, ASSAY_LOG_DEBUG, "dropped");
    assay_log_line(&m.log, ASSAY_LOG_INFO, "hello");
    assay_progress_start(&m.log, 2);
    assay_progress_label(&m.log, "case %s", "a");
    assay_progress_step(&m.log, "a: 1.2 ms");
    assay_progress_label(&m.log, "case %s", "b");
    assay_progress_step(&m.log, NULL);
    assay_progress_step(&m.log, "one more than announced");
    assay_progress_stop(&m.log);
    assay_log_line(&m.log, ASSAY_LOG_ERROR, "end");
    fflush(m.file);
    CHECK_TEXT(m.text, "warning: busy: 7 %\nhello\n[1/2] a: 1.2 ms\n[2/2] case b\n[2/2] one more than announced\nassay: end\n");
    close_memory(&m);
}

ASSAY_TEST(on_a_terminal_lines_go_above_the_bar)
{
    struct memory_log m;
    open_memory(&m, true, true);
    assay_progress_start(&m.log, 4);
    assay_progress_label(&m.log, "drawn less than 100 ms after the bar: not shown yet");
    assay_progress_step(&m.log, "first");
    assay_log_line(&m.log, ASSAY_LOG_ERROR, "bad");
    assay_progress_stop(&m.log);
    fflush(m.file);
    CHECK_TEXT(
        m.text,
        "[........................] 0/4  "
        "\r\033[Kfirst\n[######..................] 1/4  0:00 left  drawn less than 100 ms after the bar"
        "\r\033[K[######..................] 1/4  0:00 left  drawn less than 100 ms after the bar"
        "\r\033[K\033[31massay: \033[0mbad\n[######..................] 1/4  0:00 left  drawn less than 100 ms after the bar"
        "\r\033[K");
    close_memory(&m);
}

ASSAY_TEST(a_label_cannot_move_the_cursor)
{
    struct memory_log m;
    open_memory(&m, true, false);
    assay_progress_label(&m.log, "a\n\033[2Jb");
    assay_progress_start(&m.log, 1);
    assay_progress_label(&m.log, "a\n\033[2Jb");
    m.log.drawn_ns = 0;
    assay_progress_label(&m.log, "a\n\033[2Jb");
    assay_progress_stop(&m.log);
    fflush(m.file);
    CHECK_CONTAINS(m.text, "a??[2Jb");
    close_memory(&m);
}

ASSAY_TEST(the_bar_fits_a_narrow_terminal)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        SKIP("no pseudo-terminal here");
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    struct winsize window = {.ws_row = 5, .ws_col = 40};
    CHECK(ioctl(slave, TIOCSWINSZ, &window) == 0);
    FILE *out = fdopen(slave, "w");
    struct assay_log log;
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    assay_log_init(&log, out);
    CHECK(log.terminal && log.colour);
    setenv("NO_COLOR", "1", 1);
    assay_log_init(&log, out);
    CHECK(log.terminal && !log.colour);
    assay_progress_start(&log, 1000);
    log.drawn_ns = 0;
    assay_progress_label(&log, "caf\xc3\xa9 with a label that is longer than the terminal is wide");
    char text[512];
    ssize_t n = read(master, text, sizeof text - 1);
    CHECK(n > 0);
    text[n] = 0;
    for (char *line = strtok(text, "\r"); line; line = strtok(NULL, "\r")) {
        if (strncmp(line, "\033[K", 3) == 0)
            line += 3;
        CHECK(assay_text_width(line) < 40);
    }
    setenv("TERM", "dumb", 1);
    assay_log_init(&log, out);
    CHECK(!log.terminal);
    fclose(out);
    close(master);
}

ASSAY_TEST(a_file_is_no_terminal)
{
    FILE *file = tmpfile();
    CHECK(file != NULL);
    struct assay_log log;
    assay_log_init(&log, file);
    CHECK(!log.terminal && !log.colour);
    fclose(file);
}

ASSAY_TEST(width_counts_characters)
{
    CHECK_INT(assay_text_width(""), 0);
    CHECK_INT(assay_text_width("abc"), 3);
    CHECK_INT(assay_text_width("caf\xc3\xa9 \xe2\x82\xac"), 6);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(away_from_a_terminal_lines_are_plain), ASSAY_TEST_ENTRY(on_a_terminal_lines_go_above_the_bar),
                ASSAY_TEST_ENTRY(a_label_cannot_move_the_cursor), ASSAY_TEST_ENTRY(the_bar_fits_a_narrow_terminal),
                ASSAY_TEST_ENTRY(a_file_is_no_terminal), ASSAY_TEST_ENTRY(width_counts_characters))
