/* SPDX-License-Identifier: Apache-2.0 */
/* --help and the manual (docs/cli.md), from the tables of verbs and options. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 110 };

static const char about[] = "Assay measures machine-learning models on hardware, keeps every result, and compares them.";

/* "--batch LIST" */
static const char *option_text(struct assay_arena *arena, const struct assay_cli_option *o)
{
    return o->kind == ASSAY_OPTION_FLAG ? assay_arena_printf(arena, "--%s", o->name)
                                        : assay_arena_printf(arena, "--%s %s", o->name, o->value);
}

static void help_all(void)
{
    printf("%s\n\nUsage: assay VERB [ARGUMENTS] [--option VALUE]\n\n", about);
    for (size_t i = 0; assay_verbs[i]; i++)
        if (!assay_verbs[i]->hidden)
            printf("  %-12s %s\n", assay_verbs[i]->name, assay_verbs[i]->summary);
    printf("\n`assay VERB --help` tells more, with examples. `assay --version` prints the version.\n"
           "Results go to stdout, all else to stderr. Exit codes: 0 fine, 1 ran and failed, or a file is missing\n"
           "or damaged, 2 usage.\n");
}

/* Prints `text` in lines of at most `width` columns, all but the first indented. A line break counts as a space, two begin a
 * paragraph. */
static void print_wrapped(const char *text, int indent, int width)
{
    int column = indent;
    while (*text) {
        int word = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + word > width) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word;
        if (strncmp(text, "\n\n", 2) == 0) {
            printf("\n\n%*s", indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    putchar('\n');
}

static void print_options(struct assay_arena *arena, const struct assay_cli_option *options)
{
    enum { INDENT = 26 };
    for (const struct assay_cli_option *o = options; o->name; o++) {
        const char *text = option_text(arena, o);
        printf("  %-*s", INDENT - 2, text);
        if (strlen(text) >= INDENT - 2)
            printf("\n%*s", INDENT, "");
        print_wrapped(o->help, INDENT, WIDTH);
    }
}

void assay_cli_help(const struct assay_verb *verb)
{
    struct assay_arena arena;
    if (!verb) {
        help_all();
        return;
    }
    assay_arena_init(&arena);
    printf("Usage: assay %s %s\n\n", verb->name, verb->usage);
    print_wrapped(verb->description, 0, WIDTH);
    printf("\nOptions:\n");
    print_options(&arena, verb->options);
    print_options(&arena, assay_common_options);
    if (verb->examples)
        printf("\nExamples:\n%s", verb->examples);
    assay_arena_release(&arena);
}

/* ---- the manual */

static void print_option_rows(struct assay_arena *arena, const struct assay_cli_option *options)
{
    printf("| option | what it does |\n| --- | --- |\n");
    for (const struct assay_cli_option *o = options; o->name; o++) {
        printf("| `%s` | ", option_text(arena, o));
        for (const char *p = o->help; *p; p++)
            printf(*p == '|' ? "\\%c" : "%c", *p);
        printf(" |\n");
    }
}

/* Lines without the spaces that they begin with. */
static void print_flush_left(const char *lines)
{
    while (*lines) {
        lines += strspn(lines, " ");
        size_t n = strcspn(lines, "\n");
        printf("%.*s\n", (int)n, lines);
        lines += n + (lines[n] == '\n');
    }
}

void assay_cli_manual(void)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    printf(
        "# Command line\n\nMade from the program's own tables by `assay help --markdown`; `tools/docs.sh` writes it anew.\n\n%s\n"
        "Results go to stdout, all else to stderr. Exit codes: 0 fine, 1 ran and failed (or regressed), or a file is missing or "
        "damaged, 2 usage: "
        "the command line, a suite or a statement is wrong.\n\n"
        "Every verb has these options too:\n\n",
        about);
    print_option_rows(&arena, assay_common_options);
    for (size_t i = 0; assay_verbs[i]; i++) {
        const struct assay_verb *verb = assay_verbs[i];
        if (verb->hidden)
            continue;
        printf("\n## assay %s\n\n    assay %s %s\n\n%s\n", verb->name, verb->name, verb->usage, verb->description);
        if (verb->options[0].name) {
            putchar('\n');
            print_option_rows(&arena, verb->options);
        }
        if (verb->examples) {
            printf("\n```sh\n");
            print_flush_left(verb->examples);
            printf("```\n");
        }
    }
    assay_arena_release(&arena);
}
