/* SPDX-License-Identifier: Apache-2.0 */
/* See cli.h: parsing, getters, failures. Help and the manual are in help.c. */
#include "cli/cli.h"

#include "base/version.h"
#include "device/device.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const assay_format_words[] = {"table", "json", "csv", "markdown", NULL};

/* In the order of enum assay_log_level. */
static const char *const log_words[] = {"error", "warning", "info", "debug", NULL};

const struct assay_cli_option assay_common_options[] = {
    {"log", ASSAY_OPTION_CHOICE, "LEVEL", "What is told on stderr: error, warning, info or debug [info].", log_words},
    {"help", ASSAY_OPTION_FLAG, NULL, "Print this help.", NULL},
    ASSAY_OPTION_END,
};

/* What was given for one option. */
struct assay_cli_value {
    bool given;
    const char *text; /* the last one, as typed */
    int64_t i;
    double real;
    const char **texts;
    int64_t *ints;
    size_t n; /* of a list */
};

volatile sig_atomic_t assay_cli_stop;

static void on_signal(int number)
{
    if (assay_cli_stop)
        _exit(128 + number);
    assay_cli_stop = 1;
}

void assay_cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Whether stdout is a pipe whose reader has gone, as that of `assay query | head`: nobody is left to be told. */
static bool reader_is_gone(void)
{
    struct pollfd stdout_poll = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&stdout_poll, 1, 0) == 1 && (stdout_poll.revents & POLLERR);
}

int assay_cli_fail(const struct assay_cli *cli, const struct assay_error *err)
{
    (void)cli;
    if (err->status != ASSAY_IO || !ferror(stdout) || !reader_is_gone())
        fprintf(stderr, "assay: %s\n", err->message);
    return err->status == ASSAY_INVALID ? ASSAY_EXIT_USAGE : ASSAY_EXIT_FAILED;
}

int assay_cli_print(const struct assay_cli *cli, struct assay_table *table)
{
    struct assay_error err;
    return assay_table_print(table, assay_cli_format(cli), stdout, &err) ? assay_cli_fail(cli, &err) : ASSAY_EXIT_OK;
}

int assay_cli_usage(const struct assay_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("assay: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see `assay %s%s--help`\n", cli->verb ? cli->verb->name : "", cli->verb ? " " : "");
    return ASSAY_EXIT_USAGE;
}

void assay_cli_warn_threads(struct assay_cli *cli, int64_t n_threads)
{
    int n_cpus;
    if (assay_threads_share(n_threads, &n_cpus))
        assay_log_line(&cli->log, ASSAY_LOG_WARNING, "%lld threads take turns on the %d CPU%s that are here",
                       (long long)n_threads, n_cpus, n_cpus == 1 ? "" : "s");
}

/* ---- nearest name, for typing errors */

int assay_cli_edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    int row[LONGEST + 1];
    int n = (int)strlen(b);
    if (n > LONGEST || strlen(a) > LONGEST)
        return INT_MAX;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[n];
}

static const char *nearest_option(const struct assay_verb *verb, const char *name)
{
    const char *best = NULL;
    int distance = 4;
    const struct assay_cli_option *const tables[] = {verb->options, assay_common_options};
    for (size_t t = 0; t < ASSAY_COUNT(tables); t++)
        for (const struct assay_cli_option *o = tables[t]; o->name; o++) {
            int d = assay_cli_edit_distance(name, o->name);
            if (d < distance) {
                distance = d;
                best = o->name;
            }
        }
    return best;
}

static const char *nearest_verb(const char *name)
{
    const char *best = NULL;
    int distance = 4;
    for (size_t i = 0; assay_verbs[i]; i++) {
        int d = assay_cli_edit_distance(name, assay_verbs[i]->name);
        if (!assay_verbs[i]->hidden && d < distance) {
            distance = d;
            best = assay_verbs[i]->name;
        }
    }
    return best;
}

/* ---- values */

static void add_text(struct assay_cli *cli, struct assay_cli_value *v, const char *text)
{
    v->texts = assay_arena_grow(&cli->arena, v->texts, v->n, v->n + 1, sizeof *v->texts);
    v->texts[v->n++] = text;
}

