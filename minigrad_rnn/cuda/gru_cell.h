// The GRU as cell.h takes it.
#pragma once
#include "../gates/gru.h"

struct Cell {
    static constexpr int GATES = 3, SAVED = 4;
    static constexpr bool HAS_C = false, RECURRENT_BIAS = true;

    static __device__ __forceinline__ Real value(
        const Real* a, const Real* y, Real h_before, Real c_before, Real& c, Real* saved) {
        return gru_value(a[0] + y[0], a[1] + y[1], a[2], y[2], h_before, saved);
    }

    using Factors = GRUFactors;
    static __device__ __forceinline__ Factors factors(
        const Real* saved, Real h_before, Real h, Real c_before, Real c) {
        return gru_factors(saved, h_before);
    }

    // da is the gradient of Wc x(t) + b, dy that of Wr h(t−1) + br: they differ in n.
    static __device__ __forceinline__ void derivative(
        const Factors& k, Real dh, Real& dc, Real* da, Real* dy, Real& leak) {
        gru_derivative(k, dh, da, &dy[2], &leak);
        dy[0] = da[0], dy[1] = da[1];
    }
};
