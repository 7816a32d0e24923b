/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TensorBoard event files: scalars and histograms over steps, as TensorFlow's summary writer writes them.
 *
 * A file is a row of TFRecords (length, masked CRC-32C of it, bytes, masked CRC-32C of them), each one an Event message of
 * TensorFlow's event.proto; the first says "brain.Event:2". Each event is one write, so what was written is there after a kill,
 * and an event that a full disk cut is taken back. A run that is resumed opens a further file in the same folder, whose
 * SessionLog START tells TensorBoard to leave out what earlier files say of that step and later ones. The first file has one
 * too, since there are versions of TensorBoard that take the first they see for the beginning.
 *
 * Ownership: open makes the writer, close releases it. Threads: one at a time.
 */
#ifndef ASSAY_TRAIN_TENSORBOARD_H
#define ASSAY_TRAIN_TENSORBOARD_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct assay_tensorboard;

/* Makes the folder if it is missing and a new file in it, "events.out.tfevents.SECONDS.HOST.PID.NUMBER". first_step: the first
 * step that a resumed run tells of; 0 for one that begins. */
enum assay_status assay_tensorboard_open(const char *folder, int64_t first_step, struct assay_tensorboard **writer,
                                         struct assay_error *err);
/* Syncs and closes; NULL is fine. The writer is gone whatever the outcome. */
enum assay_status assay_tensorboard_close(struct assay_tensorboard *writer, struct assay_error *err);
/* Borrowed until close. */
const char *assay_tensorboard_path(const struct assay_tensorboard *writer);

/* tag: "loss/train"; what stands before the '/' groups the charts. ASSAY_INVALID: it is empty, long or no UTF-8. */
enum assay_status assay_tensorboard_scalar(struct assay_tensorboard *writer, const char *tag, int64_t step, double value,
                                           struct assay_error *err);
/* The distribution of n values over TensorFlow's buckets, which grow by 10 % from 1e-12. Values that are not finite, for which
 * the format has no place, are left out. */
enum assay_status assay_tensorboard_histogram(struct assay_tensorboard *writer, const char *tag, int64_t step,
                                              const float *values, size_t n, struct assay_error *err);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). */
uint32_t assay_tensorboard_crc(const void *data, size_t size_bytes);

#endif
