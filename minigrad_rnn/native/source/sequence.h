// Sequence describes one call: the sizes, the caller's arrays and the memory that the passes share.
//
// Rows. Examples are the columns j of a call, longest sequence first; at read step k the first active(k) of them still
// run. A row n stands for (k, j), n = first_row(k) + j, so padding has no row.
//
// Panels. What belongs to a row is stored by panels of M vectors: Z[panel][n][m] holds the arguments of the gates of
// LANES units, replaced first by what the backward pass needs of them and then by their gradients. In a gated cell a
// panel has one block of LANES units and a vector for each gate; in a simple one it has M blocks of units.
#pragma once

#include <string.h>

#include "vector.h"


// The first `lanes` numbers, or a whole vector if there are more.
INLINE Real load_up_to(const scalar* from, long lanes) { return lanes >= LANES ? load(from) : load_part(from, lanes); }
INLINE void store_up_to(scalar* to, Real x, long lanes) {
    if (lanes >= LANES) store(to, x);
    else store_part(to, x, lanes);
}

enum { RNN_TANH, RNN_RELU, LSTM, GRU, GRU_RESET_FIRST };

typedef struct Team Team;  // see team.h

typedef struct {
    long kind, T, B, I, H, P;       // P units of h(t); H unless there is a projection
    long backward;                  // whether a sequence is read from its last step to its first
    long saves;                     // whether a backward pass may follow
    long rows;                      // Σ lengths, or the rows of a chunk where nothing is saved
    long chunk;                     // rows that a thread prepares at once
    const long *example, *length;   // (B,) of column j; null without padding, where column j is example j
    const long* first;              // (T + 1,) the first row of read step k; null without padding
    Team* team;                     // of threads that share the units; null where they share the examples

    // The caller's arrays; the last axis of each is contiguous. Steps and examples are so many numbers apart.
    const scalar *xs, *h0, *c0, *Wc, *Wr, *b, *br, *p, *Wp;
    long xs_step, xs_example;
    scalar *hs, *hT, *cs, *cT;      // (T, B, P), (B, P), (T, B, H) or null, (B, H)

    // Packed weights, and the memory that the backward pass needs
    long M, panels, units;          // of Z; units is the number of blocks of LANES units
    const scalar *packed_Wc, *packed_Wr, *packed_Wn, *packed_Wp;
    scalar *Z, *C, *m;              // C[unit block][B + rows], first c(−1); m (rows, H) with a projection

    // Backward
    const scalar *packed_WcT, *packed_WrT, *packed_WnT, *packed_WpT;
    const scalar *dhs, *dhT, *dcs, *dcT;
    long dhs_step, dhs_example, dhs_unit;  // dhs_unit is 0 where one number stands for all units, else 1
    scalar *dxs, *dh0, *dc0, *dWc, *dWr, *db, *dbr, *dp, *dWp, *D;  // D: dh(t) of every row where a projection needs it
    scalar *dh_steps, *dc_steps;    // (T, B, P) and (T, B, H) of every step, in time order; zeros, or null
} Sequence;

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long blocks_of(long n, long size) { return (n + size - 1) / size; }
INLINE long first_row(const Sequence* s, long k) { return s->first ? s->first[k] : k * s->B; }
INLINE long active(const Sequence* s, long k) { return s->first ? s->first[k + 1] - s->first[k] : s->B; }
INLINE long example_of(const Sequence* s, long j) { return s->example ? s->example[j] : j; }
INLINE long length_of(const Sequence* s, long j) { return s->length ? s->length[j] : s->T; }
INLINE long time_of(const Sequence* s, long k, long j) { return s->backward ? length_of(s, j) - 1 - k : k; }

INLINE const scalar* x_row(const Sequence* s, long k, long j) {
    return s->xs + time_of(s, k, j) * s->xs_step + example_of(s, j) * s->xs_example;
}
INLINE scalar* h_row(const Sequence* s, long k, long j) {
    return s->hs + (time_of(s, k, j) * s->B + example_of(s, j)) * s->P;
}
INLINE const scalar* h_before_row(const Sequence* s, long k, long j) {
    return k ? h_row(s, k - 1, j) : s->h0 + example_of(s, j) * s->P;
}

// The columns of part `part` of `parts`: neighbours, with about the same number of rows in each part.
typedef struct {
    long from, to;
} Span;

static Span columns_of_part(const Sequence* s, long part, long parts) {
    if (!s->first) return (Span){s->B * part / parts, s->B * (part + 1) / parts};
    const long total = s->first[s->T];
    Span span = {0, 0};
    long rows = 0, j = 0;
    for (; j < s->B && rows < total * part / parts; ++j) rows += s->length[j];
    span.from = j;
    for (; j < s->B && (rows < total * (part + 1) / parts || part == parts - 1); ++j) rows += s->length[j];
    span.to = j;
    return span;
}
INLINE long active_to(const Sequence* s, Span span, long k) { return least(span.to, active(s, k)); }

// Which gate's rows of a weight a vector of a panel holds, and which units.
typedef struct {
    long from, count;  // the vectors of Z's panel that take part
    long gate[4];      // of each of them; in a simple cell all are gate 0, of one block of units after the other
} Gates;

INLINE Gates gates_of_input(const Sequence* s) {
    if (s->kind == LSTM) return (Gates){0, 4, {0, 1, 2, 3}};
    if (s->kind == GRU || s->kind == GRU_RESET_FIRST) return (Gates){1, 3, {0, 1, 2}};
    return (Gates){0, s->M, {0, 0, 0, 0}};
}
// Z's panels of a GRU: y_n = Wr_n h(t−1) + br_n, r, z, n; as published q, r, z, n.
INLINE Gates gates_of_state(const Sequence* s) {
    if (s->kind == GRU) return (Gates){0, 3, {2, 0, 1}};
    if (s->kind == GRU_RESET_FIRST) return (Gates){1, 2, {0, 1}};
    return gates_of_input(s);
}
INLINE Gates gates_of_candidate(void) { return (Gates){3, 1, {2}}; }

INLINE int is_simple(const Sequence* s) { return s->kind == RNN_TANH || s->kind == RNN_RELU; }
INLINE long unit_block(const Sequence* s, long panel, long m) { return is_simple(s) ? panel * s->M + m : panel; }
INLINE scalar* z_row(const Sequence* s, long panel, long n) { return s->Z + (panel * s->rows + n) * s->M * LANES; }

// Panels of a plain matrix: M vectors that waste the fewest lanes.
static long vectors_of_panel(long units) {
    const long blocks = blocks_of(units, LANES);
    long best = 1;
    for (long M = 1; M <= 4; ++M) {
        if (blocks_of(blocks, M) * M <= blocks_of(blocks, best) * best) best = M;
    }
    return best;
}
