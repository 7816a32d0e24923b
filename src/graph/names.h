/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from names to numbers, for reading and writing files in which values refer to one another by name. Keyed with a random
 * SipHash key, so that a file made to collide costs no more than another. Names are borrowed and outlive the map. Zeroed memory
 * is an empty map; its table belongs to the caller (release). Threads: one map, one thread.
 */
#ifndef ASSAY_GRAPH_NAMES_H
#define ASSAY_GRAPH_NAMES_H

#include <sodium/crypto_shorthash.h>
#include <stdbool.h>
#include <stddef.h>

struct assay_names {
    struct assay_names_entry *table; /* open addressing; NULL while empty */
    size_t room, n;
    unsigned char key[crypto_shorthash_KEYBYTES];
};

void assay_names_release(struct assay_names *names);
/* false if the name is there already: the map is unchanged. */
bool assay_names_add(struct assay_names *names, const char *name, int number);
/* false if the name is not there. number may be NULL. */
bool assay_names_find(const struct assay_names *names, const char *name, int *number);
/* All names, in no particular order, into list[names->n]. Returns how many. */
size_t assay_names_list(const struct assay_names *names, const char **list);

#endif
