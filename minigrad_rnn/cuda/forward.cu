// A whole sequence forward in one launch: each block keeps its rows of Wr, and per step gathers h(t−1), multiplies,
// applies the gates to its units and publishes h(t).
//
// Grid: (blocks of units, blocks of examples, directions), all at the same time. X is UNWRITTEN but for h(−1).
#include "exchange.h"
#include "tile.h"
#include "functions.h"
#include K_CELL
#include "sequence.h"
#include "cell.h"

using Product = Resident<Cell::GATES, H>;

extern "C" __global__ void __launch_bounds__(THREADS, 1) forward(
    const Real* Z, const Real* W0, const Real* W1, const Real* b0, const Real* b1, const Real* br0, const Real* br1,
    const int* lengths, Real* X, Real* C, Real* S, Real* Y0, Real* Y1, int T, int B, int backward, int* flag) {
    DYNAMIC_SHARED(memory);
    Real* const x = reinterpret_cast<Real*>(memory);
    Real* const resident = x + BATCH * padded(H);
    Real* const part = resident + Product::SHARED;
    Real* const state = part + Product::PART;  // h and c of every pair of every tile
    __shared__ int stopped;

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H;
    const Forward f = {
        {lengths, T, B, read_backward(d, backward)}, Z + d * steps * Cell::GATES, d ? b1 : b0, d ? br1 : br0,
        X + d * rows, C + d * rows, S + d * steps, d ? Y1 : Y0, gridDim.z * steps};

    Product product;
    product.load(d ? W1 : W0, (long long)H * H, H, 1, first_unit, resident);
    for (int i = threadIdx.x; i < BATCH * padded(H); i += THREADS) x[i] = 0;
    if (threadIdx.x == 0) stopped = 0;
    for (int tile = 0; tile < TILES; ++tile) {
        const int b = (blockIdx.y * TILES + tile) * BATCH + pair / UNITS;
        if (pair >= PAIRS || b >= B || unit >= H) continue;
        state[(2 * tile) * PAIRS + pair] = f.h_before(0, b)[unit];
        if (Cell::HAS_C) state[(2 * tile + 1) * PAIRS + pair] = f.C[(long long)b * H + unit];
    }
    __syncthreads();  // x is zero and the weights are there

    const auto abandoned = [&](int s) {
        for_each_pair(B, [&](int b, int unit) { abandon(f, s, b, unit, Cell::SAVED, Cell::HAS_C); });
    };

    for (int s = 0; s < T; ++s)
        for (int tile = 0; tile < TILES; ++tile) {
            const int first_b = (blockIdx.y * TILES + tile) * BATCH, b = first_b + pair / UNITS;
            if (first_b >= B) break;
            const bool mine = pair < PAIRS && b < B && unit < H;
            Real z[Cell::GATES], y[Cell::GATES];
            if (mine) load_input<Cell::GATES>(f, s, b, unit, z);  // on its way while the block waits
            if (!gather<H>(f.h_before(s, first_b), min(BATCH, B - first_b), x, s > 0, flag)) stopped = 1;
            __syncthreads();  // x is whole
            if (stopped) return abandoned(s);
            product.multiply(x, part);
            __syncthreads();  // part is whole, and x free again
            if (!mine) continue;
#pragma unroll
            for (int g = 0; g < Cell::GATES; ++g) y[g] = Product::total(part, g);
            Real& h = state[(2 * tile) * PAIRS + pair];
            Real& c = state[(2 * tile + 1) * PAIRS + pair];
            step_forward<Cell>(f, s, b, unit, z, y, h, c);
        }
}
