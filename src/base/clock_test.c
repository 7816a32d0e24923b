/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include "base/test.h"

#include <time.h>

ASSAY_TEST(moments_are_written_as_iso_8601)
{
    static const struct {
        int64_t us;
        const char *wanted; /* as GNU date writes them */
    } moments[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1795273445123456, "2026-11-21T15:04:05.123456Z"},
        {951827696000001, "2000-02-29T12:34:56.000001Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {-1000000, "1969-12-31T23:59:59.000000Z"},
    };
    char text[ASSAY_UTC_TEXT_SIZE];
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        assay_clock_utc_text(moments[i].us, text);
        CHECK_TEXT(text, moments[i].wanted);
    }
}

ASSAY_TEST(any_moment_fits_its_text)
{
    char text[ASSAY_UTC_TEXT_SIZE];
    assay_clock_utc_text(INT64_MAX, text);
    CHECK(strlen(text) > 0 && strlen(text) < sizeof text);
    assay_clock_utc_text(INT64_MIN, text);
    CHECK(strlen(text) > 0 && strlen(text) < sizeof text);
}

ASSAY_TEST(durations_have_three_digits)
{
    static const struct {
        double ns;
        const char *wanted;
    } durations[] = {
        {0, "0.00 ns"},      {1, "1.00 ns"},      {999, "999 ns"},      {1234, "1.23 us"},   {12345678, "12.3 ms"},
        {99.96e6, "100 ms"}, {1.5e9, "1.50 s"},   {90e9, "90.0 s"},     {150e9, "2.50 min"}, {7200e9, "2.00 h"},
        {360000e9, "100 h"}, {-1500, "-1.50 us"}, {999.6e3, "1.00 ms"}, {999999, "1.00 ms"}, {999.4e3, "999 us"},
    };
    char text[32];
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        assay_clock_duration_text(durations[i].ns, text, sizeof text);
        CHECK_TEXT(text, durations[i].wanted);
    }
}

ASSAY_TEST(clocks_go_forward_and_sleeps_end_in_time)
{
    int64_t start = assay_clock_ns(), cpu = assay_clock_cpu_ns();
    assay_clock_sleep_until(start - 1);
    assay_clock_sleep_until(start + 20000000);
    CHECK(assay_clock_ns() - start >= 20000000);
    CHECK(assay_clock_cpu_ns() >= cpu);
    CHECK(assay_clock_cpu_ns() - cpu < 20000000); /* asleep, not spinning */
    CHECK(llabs(assay_clock_utc_us() / 1000000 - (long long)time(NULL)) <= 1);
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(moments_are_written_as_iso_8601), ASSAY_TEST_ENTRY(any_moment_fits_its_text),
                ASSAY_TEST_ENTRY(durations_have_three_digits), ASSAY_TEST_ENTRY(clocks_go_forward_and_sleeps_end_in_time))
