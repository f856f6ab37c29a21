// The GRU as published: the reset gate acts on h(t−1) before the product, so a step has two products.
//
// r, z = σ(z_r), σ(z_z)               with the arguments Wc x(t) + b + Wr h(t−1)
// q = r · h(t−1);                     n = tanh(a_n + Wr_n q), a = Wc x(t) + b;   h(t) = (1 − z) · n + z · h(t−1)
#pragma once

// kept[2]: what the backward pass needs of r and z. Returns q.
EQUATION Real reset_first_gates(Real z_r, Real z_z, Real h_before, Real* kept) {
    kept[0] = sigmoid_kept(z_r);
    kept[1] = sigmoid_kept(z_z);
    return sigmoid_value(kept[0]) * h_before;
}

// kept_n: what the backward pass needs of n. Returns h(t).
EQUATION Real reset_first_value(Real z_n, Real kept_z, Real h_before, Real* kept_n) {
    *kept_n = tanh_kept(z_n);
    const Real n = tanh_value(*kept_n);
    return n + sigmoid_value(kept_z) * (h_before - n);
}

// What the gradients are multiples of: known before dh(t) is.
typedef struct {
    Real of_z, of_n, z;
} CandidateFactors;

EQUATION CandidateFactors candidate_factors(Real kept_z, Real kept_n, Real h_before) {
    CandidateFactors k;
    k.z = sigmoid_value(kept_z);
    k.of_z = (h_before - tanh_value(kept_n)) * sigmoid_slope(kept_z);
    k.of_n = sigmoid_value_of_minus(kept_z) * tanh_slope(kept_n);
    return k;
}

// From dh(t) the gradients of the arguments of n and z, and the part of dh(t−1) that bypasses the products.
EQUATION void candidate_derivative(CandidateFactors k, Real dh, Real* da_n, Real* da_z, Real* leak) {
    *da_n = dh * k.of_n;
    *da_z = dh * k.of_z;
    *leak = dh * k.z;
}

// From dq = Wr_nᵀ da_n the gradient of r's argument, with of_r = h(t−1) σ'(z_r). Returns what q passes on to h(t−1).
EQUATION Real reset_first_gates_derivative(Real kept_r, Real of_r, Real dq, Real* da_r) {
    *da_r = dq * of_r;
    return dq * sigmoid_value(kept_r);
}
