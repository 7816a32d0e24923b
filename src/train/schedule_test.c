/* SPDX-License-Identifier: Apache-2.0 */
/* Factors against those of PyTorch 1.13's schedulers, and the text against what it says. */
#include "train/schedule.h"

#include "base/test.h"

static struct assay_schedule parse(const char *text)
{
    struct assay_schedule schedule;
    struct assay_error err;
    CHECK_OK(assay_schedule_parse(text, &schedule, &err), err);
    return schedule;
}

static void check_factors(const char *text, int64_t n_steps, const double *wanted, int n)
{
    struct assay_schedule schedule = parse(text);
    /* PyTorch computes each rate from the one before, so rounding adds up over the steps. */
    for (int t = 0; t < n; t++)
        CHECK_NEAR(assay_schedule_factor(&schedule, t, n_steps), wanted[t], 1e-14);
}

/* CosineAnnealingLR(lr=1, T_max=8, eta_min=0.1) */
ASSAY_TEST(cosine_equals_pytorch)
{
    const double wanted[] = {1.0,  0.9657457896300791, 0.8681980515339464, 0.7222075445642905,
                             0.55, 0.3777924554357097, 0.2318019484660537, 0.134254210369921,
                             0.1};
    check_factors("cosine:min=0.1", 8, wanted, 9);
    check_factors("cosine:min=0.1:steps=8", 1000, wanted, 9);
}

/* LinearLR(lr=1, start_factor=1, end_factor=0.25, total_iters=8) */
ASSAY_TEST(linear_equals_pytorch)
{
    const double wanted[] = {1.0, 0.90625, 0.8125, 0.71875, 0.625, 0.53125, 0.4375, 0.34375, 0.25, 0.25};
    check_factors("linear:min=0.25", 8, wanted, 10);
}

/* SequentialLR of LinearLR(1/4, 1, 3) and CosineAnnealingLR(5) */
ASSAY_TEST(warm_up_and_decay_equal_pytorch)
{
    const double wanted[] = {
        0.25, 0.5, 0.75, 1.0, 0.9045084971874737, 0.6545084971874737, 0.3454915028125263, 0.09549150281252632};
    check_factors("cosine:warmup=3", 8, wanted, 8);
    check_factors("cosine:warmup=37.5%", 8, wanted, 8);
}

ASSAY_TEST(a_constant_schedule_warms_up_and_stays)
{
    struct assay_schedule schedule = parse("constant:warmup=4");
    CHECK_NEAR(assay_schedule_factor(&schedule, 0, 10), 0.2, 0);
    CHECK_NEAR(assay_schedule_factor(&schedule, 3, 10), 0.8, 0);
    CHECK_NEAR(assay_schedule_factor(&schedule, 4, 10), 1, 0);
    CHECK_NEAR(assay_schedule_factor(&schedule, 1000000, 10), 1, 0);
}

ASSAY_TEST(factors_stay_within_bounds_whatever_the_lengths_are)
{
    static const char *const texts[] = {"linear:warmup=100", "cosine:warmup=100%:min=0.5", "linear:warmup=0:min=1",
                                        "cosine:warmup=9007199254740992:steps=1"};
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++) {
        struct assay_schedule schedule = parse(texts[i]);
        for (int64_t n = 0; n < 300; n += 100)
            for (int64_t t = 0; t < 400; t++) {
                double factor = assay_schedule_factor(&schedule, t, n);
                CHECK(factor >= 0 && factor <= 1);
            }
    }
}

ASSAY_TEST(the_text_of_a_schedule_parses_to_the_same)
{
    static const char *const texts[] = {"constant",
                                        "constant:warmup=100",
                                        "linear",
                                        "linear:warmup=7%:steps=2000",
                                        "cosine:warmup=100:min=0.1",
                                        "cosine:warmup=9007199254740992:steps=3:min=1"};
    char text[ASSAY_SCHEDULE_TEXT_SIZE];
    for (size_t i = 0; i < ASSAY_COUNT(texts); i++) {
        struct assay_schedule schedule = parse(texts[i]);
        CHECK_TEXT(assay_schedule_text(&schedule, text), texts[i]);
    }
    struct assay_schedule odd = parse("cosine:min=0.12345678901234567:warmup=33.333333333333336%"), again;
    again = parse(assay_schedule_text(&odd, text));
    CHECK_NEAR(again.min, odd.min, 0);
    CHECK_NEAR(again.warmup_percent, odd.warmup_percent, 0);
}

ASSAY_TEST(what_is_not_understood_is_named)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "'' is no schedule"},
        {"step", "'step' is no schedule"},
        {"cosinus", "no schedule"},
        {"cosine:", "'' is not one of"},
        {"cosine:warmup", "'warmup' wants"},
        {"cosine:warmup=", "'warmup=' wants"},
        {"cosine:warmup=-1", "wants a number of steps or a share"},
        {"cosine:warmup=101%", "wants"},
        {"cosine:warmup=nan%", "wants"},
        {"cosine:warmup=99999999999999999999999", "wants"},
        {"cosine:min=1.5", "a factor from 0 to 1"},
        {"cosine:min=0x1", "a factor from 0 to 1"},
        {"cosine:min=0.1x:warmup=3", "'min=0.1x' wants"},
        {"linear:steps=0", "a number of steps above 0"},
        {"linear:end=3", "'end=3' is not one of"},
        {"constant:min=0.1", "a constant one has no 'min'"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(cases); i++) {
        struct assay_schedule schedule;
        struct assay_error err;
        CHECK(assay_schedule_parse(cases[i].text, &schedule, &err) == ASSAY_INVALID);
        CHECK_CONTAINS(err.message, cases[i].part);
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(cosine_equals_pytorch), ASSAY_TEST_ENTRY(linear_equals_pytorch),
                ASSAY_TEST_ENTRY(warm_up_and_decay_equal_pytorch), ASSAY_TEST_ENTRY(a_constant_schedule_warms_up_and_stays),
                ASSAY_TEST_ENTRY(factors_stay_within_bounds_whatever_the_lengths_are),
                ASSAY_TEST_ENTRY(the_text_of_a_schedule_parses_to_the_same), ASSAY_TEST_ENTRY(what_is_not_understood_is_named))
