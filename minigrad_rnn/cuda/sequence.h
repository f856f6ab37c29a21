// Where the arrays of a sequence lie, and what one thread does to one (example, unit) of one step between products.
// Both kernel implementations use it: one launch for all steps ("persistent"), and two launches a step.
//
// A step is counted in read order, s; t is the time step. D directions: the last of two is read backward.
#pragma once

struct Order {
    const int* lengths;  // (B,), or null where there is no padding
    int T, B;
    bool backward;

    __device__ __forceinline__ struct Example example(int b) const;
};

// The steps of one example. What a thread knows of it stays in registers while it waits for others.
struct Example {
    int b, length;
    bool backward;

    __device__ __forceinline__ bool padding(int s) const { return s >= length; }
    // Padding stays where it is.
    __device__ __forceinline__ int time(int s) const { return backward && s < length ? length - 1 - s : s; }
};

__device__ __forceinline__ Example Order::example(int b) const {
    b = min(b, B - 1);  // a thread beyond the last example has nothing to do, and asks all the same
    return {b, lengths ? lengths[b] : T, backward};
}

__device__ __forceinline__ bool read_backward(int direction, int backward) { return backward || direction == 1; }

// Arrays of one direction in the forward pass.
struct Forward {
    Order order;
    const Real *Z, *b, *br;  // Wc x(t) in time order (T, B, G·H); biases (G·H,) or null
    Real *X, *C;             // h(−1), then every h in read order (T + 1, B, H); the same of c
    Real *S, *Y;             // what BPTT reads (T, B, H) each; outputs in time order (T, B, H) or null
    long long plane;         // from one array of S to the next

    __device__ __forceinline__ long long row(int s, int b) const { return (long long)s * order.B + b; }
    __device__ __forceinline__ Real* h_before(int s, int b) const { return X + row(s, b) * K_H; }
    __device__ __forceinline__ Real* h(int s, int b) const { return X + row(s + 1, b) * K_H; }
};

// Wc x(t), without its bias: nothing waits for it before the product is there.
template <int GATES>
__device__ __forceinline__ void load_input(const Forward& f, Example e, int s, int unit, Real* z) {
    const Real* const from = f.Z + f.row(e.time(s), e.b) * GATES * K_H + unit;
#pragma unroll
    for (int g = 0; g < GATES; ++g) z[g] = from[g * K_H];
}

template <int GATES>
__device__ __forceinline__ void prefetch_input(const Forward& f, Example e, int s, int unit) {
    if (s >= f.order.T) return;
    const Real* const from = f.Z + f.row(e.time(s), e.b) * GATES * K_H + unit;
#pragma unroll
    for (int g = 0; g < GATES; ++g) prefetch(from + g * K_H);
}

// The biases of one unit.
template <int GATES, bool RECURRENT>
struct Biases {
    Real b[GATES], br[GATES];

    __device__ __forceinline__ Biases(const Forward& f, int unit) {
#pragma unroll
        for (int g = 0; g < GATES; ++g) {
            const int at = g * K_H + min(unit, K_H - 1);
            b[g] = f.b ? f.b[at] : Real(0);
            br[g] = RECURRENT && f.br ? f.br[at] : Real(0);
        }
    }
};

// Beyond a sequence's length the state stays as it was, and the output is zero.
__device__ __forceinline__ void store_output(const Forward& f, Example e, int s, int unit, Real h) {
    if (f.Y) f.Y[f.row(e.time(s), e.b) * K_H + unit] = e.padding(s) ? Real(0) : h;
}

// A block that gave up waiting at step s writes NaN wherever it would have written, so that no earlier contents pass
// for a result. What other blocks poll for stays unwritten.
__device__ __forceinline__ void abandon(const Forward& f, int s, int b, int unit, int saved, bool has_c) {
    const Real nan = value_of(UNWRITTEN);
    const Example e = f.order.example(b);
#pragma unroll 1
    for (; s < f.order.T; ++s) {
        const long long at = f.row(s, b) * K_H + unit;
        if (f.Y) f.Y[f.row(e.time(s), b) * K_H + unit] = nan;
        if (has_c) f.C[f.row(s + 1, b) * K_H + unit] = nan;
        for (int k = 0; k < saved; ++k) f.S[k * f.plane + at] = nan;
    }
}

// Arrays of one direction in the backward pass.
struct Backward {
    Order order;
    const Real *X, *C, *S;
    const Real *dY, *dCs;   // (T, B, H) gradients of the outputs, in time order; of every c in read order, or null
    const Real *dhT, *dcT;  // (B, H), gradients of the last state
    Real *dY_rows;          // gradient of Wr h(t−1), in read order (T, B, G·H)
    Real *dZ;               // gradient of Wc x(t), in time order (T, B, G·H), or null where it is the same
    Real *dh0, *dc0;        // (B, H)
    long long plane;

    __device__ __forceinline__ long long row(int s, int b) const { return (long long)s * order.B + b; }
    __device__ __forceinline__ const Real* arriving(Example e, int s, int unit) const {
        return dY + row(e.time(s), e.b) * K_H + unit;
    }
};

template <int GATES>
__device__ __forceinline__ void store_input_gradient(const Backward& k, Example e, int s, int unit, const Real* dz) {
    if (!k.dZ) return;
    Real* to = k.dZ + k.row(e.time(s), e.b) * GATES * K_H + unit;
#pragma unroll
    for (int g = 0; g < GATES; ++g) to[g * K_H] = dz[g];
}

template <int GATES>
__device__ __forceinline__ void abandon(const Backward& k, int s, int b, int unit) {
    const Real nan = value_of(UNWRITTEN);
    const Example e = k.order.example(b);
#pragma unroll 1
    for (; k.dZ && s >= 0; --s) {
        Real* const to = k.dZ + k.row(e.time(s), b) * GATES * K_H + unit;
        for (int g = 0; g < GATES; ++g) to[g * K_H] = nan;
    }
    k.dh0[(long long)b * K_H + unit] = nan;
    if (k.dc0) k.dc0[(long long)b * K_H + unit] = nan;
}
