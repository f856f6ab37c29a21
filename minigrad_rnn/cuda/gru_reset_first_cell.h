// One (example, unit) of one step of the GRU as published, before and after its second product.
#pragma once
#include "../gates/gru_reset_first.h"

// What the step saved, loaded before the wait for the gradients of step s + 1.
struct PublishedPast {
    Real r, z, n, h_before, dY;

    __device__ __forceinline__ void load(const Backward& k, Example e, int s, int unit) {
        if (e.padding(s)) return;
        const long long at = k.row(s, e.b) * K_H + unit;
        r = k.S[at], z = k.S[k.plane + at], n = k.S[2 * k.plane + at];
        h_before = k.X[at];
        dY = *k.arriving(e, s, unit);
    }

    static __device__ __forceinline__ void prefetch_to_l2(const Backward& k, Example e, int s, int unit) {
        if (s < 0) return;
        const long long at = k.row(s, e.b) * K_H + unit;
        prefetch(k.S + at), prefetch(k.S + k.plane + at), prefetch(k.S + 2 * k.plane + at);
        prefetch(k.X + at);
        prefetch(k.arriving(e, s, unit));
    }
};

__device__ __forceinline__ void store_gates(const Forward& f, Example e, int s, int unit, Real r, Real z) {
    if (e.padding(s)) return;
    Real* const saved = f.S + f.row(s, e.b) * K_H + unit;
    saved[0] = r, saved[f.plane] = z;
}

__device__ __forceinline__ void store_candidate(const Forward& f, Example e, int s, int unit, Real n, Real h) {
    if (!e.padding(s)) f.S[2 * f.plane + f.row(s, e.b) * K_H + unit] = n;
    store_output(f, e, s, unit, h);
}

// From dh(s) the gradients of the arguments of n and z; dh leaves as the part that bypasses the products.
__device__ __forceinline__ void candidate_backward(
    const PublishedPast& past, bool padding, Real& dh, Real& da_n, Real& da_z) {
    da_n = da_z = 0;
    if (padding) return;
    Real leak;
    reset_first_derivative(past.z, past.n, past.h_before, dh + past.dY, &da_n, &da_z, &leak);
    dh = leak;
}

// From dq the gradient of the argument of r.
__device__ __forceinline__ Real gates_backward(Real r, Real h_before, bool padding, Real dq, Real& dh) {
    Real da_r = 0;
    if (!padding) dh += reset_first_gates_derivative(r, h_before, dq, &da_r);
    return da_r;
}
