// r, z = σ(z_r), σ(z_z)               with the arguments Wc x(t) + b + Wr h(t−1) + br
// n = tanh(a_n + r · y_n)             with a = Wc x(t) + b and y = Wr h(t−1) + br
// h(t) = (1 − z) · n + z · h(t−1)
#pragma once

// kept[4]: what the backward pass needs of r, z, n, and y_n.
EQUATION Real gru_value(Real z_r, Real z_z, Real a_n, Real y_n, Real h_before, Real* kept) {
    kept[0] = sigmoid_kept(z_r);
    kept[1] = sigmoid_kept(z_z);
    kept[2] = tanh_kept(a_n + sigmoid_value(kept[0]) * y_n);
    kept[3] = y_n;
    const Real n = tanh_value(kept[2]);
    return n + sigmoid_value(kept[1]) * (h_before - n);
}

// What the gradients are multiples of: known before dh(t) is.
typedef struct {
    Real of_r, of_z, of_n, r, z;
} GRUFactors;

EQUATION GRUFactors gru_factors(const Real* kept, Real h_before) {
    GRUFactors k;
    k.r = sigmoid_value(kept[0]);
    k.z = sigmoid_value(kept[1]);
    k.of_r = kept[3] * sigmoid_slope(kept[0]);
    k.of_z = (h_before - tanh_value(kept[2])) * sigmoid_slope(kept[1]);
    k.of_n = sigmoid_value_of_minus(kept[1]) * tanh_slope(kept[2]);
    return k;
}

// da[3] are the gradients of Wc x(t) + b, rows r z n; those of Wr h(t−1) + br differ in n: dy_n. leak is the part of
// dh(t−1) that bypasses the product.
EQUATION void gru_derivative(GRUFactors k, Real dh, Real* da, Real* dy_n, Real* leak) {
    da[2] = dh * k.of_n;
    da[0] = da[2] * k.of_r;
    da[1] = dh * k.of_z;
    *dy_n = da[2] * k.r;
    *leak = dh * k.z;
}
