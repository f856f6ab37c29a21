// BPTT of a whole sequence in one launch: each block keeps its columns of Wr, and per step gathers dy(t+1), the
// gradient of Wr h(t) + br, multiplies to get dh(t), applies the gates' derivatives and publishes its units' dy(t).
//
// Grid: (blocks of units, blocks of examples, directions), all at the same time. dY_rows is UNWRITTEN.
#include "exchange.h"
#include "tile.h"
#include "functions.h"
#include K_CELL
#include "sequence.h"
#include "cell.h"

constexpr int ROW = Cell::GATES * H;
using Product = Resident<1, ROW>;

extern "C" __global__ void __launch_bounds__(THREADS, 1) backward(
    const Real* W0, const Real* W1, const int* lengths, const Real* X, const Real* C, const Real* S, const Real* dY0,
    const Real* dY1, const Real* dC0, const Real* dC1, const Real* dhT0, const Real* dhT1, const Real* dcT0,
    const Real* dcT1, Real* dY_rows, Real* dZ0, Real* dZ1, Real* dh0, Real* dc0, int T, int B, int backward, int* flag) {
    DYNAMIC_SHARED(memory);
    Real* const x = reinterpret_cast<Real*>(memory);
    Real* const resident = x + BATCH * padded(ROW);
    Real* const part = resident + Product::SHARED;
    Real* const state = part + Product::PART;  // dh and dc of every pair of every tile
    __shared__ int stopped;

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H, one = (long long)B * H;
    const Backward k = {
        {lengths, T, B, read_backward(d, backward)}, X + d * rows, C + d * rows, S + d * steps, d ? dY1 : dY0,
        d ? dC1 : dC0, d ? dhT1 : dhT0, d ? dcT1 : dcT0, dY_rows + d * steps * Cell::GATES, d ? dZ1 : dZ0, dh0 + d * one,
        dc0 ? dc0 + d * one : 0, gridDim.z * steps};

    Product product;
    product.load(d ? W1 : W0, 0, 1, H, first_unit, resident);
    for (int i = threadIdx.x; i < BATCH * padded(ROW); i += THREADS) x[i] = 0;
    if (threadIdx.x == 0) stopped = 0;
    for (int tile = 0; tile < TILES; ++tile) {
        const int b = (blockIdx.y * TILES + tile) * BATCH + pair / UNITS;
        if (pair >= PAIRS || b >= B || unit >= H) continue;
        state[(2 * tile) * PAIRS + pair] = k.dhT[(long long)b * H + unit];
        if (Cell::HAS_C) state[(2 * tile + 1) * PAIRS + pair] = k.dcT[(long long)b * H + unit];
    }
    __syncthreads();  // x is zero and the weights are there

    const auto abandoned = [&](int s) {
        for_each_pair(B, [&](int b, int unit) { abandon<Cell::GATES>(k, s, b, unit); });
    };

    for (int s = T - 1; s >= -1; --s)
        for (int tile = 0; tile < TILES; ++tile) {
            const int first_b = (blockIdx.y * TILES + tile) * BATCH, b = first_b + pair / UNITS;
            if (first_b >= B) break;
            const bool mine = pair < PAIRS && b < B && unit < H;
            Past<Cell> past;
            if (mine && s >= 0) past.load(k, s, b, unit);  // on its way while the block waits
            if (s < T - 1) {
                const Real* from = k.dY_rows + k.row(s + 1, first_b) * ROW;
                if (!gather<ROW>(from, min(BATCH, B - first_b), x, true, flag)) stopped = 1;
                __syncthreads();  // x is whole
                if (stopped) return abandoned(s);
                product.multiply(x, part);
                __syncthreads();  // part is whole, and x free again
            }
            if (!mine) continue;
            Real& dh = state[(2 * tile) * PAIRS + pair];
            Real& dc = state[(2 * tile + 1) * PAIRS + pair];
            if (s < T - 1) dh += Product::total(part, 0);
            if (s >= 0) {
                step_backward<Cell>(k, past, s, b, unit, dh, dc);
                continue;
            }
            k.dh0[(long long)b * H + unit] = dh;
            if (Cell::HAS_C) k.dc0[(long long)b * H + unit] = dc;
        }
}
