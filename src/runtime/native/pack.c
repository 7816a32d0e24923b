/* SPDX-License-Identifier: Apache-2.0 */
/* Packed weights (native.h): one set for a program, its specialisations and their segments. */
#include "runtime/native/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 1 << 21 };

/* Whether the input is a constant of the program, not one that only this specialisation's dimensions made. */
static bool is_of_program(const struct native_build *build, int input)
{
    int value = build->node->inputs[input];
    const struct assay_graph *graph = native_whole(build->program)->graph;
    return value < graph->n_values && graph->values[value].constant.data == build->constants[input]->data;
}

const void *native_pack_find(struct native_build *build, int input, const char *key)
{
    const struct native_program *program = native_whole(build->program);
    int value = build->node->inputs[input];
    for (int i = 0; is_of_program(build, input) && i < program->n_packs; i++)
        if (program->packs[i].value == value && strcmp(program->packs[i].key, key) == 0) {
            build->packed[input] = true;
            return program->packs[i].bytes;
        }
    return NULL;
}

void *native_pack_add(struct native_build *build, int input, const char *key, int64_t size_bytes)
{
    struct native_program *program = native_whole(build->program);
    if (!is_of_program(build, input)) {
        unsigned char *bytes = assay_arena_alloc(build->arena, (size_t)size_bytes + ALIGNMENT);
        return bytes + (ALIGNMENT - (uintptr_t)bytes % ALIGNMENT) % ALIGNMENT;
    }
    /* Reading weights once is bound by memory, and by the translation of addresses. */
    bool is_large = size_bytes >= 4 * HUGE_PAGE;
    void *bytes = NULL;
    if (posix_memalign(&bytes, is_large ? HUGE_PAGE : ALIGNMENT, (size_t)size_bytes + ALIGNMENT))
        return NULL;
    if (is_large)
        madvise(bytes, (size_t)size_bytes, MADV_HUGEPAGE);
    if (program->n_packs == program->pack_room) {
        program->pack_room = program->pack_room ? 2 * program->pack_room : 64;
        program->packs = assay_realloc(program->packs, (size_t)program->pack_room * sizeof *program->packs);
    }
    program->packs[program->n_packs++] =
        (struct native_pack){build->node->inputs[input], assay_arena_strdup(&program->arena, key), bytes, size_bytes};
    build->packed[input] = true;
    program->packed_bytes += size_bytes;
    if (program->root)
        program->root->bodies_packed_bytes += size_bytes;
    return bytes;
}
