// h(t) = f(z),  z = Wc x(t) + b + Wr h(t−1);  f = tanh or relu.
#pragma once

struct Cell {
    static constexpr int GATES = 1, SAVED = 0;
    static constexpr bool HAS_C = false, TWO_GRADIENTS = false;

    static __device__ __forceinline__ Real value(
        const Real* z, const Real* y, Real h_before, Real c_before, Real& c, Real* saved) {
        const Real a = z[0] + y[0];
#ifdef K_RELU
        return a < 0 ? Real(0) : a;
#else
        return tanh(a);
#endif
    }

    static __device__ __forceinline__ void derivative(
        const Real* saved, Real h_before, Real h, Real c_before, Real c, Real dh, Real& dc, Real* dz, Real* dy,
        Real& leak) {
#ifdef K_RELU
        dz[0] = h > 0 ? dh : Real(0) * dh;
#else
        dz[0] = dh * tanh_slope(h);
#endif
        dy[0] = dz[0];
        leak = 0;
    }
};
