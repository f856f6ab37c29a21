// The GRU as published, whole sequences in one launch. As forward.cu and backward.cu, with two products and two
// exchanges per step: forward h(t−1) and then q = r · h(t−1), backward the gradient of Wr_n q and then of the gates.
#include "exchange.h"
#include "tile.h"
#include "functions.h"
#include "sequence.h"
#include "gru_reset_first_cell.h"

template <int ROWS_A, int COLUMNS_A, int ROWS_B, int COLUMNS_B>
struct TwoProducts {
    using A = Resident<ROWS_A, COLUMNS_A>;
    using B = Resident<ROWS_B, COLUMNS_B>;
    static constexpr int X_A = BATCH * padded(COLUMNS_A), X = X_A + BATCH * padded(COLUMNS_B);
    static constexpr int SHARED = A::SHARED + B::SHARED;
    static constexpr int PART = A::PART > B::PART ? A::PART : B::PART;
};

extern "C" __global__ void __launch_bounds__(THREADS, 1) forward(
    const Real* Z, const Real* W0, const Real* W1, const Real* b0, const Real* b1, const int* lengths, Real* X, Real* Q,
    Real* S, Real* Y0, Real* Y1, int T, int B, int backward, int* flag) {
    using Products = TwoProducts<2, H, 1, H>;
    DYNAMIC_SHARED(memory);
    Real *const x = reinterpret_cast<Real*>(memory), *const x_b = x + Products::X_A;
    Real* const resident = x + Products::X;
    Real* const part = resident + Products::SHARED;
    Real* const state = part + Products::PART;  // h of every pair of every tile
    __shared__ int stopped;

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H;
    const Forward f = {
        {lengths, T, B, read_backward(d, backward)}, Z + d * steps * 3, d ? b1 : b0, 0, X + d * rows, Q + d * steps,
        S + d * steps, d ? Y1 : Y0, gridDim.z * steps};

    typename Products::A gates;
    typename Products::B candidate;
    const Real* const W = d ? W1 : W0;
    gates.load(W, (long long)H * H, H, 1, first_unit, resident);
    candidate.load(W + 2ll * H * H, (long long)H * H, H, 1, first_unit, resident + Products::A::SHARED);
    for (int i = threadIdx.x; i < Products::X; i += THREADS) x[i] = 0;
    if (threadIdx.x == 0) stopped = 0;
    for (int tile = 0; tile < TILES; ++tile) {
        const int b = (blockIdx.y * TILES + tile) * BATCH + pair / UNITS;
        if (pair < PAIRS && b < B && unit < H) state[tile * PAIRS + pair] = f.h_before(0, b)[unit];
    }
    __syncthreads();  // x is zero and the weights are there

    const auto abandoned = [&](int s) {
        for_each_pair(B, [&](int b, int unit) { abandon(f, s, b, unit, 3, false); });
    };

    for (int s = 0; s < T; ++s)
        for (int tile = 0; tile < TILES; ++tile) {
            const int first_b = (blockIdx.y * TILES + tile) * BATCH, b = first_b + pair / UNITS;
            if (first_b >= B) break;
            const int n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            Real& h = state[tile * PAIRS + (mine ? pair : 0)];
            Real a[3], r, z;
            if (mine) load_input<3>(f, s, b, unit, a);  // on its way while the block waits
            if (!gather<H>(f.h_before(s, first_b), n, x, s > 0, flag)) stopped = 1;
            __syncthreads();  // x is whole
            if (stopped) return abandoned(s);
            gates.multiply(x, part);
            __syncthreads();  // part is whole, and x free again
            if (mine) {
                const Real y[2] = {Products::A::total(part, 0), Products::A::total(part, 1)};
                published_gates(f, s, b, unit, a, y, h, r, z);
            }
            if (!gather<H>(f.C + f.row(s, first_b) * H, n, x_b, true, flag)) stopped = 1;
            __syncthreads();  // x is whole
            if (stopped) return abandoned(s);
            candidate.multiply(x_b, part);
            __syncthreads();  // part is whole, and x free again
            if (mine) published_candidate(f, s, b, unit, a[2], Products::B::total(part, 0), r, z, h);
        }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) backward(
    const Real* W0, const Real* W1, const int* lengths, const Real* X, const Real* S, const Real* dY0, const Real* dY1,
    const Real* dhT0, const Real* dhT1, Real* dN, Real* dRZ, Real* dZ0, Real* dZ1, Real* dh0, int T, int B, int backward,
    int* flag) {
    using Products = TwoProducts<1, H, 1, 2 * H>;
    DYNAMIC_SHARED(memory);
    Real *const x = reinterpret_cast<Real*>(memory), *const x_b = x + Products::X_A;
    Real* const resident = x + Products::X;
    Real* const part = resident + Products::SHARED;
    Real* const state = part + Products::PART;  // dh of every pair of every tile
    __shared__ int stopped;

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H, one = (long long)B * H;
    const Backward k = {
        {lengths, T, B, read_backward(d, backward)}, X + d * rows, 0, S + d * steps, d ? dY1 : dY0, 0,
        d ? dhT1 : dhT0, 0, dRZ + d * steps * 2, d ? dZ1 : dZ0, dh0 + d * one, 0, gridDim.z * steps};
    Real* const arriving_at_n = dN + d * steps;

    typename Products::A through_n;
    typename Products::B through_gates;
    const Real* const W = d ? W1 : W0;
    through_n.load(W + 2ll * H * H, 0, 1, H, first_unit, resident);
    through_gates.load(W, 0, 1, H, first_unit, resident + Products::A::SHARED);
    for (int i = threadIdx.x; i < Products::X; i += THREADS) x[i] = 0;
    if (threadIdx.x == 0) stopped = 0;
    for (int tile = 0; tile < TILES; ++tile) {
        const int b = (blockIdx.y * TILES + tile) * BATCH + pair / UNITS;
        if (pair < PAIRS && b < B && unit < H) state[tile * PAIRS + pair] = k.dhT[(long long)b * H + unit];
    }
    __syncthreads();  // x is zero and the weights are there

    const auto abandoned = [&](int s) { for_each_pair(B, [&](int b, int unit) { abandon<3>(k, s, b, unit); }); };

    for (int s = T - 1; s >= -1; --s)
        for (int tile = 0; tile < TILES; ++tile) {
            const int first_b = (blockIdx.y * TILES + tile) * BATCH, b = first_b + pair / UNITS;
            if (first_b >= B) break;
            const int n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            Real& dh = state[tile * PAIRS + (mine ? pair : 0)];
            PublishedPast past;
            if (mine && s >= 0) past.load(k, s, b, unit);  // on its way while the block waits
            if (s < T - 1) {
                if (!gather<2 * H>(k.dY_rows + k.row(s + 1, first_b) * 2 * H, n, x_b, true, flag)) stopped = 1;
                __syncthreads();  // x is whole
                if (stopped) return abandoned(s);
                through_gates.multiply(x_b, part);
                __syncthreads();  // part is whole, and x free again
                if (mine) dh += Products::B::total(part, 0);
            }
            if (s < 0) {
                if (mine) k.dh0[(long long)b * H + unit] = dh;
                continue;
            }
            Real da[3];
            if (mine) published_candidate_backward(k, past, arriving_at_n, s, b, unit, dh, da);
            if (!gather<H>(arriving_at_n + k.row(s, first_b) * H, n, x, true, flag)) stopped = 1;
            __syncthreads();  // x is whole
            if (stopped) return abandoned(s);
            through_n.multiply(x, part);
            __syncthreads();  // part is whole, and x free again
            if (mine) published_gates_backward(k, past, s, b, unit, Products::A::total(part, 0), dh, da);
        }
}
