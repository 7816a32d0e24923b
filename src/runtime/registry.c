/* SPDX-License-Identifier: Apache-2.0 */
/* See registry.h. */
#include "runtime/registry.h"

#include <string.h>

#define ASSAY_RUNTIME(name) extern const struct assay_runtime assay_runtime_##name;
#include "runtime/runtime_table.def"
#undef ASSAY_RUNTIME

static const struct assay_runtime *const runtimes[] = {
#define ASSAY_RUNTIME(name) &assay_runtime_##name,
#include "runtime/runtime_table.def"
#undef ASSAY_RUNTIME
    NULL,
};

const struct assay_runtime *assay_runtime_at(int i) { return i >= 0 && (size_t)i < ASSAY_COUNT(runtimes) ? runtimes[i] : NULL; }

const struct assay_runtime *assay_runtime_find(const char *name)
{
    for (int i = 0; runtimes[i]; i++)
        if (strcmp(runtimes[i]->name, name) == 0)
            return runtimes[i];
    return NULL;
}

void assay_platform_add(struct assay_platform_list *list, const struct assay_platform *platform)
{
    if ((list->n & (list->n - 1)) == 0) /* full at each power of two */
        list->items =
            assay_arena_grow(list->arena, list->items, (size_t)list->n, list->n ? 2 * (size_t)list->n : 1, sizeof *platform);
    list->items[list->n++] = *platform;
}

void assay_platforms_list(struct assay_arena *arena, struct assay_platform_list *list)
{
    *list = (struct assay_platform_list){.arena = arena};
    for (int i = 0; runtimes[i]; i++)
        runtimes[i]->list(list);
}

/* All names but those of the test runtimes, for the sentence of an unknown one. */
static const char *platform_names(struct assay_arena *arena)
{
    struct assay_platform_list list = {.arena = arena, .only = ""}; /* nothing need be probed for its name */
    for (int i = 0; runtimes[i]; i++)
        runtimes[i]->list(&list);
    const char *names = "";
    for (int i = 0; i < list.n; i++)
        if (!list.items[i].is_test)
            names = assay_arena_printf(arena, "%s%s%s", names, *names ? ", " : "", list.items[i].name);
    return names;
}

enum assay_status assay_platform_find(struct assay_arena *arena, const char *name, struct assay_platform *platform,
                                      const struct assay_runtime **runtime, struct assay_error *err)
{
    for (int i = 0; runtimes[i]; i++) {
        struct assay_platform_list list = {.arena = arena, .only = name};
        /* A platform's name begins its runtime's name after the slash: only that runtime need be asked (and its library loaded).
         */
        const char *slash = strchr(name, '/');
        if (!slash || strncmp(slash + 1, runtimes[i]->name, strlen(runtimes[i]->name)) != 0)
            continue;
        runtimes[i]->list(&list);
        for (int k = 0; k < list.n; k++) {
            if (strcmp(list.items[k].name, name) != 0)
                continue;
            if (!list.items[k].available)
                return assay_error_set(err, ASSAY_ABSENT, "platform %s is absent: %s", name, list.items[k].reason);
            *platform = list.items[k];
            *runtime = runtimes[i];
            return ASSAY_OK;
        }
    }
    return assay_error_set(err, ASSAY_INVALID, "there is no platform '%s'; there are: %s", name, platform_names(arena));
}
