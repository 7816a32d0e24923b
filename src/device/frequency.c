/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that a core really runs at; see device.h. */
#include "device/device.h"

#include "base/clock.h"

/* The empty statement makes the sum opaque after each addition, so that the chain stays a chain. The addend is in a register and
 * unknown to the compiler: some CPUs do additions of constants for nothing. */
static uint64_t chain(uint64_t n, uint64_t sum, uint64_t addend)
{
#define ADD                                                                                                                      \
    sum += addend;                                                                                                               \
    __asm__ volatile("" : "+r"(sum), "+r"(addend));
#define ADD_8 ADD ADD ADD ADD ADD ADD ADD ADD
    for (uint64_t i = 0; i < n; i++) {
        ADD_8 ADD_8 ADD_8 ADD_8 ADD_8 ADD_8 ADD_8 ADD_8
    }
    return sum;
#undef ADD_8
#undef ADD
}

double assay_device_frequency(void)
{
    enum { BURSTS = 8, LOOPS = 15000, ADDITIONS = 64 };
    double fastest = 0;
    uint64_t sum = 1;
    /* An interruption only makes a burst slower, so the fastest is the one without. */
    for (int burst = 0; burst < BURSTS; burst++) {
        int64_t start = assay_clock_ns();
        sum = chain(LOOPS, sum, sum | 1);
        int64_t took = assay_clock_ns() - start;
        double hz = took > 0 ? (double)LOOPS * ADDITIONS * 1e9 / (double)took : 0;
        fastest = hz > fastest ? hz : fastest;
    }
    return fastest;
}
