// One step's gates for the columns of a tile, right after the product that completed their arguments.
//
// Each of these functions is compiled once and never inlined: a unit's numbers come from the same instructions whatever
// the batch, which makes them bitwise the same.
#pragma once

#include "functions.h"
#include "../../gates/gru.h"
#include "../../gates/gru_reset_first.h"
#include "../../gates/lstm.h"
#include "../../gates/rnn.h"
#include "sequence.h"
#include "tile.h"

#define NEVER_INLINE static __attribute__((noinline))

// The columns of a tile at one step. Rows of the caller's arrays begin at the tile's first unit.
typedef struct {
    int count;
    scalar* z;                                   // the first column's row of the panel; the others follow
    const scalar* c_before;                      // the same of c(t−1) and c(t)
    scalar* c;
    const scalar* h_before[MOST_COLUMNS];
    scalar *h[MOST_COLUMNS], *cs[MOST_COLUMNS];  // cs[0] is null where not every c(t) is wanted
} Columns;

NEVER_INLINE void rnn_gates(const Sequence* s, const Columns* columns, long unit) {
    for (int j = 0; j < columns->count; ++j) {
        for (long m = 0; m < s->M; ++m) {
            const long lanes = s->H - unit - m * LANES;
            scalar* const z = columns->z + (j * s->M + m) * LANES;
            if (lanes <= 0) break;
            Real kept = load(z), h;
            if (s->kind == RNN_TANH) {
                h = rnn_tanh_value(kept, &kept);
                store(z, kept);
            } else {
                h = rnn_relu_value(kept);
            }
            store_up_to(columns->h[j] + m * LANES, h, lanes);
        }
    }
}

NEVER_INLINE void lstm_gates(const Sequence* s, const Columns* columns, long unit) {
    const long lanes = s->H - unit;
    Real p[3];
    for (long k = 0; k < 3; ++k) p[k] = s->p ? load_up_to(s->p + k * s->H + unit, lanes) : (Real){0};
    for (int j = 0; j < columns->count; ++j) {
        scalar* const at = columns->z + j * 4 * LANES;
        Real z[4], kept[4], c;
        for (int k = 0; k < 4; ++k) z[k] = load(at + k * LANES);
        const Real m = lstm_value(z, s->p ? p : 0, load(columns->c_before + j * LANES), &c, kept);
        for (int k = 0; k < 4; ++k) store(at + k * LANES, kept[k]);
        store(columns->c + j * LANES, c);
        if (columns->cs[0]) store_up_to(columns->cs[j], c, lanes);
        store_up_to(columns->h[j], m, lanes);
    }
}

NEVER_INLINE void gru_gates(const Sequence* s, const Columns* columns, long unit) {
    const long lanes = s->H - unit;
    for (int j = 0; j < columns->count; ++j) {
        scalar* const at = columns->z + j * 4 * LANES;
        Real kept[4];
        const Real y_n = load(at), h_before = load_up_to(columns->h_before[j], lanes);
        const Real h = gru_value(load(at + LANES), load(at + 2 * LANES), load(at + 3 * LANES), y_n, h_before, kept);
        for (int k = 0; k < 3; ++k) store(at + (k + 1) * LANES, kept[k]);
        store_up_to(columns->h[j], h, lanes);
    }
}

// r and z, and q in the place where the second product reads it and in Z.
NEVER_INLINE void reset_first_gates_of(const Sequence* s, const Columns* columns, long unit, scalar* q, long q_step) {
    const long lanes = s->H - unit;
    for (int j = 0; j < columns->count; ++j) {
        scalar* const at = columns->z + j * 4 * LANES;
        Real kept[2];
        const Real h_before = load_up_to(columns->h_before[j], lanes);
        const Real q_j = reset_first_gates(load(at + LANES), load(at + 2 * LANES), h_before, kept);
        store(at, q_j);
        store(at + LANES, kept[0]);
        store(at + 2 * LANES, kept[1]);
        store(q + j * q_step, q_j);
    }
}

NEVER_INLINE void reset_first_candidate(const Sequence* s, const Columns* columns, long unit) {
    const long lanes = s->H - unit;
    for (int j = 0; j < columns->count; ++j) {
        scalar* const at = columns->z + j * 4 * LANES;
        Real kept;
        const Real h_before = load_up_to(columns->h_before[j], lanes);
        const Real h = reset_first_value(load(at + 3 * LANES), load(at + 2 * LANES), h_before, &kept);
        store(at + 3 * LANES, kept);
        store_up_to(columns->h[j], h, lanes);
    }
}
