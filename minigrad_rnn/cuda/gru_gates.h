// r, z = σ(a_r), σ(a_z)               with a = Wc x(t) + b and y = Wr h(t−1) + br added to it, rows in the order r z n
// n = tanh(a_n + r · y_n);            h(t) = (1 − z) · n + z · h(t−1)
#pragma once

struct Cell {
    static constexpr int GATES = 3, SAVED = 4;
    static constexpr bool HAS_C = false, TWO_GRADIENTS = true;

    static __device__ __forceinline__ Real value(
        const Real* a, const Real* y, Real h_before, Real c_before, Real& c, Real* saved) {
        const Real r = sigmoid(a[0] + y[0]), z = sigmoid(a[1] + y[1]), n = tanh(a[2] + r * y[2]);
        saved[0] = r, saved[1] = z, saved[2] = n, saved[3] = y[2];
        return n + z * (h_before - n);
    }

    // da is the gradient of Wc x(t) + b, dy that of Wr h(t−1) + br: they differ in n.
    static __device__ __forceinline__ void derivative(
        const Real* saved, Real h_before, Real h, Real c_before, Real c, Real dh, Real& dc, Real* da, Real* dy,
        Real& leak) {
        const Real r = saved[0], z = saved[1], n = saved[2], y_n = saved[3];
        da[2] = dh * (Real(1) - z) * tanh_slope(n);
        dy[0] = da[0] = da[2] * y_n * sigmoid_slope(r);
        dy[1] = da[1] = dh * (h_before - n) * sigmoid_slope(z);
        dy[2] = da[2] * r;
        leak = dh * z;
    }
};
