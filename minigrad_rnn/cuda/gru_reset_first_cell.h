// One (example, unit) of one step of the GRU as published, before and after its second product.
#pragma once
#include "../gates/gru_reset_first.h"

// r, z, and q = r · h(t−1), which is published. At padding q is zero and is not used.
__device__ __forceinline__ void published_gates(
    const Forward& f, int s, int b, int unit, const Real* a, const Real* y, Real h_before, Real& r, Real& z) {
    Real kept[2];
    const Real q = reset_first_gates(a[0] + y[0], a[1] + y[1], h_before, kept);
    r = kept[0], z = kept[1];
    publish(f.C + f.row(s, b) * K_H + unit, f.order.padding(s, b) ? Real(0) : q);
}

__device__ __forceinline__ void published_candidate(
    const Forward& f, int s, int b, int unit, Real a_n, Real y_n, Real r, Real z, Real& h) {
    if (!f.order.padding(s, b)) {
        Real n;
        h = reset_first_value(a_n + y_n, z, h, &n);
        Real* const saved = f.S + f.row(s, b) * K_H + unit;
        saved[0] = r, saved[f.plane] = z, saved[2 * f.plane] = n;
    }
    store_state(f, s, b, unit, h);
}

// What the step saved, loaded before the wait for the gradients of step s + 1.
struct PublishedPast {
    Real r, z, n, h_before, dY;
    bool padding;

    __device__ __forceinline__ void load(const Backward& k, int s, int b, int unit) {
        padding = k.order.padding(s, b);
        if (padding) return;
        const long long at = k.row(s, b) * K_H + unit;
        r = k.S[at], z = k.S[k.plane + at], n = k.S[2 * k.plane + at];
        h_before = k.X[at];
        dY = k.arriving(s, b, unit);
    }
};

// From dh(s) the gradient of Wr_n q, which is published, and of z; dh leaves as the part that bypasses the products.
__device__ __forceinline__ void published_candidate_backward(
    const Backward& k, const PublishedPast& past, Real* arriving_at_n, int s, int b, int unit, Real& dh, Real* da) {
    da[0] = da[1] = da[2] = 0;
    if (!past.padding) {
        Real leak;
        reset_first_derivative(past.z, past.n, past.h_before, dh + past.dY, &da[2], &da[1], &leak);
        dh = leak;
    }
    publish(arriving_at_n + k.row(s, b) * K_H + unit, da[2]);
}

// From dq the gradient of r; those of r and z are published.
__device__ __forceinline__ void published_gates_backward(
    const Backward& k, const PublishedPast& past, int s, int b, int unit, Real dq, Real& dh, Real* da) {
    if (!past.padding) dh += reset_first_gates_derivative(past.r, past.h_before, dq, &da[0]);
    Real* const to = k.dY_rows + k.row(s, b) * 2 * K_H + unit;
    publish(to, da[0]);
    publish(to + K_H, da[1]);
    store_input_gradient<3>(k, s, b, unit, da);
}
