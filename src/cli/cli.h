/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the command line: a table of verbs, each with one table of options. From these tables come parsing, --help,
 * docs/cli.md and the shells' completion, so a fact about an option stands in one place.
 *
 * To add a verb: cmd_VERB.c with a `const struct assay_verb assay_verb_VERB`, and a line in the table of main.c.
 * Exit codes: 0 fine, 1 ran and failed (or regressed), 2 usage. Results go to stdout, all else to stderr.
 */
#ifndef ASSAY_CLI_CLI_H
#define ASSAY_CLI_CLI_H

#include "base/arena.h"
#include "base/log.h"
#include "report/table.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum { ASSAY_EXIT_OK = 0, ASSAY_EXIT_FAILED = 1, ASSAY_EXIT_USAGE = 2 };

enum assay_option_kind {
    ASSAY_OPTION_FLAG, /* no value */
    ASSAY_OPTION_TEXT,
    ASSAY_OPTION_CHOICE, /* one of `choices` */
    ASSAY_OPTION_INT,
    ASSAY_OPTION_REAL,
    ASSAY_OPTION_BYTES,   /* 512M, 2GiB */
    ASSAY_OPTION_TEXTS,   /* list: a,b,c and repeated */
    ASSAY_OPTION_ENTRIES, /* NAME=VALUE; repeated, not split at commas */
    ASSAY_OPTION_INTS,    /* list: 1,2,4 and ranges 1..8 (step 1), 1..64:x2 (doubling), repeated */
};

struct assay_cli_option {
    const char *name; /* without dashes */
    enum assay_option_kind kind;
    const char *value;          /* what help calls the value: "FILE", "SECONDS" */
    const char *help;           /* one sentence; its default in brackets at the end */
    const char *const *choices; /* NULL-terminated, for CHOICE, and hints for the completion of TEXTS */
};

struct assay_cli;

struct assay_verb {
    const char *name, *summary;             /* summary: a line for `assay --help` */
    const char *usage;                      /* what follows the verb: "MODEL.onnx … [OPTIONS]" */
    const char *description;                /* paragraphs */
    const char *examples;                   /* lines */
    const struct assay_cli_option *options; /* ended by a NULL name; --help and --log come by themselves */
    int min_arguments, max_arguments;       /* -1 = any */
    const char *const *words;               /* what the first argument can be, for the completion; NULL = files */
    bool hidden;
    int (*run)(struct assay_cli *cli);
};

/* A parsed command line, and what every verb needs. */
struct assay_cli {
    const struct assay_verb *verb;
    struct assay_arena arena;
    struct assay_log log;
    const char **arguments;
    int n_arguments;
    struct assay_cli_value *values; /* in step with verb->options, then assay_common_options */
    const char *program;            /* path of this program, for child processes */
};

/* All verbs, ended by NULL (main.c). */
extern const struct assay_verb *const assay_verbs[];

/* Getters; the option must be in the verb's table. */
bool assay_cli_given(const struct assay_cli *cli, const char *option);
bool assay_cli_flag(const struct assay_cli *cli, const char *option);
const char *assay_cli_text(const struct assay_cli *cli, const char *option, const char *otherwise);
int64_t assay_cli_int(const struct assay_cli *cli, const char *option, int64_t otherwise); /* INT, BYTES */
double assay_cli_real(const struct assay_cli *cli, const char *option, double otherwise);
/* Borrowed; n = 0 if it was not given. */
const char **assay_cli_texts(const struct assay_cli *cli, const char *option, size_t *n);
int64_t *assay_cli_ints(const struct assay_cli *cli, const char *option, size_t *n);
/* --format; ASSAY_FORMAT_TABLE if not given. */
enum assay_format assay_cli_format(const struct assay_cli *cli);

/* Prints "assay: SENTENCE" and gives the exit code of a status: 2 for ASSAY_INVALID, else 1. */
int assay_cli_fail(const struct assay_cli *cli, const struct assay_error *err);
/* "assay: …" and `assay VERB --help` as a hint; exit code 2. */
int assay_cli_usage(const struct assay_cli *cli, const char *format, ...) ASSAY_PRINTF(2, 3);
/* Says so if threads have to take turns on the CPUs: what is then measured is what was asked for, but seldom what was meant. */
void assay_cli_warn_threads(struct assay_cli *cli, int64_t n_threads);
/* Set by SIGINT and SIGTERM once assay_cli_catch_signals was called; a second signal ends the program. */
extern volatile sig_atomic_t assay_cli_stop;
void assay_cli_catch_signals(void);

/* Prints the table to stdout in the asked --format and gives the exit code: 0, or 1 if stdout refuses. */
int assay_cli_print(const struct assay_cli *cli, struct assay_table *table);

/* How many letters to change, add or leave out between two names; INT_MAX where one is long. */
int assay_cli_edit_distance(const char *a, const char *b);
/* The verb of a name, or NULL after a usage error that names the nearest one. */
const struct assay_verb *assay_cli_find_verb(const struct assay_cli *cli, const char *name);
/* Options that every verb has, ended by a NULL name. */
extern const struct assay_cli_option assay_common_options[];

/* Help of one verb, or of all (NULL), to stdout; the manual as Markdown. */
void assay_cli_help(const struct assay_verb *verb);
void assay_cli_manual(void);

/* main: parses and runs. */
int assay_cli_main(int argc, char **argv);

/* Options that several verbs share, for their tables. */
extern const char *const assay_format_words[];
#define ASSAY_OPTION_FORMAT                                                                                                      \
    {                                                                                                                            \
        "format", ASSAY_OPTION_CHOICE, "FORMAT", "How to print results: table, json, csv or markdown [table].",                  \
            assay_format_words                                                                                                   \
    }
#define ASSAY_OPTION_LAKE                                                                                                        \
    {                                                                                                                            \
        "lake", ASSAY_OPTION_TEXT, "DIR", "The lake [$ASSAY_LAKE, else ~/.local/share/assay/lake].", NULL                        \
    }
#define ASSAY_OPTION_END                                                                                                         \
    {                                                                                                                            \
        NULL, ASSAY_OPTION_FLAG, NULL, NULL, NULL                                                                                \
    }

#endif
