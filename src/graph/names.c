/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h. */
#include "graph/names.h"
#include "base/arena.h"

#include <sodium/randombytes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct assay_names_entry {
    const char *name; /* NULL = free */
    int number;
};

void assay_names_release(struct assay_names *names)
{
    if (names) {
        free(names->table);
        memset(names, 0, sizeof *names);
    }
}

/* The entry of `name`, or the free one where it would go. The table is never full. */
static struct assay_names_entry *slot(const struct assay_names *names, const char *name)
{
    unsigned char digest[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(digest, (const unsigned char *)name, strlen(name), names->key);
    memcpy(&hash, digest, sizeof hash);
    size_t i = (size_t)hash & (names->room - 1);
    while (names->table[i].name && strcmp(names->table[i].name, name) != 0)
        i = (i + 1) & (names->room - 1);
    return &names->table[i];
}

static void grow(struct assay_names *names)
{
    struct assay_names larger = {.room = names->room ? 2 * names->room : 32};
    if (names->room)
        memcpy(larger.key, names->key, sizeof larger.key);
    else
        randombytes_buf(larger.key, sizeof larger.key);
    larger.table = assay_alloc(larger.room * sizeof *larger.table);
    memset(larger.table, 0, larger.room * sizeof *larger.table);
    for (size_t i = 0; i < names->room; i++)
        if (names->table[i].name)
            *slot(&larger, names->table[i].name) = names->table[i];
    larger.n = names->n;
    free(names->table);
    *names = larger;
}

bool assay_names_add(struct assay_names *names, const char *name, int number)
{
    if (2 * (names->n + 1) > names->room)
        grow(names);
    struct assay_names_entry *entry = slot(names, name);
    if (entry->name)
        return false;
    *entry = (struct assay_names_entry){name, number};
    names->n++;
    return true;
}

bool assay_names_find(const struct assay_names *names, const char *name, int *number)
{
    if (!names->table)
        return false;
    const struct assay_names_entry *entry = slot(names, name);
    if (!entry->name)
        return false;
    if (number)
        *number = entry->number;
    return true;
}

size_t assay_names_list(const struct assay_names *names, const char **list)
{
    size_t n = 0;
    for (size_t i = 0; i < names->room; i++)
        if (names->table[i].name)
            list[n++] = names->table[i].name;
    return n;
}