static void add_int(struct assay_cli *cli, struct assay_cli_value *v, int64_t number)
{
    v->ints = assay_arena_grow(&cli->arena, v->ints, v->n, v->n + 1, sizeof *v->ints);
    v->ints[v->n++] = number;
}

static bool read_int(const char *text, char **end, int64_t *value)
{
    errno = 0;
    *value = strtoll(text, end, 10);
    return *end != text && errno == 0;
}

/* "4", "1..8", "1..64:x2", "8..64:+8"; at most 1,000 numbers. */
static bool read_range(struct assay_cli *cli, struct assay_cli_value *v, const char *text)
{
    enum { LONGEST = 1000 };
    char *p;
    int64_t from, to, step = 1;
    bool doubling = false;
    if (!read_int(text, &p, &from))
        return false;
    to = from;
    if (strncmp(p, "..", 2) == 0) {
        if (!read_int(p + 2, &p, &to) || to < from)
            return false;
        if (*p == ':' && (p[1] == 'x' || p[1] == '+')) {
            doubling = p[1] == 'x';
            if (!read_int(p + 2, &p, &step) || step < 1 + doubling || (doubling && from < 1))
                return false;
        }
    }
    if (*p)
        return false;
    size_t n = 0;
    for (int64_t i = from; i <= to && n++ < LONGEST; i = doubling ? i * step : i + step) {
        add_int(cli, v, i);
        if (i > INT64_MAX / (doubling ? step : 2) - step)
            break;
    }
    return n <= LONGEST;
}

/* "512M", "2GiB", "1.5g", "1000000". */
static bool read_bytes(const char *text, int64_t *bytes)
{
    static const char units[] = "kmgt";
    char *end;
    double value = strtod(text, &end);
    if (end == text || !isfinite(value) || value < 0)
        return false;
    if (*end) {
        const char *unit = strchr(units, *end | 0x20);
        if (!unit || (end[1] && strcasecmp(end + 1, "ib") != 0 && strcasecmp(end + 1, "b") != 0))
            return false;
        value *= pow(1024, (double)(unit - units + 1));
    }
    if (value >= 0x1p62)
        return false;
    *bytes = (int64_t)value;
    return true;
}

static bool is_choice(const char *const *choices, const char *text)
{
    for (; *choices; choices++)
        if (strcmp(*choices, text) == 0)
            return true;
    return false;
}

static bool read_list(struct assay_cli *cli, const struct assay_cli_option *o, struct assay_cli_value *v, const char *text)
{
    char *copy = assay_arena_strdup(&cli->arena, text), *rest = NULL;
    size_t before = v->n;
    for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        if (o->kind == ASSAY_OPTION_TEXTS)
            add_text(cli, v, item);
        else if (!read_range(cli, v, item))
            return false;
    }
    return v->n > before;
}

static bool read_value(struct assay_cli *cli, const struct assay_cli_option *o, struct assay_cli_value *v, const char *text)
{
    char *end;
    switch (o->kind) {
    case ASSAY_OPTION_FLAG:
        return true;
    case ASSAY_OPTION_TEXT:
        return *text;
    case ASSAY_OPTION_CHOICE:
        return is_choice(o->choices, text);
    case ASSAY_OPTION_INT:
        return read_int(text, &end, &v->i) && !*end;
    case ASSAY_OPTION_REAL:
        v->real = strtod(text, &end);
        return end != text && !*end && isfinite(v->real);
    case ASSAY_OPTION_BYTES:
        return read_bytes(text, &v->i);
    case ASSAY_OPTION_ENTRIES:
        add_text(cli, v, text);
        return strchr(text, '=') && *text != '=';
    case ASSAY_OPTION_TEXTS:
    case ASSAY_OPTION_INTS:
        return read_list(cli, o, v, text);
    }
    return false;
}

