/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/test.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

ASSAY_TEST(memory_is_zeroed_aligned_and_stays)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum { N = 2000 };
    unsigned char *pieces[N];
    size_t sizes[N];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            sizes[i] = (size_t)(i * 37 % 3000);
            pieces[i] = assay_arena_alloc(&arena, sizes[i]);
            CHECK((uintptr_t)pieces[i] % 16 == 0);
            for (size_t k = 0; k < sizes[i]; k++)
                CHECK(pieces[i][k] == 0);
            memset(pieces[i], i & 255, sizes[i]);
        }
        for (int i = 0; i < N; i++) {
            for (size_t k = 0; k < sizes[i]; k++)
                CHECK(pieces[i][k] == (i & 255));
        }
        assay_arena_clear(&arena);
    }
    unsigned char *large = assay_arena_alloc(&arena, 5 << 20);
    CHECK(large[0] == 0 && large[(5 << 20) - 1] == 0);
    assay_arena_release(&arena);
    assay_arena_release(NULL);
}

ASSAY_TEST(texts_and_arrays_are_copied)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    CHECK_TEXT(assay_arena_strdup(&arena, "text"), "text");
    CHECK_TEXT(assay_arena_strndup(&arena, "text", 2), "te");
    CHECK_TEXT(assay_arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    CHECK_TEXT(assay_arena_printf(&arena, "%s", ""), "");
    CHECK(memcmp(assay_arena_memdup(&arena, "a\0b", 3), "a\0b", 3) == 0);
    CHECK(assay_arena_memdup(&arena, NULL, 0) != NULL);
    int *numbers = assay_arena_array(&arena, 3, sizeof *numbers);
    numbers[2] = 5;
    int *more = assay_arena_grow(&arena, numbers, 3, 100, sizeof *more);
    CHECK(more[2] == 5 && more[99] == 0 && numbers[2] == 5);
    CHECK(assay_arena_grow(&arena, NULL, 0, 1, 8) != NULL);
    assay_arena_release(&arena);
}

static void array_that_overflows(void)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    assay_arena_array(&arena, SIZE_MAX / 4, 8);
}

static void more_than_there_is(void)
{
    struct assay_arena arena;
    assay_arena_init(&arena);
    assay_arena_alloc(&arena, SIZE_MAX - 5);
}

ASSAY_TEST(a_size_that_cannot_be_stops_the_program)
{
    void (*const calls[])(void) = {array_that_overflows, more_than_there_is};
    for (size_t i = 0; i < ASSAY_COUNT(calls); i++) {
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            (void)!freopen("/dev/null", "w", stderr);
            calls[i]();
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(memory_is_zeroed_aligned_and_stays), ASSAY_TEST_ENTRY(texts_and_arrays_are_copied),
                ASSAY_TEST_ENTRY(a_size_that_cannot_be_stops_the_program))
