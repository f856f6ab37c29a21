// The RNN as cell.h takes it. What BPTT needs is h itself.
#pragma once
#include "../gates/rnn.h"

struct Cell {
    static constexpr int GATES = 1, SAVED = 0;
    static constexpr bool HAS_C = false, RECURRENT_BIAS = false;

    static __device__ __forceinline__ Real value(
        const Real* z, const Real* y, Real h_before, Real c_before, Real& c, Real* saved) {
#ifdef K_RELU
        return rnn_relu_value(z[0] + y[0]);
#else
        return rnn_tanh_value(z[0] + y[0], saved);
#endif
    }

    using Factors = Real;
    static __device__ __forceinline__ Factors factors(
        const Real* saved, Real h_before, Real h, Real c_before, Real c) {
#ifdef K_RELU
        return h;
#else
        return rnn_tanh_factor(h);
#endif
    }

    static __device__ __forceinline__ void derivative(
        const Factors& k, Real dh, Real& dc, Real* dz, Real* dy, Real& leak) {
#ifdef K_RELU
        dy[0] = dz[0] = rnn_relu_derivative(k, dh);
#else
        dy[0] = dz[0] = rnn_tanh_derivative(k, dh);
#endif
        leak = 0;
    }
};
