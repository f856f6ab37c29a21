// One (example, unit) of one step of the GRU as published, before and after its second product.
#pragma once
#include "../gates/gru_reset_first.h"

// What BPTT needs of a step that no other block has to say. At padding all are zero.
struct PublishedPast {
    CandidateFactors factors;
    Real r, of_r, dY;

    __device__ __forceinline__ void load(const Backward& k, Example e, int s, int unit) {
        r = of_r = dY = 0;
        factors = {};
        if (e.padding(s)) return;
        const long long at = k.row(s, e.b) * K_H + unit;
        const Real h_before = k.X[at];
        r = k.S[at];
        of_r = h_before * sigmoid_slope(r);
        factors = candidate_factors(k.S[k.plane + at], k.S[2 * k.plane + at], h_before);
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

// From dh(s) in full the gradients of the arguments of n and z; dh leaves as the part that bypasses the products.
__device__ __forceinline__ void candidate_backward(
    const PublishedPast& past, bool padding, Real& dh, Real& da_n, Real& da_z) {
    Real leak;
    // A gradient that is not finite would make zero factors NaN.
    candidate_derivative(past.factors, padding ? Real(0) : dh, &da_n, &da_z, &leak);
    dh = padding ? dh : leak;
}
