// i, f, o = σ(z_i), σ(z_f), σ(z_o);  g = tanh(z_g)      with z = Wc x(t) + b + Wr h(t−1), rows in the order i f g o
// c(t) = f · c(t−1) + i · g;         m(t) = o · tanh(c(t)), which is h(t), or what a projection makes h(t) of
//
// With peepholes p = (p_i, p_f, p_o), else a null pointer: z_i += p_i c(t−1), z_f += p_f c(t−1), z_o += p_o c(t).
#pragma once

// kept[4]: what the backward pass needs of i, f, g, o.
EQUATION Real lstm_value(const Real* z, const Real* p, Real c_before, Real* c, Real* kept) {
    kept[0] = sigmoid_kept(p ? z[0] + p[0] * c_before : z[0]);
    kept[1] = sigmoid_kept(p ? z[1] + p[1] * c_before : z[1]);
    kept[2] = tanh_kept(z[2]);
    *c = sigmoid_value(kept[1]) * c_before + sigmoid_value(kept[0]) * tanh_value(kept[2]);
    kept[3] = sigmoid_kept(p ? z[3] + p[2] * *c : z[3]);
    return sigmoid_value(kept[3]) * tanh_value(tanh_kept(*c));
}

// What the gradients of the arguments, and of c, are multiples of: known before dm(t) and dc(t) are.
typedef struct {
    Real of_i, of_f, of_g, of_o, of_c, f;
} LSTMFactors;

EQUATION LSTMFactors lstm_factors(const Real* kept, Real c_before, Real c) {
    const Real kept_of_c = tanh_kept(c);
    LSTMFactors k;
    k.f = sigmoid_value(kept[1]);
    k.of_i = tanh_value(kept[2]) * sigmoid_slope(kept[0]);
    k.of_f = c_before * sigmoid_slope(kept[1]);
    k.of_g = sigmoid_value(kept[0]) * tanh_slope(kept[2]);
    k.of_o = tanh_value(kept_of_c) * sigmoid_slope(kept[3]);
    k.of_c = sigmoid_value(kept[3]) * tanh_slope(kept_of_c);
    return k;
}

// dc(t) in full: what arrived from later steps, and through m(t) and a peephole. Leaves dz[3] on its way.
EQUATION Real lstm_dc(LSTMFactors k, const Real* p, Real dm, Real dc, Real* dz) {
    dz[3] = dm * k.of_o;
    const Real d = dc + dm * k.of_c;
    return p ? d + p[2] * dz[3] : d;
}

// dm is the gradient of m(t); dc arrives as that of c(t) from later steps and leaves as that of c(t−1).
EQUATION void lstm_derivative(LSTMFactors k, const Real* p, Real dm, Real* dc, Real* dz) {
    const Real d = lstm_dc(k, p, dm, *dc, dz);
    dz[0] = d * k.of_i;
    dz[1] = d * k.of_f;
    dz[2] = d * k.of_g;
    *dc = p ? d * k.f + p[0] * dz[0] + p[1] * dz[1] : d * k.f;
}
