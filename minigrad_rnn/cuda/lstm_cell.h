// The LSTM without peepholes as cell.h takes it.
#pragma once
#include "../gates/lstm.h"

struct Cell {
    static constexpr int GATES = 4, SAVED = 4;
    static constexpr bool HAS_C = true, RECURRENT_BIAS = false;

    static __device__ __forceinline__ Real value(
        const Real* z, const Real* y, Real h_before, Real c_before, Real& c, Real* saved) {
        const Real sum[GATES] = {z[0] + y[0], z[1] + y[1], z[2] + y[2], z[3] + y[3]};
        return lstm_value(sum, nullptr, c_before, &c, saved);
    }

    using Factors = LSTMFactors;
    static __device__ __forceinline__ Factors factors(
        const Real* saved, Real h_before, Real h, Real c_before, Real c) {
        return lstm_factors(saved, c_before, c);
    }

    static __device__ __forceinline__ void derivative(
        const Factors& k, Real dh, Real& dc, Real* dz, Real* dy, Real& leak) {
        lstm_derivative(k, nullptr, dh, &dc, dz);
#pragma unroll
        for (int g = 0; g < GATES; ++g) dy[g] = dz[g];
        leak = 0;
    }
};
