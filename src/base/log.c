/* SPDX-License-Identifier: Apache-2.0 */
/* See log.h. Writes to a terminal that went away are not errors: the results are elsewhere. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { USUAL_COLUMNS = 80, BAR_WIDTH = 24 };
static const int64_t REDRAW_NS = 100000000;

static const struct {
    const char *prefix, *colour;
} levels[] = {
    [ASSAY_LOG_ERROR] = {"assay: ", "\033[31m"},
    [ASSAY_LOG_WARNING] = {"warning: ", "\033[33m"},
    [ASSAY_LOG_INFO] = {"", ""},
    [ASSAY_LOG_DEBUG] = {"debug: ", "\033[2m"},
};

int assay_text_width(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

void assay_log_init(struct assay_log *log, FILE *out)
{
    *log = (struct assay_log){.out = out, .level = ASSAY_LOG_INFO};
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    log->terminal = isatty(fileno(out)) && term && term[0] && strcmp(term, "dumb") != 0;
    log->colour = log->terminal && !(no_colour && no_colour[0]);
}

static void erase_bar(struct assay_log *log)
{
    if (log->bar_visible)
        fputs("\r\033[K", log->out);
    log->bar_visible = false;
}

/* The time left, judged by the mean time of the steps done; "" before the first. */
static void time_left_text(const struct assay_log *log, int64_t now_ns, char *text, size_t size)
{
    text[0] = 0;
    if (log->done == 0)
        return;
    double left_s = (double)(now_ns - log->start_ns) / 1e9 / log->done * (log->total - log->done);
    long seconds = left_s < 359999 ? (long)(left_s + 0.5) : 359999;
    if (seconds >= 3600)
        snprintf(text, size, "  %ld:%02ld:%02ld left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    else
        snprintf(text, size, "  %ld:%02ld left", seconds / 60, seconds % 60);
}

/* Prints text in at most `columns` columns; control characters, which would move the cursor, as '?'. */
static void print_cut(FILE *out, const char *text, int columns)
{
    for (; *text; text++) {
        bool begins = ((unsigned char)*text & 0xC0) != 0x80;
        if (begins && columns-- <= 0)
            return;
        fputc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, out);
    }
}

static void draw_bar(struct assay_log *log, bool at_once)
{
    int64_t now = assay_clock_ns();
    if (!log->terminal || log->total <= 0 || (!at_once && log->bar_visible && now - log->drawn_ns < REDRAW_NS))
        return;
    struct winsize window;
    int columns = ioctl(fileno(log->out), TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : USUAL_COLUMNS;
    char left[48], head[128];
    time_left_text(log, now, left, sizeof left);
    int filled = (int)((int64_t)BAR_WIDTH * log->done / log->total);
    snprintf(head, sizeof head, "[%.*s%.*s] %d/%d%s  ", filled, "########################", BAR_WIDTH - filled,
             "........................", log->done, log->total, left);
    erase_bar(log);
    /* The last column stays free: a character there would wrap the line on some terminals. */
    print_cut(log->out, head, columns - 1);
    print_cut(log->out, log->label, columns - 1 - assay_text_width(head));
    fflush(log->out);
    log->bar_visible = true;
    log->drawn_ns = now;
}

void assay_log_line(struct assay_log *log, enum assay_log_level level, const char *format, ...)
{
    if (level > log->level)
        return;
    erase_bar(log);
    const char *colour = log->colour ? levels[level].colour : "";
    fprintf(log->out, "%s%s%s", colour, levels[level].prefix, colour[0] ? "\033[0m" : "");
    va_list args;
    va_start(args, format);
    vfprintf(log->out, format, args);
    va_end(args);
    fputc('\n', log->out);
    fflush(log->out);
    draw_bar(log, true);
}

void assay_progress_start(struct assay_log *log, int total)
{
    log->total = total;
    log->done = 0;
    log->label[0] = 0;
    log->start_ns = assay_clock_ns();
    draw_bar(log, true);
}

void assay_progress_label(struct assay_log *log, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(log->label, sizeof log->label, format, args);
    va_end(args);
    draw_bar(log, false);
}

void assay_progress_step(struct assay_log *log, const char *line)
{
    if (log->done < log->total)
        log->done++;
    if (!log->terminal && log->level >= ASSAY_LOG_INFO) {
        fprintf(log->out, "[%d/%d] %s\n", log->done, log->total, line ? line : log->label);
        fflush(log->out);
    } else if (line) {
        assay_log_line(log, ASSAY_LOG_INFO, "%s", line);
    }
    draw_bar(log, true);
}

void assay_progress_stop(struct assay_log *log)
{
    erase_bar(log);
    fflush(log->out);
    log->total = log->done = 0;
}
