/* SPDX-License-Identifier: Apache-2.0 */
/* --help and the manual (docs/cli.md), from the tables of verbs and options. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

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
           "Results go to stdout, all else to stderr. Exit codes: 0 fine, 1 ran and failed, 2 usage.\n");
}

/* Prints `text` in lines of at most `width` columns, all but the first indented. */
static void print_wrapped(const char *text, int indent, int width)
{
    int column = indent;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + (int)word > width) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += (int)word;
        text += word;
        text += *text == ' ';
    }
    putchar('\n');
}

void assay_cli_help(const struct assay_verb *verb)
{
    enum { INDENT = 26, WIDTH = 110 };
    struct assay_arena arena;
    if (!verb) {
        help_all();
        return;
    }
    assay_arena_init(&arena);
    printf("Usage: assay %s %s\n\n%s\n", verb->name, verb->usage, verb->description);
    if (verb->options[0].name)
        printf("\nOptions:\n");
    for (const struct assay_cli_option *o = verb->options; o->name; o++) {
        const char *text = option_text(&arena, o);
        printf("  %-*s", INDENT - 2, text);
        if (strlen(text) >= INDENT - 2)
            printf("\n%*s", INDENT, "");
        print_wrapped(o->help, INDENT, WIDTH);
    }
    if (verb->examples)
        printf("\nExamples:\n%s", verb->examples);
    assay_arena_release(&arena);
}

void assay_cli_manual(void)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    printf("# Command line\n\nMade from the program's own tables by `assay help --markdown`.\n\n%s\n"
           "Results go to stdout, all else to stderr. Exit codes: 0 fine, 1 ran and failed (or regressed), 2 usage.\n",
           about);
    for (size_t i = 0; assay_verbs[i]; i++) {
        const struct assay_verb *verb = assay_verbs[i];
        if (verb->hidden)
            continue;
        printf("\n## assay %s\n\n    assay %s %s\n\n%s\n", verb->name, verb->name, verb->usage, verb->description);
        if (verb->options[0].name)
            printf("\n| option | what it does |\n| --- | --- |\n");
        for (const struct assay_cli_option *o = verb->options; o->name; o++) {
            printf("| `%s` | ", option_text(&arena, o));
            for (const char *p = o->help; *p; p++)
                printf(*p == '|' ? "\\%c" : "%c", *p);
            printf(" |\n");
        }
        if (verb->examples) {
            printf("\n```sh\n");
            for (const char *line = verb->examples; *line;) {
                size_t n = strcspn(line, "\n");
                size_t spaces = strspn(line, " ");
                printf("%.*s\n", (int)(n - (spaces < n ? spaces : n)), line + spaces);
                line += n + (line[n] == '\n');
            }
            printf("```\n");
        }
    }
    assay_arena_release(&arena);
}
