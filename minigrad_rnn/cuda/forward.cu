// A whole sequence forward in one launch: each block keeps its rows of Wr, and per step receives h(t−1), multiplies,
// applies the gates to its units and sends h(t).
//
// Grid: (blocks of units, blocks of examples, directions). Polled: all at the same time, and X is UNWRITTEN but for h(−1).
#include "words.h"
#include "tile.h"
#include "cluster.h"
#include "exchange.h"
#include "functions.h"
#include K_CELL
#include "sequence.h"
#include "cell.h"

using Product = Resident<Cell::GATES, H>;

extern "C" __global__ void CLUSTER_DIMS __launch_bounds__(THREADS, 1) forward(
    const Real* Z, const Real* W0, const Real* W1, const Real* b0, const Real* b1, const Real* br0, const Real* br1,
    const int* lengths, Real* X, Real* C, Real* S, Real* Y0, Real* Y1, int T, int B, int backward, int* flag) {
    DYNAMIC_SHARED(memory);
    __shared__ int stopped;
    const Exchange<H, 2> exchange{reinterpret_cast<Real*>(memory), &stopped, flag};
    Real* const resident = exchange.x + exchange.SHARED;
    Real* const part = resident + Product::SHARED;
    Carried<2> carried(part + Product::PART);  // h and c

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const int group = blockIdx.y * TILES * BATCH, tiles = TILES == 1 ? 1 : min(TILES, (B - group + BATCH - 1) / BATCH);
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H;
    const Forward f = {
        {lengths, T, B, read_backward(d, backward)}, Z + d * steps * Cell::GATES, d ? b1 : b0, d ? br1 : br0,
        X + d * rows, C + d * rows, S + d * steps, d ? Y1 : Y0, gridDim.z * steps};

    Product product;
    product.load(d ? W1 : W0, (long long)H * H, H, 1, first_unit, resident);
    const BiasesOf<Cell> bias(f, unit);
    const Example only = f.order.example(group + pair / UNITS);
    exchange.clear();
    if (threadIdx.x == 0) stopped = 0;
    __syncthreads();  // x is zero
    for (int tile = 0; tile < tiles; ++tile) {
        const int first_b = group + tile * BATCH, b = first_b + pair / UNITS;
        exchange.fill(f.h_before(0, first_b), min(BATCH, B - first_b), 0, tile);
        if (pair >= PAIRS || b >= B || unit >= H) continue;
        carried(tile, 0) = f.h_before(0, b)[unit];
        if (Cell::HAS_C) carried(tile, 1) = f.C[(long long)b * H + unit];
    }
    all_started();

    const auto abandoned = [&](int s) {
        for_each_pair(B, [&](int b, int unit) { abandon(f, s, b, unit, Cell::SAVED, Cell::HAS_C); });
    };

    Real* row_to = f.h(0, group + pair / UNITS) + unit;  // of h(s) of the first tile
    for (int s = 0; s < T; ++s, row_to += (long long)B * H)
        for (int tile = 0; tile < tiles; ++tile) {
            const int first_b = group + tile * BATCH, b = first_b + pair / UNITS, n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            const Example e = TILES == 1 ? only : f.order.example(b);
            Real z[Cell::GATES], y[Cell::GATES], saved[Cell::SAVED + 1], h, c;
            Real* const to = row_to + tile * BATCH * H;
            typename Exchange<H, 2>::Target target;
            if (mine) {
                load_input<Cell::GATES>(f, e, s, unit, z);  // on its way while the block waits
                prefetch_input<Cell::GATES>(f, e, s + 2, unit);
                target = exchange.aim(s + 1, tile, pair / UNITS, unit, to);
            }
            if (s + 2 < T) exchange.prefetch_row(f.h_before(s + 2, first_b), n);
            if (!exchange.receive(f.h_before(s, first_b), n, s, tile, s == 0)) return abandoned(s);
            product.multiply(exchange.values(s, tile), part);
            __syncthreads();  // part is whole, and x free again
            if (mine) {
#pragma unroll
                for (int g = 0; g < Cell::GATES; ++g) y[g] = Product::total(part + pair, g);
                c = Cell::HAS_C ? carried(tile, 1) : Real(0);
                h = next_h<Cell>(bias, e.padding(s), z, y, carried(tile, 0), c, saved);
                if (!K_CLUSTER || s + 1 < T) exchange.send(target, 0, h);
            }
            if (tile == tiles - 1 && s + 1 < T) all_sent();
            if (!mine) continue;
            carried(tile, 0) = h;
            if (Cell::HAS_C) carried(tile, 1) = c;
            exchange.keep(to, h);
            store_step<Cell>(f, e, s, unit, h, c, saved);
        }
}
