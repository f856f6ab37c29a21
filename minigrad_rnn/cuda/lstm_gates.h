// i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)      with z = Wc x(t) + b + Wr h(t−1), rows in the order i f g o
// c(t) = f · c(t−1) + i · g;         h(t) = o · tanh(c(t))
#pragma once

struct Cell {
    static constexpr int GATES = 4, SAVED = 4;
    static constexpr bool HAS_C = true, TWO_GRADIENTS = false;

    static __device__ __forceinline__ Real value(
        const Real* z, const Real* y, Real h_before, Real c_before, Real& c, Real* saved) {
        const Real i = sigmoid(z[0] + y[0]), f = sigmoid(z[1] + y[1]), g = tanh(z[2] + y[2]), o = sigmoid(z[3] + y[3]);
        saved[0] = i, saved[1] = f, saved[2] = g, saved[3] = o;
        c = f * c_before + i * g;
        return o * tanh(c);
    }

    static __device__ __forceinline__ void derivative(
        const Real* saved, Real h_before, Real h, Real c_before, Real c, Real dh, Real& dc, Real* dz, Real* dy,
        Real& leak) {
        const Real i = saved[0], f = saved[1], g = saved[2], o = saved[3], tanh_c = tanh(c);
        dc += dh * o * tanh_slope(tanh_c);
        dy[0] = dz[0] = dc * g * sigmoid_slope(i);
        dy[1] = dz[1] = dc * c_before * sigmoid_slope(f);
        dy[2] = dz[2] = dc * i * tanh_slope(g);
        dy[3] = dz[3] = dh * tanh_c * sigmoid_slope(o);
        dc *= f;
        leak = 0;
    }
};
