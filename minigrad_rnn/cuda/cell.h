// One (example, unit) of one step, for the cells with one product per step: RNN, LSTM, GRU.
#pragma once

template <class Cell>
__device__ __forceinline__ void step_forward(
    const Forward& f, int s, int b, int unit, const Real* z, Real* y, Real& h, Real& c) {
    if (!f.order.padding(s, b)) {
        Real saved[Cell::SAVED + 1];
#pragma unroll
        for (int g = 0; g < Cell::GATES; ++g) y[g] += recurrent_bias(f, g, unit);
        h = Cell::value(z, y, h, c, c, saved);
        const long long at = f.row(s, b) * K_H + unit;
#pragma unroll
        for (int k = 0; k < Cell::SAVED; ++k) f.S[k * f.plane + at] = saved[k];
    }
    if (Cell::HAS_C) f.C[f.row(s + 1, b) * K_H + unit] = c;
    store_state(f, s, b, unit, h);
}

// What the step saved, loaded before the wait for dy(s + 1).
template <class Cell>
struct Past {
    Real saved[Cell::SAVED + 1], h_before, h, c_before, c, dY, dC;
    bool padding;

    __device__ __forceinline__ void load(const Backward& k, int s, int b, int unit) {
        padding = k.order.padding(s, b);
        if (padding) return;
        const long long before = k.row(s, b) * K_H + unit, after = k.row(s + 1, b) * K_H + unit;
#pragma unroll
        for (int i = 0; i < Cell::SAVED; ++i) saved[i] = k.S[i * k.plane + before];
        h_before = k.X[before], h = k.X[after];
        c_before = Cell::HAS_C ? k.C[before] : Real(0), c = Cell::HAS_C ? k.C[after] : Real(0);
        dY = k.arriving(s, b, unit);
        dC = Cell::HAS_C && k.dCs ? k.dCs[before] : Real(0);
    }
};

// dh is Wrᵀ dy(s + 1) plus what bypassed that product; it leaves as the part that bypasses dy(s).
template <class Cell>
__device__ __forceinline__ void step_backward(
    const Backward& k, const Past<Cell>& past, int s, int b, int unit, Real& dh, Real& dc) {
    Real dz[Cell::GATES], dy[Cell::GATES];
#pragma unroll
    for (int g = 0; g < Cell::GATES; ++g) dz[g] = dy[g] = 0;
    if (!past.padding) {
        Real leak;
        dc += past.dC;
        Cell::derivative(past.saved, past.h_before, past.h, past.c_before, past.c, dh + past.dY, dc, dz, dy, leak);
        dh = leak;
    }
    Real* to = k.dY_rows + k.row(s, b) * Cell::GATES * K_H + unit;
#pragma unroll
    for (int g = 0; g < Cell::GATES; ++g) publish(to + g * K_H, dy[g]);
    store_input_gradient<Cell::GATES>(k, s, b, unit, dz);
}
