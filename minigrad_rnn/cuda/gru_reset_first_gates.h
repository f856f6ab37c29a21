// The GRU as published: the reset gate acts on h(t−1) before the product, so a step has two products.
//
// r, z = σ(a_r), σ(a_z)               with a = Wc x(t) + b and y = Wr h(t−1) + br added to it, rows in the order r z n
// q = r · h(t−1);                     n = tanh(a_n + Wr_n q);   h(t) = (1 − z) · n + z · h(t−1)
#pragma once

struct Published {
    static __device__ __forceinline__ Real gates(const Real* a, const Real* y, Real h_before, Real& r, Real& z) {
        r = sigmoid(a[0] + y[0]), z = sigmoid(a[1] + y[1]);
        return r * h_before;
    }

    static __device__ __forceinline__ Real gates_derivative(
        Real r, Real h_before, Real dq, Real& da_r) {  // returns what q passes on to h(t−1)
        da_r = dq * h_before * sigmoid_slope(r);
        return dq * r;
    }

    static __device__ __forceinline__ Real value(Real a_n, Real y_n, Real z, Real h_before, Real& n) {
        n = tanh(a_n + y_n);
        return n + z * (h_before - n);
    }

    static __device__ __forceinline__ void derivative(
        Real z, Real n, Real h_before, Real dh, Real& da_n, Real& da_z, Real& leak) {
        da_n = dh * (Real(1) - z) * tanh_slope(n);
        da_z = dh * (h_before - n) * sigmoid_slope(z);
        leak = dh * z;
    }
};
