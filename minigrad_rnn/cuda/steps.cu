// Two launches a step: the array library multiplies, and one of these kernels computes what lies between two products
// for all examples, units and directions. For weights too large to stay in the multiprocessors.
#include "words.h"
#include "functions.h"
#include K_CELL
#include "sequence.h"
#include "cell.h"

// y (D, B, G·H) is Wr h(t−1).
extern "C" __global__ void forward_step(
    const Real* Z, const Real* b0, const Real* b1, const Real* br0, const Real* br1, const int* lengths, Real* X, Real* C,
    Real* S, Real* Y0, Real* Y1, const Real* products, int T, int B, int backward, int s) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, d = blockIdx.z;
    if (i >= B * K_H) return;
    const int b = i / K_H, unit = i % K_H;
    const long long steps = (long long)T * B * K_H, rows = (long long)(T + 1) * B * K_H;
    const Forward f = {
        {lengths, T, B, read_backward(d, backward)}, Z + d * steps * Cell::GATES, d ? b1 : b0, d ? br1 : br0,
        X + d * rows, C + d * rows, S + d * steps, d ? Y1 : Y0, gridDim.z * steps};
    const Example e = f.order.example(b);
    Real z[Cell::GATES], y[Cell::GATES], saved[Cell::SAVED + 1];
    load_input<Cell::GATES>(f, e, s, unit, z);
#pragma unroll
    for (int g = 0; g < Cell::GATES; ++g) y[g] = products[((d * B + b) * Cell::GATES + g) * (long long)K_H + unit];
    Real c = Cell::HAS_C ? f.C[f.row(s, b) * K_H + unit] : Real(0);
    const Real h = next_h<Cell>(
        BiasesOf<Cell>(f, unit), e.padding(s), z, y, f.h_before(s, b)[unit], c, saved);
    publish(f.h(s, b) + unit, h);
    store_step<Cell>(f, e, s, unit, h, c, saved);
}

// dh and dc (D, B, H) are carried from step to step; products (D, B, H) is Wrᵀ dy(s + 1), and not there at s = T − 1.
extern "C" __global__ void backward_step(
    const int* lengths, const Real* X, const Real* C, const Real* S, const Real* dY0, const Real* dY1, const Real* dC0,
    const Real* dC1, Real* dY_rows, Real* dZ0, Real* dZ1, const Real* products, Real* dh, Real* dc, int T, int B,
    int backward, int s) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, d = blockIdx.z;
    if (i >= B * K_H) return;
    const int b = i / K_H, unit = i % K_H;
    const long long steps = (long long)T * B * K_H, rows = (long long)(T + 1) * B * K_H, at = (long long)d * B * K_H + i;
    const Backward k = {
        {lengths, T, B, read_backward(d, backward)}, X + d * rows, C + d * rows, S + d * steps, d ? dY1 : dY0,
        d ? dC1 : dC0, 0, 0, dY_rows + d * steps * Cell::GATES, d ? dZ1 : dZ0, 0, 0, gridDim.z * steps};
    const Example e = k.order.example(b);
    Past<Cell> past;
    past.load(k, e, s, unit);
    Real dz[Cell::GATES], dy[Cell::GATES];
    Real h_now = dh[at] + past.dY + (s < T - 1 ? products[at] : Real(0)), c_now = Cell::HAS_C ? dc[at] + past.dC : Real(0);
    step_backward<Cell>(past, e.padding(s), h_now, c_now, dz, dy);
#pragma unroll
    for (int g = 0; g < Cell::GATES; ++g) publish(k.dY_rows + k.row(s, b) * Cell::GATES * K_H + g * K_H + unit, dy[g]);
    store_input_gradient<Cell::GATES>(k, e, s, unit, dz);
    dh[at] = h_now;
    if (Cell::HAS_C) dc[at] = c_now;
}
