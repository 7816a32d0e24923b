/* SPDX-License-Identifier: Apache-2.0 */
/* Packed weights (native.h): one set for a program, its specialisations and their segments. */
#include "runtime/native/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE = 1 << 21, SMALL = 1 << 18, BLOCK = 1 << 25 };

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

/* Reading weights once is bound by memory, and by the translation of addresses: all but small ones lie in huge pages, one behind
 * another, so that of a block only the pages that are used are ever made. */
static unsigned char *take(struct native_program *program, int64_t size_bytes, void **memory)
{
    *memory = NULL;
    int64_t bytes = (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    if (size_bytes < SMALL)
        return posix_memalign(memory, ALIGNMENT, (size_t)bytes) ? NULL : *memory;
    if (bytes > program->pack_left) {
        int64_t block = bytes < BLOCK ? BLOCK : (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        if (posix_memalign(memory, HUGE_PAGE, (size_t)block))
            return NULL;
        madvise(*memory, (size_t)block, MADV_HUGEPAGE); /* advice: nothing depends on it */
        program->pack_place = *memory;
        program->pack_left = block;
    }
    unsigned char *place = program->pack_place;
    program->pack_place += bytes;
    program->pack_left -= bytes;
    return place;
}

void *native_pack_add(struct native_build *build, int input, const char *key, int64_t size_bytes)
{
    struct native_program *program = native_whole(build->program);
    if (!is_of_program(build, input)) {
        unsigned char *bytes = assay_arena_alloc(build->arena, (size_t)size_bytes + ALIGNMENT);
        return bytes + (ALIGNMENT - (uintptr_t)bytes % ALIGNMENT) % ALIGNMENT;
    }
    void *memory, *bytes = take(program, size_bytes, &memory);
    if (!bytes)
        return NULL;
    if (program->n_packs == program->pack_room) {
        program->pack_room = program->pack_room ? 2 * program->pack_room : 64;
        program->packs = assay_realloc(program->packs, (size_t)program->pack_room * sizeof *program->packs);
    }
    program->packs[program->n_packs++] =
        (struct native_pack){build->node->inputs[input], assay_arena_strdup(&program->arena, key), bytes, size_bytes, memory};
    build->packed[input] = true;
    program->packed_bytes += size_bytes;
    if (program->root)
        program->root->bodies_packed_bytes += size_bytes;
    return bytes;
}

void native_pack_forget(struct native_program *program, int n_packs)
{
    while (program->n_packs > n_packs) {
        const struct native_pack *last = &program->packs[--program->n_packs];
        program->packed_bytes -= last->size_bytes;
        if (program->root)
            program->root->bodies_packed_bytes -= last->size_bytes;
        if (last->memory && last->size_bytes >= SMALL)
            program->pack_left = 0;
        free(last->memory);
    }
}