static int bad_value(const struct assay_cli *cli, const struct assay_cli_option *o, const char *text)
{
    static const char *const wanted[] = {
        [ASSAY_OPTION_TEXT] = "a value",
        [ASSAY_OPTION_INT] = "a whole number",
        [ASSAY_OPTION_REAL] = "a number",
        [ASSAY_OPTION_BYTES] = "a size like 512M or 2GiB",
        [ASSAY_OPTION_TEXTS] = "a list like a,b,c",
        [ASSAY_OPTION_ENTRIES] = "NAME=VALUE",
        [ASSAY_OPTION_INTS] = "numbers like 1,2,4 or 1..8 or 1..64:x2",
    };
    if (o->kind != ASSAY_OPTION_CHOICE)
        return assay_cli_usage(cli, "--%s takes %s, not '%s'", o->name, wanted[o->kind], text);
    char list[256] = "";
    for (size_t i = 0; o->choices[i]; i++) {
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", o->choices[i]);
    }
    return assay_cli_usage(cli, "--%s is one of %s, not '%s'", o->name, list, text);
}

/* ---- parsing */

static size_t n_options(const struct assay_cli_option *options)
{
    size_t n = 0;
    while (options[n].name)
        n++;
    return n;
}

/* The option of a name and its place in cli->values; NULL if there is none. */
static const struct assay_cli_option *find_option(const struct assay_verb *verb, const char *name, size_t *place)
{
    const struct assay_cli_option *const tables[] = {verb->options, assay_common_options};
    *place = 0;
    for (size_t t = 0; t < ASSAY_COUNT(tables); t++)
        for (const struct assay_cli_option *o = tables[t]; o->name; o++, ++*place)
            if (strcmp(o->name, name) == 0)
                return o;
    return NULL;
}

/* One option at argv[*at]; moves *at past its value. Returns 0 or the exit code. */
static int parse_option(struct assay_cli *cli, int argc, char **argv, int *at)
{
    const char *word = argv[*at] + 2, *text = strchr(word, '=');
    const char *name = text ? assay_arena_strndup(&cli->arena, word, (size_t)(text - word)) : word;
    text = text ? text + 1 : NULL;
    size_t place;
    const struct assay_cli_option *o = find_option(cli->verb, name, &place);
    if (!o) {
        const char *nearest = nearest_option(cli->verb, name);
        return assay_cli_usage(cli, "%s has no option --%s%s%s%s", cli->verb->name, name, nearest ? " (did you mean --" : "",
                               nearest ? nearest : "", nearest ? "?)" : "");
    }
    struct assay_cli_value *v = &cli->values[place];
    v->given = true;
    if (o->kind == ASSAY_OPTION_FLAG)
        return text ? assay_cli_usage(cli, "--%s takes no value", o->name) : 0;
    /* A value that begins like an option is a forgotten value; --name=--value says that it is meant. */
    if (!text && (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0))
        return assay_cli_usage(cli, "--%s needs a value (%s)", o->name, o->value);
    v->text = text ? text : argv[++*at];
    return read_value(cli, o, v, v->text) ? 0 : bad_value(cli, o, v->text);
}

static int parse(struct assay_cli *cli, int argc, char **argv)
{
    const struct assay_verb *verb = cli->verb;
    bool options_end = false;
    cli->values = assay_arena_array(&cli->arena, n_options(verb->options) + n_options(assay_common_options), sizeof *cli->values);
    cli->arguments = assay_arena_array(&cli->arena, (size_t)argc + 1, sizeof *cli->arguments);
    for (int at = 0; at < argc; at++) {
        if (!options_end && strcmp(argv[at], "--") == 0) {
            options_end = true;
        } else if (!options_end && strcmp(argv[at], "-h") == 0) {
            argv[at--] = "--help";
        } else if (!options_end && strncmp(argv[at], "--", 2) == 0) {
            int code = parse_option(cli, argc, argv, &at);
            if (code || assay_cli_flag(cli, "help"))
                return code;
        } else if (!options_end && argv[at][0] == '-' && argv[at][1]) {
            return assay_cli_usage(cli, "there is no option '%s'", argv[at]);
        } else {
            cli->arguments[cli->n_arguments++] = argv[at];
        }
    }
    if (cli->n_arguments < verb->min_arguments)
        return assay_cli_usage(cli, "%s needs more arguments: assay %s %s", verb->name, verb->name, verb->usage);
    if (verb->max_arguments >= 0 && cli->n_arguments > verb->max_arguments)
        return assay_cli_usage(cli, "%s does not take '%s'", verb->name, cli->arguments[verb->max_arguments]);
    return 0;
}

