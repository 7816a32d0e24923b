/* SPDX-License-Identifier: Apache-2.0 */
/* Inside device/ only: how a peak_ARCHITECTURE.c writes its kernels. A kernel repeats one instruction on so many independent
 * accumulators that its latency is hidden: 14 fill the 16 registers of AVX2 beside two operands, and are more than latency times
 * units of every x86 CPU; ARM cores with four units need 24. Each instruction is a volatile statement, so that a compiler can
 * neither merge nor drop it, whatever the optimisation. */
#ifndef ASSAY_DEVICE_PEAK_H
#define ASSAY_DEVICE_PEAK_H

#include "device/internal.h"

#define PEAK_EACH_7(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
#define PEAK_EACH_14(X) PEAK_EACH_7(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#define PEAK_EACH_24(X) PEAK_EACH_14(X) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)

#endif
