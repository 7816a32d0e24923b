/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of match.h. They are read as they are matched: terms are few and short, and most nodes fail at the first name.
 *
 * Where a term can be had in two ways (either order of the inputs, alternatives), the first that fits is kept: what fails later
 * does not come back to it.
 */
#include "graph/match.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool match_term(const struct assay_match *match, int value, const char *p, struct assay_found *found, bool first);

/* Where the term ends: at the comma or bracket behind it. */
static const char *skip_term(const char *p)
{
    for (int depth = 0; *p; p++) {
        if (depth == 0 && (*p == ',' || *p == '|' || *p == ')' || *p == ']'))
            break;
        depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
    }
    return p;
}

static void note_read(struct assay_found *found, int value, bool add)
{
    for (int i = 0; i < found->n_inside; i++)
        if (found->inside[i].value == value) {
            found->inside[i].n_reads++;
            return;
        }
    if (!add)
        return;
    ASSAY_ASSERT(found->n_inside < ASSAY_FOUND_INSIDE);
    found->inside[found->n_inside].value = value;
    found->inside[found->n_inside++].n_reads = 1;
}

static bool match_number(const struct assay_match *match, int value, const char *p)
{
    double found, wanted = strtod(p, NULL);
    if (!assay_match_scalar(match, value, &found))
        return false;
    enum assay_dtype dtype = match->graph->values[value].constant.type.dtype;
    double tolerance = dtype == ASSAY_BF16 ? 4e-3 : dtype == ASSAY_F16 ? 5e-4 : 1e-6;
    return fabs(found - wanted) <= tolerance * fabs(wanted);
}

static bool match_letter(const struct assay_match *match, int value, const char *p, struct assay_found *found)
{
    int *bound = &found->values[*p - 'a'];
    if (*bound >= 0 && *bound != value)
        return false;
    if (p[1] == ':' && !match_term(match, value, p + 2, found, false))
        return false;
    if (p[1] != ':')
        note_read(found, value, false);
    *bound = value;
    return true;
}

static bool is_made_by(const struct assay_match *match, int value, const char *p)
{
    char type[48];
    size_t n = strcspn(p, "(");
    ASSAY_ASSERT(n < sizeof type && p[n] == '(');
    memcpy(type, p, n);
    type[n] = '\0';
    return assay_match_maker(match, value, type) >= 0;
}

static bool is_letter(const char *p) { return islower((unsigned char)*p) && !isalpha((unsigned char)p[1]); }

/* Whether the term may fit, by its first word alone: most don't, and are told so before anything is kept to be restored. */
static bool may_match(const struct assay_match *match, int value, const char *p)
{
    if (value < 0)
        return false;
    if (*p == '[') {
        do {
            if (may_match(match, value, ++p))
                return true;
            p = skip_term(p);
        } while (*p == '|');
        return false;
    }
    if (is_letter(p))
        return p[1] != ':' || may_match(match, value, p + 2);
    if (*p == '$' || *p == '-' || isdigit((unsigned char)*p))
        return assay_match_constant(match, value) != NULL;
    return is_made_by(match, value, p);
}

static bool match_choice(const struct assay_match *match, int value, const char *p, struct assay_found *found, bool first)
{
    struct assay_found before = *found;
    do {
        p++;
        if (may_match(match, value, p)) {
            if (match_term(match, value, p, found, first))
                return true;
            *found = before;
        }
        p = skip_term(p);
    } while (*p == '|');
    return false;
}

/* p: behind the opening bracket. Inputs that cannot fit are found before any is looked into. */
static bool may_match_inputs(const struct assay_match *match, const struct assay_node *node, bool swapped, const char *p)
{
    for (int k = 0; *p != ')' && strncmp(p, "...", 3) != 0; k++) {
        if (k >= node->n_inputs || !may_match(match, node->inputs[swapped ? 1 - k : k], p))
            return false;
        p = skip_term(p);
        p += *p == ',' ? 2 : 0;
    }
    return true;
}

static bool match_inputs(const struct assay_match *match, const struct assay_node *node, bool swapped, const char *p,
                         struct assay_found *found)
{
    for (int k = 0; *p != ')'; k++) {
        if (strncmp(p, "...", 3) == 0)
            return true;
        if (k >= node->n_inputs || node->inputs[k] < 0 || !match_term(match, node->inputs[swapped ? 1 - k : k], p, found, false))
            return false;
        p = skip_term(p);
        if (*p == ',')
            p += 2;
        else if (k + 1 < node->n_inputs)
            return false;
    }
    return true;
}

static bool match_node(const struct assay_match *match, int value, const char *p, struct assay_found *found, bool first)
{
    if (!is_made_by(match, value, p))
        return false;
    const struct assay_node *node = match->graph->nodes[match->graph->values[value].producer];
    const char *inputs = strchr(p, '(') + 1;
    bool commutes = node->n_inputs == 2 && (strcmp(node->type, "Add") == 0 || strcmp(node->type, "Mul") == 0);
    bool in_order = may_match_inputs(match, node, false, inputs);
    bool swapped = commutes && may_match_inputs(match, node, true, inputs);
    if (!in_order && !swapped)
        return false;
    if (!first)
        note_read(found, value, true);
    if (!swapped)
        return match_inputs(match, node, false, inputs, found);
    struct assay_found before = *found;
    if (in_order && match_inputs(match, node, false, inputs, found))
        return true;
    *found = before;
    return match_inputs(match, node, true, inputs, found);
}

/* On failure what was bound by the way may stay; whoever tries another way restores it. */
static bool match_term(const struct assay_match *match, int value, const char *p, struct assay_found *found, bool first)
{
    if (value < 0)
        return false;
    if (*p == '[')
        return match_choice(match, value, p, found, first);
    if (*p == '$')
        return assay_match_scalar(match, value, &found->numbers[p[1] - 'a']);
    if (isdigit((unsigned char)*p) || *p == '-')
        return match_number(match, value, p);
    if (is_letter(p))
        return match_letter(match, value, p, found);
    return match_node(match, value, p, found, first);
}

static bool is_read_within(const struct assay_match *match, const struct assay_found *found)
{
    for (int i = 0; i < found->n_inside; i++)
        if (match->n_uses[found->inside[i].value] != found->inside[i].n_reads)
            return false;
    return true;
}

bool assay_match_pattern(const struct assay_match *match, int value, const char *pattern, struct assay_found *found)
{
    if (!may_match(match, value, pattern))
        return false;
    memset(found, 0, sizeof *found);
    for (size_t i = 0; i < ASSAY_COUNT(found->values); i++)
        found->values[i] = -1;
    return match_term(match, value, pattern, found, true) && is_read_within(match, found);
}

bool assay_match_further(const struct assay_match *match, char letter, const char *pattern, struct assay_found *found)
{
    return match_term(match, assay_found_value(found, letter), pattern, found, false) && is_read_within(match, found);
}

const struct assay_node *assay_found_node(const struct assay_match *match, const struct assay_found *found, char letter)
{
    int value = assay_found_value(found, letter), maker = value >= 0 ? match->graph->values[value].producer : -1;
    return maker >= 0 ? match->graph->nodes[maker] : NULL;
}
