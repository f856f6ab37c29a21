// One (example, unit) of one step, for the cells with one product per step: RNN, LSTM, GRU.
#pragma once

template <class Cell>
using BiasesOf = Biases<Cell::GATES, Cell::RECURRENT_BIAS>;

// h(t) from Wc x(t) and Wr h(t−1); c becomes c(t). At padding both stay.
template <class Cell>
__device__ __forceinline__ Real next_h(
    const BiasesOf<Cell>& bias, bool padding, Real* z, Real* y, Real h, Real& c, Real* saved) {
    const Real c_before = c;
#pragma unroll
    for (int g = 0; g < Cell::GATES; ++g) {
        z[g] += bias.b[g];
        if (Cell::RECURRENT_BIAS) y[g] += bias.br[g];
    }
    const Real next = Cell::value(z, y, h, c_before, c, saved);
    c = padding ? c_before : c;
    return padding ? h : next;
}

// All that a step leaves but h, which others wait for.
template <class Cell>
__device__ __forceinline__ void store_step(
    const Forward& f, Example e, int s, int unit, Real h, Real c, const Real* saved) {
    if (!e.padding(s)) {
        const long long at = f.row(s, e.b) * K_H + unit;
#pragma unroll
        for (int k = 0; k < Cell::SAVED; ++k) f.S[k * f.plane + at] = saved[k];
    }
    if (Cell::HAS_C) f.C[f.row(s + 1, e.b) * K_H + unit] = c;
    store_output(f, e, s, unit, h);
}

// What BPTT needs of a step that no other block has to say: made from what the step saved before the wait for dy(s + 1).
// At padding the factors are zero, and so are dz and dy.
template <class Cell>
struct Past {
    typename Cell::Factors factors;
    Real dY, dC;

    __device__ __forceinline__ void load(const Backward& k, Example e, int s, int unit) {
        dY = dC = 0;
        factors = {};
        if (e.padding(s)) return;
        const long long before = k.row(s, e.b) * K_H + unit, after = k.row(s + 1, e.b) * K_H + unit;
        Real saved[Cell::SAVED + 1];
#pragma unroll
        for (int i = 0; i < Cell::SAVED; ++i) saved[i] = k.S[i * k.plane + before];
        const Real h_before = k.X[before], h = k.X[after];
        const Real c_before = Cell::HAS_C ? k.C[before] : Real(0), c = Cell::HAS_C ? k.C[after] : Real(0);
        dY = *k.arriving(e, s, unit);
        if (Cell::HAS_C && k.dCs) dC = k.dCs[before];
        factors = Cell::factors(saved, h_before, h, c_before, c);
    }

    static __device__ __forceinline__ void prefetch_to_l2(const Backward& k, Example e, int s, int unit) {
        if (s < 0) return;
        const long long at = k.row(s, e.b) * K_H + unit;
#pragma unroll
        for (int i = 0; i < Cell::SAVED; ++i) prefetch(k.S + i * k.plane + at);
        prefetch(k.X + at);
        if (Cell::HAS_C) prefetch(k.C + at);
        prefetch(k.arriving(e, s, unit));
    }
};

// From dh(t) and dc(t) in full, dz and dy, and dh and dc of the step before, as far as they bypass dy(s).
template <class Cell>
__device__ __forceinline__ void step_backward(
    const Past<Cell>& past, bool padding, Real& dh, Real& dc, Real* dz, Real* dy) {
    const Real dc_now = dc;
    Real leak;
    if (padding) dc = 0;  // a gradient that is not finite would make zero factors NaN
    Cell::derivative(past.factors, padding ? Real(0) : dh, dc, dz, dy, leak);
    dh = padding ? dh : leak;
    dc = padding ? dc_now : dc;
}
