// Products of packed weights with a few columns at a time: the accumulators stay in registers.
//
// A weight matrix is packed in panels of M vectors of output rows: panel[k][m] are M · LANES rows' weights of input k.
// Every output is summed over k = 0, 1, 2, … one after the other, whatever the number of columns at a time: the result
// of a column does not depend on the others.
#pragma once

#include "sequence.h"

// A loop over columns or vectors. Clang must be told to unroll all of it: else it does so after it has decided what stands
// in registers, and the sums would not.
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif

// With 32 registers a tile has all M vectors of a panel, up to 24 sums; with 16 two at a time, up to 12.
#if defined(__AVX512F__) || defined(__aarch64__)
#define TILE_VECTORS 4
#define MOST_1 8
#define MOST_2 8
#define MOST_3 8
#define MOST_4 6
#else
#define TILE_VECTORS 2
#define MOST_1 6
#define MOST_2 6
#define MOST_3 6
#define MOST_4 6
#endif
#define MOST_COLUMNS 8
static const int TILE_COLUMNS[5] = {0, MOST_1, MOST_2, MOST_3, MOST_4};  // by M

// Inputs in several segments of the same length, a fixed step apart; the weights lie one after the other.
typedef struct {
    long segments, length, step;
} Inputs;

// out[c][m] += Σ_k panel[k][m] · x[c][k]; the panel's rows are `width` numbers apart.
INLINE void tile(
    const int M, const int C, Inputs in, const scalar* panel, long width, const scalar* const* x, scalar* const* out) {
    Real sum[MOST_COLUMNS][4];
    const scalar* at[MOST_COLUMNS];
    UNROLLED for (int c = 0; c < C; ++c) {
        at[c] = x[c];
        UNROLLED for (int m = 0; m < M; ++m) sum[c][m] = load(out[c] + m * LANES);
    }
    for (long s = 0; s < in.segments; ++s) {

        for (long k = 0; k < in.length; ++k) {
            Real w[4];
            UNROLLED for (int m = 0; m < M; ++m) w[m] = load(panel + m * LANES);
            UNROLLED for (int c = 0; c < C; ++c) {
                UNROLLED for (int m = 0; m < M; ++m) sum[c][m] += w[m] * at[c][k];
            }
            panel += width;
        }
        UNROLLED for (int c = 0; c < C; ++c) at[c] += in.step;
    }
    UNROLLED for (int c = 0; c < C; ++c) {
        UNROLLED for (int m = 0; m < M; ++m) store(out[c] + m * LANES, sum[c][m]);
    }
}

// out[c][m] = Σ_n panel[n][m] · z[n · stride + c]: a block of a weight's gradient, summed over (t, example); added to what
// is there unless `first`.
INLINE void outer_tile(
    const int M, const int C, int first, long n, const scalar* panel, long width, const scalar* z, long stride,
    scalar* const* out) {
    Real sum[MOST_COLUMNS][4];
    UNROLLED for (int c = 0; c < C; ++c) {
        UNROLLED for (int m = 0; m < M; ++m) sum[c][m] = (Real){0};
    }

    for (; n > 0; --n) {
        Real w[4];
        UNROLLED for (int m = 0; m < M; ++m) w[m] = load(panel + m * LANES);
        UNROLLED for (int c = 0; c < C; ++c) {
            UNROLLED for (int m = 0; m < M; ++m) sum[c][m] += w[m] * z[c];
        }
        panel += width;
        z += stride;
    }
    UNROLLED for (int c = 0; c < C; ++c) {
        UNROLLED for (int m = 0; m < M; ++m) {
            scalar* const to = out[c] + m * LANES;
            store(to, first ? sum[c][m] : load(to) + sum[c][m]);
        }
    }
}

#define SIZES(DO, M) DO(M, 1) DO(M, 2) DO(M, 3) DO(M, 4) DO(M, 5) DO(M, 6) DO(M, 7) DO(M, 8)
#define DEFINE(M, C)                                                                                          \
    static void tile_##M##_##C(                                                                               \
        Inputs in, const scalar* panel, long width, const scalar* const* x, scalar* const* out) {             \
        tile(M, C <= MOST_##M ? C : 1, in, panel, width, x, out);                                             \
    }                                                                                                         \
    static void outer_tile_##M##_##C(                                                                         \
        int first, long n, const scalar* panel, long width, const scalar* z, long stride, scalar* const* out) { \
        outer_tile(M, C <= MOST_##M ? C : 1, first, n, panel, width, z, stride, out);                         \
    }
typedef void (*Tile)(Inputs, const scalar*, long, const scalar* const*, scalar* const*);
typedef void (*OuterTile)(int, long, const scalar*, long, const scalar*, long, scalar* const*);
#define NAME(M, C) tile_##M##_##C,
#define OUTER_NAME(M, C) outer_tile_##M##_##C,

SIZES(DEFINE, 1) SIZES(DEFINE, 2)
#if TILE_VECTORS == 4
SIZES(DEFINE, 3) SIZES(DEFINE, 4)
static const Tile TILES[5][8] = {{0}, {SIZES(NAME, 1)}, {SIZES(NAME, 2)}, {SIZES(NAME, 3)}, {SIZES(NAME, 4)}};
static const OuterTile OUTER_TILES[5][8] = {
    {0}, {SIZES(OUTER_NAME, 1)}, {SIZES(OUTER_NAME, 2)}, {SIZES(OUTER_NAME, 3)}, {SIZES(OUTER_NAME, 4)}};
#else
static const Tile TILES[3][8] = {{0}, {SIZES(NAME, 1)}, {SIZES(NAME, 2)}};
static const OuterTile OUTER_TILES[3][8] = {{0}, {SIZES(OUTER_NAME, 1)}, {SIZES(OUTER_NAME, 2)}};
#endif

// A whole panel of M vectors and up to TILE_COLUMNS[M] columns.
INLINE void multiply(
    long M, long columns, Inputs in, const scalar* panel, const scalar* const* x, scalar* const* out) {
    TILES[least(M, TILE_VECTORS)][columns - 1](in, panel, M * LANES, x, out);
    for (long m = TILE_VECTORS; m < M; m += TILE_VECTORS) {
        scalar* next[MOST_COLUMNS];
        for (long c = 0; c < columns; ++c) next[c] = out[c] + m * LANES;
        TILES[least(M - m, TILE_VECTORS)][columns - 1](in, panel + m * LANES, M * LANES, x, next);
    }
}
INLINE void multiply_outer(
    long M, long columns, int first, long n, const scalar* panel, const scalar* z, long stride, scalar* const* out) {
    OUTER_TILES[least(M, TILE_VECTORS)][columns - 1](first, n, panel, M * LANES, z, stride, out);
    for (long m = TILE_VECTORS; m < M; m += TILE_VECTORS) {
        scalar* next[MOST_COLUMNS];
        for (long c = 0; c < columns; ++c) next[c] = out[c] + m * LANES;
        OUTER_TILES[least(M - m, TILE_VECTORS)][columns - 1](first, n, panel + m * LANES, M * LANES, z, stride, next);
    }
}