static const struct assay_cli_value *value(const struct assay_cli *cli, const char *option)
{
    size_t place;
    ASSAY_ASSERT(find_option(cli->verb, option, &place));
    return &cli->values[place];
}

bool assay_cli_given(const struct assay_cli *cli, const char *option) { return value(cli, option)->given; }
bool assay_cli_flag(const struct assay_cli *cli, const char *option) { return value(cli, option)->given; }

const char *assay_cli_text(const struct assay_cli *cli, const char *option, const char *otherwise)
{
    const struct assay_cli_value *v = value(cli, option);
    return v->given ? v->text : otherwise;
}

int64_t assay_cli_int(const struct assay_cli *cli, const char *option, int64_t otherwise)
{
    const struct assay_cli_value *v = value(cli, option);
    return v->given ? v->i : otherwise;
}

double assay_cli_real(const struct assay_cli *cli, const char *option, double otherwise)
{
    const struct assay_cli_value *v = value(cli, option);
    return v->given ? v->real : otherwise;
}

const char **assay_cli_texts(const struct assay_cli *cli, const char *option, size_t *n)
{
    *n = value(cli, option)->n;
    return value(cli, option)->texts;
}

int64_t *assay_cli_ints(const struct assay_cli *cli, const char *option, size_t *n)
{
    *n = value(cli, option)->n;
    return value(cli, option)->ints;
}

enum assay_format assay_cli_format(const struct assay_cli *cli)
{
    const char *word = assay_cli_text(cli, "format", "table");
    int i = 0;
    while (strcmp(assay_format_words[i], word) != 0)
        i++;
    return (enum assay_format)i;
}

/* ---- main */

const struct assay_verb *assay_cli_find_verb(const struct assay_cli *cli, const char *name)
{
    for (size_t i = 0; assay_verbs[i]; i++)
        if (strcmp(assay_verbs[i]->name, name) == 0)
            return assay_verbs[i];
    const char *nearest = nearest_verb(name);
    assay_cli_usage(cli, "there is no verb '%s'%s%s%s", name, nearest ? " (did you mean " : "", nearest ? nearest : "",
                    nearest ? "?)" : "");
    return NULL;
}

/* What went wrong on stdout after all was printed, a full disk or a closed pipe, unless the verb has told of a failure. */
static int close_stdout(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (code == ASSAY_EXIT_OK && !reader_is_gone())
        fprintf(stderr, "assay: results could not be written: the output is full or closed\n");
    return code ? code : ASSAY_EXIT_FAILED;
}

static int run_verb(const struct assay_verb *verb, const char *program, int argc, char **argv)
{
    struct assay_cli cli = {.verb = verb, .program = program};
    assay_arena_init(&cli.arena);
    assay_log_init(&cli.log, stderr);
    int code = parse(&cli, argc, argv);
    const char *level = code ? "info" : assay_cli_text(&cli, "log", "info");
    for (int i = 0; log_words[i]; i++)
        if (strcmp(log_words[i], level) == 0)
            cli.log.level = (enum assay_log_level)i;
    if (!code && assay_cli_flag(&cli, "help"))
        assay_cli_help(verb);
    else if (!code)
        code = verb->run(&cli);
    assay_arena_release(&cli.arena);
    return code;
}

int assay_cli_main(int argc, char **argv)
{
    static char program[PATH_MAX];
    struct assay_cli none = {0};
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0)
        snprintf(program, sizeof program, "%s", argv[0]);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is then a write error, told like others */
    const char *word = argc > 1 ? argv[1] : "--help";
    if (strcmp(word, "--version") == 0) {
        printf("assay %s\n", ASSAY_VERSION);
        return close_stdout(ASSAY_EXIT_OK);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        assay_cli_help(NULL);
        return close_stdout(argc > 1 ? ASSAY_EXIT_OK : ASSAY_EXIT_USAGE);
    }
    const struct assay_verb *verb = assay_cli_find_verb(&none, word);
    return verb ? close_stdout(run_verb(verb, program, argc - 2, argv + 2)) : ASSAY_EXIT_USAGE;
}
