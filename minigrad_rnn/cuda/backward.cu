// BPTT of a whole sequence in one launch: each block keeps its columns of Wr, and per step receives dy(t+1), the
// gradient of Wr h(t) + br, multiplies to get dh(t), applies the gates' derivatives and sends its units' dy(t).
//
// Grid: (blocks of units, blocks of examples, directions). Polled: all at the same time, and dY_rows is UNWRITTEN.
#include "words.h"
#include "tile.h"
#include "cluster.h"
#include "exchange.h"
#include "functions.h"
#include K_CELL
#include "sequence.h"
#include "cell.h"

constexpr int ROW = Cell::GATES * H;
using Product = Resident<1, ROW>;

extern "C" __global__ void CLUSTER_DIMS __launch_bounds__(THREADS, 1) backward(
    const Real* W0, const Real* W1, const int* lengths, const Real* X, const Real* C, const Real* S, const Real* dY0,
    const Real* dY1, const Real* dC0, const Real* dC1, const Real* dhT0, const Real* dhT1, const Real* dcT0,
    const Real* dcT1, Real* dY_rows, Real* dZ0, Real* dZ1, Real* dh0, Real* dc0, int T, int B, int backward, int* flag) {
    DYNAMIC_SHARED(memory);
    __shared__ int stopped;
    const Exchange<ROW, 2> exchange{reinterpret_cast<Real*>(memory), &stopped, flag};
    Real* const resident = exchange.x + exchange.SHARED;
    Real* const part = resident + Product::SHARED;
    Carried<2> carried(part + Product::PART);  // dh and dc

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const int group = blockIdx.y * TILES * BATCH, tiles = TILES == 1 ? 1 : min(TILES, (B - group + BATCH - 1) / BATCH);
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H, one = (long long)B * H;
    const Backward k = {
        {lengths, T, B, read_backward(d, backward)}, X + d * rows, C + d * rows, S + d * steps, d ? dY1 : dY0,
        d ? dC1 : dC0, d ? dhT1 : dhT0, d ? dcT1 : dcT0, dY_rows + d * steps * Cell::GATES, d ? dZ1 : dZ0, dh0 + d * one,
        dc0 ? dc0 + d * one : 0, gridDim.z * steps};

    Product product;
    product.load(d ? W1 : W0, 0, 1, H, first_unit, resident);
    const Example only = k.order.example(group + pair / UNITS);
    exchange.clear();
    if (threadIdx.x == 0) stopped = 0;
    for (int tile = 0; tile < tiles; ++tile) {
        const int b = group + tile * BATCH + pair / UNITS;
        if (pair >= PAIRS || b >= B || unit >= H) continue;
        carried(tile, 0) = k.dhT[(long long)b * H + unit];
        if (Cell::HAS_C) carried(tile, 1) = k.dcT[(long long)b * H + unit];
    }
    all_started();

    const auto abandoned = [&](int s) {
        for_each_pair(B, [&](int b, int unit) { abandon<Cell::GATES>(k, s, b, unit); });
    };

    Real* row_to = k.dY_rows + k.row(T - 1, group + pair / UNITS) * ROW + unit;  // of dy(s) of the first tile
    for (int s = T - 1; s >= -1; --s, row_to -= (long long)B * ROW)
        for (int tile = 0; tile < tiles; ++tile) {
            const int first_b = group + tile * BATCH, b = first_b + pair / UNITS, n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            const Example e = TILES == 1 ? only : k.order.example(b);
            Past<Cell> past;
            Real dz[Cell::GATES], dy[Cell::GATES];
            Real* const to = row_to + tile * BATCH * ROW;
            typename Exchange<ROW, 2>::Target target;
            Real dh = 0, dc = 0;
            if (mine) {
                dh = carried(tile, 0);
                if (Cell::HAS_C) dc = carried(tile, 1);
                if (s >= 0) {
                    past.load(k, e, s, unit);
                    past.prefetch_to_l2(k, e, s - 2, unit);
                    dh += past.dY, dc += past.dC;
                    target = exchange.aim(s, tile, pair / UNITS, unit, to);
                }
            }
            if (s < T - 1) {
                if (s > 0) exchange.prefetch_row(k.dY_rows + k.row(s - 1, first_b) * ROW, n);
                if (!exchange.receive(k.dY_rows + k.row(s + 1, first_b) * ROW, n, s + 1, tile, false))
                    return abandoned(s);
                product.multiply(exchange.values(s + 1, tile), part);
                __syncthreads();  // part is whole, and x free again
            }
            if (mine) {
                if (s < T - 1) dh += Product::total(part + pair, 0);
                if (s >= 0) {
                    step_backward<Cell>(past, e.padding(s), dh, dc, dz, dy);
#pragma unroll
                    for (int g = 0; g < Cell::GATES; ++g) exchange.send(target, g * H, dy[g]);
                }
                carried(tile, 0) = dh;
                if (Cell::HAS_C) carried(tile, 1) = dc;
            }
            if (tile == tiles - 1 && s >= 0) all_sent();
            if (!mine) continue;
            if (s >= 0) {
#pragma unroll
                for (int g = 0; g < Cell::GATES; ++g) exchange.keep(to + g * H, dy[g]);
                store_input_gradient<Cell::GATES>(k, e, s, unit, dz);
                continue;
            }
            k.dh0[(long long)b * H + unit] = carried(tile, 0);
            if (Cell::HAS_C) k.dc0[(long long)b * H + unit] = carried(tile, 1);
        }
}
