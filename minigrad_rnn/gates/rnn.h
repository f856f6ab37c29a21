// h(t) = f(z),  z = Wc x(t) + b + Wr h(t−1);  f = tanh or relu.
//
// Every cell's equations use, from whoever includes them:
//   Real sigmoid_kept(Real z), tanh_kept(Real z)        what the forward pass keeps of σ(z), tanh(z) for the backward pass
//   Real sigmoid_value(Real kept), tanh_value(kept)     σ(z), tanh(z)
//   Real sigmoid_value_of_minus(Real kept)              σ(−z) = 1 − σ(z)
//   Real sigmoid_slope(Real kept), tanh_slope(kept)     σ'(z), tanh'(z)
//   Real relu(Real z), relu_gradient(Real h, Real dh)   max(z, 0); dh where h > 0, else 0
#pragma once

EQUATION Real rnn_tanh_value(Real z, Real* kept) {
    *kept = tanh_kept(z);
    return tanh_value(*kept);
}

EQUATION Real rnn_tanh_factor(Real kept) { return tanh_slope(kept); }

EQUATION Real rnn_tanh_derivative(Real factor, Real dh) { return dh * factor; }

EQUATION Real rnn_relu_value(Real z) { return relu(z); }

EQUATION Real rnn_relu_derivative(Real h, Real dh) { return relu_gradient(h, dh); }
