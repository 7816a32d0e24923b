/* SPDX-License-Identifier: Apache-2.0 */
/* assay completion: scripts with which bash and zsh complete verbs, options and words, made from the tables of verbs. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct assay_cli_option options[] = {ASSAY_OPTION_END};

/* Whether the value is the path of a file or folder. */
static bool takes_path(const struct assay_cli_option *o)
{
    return o->value && (strcmp(o->value, "FILE") == 0 || strcmp(o->value, "DIR") == 0);
}

static void print_words(const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        printf("%s%s", i ? " " : "", words[i]);
}

/* ---- bash */

static void bash_values(const struct assay_cli_option *table)
{
    for (const struct assay_cli_option *o = table; o->name; o++) {
        if (o->kind == ASSAY_OPTION_FLAG)
            continue;
        printf("            --%s) ", o->name);
        if (o->choices) {
            printf("words='");
            print_words(o->choices);
            printf("' ;;\n");
        } else {
            printf(takes_path(o) ? "files=1 ;;\n" : "return ;;\n");
        }
    }
}

static void bash_verb(const struct assay_verb *verb)
{
    printf("    %s)\n        case $previous in\n", verb->name);
    bash_values(verb->options);
    bash_values(assay_common_options);
    printf("            *) options='");
    for (const struct assay_cli_option *o = verb->options; o->name; o++)
        printf("--%s ", o->name);
    for (const struct assay_cli_option *o = assay_common_options; o->name; o++)
        printf("--%s ", o->name);
    printf("'\n               ");
    if (verb->words) {
        printf("[ \"$COMP_CWORD\" -eq 2 ] && words='");
        print_words(verb->words);
        printf("' || files=1 ;;\n");
    } else {
        printf("files=1 ;;\n");
    }
    printf("        esac ;;\n");
}

static void print_bash(void)
{
    printf("# bash completion of assay: eval \"$(assay completion bash)\"\n"
           "_assay() {\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words= options= files=\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W '");
    for (size_t i = 0; assay_verbs[i]; i++)
        if (!assay_verbs[i]->hidden)
            printf("%s ", assay_verbs[i]->name);
    printf("--help --version' -- \"$current\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; assay_verbs[i]; i++)
        if (!assay_verbs[i]->hidden)
            bash_verb(assay_verbs[i]);
    printf("    esac\n"
           "    case $current in\n"
           "        -*) words=$options files= ;;\n"
           "        *,*) local head=${current%%,*}, # a list: its last item is completed\n"
           "            COMPREPLY=($(compgen -P \"$head\" -W \"$words\" -- \"${current##*,}\")); return ;;\n"
           "    esac\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
           "    if [ -n \"$files\" ]; then\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        local file\n"
           "        while IFS= read -r file; do COMPREPLY+=(\"$file\"); done < <(compgen -f -- \"$current\")\n"
           "    fi\n"
           "}\n"
           "complete -F _assay assay\n");
}

/* ---- zsh */

/* Text inside the brackets of an _arguments specification, inside single quotes. */
static void zsh_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_action(const char *const *words, bool path)
{
    if (words) {
        putchar('(');
        print_words(words);
        putchar(')');
    } else if (path) {
        printf("_files");
    } else {
        putchar(' ');
    }
}

static void zsh_options(const struct assay_cli_option *table)
{
    for (const struct assay_cli_option *o = table; o->name; o++) {
        bool many = o->kind == ASSAY_OPTION_TEXTS || o->kind == ASSAY_OPTION_INTS || o->kind == ASSAY_OPTION_ENTRIES;
        printf("            '%s--%s[", many ? "*" : "", o->name);
        zsh_text(o->help);
        putchar(']');
        if (o->kind == ASSAY_OPTION_TEXTS && o->choices) {
            /* Lists: the items, separated by commas. */
            printf(":%s:_sequence compadd - ", o->value);
            print_words(o->choices);
        } else if (o->kind != ASSAY_OPTION_FLAG) {
            printf(":%s:", o->value);
            zsh_action(o->choices, takes_path(o));
        }
        printf("' \\\n");
    }
}

static void print_zsh(void)
{
    printf("#compdef assay\n"
           "# zsh completion of assay: eval \"$(assay completion zsh)\", after compinit\n"
           "_assay() {\n"
           "    if (( CURRENT == 2 )); then\n"
           "        local -a verbs=(\n");
    for (size_t i = 0; assay_verbs[i]; i++) {
        if (assay_verbs[i]->hidden)
            continue;
        printf("            '%s:", assay_verbs[i]->name);
        zsh_text(assay_verbs[i]->summary);
        printf("'\n");
    }
    printf("        )\n"
           "        _describe verb verbs\n"
           "        return\n"
           "    fi\n"
           "    shift words\n"
           "    (( CURRENT-- ))\n"
           "    case $words[1] in\n");
    for (size_t i = 0; assay_verbs[i]; i++) {
        const struct assay_verb *verb = assay_verbs[i];
        if (verb->hidden)
            continue;
        printf("        %s) _arguments \\\n", verb->name);
        zsh_options(verb->options);
        zsh_options(assay_common_options);
        if (verb->words) {
            printf("            '1:argument:");
            zsh_action(verb->words, true);
            printf("' \\\n");
        }
        printf("            '*:argument:_files' ;;\n");
    }
    printf("    esac\n"
           "}\n"
           "if [[ $funcstack[1] = _assay ]]; then _assay \"$@\"; else compdef _assay assay; fi\n");
}

static int run(struct assay_cli *cli)
{
    const char *shell = cli->arguments[0];
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else
        return assay_cli_usage(cli, "there is completion for bash and zsh, not for '%s'", shell);
    return ASSAY_EXIT_OK;
}

static const char *const words[] = {"bash", "zsh", NULL};

const struct assay_verb assay_verb_completion = {
    .name = "completion",
    .summary = "print a script that completes assay's words in bash or zsh",
    .usage = "bash|zsh",
    .description = "Prints a script with which the shell completes verbs, options, and the words that options take.",
    .examples = "  eval \"$(assay completion bash)\"        # in ~/.bashrc\n"
                "  eval \"$(assay completion zsh)\"         # in ~/.zshrc, after compinit\n",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .words = words,
    .run = run,
};
