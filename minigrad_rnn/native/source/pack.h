// Copies of the weights in the order in which the products read them.
#pragma once

#include "sequence.h"

#define LANE_COUNT (VECTOR_BYTES / (REAL_IS_DOUBLE ? 8 : 4))
#if LANE_COUNT == 16
#define LOW_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANE_COUNT == 8
#define LOW_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#elif LANE_COUNT == 4
#define LOW_HALVES 0, 4, 1, 5
#define HIGH_HALVES 2, 6, 3, 7
#else
#define LOW_HALVES 0, 2
#define HIGH_HALVES 1, 3
#endif
#ifdef __clang__
#define INTERLEAVED(a, b, INDICES) __builtin_shufflevector(a, b, INDICES)
#else
#define INTERLEAVED(a, b, INDICES) __builtin_shuffle(a, b, (Bits){INDICES})
#endif

// The transpose of LANES rows of LANES numbers: row i is interleaved with row i + LANES / 2, log₂ LANES times.
INLINE void transpose(Real rows[LANE_COUNT]) {
    for (int distance = 1; distance < LANE_COUNT; distance *= 2) {
        Real next[LANE_COUNT];
#pragma GCC unroll 8
        for (int i = 0; i < LANE_COUNT / 2; ++i) {
            next[2 * i] = INTERLEAVED(rows[i], rows[i + LANE_COUNT / 2], LOW_HALVES);
            next[2 * i + 1] = INTERLEAVED(rows[i], rows[i + LANE_COUNT / 2], HIGH_HALVES);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANE_COUNT; ++i) rows[i] = next[i];
    }
}

enum { PACK, COMPARE };

// Writes a number, or tells whether another one, bit for bit, is there already.
INLINE int put(int purpose, scalar* to, scalar x) {
    if (purpose == COMPARE) return memcmp(to, &x, sizeof x) != 0;
    *to = x;
    return 0;
}

// panel[k][m]: the rows of W (rows, K) that the gates' vectors of one panel of Z hold; rows past H are zero. Returns
// whether anything differs, where it only compares.
static int pack_panel(const Sequence* s, int purpose, Gates gates, long panel, const scalar* W, long K, scalar* out) {
    const long step = gates.count * LANES;
    for (long v = 0; v < gates.count; ++v) {
        const long unit = unit_block(s, panel, gates.from + v) * LANES, lanes = s->H - unit;
        const scalar* const from = W + (gates.gate[v] * s->H + unit) * K;
        scalar* const to = out + v * LANES;
        long k = 0;
        for (; lanes >= LANES && k + LANES <= K; k += LANES) {
            Real rows[LANE_COUNT];
#pragma GCC unroll 16
            for (int i = 0; i < LANE_COUNT; ++i) rows[i] = load(from + i * K + k);
            transpose(rows);
            if (purpose == PACK) {
#pragma GCC unroll 16
                for (int i = 0; i < LANE_COUNT; ++i) store(to + (k + i) * step, rows[i]);
            } else {
                Bits different = {0};
#pragma GCC unroll 16
                for (int i = 0; i < LANE_COUNT; ++i) different |= (Bits)load(to + (k + i) * step) ^ (Bits)rows[i];
                for (int i = 0; i < LANE_COUNT; ++i) {
                    if (different[i]) return 1;
                }
            }
        }
        for (; k < K; ++k) {
            for (long lane = 0; lane < LANES; ++lane) {
                if (put(purpose, to + k * step + lane, lane < lanes ? from[lane * K + k] : 0)) return 1;
            }
        }
    }
    return 0;
}

// All panels of Z.
static int pack_rows(const Sequence* s, int purpose, Gates gates, const scalar* W, long K, scalar* out) {
    for (long panel = 0; panel < s->panels; ++panel, out += K * gates.count * LANES) {
        if (pack_panel(s, purpose, gates, panel, W, K, out)) return 1;
    }
    return 0;
}

// For the products with Wᵀ: out[block of M vectors of columns][k], k = (panel, vector, lane): the rows of W (rows, columns)
// in the order in which Z holds their gradients; zero past the ends.
static void pack_columns(const Sequence* s, Gates gates, const scalar* W, long columns, scalar* out) {
    const long M = vectors_of_panel(columns), width = M * LANES;
    for (long at = 0; at < columns; at += width) {
        const long some = least(width, columns - at);
        for (long panel = 0; panel < s->panels; ++panel) {
            for (long v = 0; v < gates.count; ++v) {
                const long unit = unit_block(s, panel, gates.from + v) * LANES;
                for (long lane = 0; lane < LANES; ++lane, out += width) {
                    if (unit + lane < s->H) {
                        memcpy(out, W + (gates.gate[v] * s->H + unit + lane) * columns + at, some * sizeof(scalar));
                        if (some < width) memset(out + some, 0, (width - some) * sizeof(scalar));
                    } else {
                        memset(out, 0, width * sizeof(scalar));
                    }
                }
            }
        }
    }
}

// A plain matrix W (rows, K), as the projection: out[panel of rows][k][m].
static int pack_plain(int purpose, const scalar* W, long rows, long K, scalar* out) {
    const long width = vectors_of_panel(rows) * LANES;
    for (long at = 0; at < rows; at += width, out += K * width) {
        for (long r = 0; r < width; ++r) {
            for (long k = 0; k < K; ++k) {
                if (put(purpose, out + k * width + r, at + r < rows ? W[(at + r) * K + k] : 0)) return 1;
            }
        }
    }
    return 0;
}

// The same of Wᵀ, W (K, columns).
static void pack_plain_transposed(const scalar* W, long K, long columns, scalar* out) {
    const long width = vectors_of_panel(columns) * LANES;
    for (long at = 0; at < columns; at += width) {
        const long some = least(width, columns - at);
        for (long k = 0; k < K; ++k, out += width) {
            memset(out, 0, width * sizeof(scalar));
            memcpy(out, W + k * columns + at, some * sizeof(scalar));
        }
    }
}
