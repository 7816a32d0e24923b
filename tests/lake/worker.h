/* SPDX-License-Identifier: Apache-2.0 */
/* What lake_worker and its test must agree on. */
#ifndef ASSAY_TESTS_LAKE_WORKER_H
#define ASSAY_TESTS_LAKE_WORKER_H

enum { ROWS = 5 }; /* rows in each file that a writer commits */

#endif
