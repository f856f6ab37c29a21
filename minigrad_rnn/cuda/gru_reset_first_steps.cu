// The GRU as published with the array library's products: four launches a step, two of them products.
#include "words.h"
#include "functions.h"
#include "sequence.h"
#include "gru_reset_first_cell.h"

struct Place {
    int i, d, b, unit;
    bool inside;
    long long steps, rows;

    __device__ Place(int T, int B)
        : i(blockIdx.x * blockDim.x + threadIdx.x), d(blockIdx.z), b(i / K_H), unit(i % K_H), inside(i < B * K_H),
          steps((long long)T * B * K_H), rows((long long)(T + 1) * B * K_H) {}
};

__device__ __forceinline__ Forward forward_of(
    const Place& p, const Real* Z, const Real* b0, const Real* b1, const int* lengths, Real* X, Real* Q, Real* S, Real* Y0,
    Real* Y1, int T, int B, int backward) {
    return {{lengths, T, B, read_backward(p.d, backward)}, Z + p.d * p.steps * 3, p.d ? b1 : b0, 0, X + p.d * p.rows,
            Q + p.d * p.steps, S + p.d * p.steps, p.d ? Y1 : Y0, gridDim.z * p.steps};
}

// y (D, B, 2H) is Wr_rz h(t−1). r and z wait in S.
extern "C" __global__ void gates_step(
    const Real* Z, const Real* b0, const Real* b1, const int* lengths, Real* X, Real* Q, Real* S, Real* Y0, Real* Y1,
    const Real* products, int T, int B, int backward, int s) {
    const Place p(T, B);
    if (!p.inside) return;
    const Forward f = forward_of(p, Z, b0, b1, lengths, X, Q, S, Y0, Y1, T, B, backward);
    const Example e = f.order.example(p.b);
    const Biases<3, false> bias(f, p.unit);
    Real a[3], kept[2];
    load_input<3>(f, e, s, p.unit, a);
    const Real* const y = products + (long long)(p.d * B + p.b) * 2 * K_H + p.unit;
    const Real q = reset_first_gates(
        a[0] + bias.b[0] + y[0], a[1] + bias.b[1] + y[K_H], f.h_before(s, p.b)[p.unit], kept);
    publish(f.C + f.row(s, p.b) * K_H + p.unit, e.padding(s) ? Real(0) : q);
    store_gates(f, e, s, p.unit, kept[0], kept[1]);
}

// y (D, B, H) is Wr_n q.
extern "C" __global__ void candidate_step(
    const Real* Z, const Real* b0, const Real* b1, const int* lengths, Real* X, Real* Q, Real* S, Real* Y0, Real* Y1,
    const Real* products, int T, int B, int backward, int s) {
    const Place p(T, B);
    if (!p.inside) return;
    const Forward f = forward_of(p, Z, b0, b1, lengths, X, Q, S, Y0, Y1, T, B, backward);
    const Example e = f.order.example(p.b);
    const Biases<3, false> bias(f, p.unit);
    Real a[3], n = 0, h = f.h_before(s, p.b)[p.unit];
    load_input<3>(f, e, s, p.unit, a);
    if (!e.padding(s)) {
        const Real kept_z = f.S[f.plane + f.row(s, p.b) * K_H + p.unit];
        h = reset_first_value(a[2] + bias.b[2] + products[(long long)p.d * B * K_H + p.i], kept_z, h, &n);
    }
    publish(f.h(s, p.b) + p.unit, h);
    store_candidate(f, e, s, p.unit, n, h);
}

__device__ __forceinline__ Backward backward_of(
    const Place& p, const int* lengths, const Real* X, const Real* S, const Real* dY0, const Real* dY1, Real* dRZ,
    Real* dZ0, Real* dZ1, int T, int B, int backward) {
    return {{lengths, T, B, read_backward(p.d, backward)}, X + p.d * p.rows, 0, S + p.d * p.steps, p.d ? dY1 : dY0, 0, 0,
            0, dRZ + p.d * p.steps * 2, p.d ? dZ1 : dZ0, 0, 0, gridDim.z * p.steps};
}

// dh (D, B, H) is carried from step to step; products (D, B, H) is Wr_rzᵀ of step s + 1, and not there at s = T − 1.
// The gradient of z's argument waits in its row of dY_rows.
extern "C" __global__ void candidate_step_backward(
    const int* lengths, const Real* X, const Real* S, const Real* dY0, const Real* dY1, Real* dN, Real* dRZ, Real* dZ0,
    Real* dZ1, const Real* products, Real* dh, int T, int B, int backward, int s) {
    const Place p(T, B);
    if (!p.inside) return;
    const Backward k = backward_of(p, lengths, X, S, dY0, dY1, dRZ, dZ0, dZ1, T, B, backward);
    const Example e = k.order.example(p.b);
    PublishedPast past;
    past.load(k, e, s, p.unit);
    const long long at = (long long)p.d * B * K_H + p.i, place = k.row(s, p.b);
    Real now = dh[at] + past.dY + (s < T - 1 ? products[at] : Real(0)), da_n, da_z;
    candidate_backward(past, e.padding(s), now, da_n, da_z);
    dh[at] = now;
    publish(dN + p.d * p.steps + place * K_H + p.unit, da_n);
    publish(k.dY_rows + place * 2 * K_H + K_H + p.unit, da_z);
}

// products (D, B, H) is Wr_nᵀ of this step.
extern "C" __global__ void gates_step_backward(
    const int* lengths, const Real* X, const Real* S, const Real* dY0, const Real* dY1, Real* dN, Real* dRZ, Real* dZ0,
    Real* dZ1, const Real* products, Real* dh, int T, int B, int backward, int s) {
    const Place p(T, B);
    if (!p.inside) return;
    const Backward k = backward_of(p, lengths, X, S, dY0, dY1, dRZ, dZ0, dZ1, T, B, backward);
    const Example e = k.order.example(p.b);
    const long long at = (long long)p.d * B * K_H + p.i, place = k.row(s, p.b);
    PublishedPast past;
    past.load(k, e, s, p.unit);
    Real* const to = k.dY_rows + place * 2 * K_H + p.unit;
    Real da[3] = {0, to[K_H], (dN + p.d * p.steps)[place * K_H + p.unit]};
    dh[at] += reset_first_gates_derivative(past.r, past.of_r, products[at], &da[0]);
    publish(to, da[0]);
    store_input_gradient<3>(k, e, s, p.unit, da);
}
