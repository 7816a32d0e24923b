/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The King James Bible as Debian's package bible-kjv-text has it: /usr/lib/bible.data, a file of the "text storage library" of
 * Chip Chapin's Bible Retrieval System (1989). After a head of 92 bytes (magic "EC02", then from byte 84, big endian, the size of
 * a window and their number) comes where each window begins and the last one ends; a window is a stream of Unix compress (LZW,
 * codes of 9 to 16 bits), the first one with compress's own head of three bytes before it.
 */
#ifndef ASSAY_DATA_DATASET_BIBLE_TEXT_H
#define ASSAY_DATA_DATASET_BIBLE_TEXT_H

#include "base/arena.h"

/* All windows, in the arena, with a NUL after them: a line that names the text, then one line a verse, "Ge1:1 In the beginning
 * …". */
enum assay_status assay_bible_text(const char *path, struct assay_arena *arena, char **text, size_t *size_bytes,
                                   struct assay_error *err);

#endif
