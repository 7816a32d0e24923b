/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices turned over. Elements of 4 bytes go in squares of 8 × 8 through registers, the others in squares that stay in cache.
 */
#include "runtime/native/simd/simd_inside.h"

enum { SIDE = 8, TILE = 16 };
typedef uint32_t row8 __attribute__((vector_size(32)));

/* Three rounds of exchange: of neighbours, of pairs, of halves. */
static inline void turn_square(uint32_t *y, const uint32_t *x, int64_t y_stride, int64_t x_stride)
{
    row8 a[SIDE], b[SIDE];
    for (int i = 0; i < SIDE; i++)
        memcpy(&a[i], x + i * x_stride, sizeof a[i]);
    for (int i = 0; i < SIDE; i += 2) {
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < SIDE; i += 4)
        for (int k = 0; k < 2; k++) {
            a[i + k] = __builtin_shufflevector(b[i + k], b[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            a[i + k + 2] = __builtin_shufflevector(b[i + k], b[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int k = 0; k < 4; k++) {
        b[k] = __builtin_shufflevector(a[k], a[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        b[k + 4] = __builtin_shufflevector(a[k], a[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (int i = 0; i < SIDE; i++)
        memcpy(y + i * y_stride, &b[i], sizeof b[i]);
}

#define TRANSPOSE(type)                                                                                                          \
    static void transpose_##type(type *y, const type *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride)  \
    {                                                                                                                            \
        for (int64_t r0 = 0; r0 < n_rows; r0 += TILE)                                                                            \
            for (int64_t c0 = 0; c0 < n_columns; c0 += TILE)                                                                     \
                for (int64_t c = c0; c < c0 + TILE && c < n_columns; c++)                                                        \
                    for (int64_t r = r0; r < r0 + TILE && r < n_rows; r++)                                                       \
                        y[c * y_stride + r] = x[r * x_stride + c];                                                               \
    }
TRANSPOSE(uint8_t)
TRANSPOSE(uint16_t)
TRANSPOSE(uint32_t)
TRANSPOSE(uint64_t)

/* Columns of squares one after another, so that the lines of y which a column of squares begins are filled by the next rows. */
static void transpose_words(uint32_t *y, const uint32_t *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride)
{
    int64_t rows = n_rows / SIDE * SIDE, columns = n_columns / SIDE * SIDE;
    for (int64_t r0 = 0; r0 < rows; r0 += 2 * SIDE)
        for (int64_t c = 0; c < columns; c += SIDE)
            for (int64_t r = r0; r < r0 + 2 * SIDE && r < rows; r += SIDE)
                turn_square(y + c * y_stride + r, x + r * x_stride + c, y_stride, x_stride);
    transpose_uint32_t(y + columns * y_stride, x + columns, rows, n_columns - columns, y_stride, x_stride);
    transpose_uint32_t(y + rows, x + rows * x_stride, n_rows - rows, n_columns, y_stride, x_stride);
}

/* 16 × 16 bytes: four rounds in which each row is interleaved with that half of all rows further on. */
typedef uint8_t row16 __attribute__((vector_size(16)));
static inline void turn_bytes(uint8_t *y, const uint8_t *x, int64_t y_stride, int64_t x_stride)
{
    row16 a[TILE], b[TILE];
    for (int i = 0; i < TILE; i++)
        memcpy(&a[i], x + i * x_stride, sizeof a[i]);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < TILE / 2; i++) {
            b[2 * i] = __builtin_shufflevector(a[i], a[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(a, b, sizeof a);
    }
    for (int i = 0; i < TILE; i++)
        memcpy(y + i * y_stride, &a[i], sizeof a[i]);
}

static void transpose_bytes(uint8_t *y, const uint8_t *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride)
{
    int64_t rows = n_rows / TILE * TILE, columns = n_columns / TILE * TILE;
    for (int64_t c = 0; c < columns; c += TILE)
        for (int64_t r = 0; r < rows; r += TILE)
            turn_bytes(y + c * y_stride + r, x + r * x_stride + c, y_stride, x_stride);
    transpose_uint8_t(y + columns * y_stride, x + columns, rows, n_columns - columns, y_stride, x_stride);
    transpose_uint8_t(y + rows, x + rows * x_stride, n_rows - rows, n_columns, y_stride, x_stride);
}

/* Few numbers in turn, n of them a constant, as of the colours of a picture: compilers turn these with shuffles. */
#define IN_TURN(type, n)                                                                                                         \
    static void part_##n##_##type(type *restrict y, const type *restrict x, int64_t count, int64_t stride)                       \
    {                                                                                                                            \
        for (int64_t i = 0; i < count; i++)                                                                                      \
            for (int k = 0; k < n; k++)                                                                                          \
                y[k * stride + i] = x[i * n + k];                                                                                \
    }                                                                                                                            \
    static void join_##n##_##type(type *restrict y, const type *restrict x, int64_t count, int64_t stride)                       \
    {                                                                                                                            \
        for (int64_t i = 0; i < count; i++)                                                                                      \
            for (int k = 0; k < n; k++)                                                                                          \
                y[i * n + k] = x[k * stride + i];                                                                                \
    }
#define FEW(type)                                                                                                                \
    IN_TURN(type, 2)                                                                                                             \
    IN_TURN(type, 3)                                                                                                             \
    IN_TURN(type, 4)                                                                                                             \
    static bool turn_few_##type(type *y, const type *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride)   \
    {                                                                                                                            \
        static void (*const parts[])(type *restrict, const type *restrict, int64_t, int64_t) = {part_2_##type, part_3_##type,    \
                                                                                                part_4_##type};                  \
        static void (*const joins[])(type *restrict, const type *restrict, int64_t, int64_t) = {join_2_##type, join_3_##type,    \
                                                                                                join_4_##type};                  \
        bool is_part = n_columns >= 2 && n_columns <= 4 && x_stride == n_columns;                                                \
        bool is_join = n_rows >= 2 && n_rows <= 4 && y_stride == n_rows;                                                         \
        if (is_part)                                                                                                             \
            parts[n_columns - 2](y, x, n_rows, y_stride);                                                                        \
        else if (is_join)                                                                                                        \
            joins[n_rows - 2](y, x, n_columns, x_stride);                                                                        \
        return is_part || is_join;                                                                                               \
    }
FEW(uint8_t)
FEW(uint16_t)
FEW(uint32_t)

static bool turn_few(void *y, const void *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride, int size)
{
    return size == 1   ? turn_few_uint8_t(y, x, n_rows, n_columns, y_stride, x_stride)
           : size == 2 ? turn_few_uint16_t(y, x, n_rows, n_columns, y_stride, x_stride)
           : size == 4 ? turn_few_uint32_t(y, x, n_rows, n_columns, y_stride, x_stride)
                       : false;
}

void SIMD(transpose)(void *y, const void *x, int64_t n_rows, int64_t n_columns, int64_t y_stride, int64_t x_stride, int size)
{
    if (turn_few(y, x, n_rows, n_columns, y_stride, x_stride, size))
        return;
    switch (size) {
    case 1:
        transpose_bytes(y, x, n_rows, n_columns, y_stride, x_stride);
        return;
    case 2:
        transpose_uint16_t(y, x, n_rows, n_columns, y_stride, x_stride);
        return;
    case 4:
        transpose_words(y, x, n_rows, n_columns, y_stride, x_stride);
        return;
    default:
        transpose_uint64_t(y, x, n_rows, n_columns, y_stride, x_stride);
    }
}
