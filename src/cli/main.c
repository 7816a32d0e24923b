/* SPDX-License-Identifier: Apache-2.0 */
/* The program: the table of verbs. */
#include "cli/cli.h"

#include "bench/child.h"
#include "bench/run.h"

#include <string.h>

/* In the order of `assay --help`. */
#define VERBS(X)                                                                                                                 \
    X(devices)                                                                                                                   \
    X(models)                                                                                                                    \
    X(check)                                                                                                                     \
    X(bench)                                                                                                                     \
    X(train)                                                                                                                     \
    X(query)                                                                                                                     \
    X(quant)                                                                                                                     \
    X(coverage)                                                                                                                  \
    X(compare)                                                                                                                   \
    X(lake)                                                                                                                      \
    X(import)                                                                                                                    \
    X(export)                                                                                                                    \
    X(completion)                                                                                                                \
    X(help)

#define X(verb) extern const struct assay_verb assay_verb_##verb;
VERBS(X)
#undef X

const struct assay_verb *const assay_verbs[] = {
#define X(verb) &assay_verb_##verb,
    VERBS(X)
#undef X
        NULL,
};

int main(int argc, char **argv)
{
    /* The child of a case: no command line of its own, see bench/child.h. */
    if (argc == 2 && strcmp(argv[1], ASSAY_CHILD_VERB) == 0)
        return assay_child_main();
    return assay_cli_main(argc, argv);
}
