// Copies of the weights in the order in which the products read them.
#pragma once

#include "sequence.h"

// panel[k][m]: the rows of W (rows, K) that the gates' vectors hold, for all panels of Z; rows past H are zero.
static void pack_rows(const Sequence* s, Gates gates, const scalar* W, long K, scalar* out) {
    for (long panel = 0; panel < s->panels; ++panel) {
        for (long v = 0; v < gates.count; ++v) {
            const long m = gates.from + v, unit = unit_block(s, panel, m) * LANES, lanes = s->H - unit;
            const scalar* row = W + (gates.gate[v] * s->H + unit) * K;
            scalar* to = out + v * LANES;
            for (long lane = 0; lane < LANES; ++lane, ++to, row += K) {
                const long step = gates.count * LANES;
                if (lane < lanes) {
                    for (long k = 0; k < K; ++k) to[k * step] = row[k];
                } else {
                    for (long k = 0; k < K; ++k) to[k * step] = 0;
                }
            }
        }
        out += K * gates.count * LANES;
    }
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
static void pack_plain(const scalar* W, long rows, long K, scalar* out) {
    const long width = vectors_of_panel(rows) * LANES;
    for (long at = 0; at < rows; at += width, out += K * width) {
        for (long r = 0; r < width; ++r) {
            for (long k = 0; k < K; ++k) out[k * width + r] = at + r < rows ? W[(at + r) * K + k] : 0;
        }
    }
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

// What a row of Z starts from: the biases, for each panel M vectors.
static void pack_bias(const Sequence* s, scalar* out) {
    const Gates input = gates_of_input(s);
    for (long panel = 0; panel < s->panels; ++panel) {
        for (long m = 0; m < s->M; ++m) {
            for (long lane = 0; lane < LANES; ++lane) {
                const long unit = unit_block(s, panel, m) * LANES + lane, v = m - input.from;
                scalar bias = 0;
                if (unit < s->H) {
                    if (v >= 0 && s->b) bias = s->b[input.gate[v] * s->H + unit];
                    if (s->kind == GRU && s->br) {
                        if (m == 0) bias = s->br[2 * s->H + unit];
                        if (m == 1 || m == 2) bias += s->br[(m - 1) * s->H + unit];
                    }
                }
                *out++ = bias;
            }
        }
    }
}
