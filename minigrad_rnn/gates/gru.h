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

// da[3] are the gradients of Wc x(t) + b, rows r z n; those of Wr h(t−1) + br differ in n: dy_n. leak is the part of
// dh(t−1) that bypasses the product.
EQUATION void gru_derivative(const Real* kept, Real h_before, Real dh, Real* da, Real* dy_n, Real* leak) {
    const Real r = sigmoid_value(kept[0]), n = tanh_value(kept[2]);
    da[2] = dh * sigmoid_value_of_minus(kept[1]) * tanh_slope(kept[2]);
    da[0] = da[2] * kept[3] * sigmoid_slope(kept[0]);
    da[1] = dh * (h_before - n) * sigmoid_slope(kept[1]);
    *dy_n = da[2] * r;
    *leak = dh * sigmoid_value(kept[1]);
}
