/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of every x_test.c: named statements, each a function; one program a test file.
 *
 *     ASSAY_TEST(a_truncated_file_is_reported_with_its_offset)
 *     {
 *         CHECK(status == ASSAY_INVALID);
 *         CHECK_NEAR(got, wanted, 1e-6);
 *     }
 *     ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(a_truncated_file_is_reported_with_its_offset), …)
 *
 * A failed CHECK prints file, line and values, and ends that test only. SKIP("reason") ends the test as skipped; the
 * program exits 77 (which ctest shows as skipped) only if every test skipped, 1 if one failed or none ran.
 * An argument runs the tests whose name contains it.
 */
#ifndef ASSAY_BASE_TEST_H
#define ASSAY_BASE_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct assay_test {
    const char *name;
    void (*function)(void);
};

static jmp_buf assay_test_exit;
enum { ASSAY_TEST_FAILED = 1, ASSAY_TEST_SKIPPED = 2 };

#define ASSAY_TEST(test_name) static void test_name(void)

#define CHECK(condition)                                                                                                         \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                              \
            longjmp(assay_test_exit, ASSAY_TEST_FAILED);                                                                         \
        }                                                                                                                        \
    } while (0)

/* For a call that must succeed: prints the error's sentence if it did not. */
#define CHECK_OK(call, err)                                                                                                      \
    do {                                                                                                                         \
        if ((call) != 0) {                                                                                                       \
            fprintf(stderr, "%s:%d: failed: %s: %s\n", __FILE__, __LINE__, #call, (err).message);                                \
            longjmp(assay_test_exit, ASSAY_TEST_FAILED);                                                                         \
        }                                                                                                                        \
    } while (0)

#define CHECK_INT(got, wanted)                                                                                                   \
    do {                                                                                                                         \
        long long got_ = (long long)(got), wanted_ = (long long)(wanted);                                                        \
        if (got_ != wanted_) {                                                                                                   \
            fprintf(stderr, "%s:%d: %s is %lld, wanted %lld\n", __FILE__, __LINE__, #got, got_, wanted_);                        \
            longjmp(assay_test_exit, ASSAY_TEST_FAILED);                                                                         \
        }                                                                                                                        \
    } while (0)

/* |got - wanted| <= tolerance; a NaN on either side fails. */
#define CHECK_NEAR(got, wanted, tolerance)                                                                                       \
    do {                                                                                                                         \
        double got_ = (got), wanted_ = (wanted), tolerance_ = (tolerance);                                                       \
        if (!(fabs(got_ - wanted_) <= tolerance_)) {                                                                             \
            fprintf(stderr, "%s:%d: %s is %.17g, wanted %.17g within %g\n", __FILE__, __LINE__, #got, got_, wanted_,             \
                    tolerance_);                                                                                                 \
            longjmp(assay_test_exit, ASSAY_TEST_FAILED);                                                                         \
        }                                                                                                                        \
    } while (0)

#define CHECK_TEXT(got, wanted)                                                                                                  \
    do {                                                                                                                         \
        const char *got_ = (got), *wanted_ = (wanted);                                                                           \
        if (!got_ || strcmp(got_, wanted_) != 0) {                                                                               \
            fprintf(stderr, "%s:%d: %s is \"%s\", wanted \"%s\"\n", __FILE__, __LINE__, #got, got_ ? got_ : "(null)", wanted_);  \
            longjmp(assay_test_exit, ASSAY_TEST_FAILED);                                                                         \
        }                                                                                                                        \
    } while (0)

#define CHECK_CONTAINS(text, part)                                                                                               \
    do {                                                                                                                         \
        const char *text_ = (text), *part_ = (part);                                                                             \
        if (!text_ || !strstr(text_, part_)) {                                                                                   \
            fprintf(stderr, "%s:%d: \"%s\" does not contain \"%s\"\n", __FILE__, __LINE__, text_ ? text_ : "(null)", part_);     \
            longjmp(assay_test_exit, ASSAY_TEST_FAILED);                                                                         \
        }                                                                                                                        \
    } while (0)

#define SKIP(...)                                                                                                                \
    do {                                                                                                                         \
        printf("  skipped: ");                                                                                                   \
        printf(__VA_ARGS__);                                                                                                     \
        putchar('\n');                                                                                                           \
        longjmp(assay_test_exit, ASSAY_TEST_SKIPPED);                                                                            \
    } while (0)

/* 0 = passed, ASSAY_TEST_FAILED or ASSAY_TEST_SKIPPED. A function of its own, so that nothing lives across the jump. */
static int assay_test_run(void (*function)(void))
{
    int outcome = setjmp(assay_test_exit);
    if (outcome == 0)
        function();
    return outcome;
}

static inline int assay_test_main(const struct assay_test *tests, size_t n_tests, int argc, char **argv)
{
    static const char *const words[] = {"passed", "FAILED", "SKIPPED"};
    int counts[3] = {0};
    for (size_t i = 0; i < n_tests; i++) {
        if (argc > 1 && !strstr(tests[i].name, argv[1]))
            continue;
        int outcome = assay_test_run(tests[i].function);
        counts[outcome]++;
        if (outcome)
            printf("%s %s\n", words[outcome], tests[i].name);
        fflush(stdout);
    }
    printf("%d passed, %d failed, %d skipped\n", counts[0], counts[1], counts[2]);
    if (counts[1] || counts[0] + counts[2] == 0)
        return 1;
    return counts[0] ? 0 : 77;
}

#define ASSAY_TEST_ENTRY(test_name)                                                                                              \
    {                                                                                                                            \
#test_name, test_name                                                                                                    \
    }
#define ASSAY_TEST_MAIN(...)                                                                                                     \
    int main(int argc, char **argv)                                                                                              \
    {                                                                                                                            \
        static const struct assay_test tests[] = {__VA_ARGS__};                                                                  \
        return assay_test_main(tests, sizeof tests / sizeof *tests, argc, argv);                                                 \
    }

#endif
