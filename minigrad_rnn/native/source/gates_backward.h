// One step's derivatives of the gates for neighbouring columns: what the forward pass kept in Z becomes their gradients.
//
// Lanes past the last unit become zero: an infinite x(t) made them NaN, which the products would bring to all units.
#pragma once

#include "gates_forward.h"

// The columns that still run at one step, and the gradients that BPTT carries for them.
typedef struct {
    long count;
    const scalar* const* dhs;       // rows of the gradients of the outputs
    const scalar* const* h_before;  // rows of h(t−1)
    const scalar* const* h;         // rows of h(t)
    const scalar* const* dcs;       // rows of the gradients of every c(t), or null
    scalar *dh, *dc, *dq;           // carried, and dq of the published GRU: a padded row for each column
    long width, units;              // numbers of a row of dh and dq, and of dc
    scalar* const* dc_steps;        // rows of dc of every step, to be filled, or null
} Carried;

INLINE Real arriving(const Sequence* s, const Carried* now, long j, long unit, long lanes) {
    const Real dh = load(now->dh + j * now->width + unit);
    if (!now->dhs) return dh;
    return dh + (s->dhs_unit ? load_up_to(now->dhs[j] + unit, lanes) : broadcast(*now->dhs[j]));
}

NEVER_INLINE void rnn_gates_backward(const Sequence* s, const Carried* now, scalar* z, long unit) {
    for (long j = 0; j < now->count; ++j) {
        for (long m = 0; m < s->M; ++m, unit += LANES, z += LANES) {
            const long lanes = s->H - unit;
            Real dz = {0};
            if (lanes > 0) {
                const Real dh = arriving(s, now, j, unit, lanes);
                if (s->kind == RNN_TANH) dz = rnn_tanh_derivative(rnn_tanh_factor(load(z)), dh);
                else dz = rnn_relu_derivative(load_up_to(now->h[j] + unit, lanes), dh);
                store(now->dh + j * now->width + unit, (Real){0});
            }
            store(z, keep(first_lanes(lanes), dz));
        }
        unit -= s->M * LANES;
    }
}

NEVER_INLINE void lstm_gates_backward(
    const Sequence* s, const Carried* now, scalar* z, const scalar* c_before, const scalar* c, long unit) {
    const long lanes = s->H - unit;
    const Bits units = first_lanes(lanes);
    Real p[3];
    for (long k = 0; k < 3; ++k) p[k] = s->p ? load_up_to(s->p + k * s->H + unit, lanes) : (Real){0};
    for (long j = 0; j < now->count; ++j, z += 4 * LANES) {
        scalar* const dc_at = now->dc + j * now->units + unit;
        Real kept[4], dz[4], dc = load(dc_at);
        for (int k = 0; k < 4; ++k) kept[k] = load(z + k * LANES);
        if (now->dcs) dc += load_up_to(now->dcs[j] + unit, lanes);
        const Real dm = arriving(s, now, j, unit, lanes);
        const LSTMFactors factors = lstm_factors(kept, load(c_before + j * LANES), load(c + j * LANES));
        if (now->dc_steps) {
            const Real dc_t = lstm_dc(factors, s->p ? p : 0, dm, dc, dz);
            store_up_to(now->dc_steps[j] + unit, dc_t, lanes);
        }
        lstm_derivative(factors, s->p ? p : 0, dm, &dc, dz);
        for (int k = 0; k < 4; ++k) store(z + k * LANES, keep(units, dz[k]));
        store(dc_at, dc);
        store(now->dh + j * now->width + unit, (Real){0});
    }
}

NEVER_INLINE void gru_gates_backward(const Sequence* s, const Carried* now, scalar* z, long unit) {
    const long lanes = s->H - unit;
    const Bits units = first_lanes(lanes);
    for (long j = 0; j < now->count; ++j, z += 4 * LANES) {
        Real kept[4], da[3], dy_n, leak;
        for (int k = 0; k < 3; ++k) kept[k] = load(z + (k + 1) * LANES);
        kept[3] = load(z);
        const Real h_before = load_up_to(now->h_before[j] + unit, lanes);
        gru_derivative(gru_factors(kept, h_before), arriving(s, now, j, unit, lanes), da, &dy_n, &leak);
        store(z, keep(units, dy_n));
        for (int k = 0; k < 3; ++k) store(z + (k + 1) * LANES, keep(units, da[k]));
        store(now->dh + j * now->width + unit, leak);
    }
}

// Gradients of the arguments of z and n; r keeps its place until dq is there.
NEVER_INLINE void reset_first_candidate_backward(const Sequence* s, const Carried* now, scalar* z, long unit) {
    const long lanes = s->H - unit;
    const Bits units = first_lanes(lanes);
    for (long j = 0; j < now->count; ++j, z += 4 * LANES) {
        Real da_n, da_z, leak;
        const Real h_before = load_up_to(now->h_before[j] + unit, lanes);
        const CandidateFactors factors = candidate_factors(load(z + 2 * LANES), load(z + 3 * LANES), h_before);
        candidate_derivative(factors, arriving(s, now, j, unit, lanes), &da_n, &da_z, &leak);
        store(z + 2 * LANES, keep(units, da_z));
        store(z + 3 * LANES, keep(units, da_n));
        store(now->dh + j * now->width + unit, leak);
        store(now->dq + j * now->width + unit, (Real){0});
    }
}

NEVER_INLINE void reset_first_gates_backward(const Sequence* s, const Carried* now, scalar* z, long unit) {
    const long lanes = s->H - unit;
    const Bits units = first_lanes(lanes);
    for (long j = 0; j < now->count; ++j, z += 4 * LANES) {
        Real da_r;
        scalar* const dh = now->dh + j * now->width + unit;
        const Real h_before = load_up_to(now->h_before[j] + unit, lanes), dq = load(now->dq + j * now->width + unit);
        const Real kept = load(z + LANES);
        const Real passed = reset_first_gates_derivative(kept, h_before * sigmoid_slope(kept), dq, &da_r);
        store(z + LANES, keep(units, da_r));
        store(dh, load(dh) + passed);
    }
}
