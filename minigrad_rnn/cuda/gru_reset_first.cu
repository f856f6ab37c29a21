// The GRU as published, whole sequences in one launch. As forward.cu and backward.cu, with two products and two
// exchanges per step: forward h(t−1) and then q = r · h(t−1), backward the gradient of Wr_n q and then of the gates.
// Between two exchanges of the same kind all blocks meet in the other one, so one buffer each is enough.
#include "words.h"
#include "tile.h"
#include "cluster.h"
#include "exchange.h"
#include "functions.h"
#include "sequence.h"
#include "gru_reset_first_cell.h"

template <int ROWS_A, int COLUMNS_A, int ROWS_B, int COLUMNS_B>
struct TwoProducts {
    using A = Resident<ROWS_A, COLUMNS_A>;
    using B = Resident<ROWS_B, COLUMNS_B>;
    using OfA = Exchange<COLUMNS_A, 1>;
    using OfB = Exchange<COLUMNS_B, 1>;
    static constexpr int X = OfA::SHARED + OfB::SHARED, SHARED = A::SHARED + B::SHARED;
    static constexpr int PART = A::PART > B::PART ? A::PART : B::PART;
};

extern "C" __global__ void CLUSTER_DIMS __launch_bounds__(THREADS, 1) forward(
    const Real* Z, const Real* W0, const Real* W1, const Real* b0, const Real* b1, const int* lengths, Real* X, Real* Q,
    Real* S, Real* Y0, Real* Y1, int T, int B, int backward, int* flag) {
    using Products = TwoProducts<2, H, 1, H>;
    DYNAMIC_SHARED(memory);
    __shared__ int stopped;
    Real* const x = reinterpret_cast<Real*>(memory);
    const typename Products::OfA of_h{x, &stopped, flag};
    const typename Products::OfB of_q{x + Products::OfA::SHARED, &stopped, flag};
    Real *const resident = x + Products::X, *const part = resident + Products::SHARED;
    Carried<4> carried(part + Products::PART);  // h, and within a step r, z and the argument of n

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const int group = blockIdx.y * TILES * BATCH;
    const int tiles = TILES == 1 ? 1 : min(TILES, (B - group + BATCH - 1) / BATCH);
    const long long steps = (long long)T * B * H, rows = (long long)(T + 1) * B * H;
    const Forward f = {
        {lengths, T, B, read_backward(d, backward)}, Z + d * steps * 3, d ? b1 : b0, 0, X + d * rows, Q + d * steps,
        S + d * steps, d ? Y1 : Y0, gridDim.z * steps};

    typename Products::A gates;
    typename Products::B candidate;
    const Real* const W = d ? W1 : W0;
    gates.load(W, (long long)H * H, H, 1, first_unit, resident);
    candidate.load(W + 2ll * H * H, (long long)H * H, H, 1, first_unit, resident + Products::A::SHARED);
    const Biases<3, false> bias(f, unit);
    const Example only = f.order.example(group + pair / UNITS);
    of_h.clear();
    of_q.clear();
    if (threadIdx.x == 0) stopped = 0;
    __syncthreads();  // x is zero
    for (int tile = 0; tile < tiles; ++tile) {
        const int first_b = group + tile * BATCH, b = first_b + pair / UNITS;
        of_h.fill(f.h_before(0, first_b), min(BATCH, B - first_b), 0, tile);
        if (pair < PAIRS && b < B && unit < H) carried(tile, 0) = f.h_before(0, b)[unit];
    }
    all_started();

    const auto abandoned = [&](int s) {
        for_each_pair(B, [&](int b, int unit) { abandon(f, s, b, unit, 3, false); });
    };

    Real *q_to = f.C + f.row(0, group + pair / UNITS) * H + unit, *h_to = f.h(0, group + pair / UNITS) + unit;
    for (int s = 0; s < T; ++s, q_to += (long long)B * H, h_to += (long long)B * H) {
        for (int tile = 0; tile < tiles; ++tile) {
            const int first_b = group + tile * BATCH, b = first_b + pair / UNITS, n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            const Example e = TILES == 1 ? only : f.order.example(b);
            Real a[3], kept[2];
            Real* const to = q_to + tile * BATCH * H;
            typename Products::OfB::Target target;
            if (mine) {
                load_input<3>(f, e, s, unit, a);  // on its way while the block waits
                prefetch_input<3>(f, e, s + 2, unit);
                target = of_q.aim(s, tile, pair / UNITS, unit, to);
            }
            if (s + 2 < T) of_h.prefetch_row(f.h_before(s + 2, first_b), n);
            if (!of_h.receive(f.h_before(s, first_b), n, s, tile, s == 0)) return abandoned(s);
            gates.multiply(of_h.values(s, tile), part);
            __syncthreads();  // part is whole, and x free again
            Real q = 0;
            if (mine) {
                q = reset_first_gates(
                    a[0] + bias.b[0] + Products::A::total(part + pair, 0), a[1] + bias.b[1] + Products::A::total(part + pair, 1),
                    carried(tile, 0), kept);
                if (e.padding(s)) q = 0;  // it is not used
                of_q.send(target, 0, q);
            }
            if (tile == tiles - 1) all_sent();
            if (!mine) continue;
            carried(tile, 1) = kept[0], carried(tile, 2) = kept[1], carried(tile, 3) = a[2] + bias.b[2];
            of_q.keep(to, q);
            store_gates(f, e, s, unit, kept[0], kept[1]);
        }
        for (int tile = 0; tile < tiles; ++tile) {
            const int first_b = group + tile * BATCH, b = first_b + pair / UNITS, n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            const Example e = TILES == 1 ? only : f.order.example(b);
            Real* const to = h_to + tile * BATCH * H;
            typename Products::OfA::Target target;
            if (mine) target = of_h.aim(s + 1, tile, pair / UNITS, unit, to);
            if (!of_q.receive(f.C + f.row(s, first_b) * H, n, s, tile, false)) return abandoned(s);
            candidate.multiply(of_q.values(s, tile), part);
            __syncthreads();  // part is whole, and x free again
            Real h = 0, n_kept = 0;
            if (mine) {
                h = carried(tile, 0);
                const Real z_n = carried(tile, 3) + Products::B::total(part + pair, 0);
                const Real next = reset_first_value(z_n, carried(tile, 2), h, &n_kept);
                h = e.padding(s) ? h : next;
                if (!K_CLUSTER || s + 1 < T) of_h.send(target, 0, h);
            }
            if (tile == tiles - 1 && s + 1 < T) all_sent();
            if (!mine) continue;
            carried(tile, 0) = h;
            of_h.keep(to, h);
            store_candidate(f, e, s, unit, n_kept, h);
        }
    }
}

extern "C" __global__ void CLUSTER_DIMS __launch_bounds__(THREADS, 1) backward(
    const Real* W0, const Real* W1, const int* lengths, const Real* X, const Real* S, const Real* dY0, const Real* dY1,
    const Real* dhT0, const Real* dhT1, Real* dN, Real* dRZ, Real* dZ0, Real* dZ1, Real* dh0, int T, int B, int backward,
    int* flag) {
    using Products = TwoProducts<1, H, 1, 2 * H>;
    DYNAMIC_SHARED(memory);
    __shared__ int stopped;
    Real* const x = reinterpret_cast<Real*>(memory);
    const typename Products::OfA of_n{x, &stopped, flag};
    const typename Products::OfB of_gates{x + Products::OfA::SHARED, &stopped, flag};
    Real *const resident = x + Products::X, *const part = resident + Products::SHARED;
    Carried<4> carried(part + Products::PART);  // dh, and within a step r, h(t−1) σ'(z_r), and the gradient of z's argument

    const int d = blockIdx.z, first_unit = blockIdx.x * UNITS, pair = threadIdx.x, unit = first_unit + pair % UNITS;
    const int group = blockIdx.y * TILES * BATCH;
    const int tiles = TILES == 1 ? 1 : min(TILES, (B - group + BATCH - 1) / BATCH);
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
    const Example only = k.order.example(group + pair / UNITS);
    of_n.clear();
    of_gates.clear();
    if (threadIdx.x == 0) stopped = 0;
    for (int tile = 0; tile < tiles; ++tile) {
        const int b = group + tile * BATCH + pair / UNITS;
        if (pair < PAIRS && b < B && unit < H) carried(tile, 0) = k.dhT[(long long)b * H + unit];
    }
    all_started();

    const auto abandoned = [&](int s) { for_each_pair(B, [&](int b, int unit) { abandon<3>(k, s, b, unit); }); };

    Real* n_to = arriving_at_n + k.row(T - 1, group + pair / UNITS) * H + unit;
    Real* gates_to = k.dY_rows + k.row(T - 1, group + pair / UNITS) * 2 * H + unit;
    for (int s = T - 1; s >= -1; --s, n_to -= (long long)B * H, gates_to -= (long long)B * 2 * H) {
        for (int tile = 0; tile < tiles; ++tile) {
            const int first_b = group + tile * BATCH, b = first_b + pair / UNITS, n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            const Example e = TILES == 1 ? only : k.order.example(b);
            PublishedPast past;
            Real* const to = n_to + tile * BATCH * H;
            typename Products::OfA::Target target;
            Real dh = 0, da_n = 0, da_z = 0;
            if (mine) {
                dh = carried(tile, 0);
                if (s >= 0) {
                    past.load(k, e, s, unit);
                    past.prefetch_to_l2(k, e, s - 2, unit);
                    dh += past.dY;
                    target = of_n.aim(s, tile, pair / UNITS, unit, to);
                }
            }
            if (s < T - 1) {
                if (s > 0) of_gates.prefetch_row(k.dY_rows + k.row(s - 1, first_b) * 2 * H, n);
                if (!of_gates.receive(k.dY_rows + k.row(s + 1, first_b) * 2 * H, n, s + 1, tile, false))
                    return abandoned(s);
                through_gates.multiply(of_gates.values(s + 1, tile), part);
                __syncthreads();  // part is whole, and x free again
            }
            if (mine) {
                if (s < T - 1) dh += Products::B::total(part + pair, 0);
                if (s >= 0) {
                    candidate_backward(past, e.padding(s), dh, da_n, da_z);
                    of_n.send(target, 0, da_n);
                }
            }
            if (tile == tiles - 1 && s >= 0) all_sent();
            if (!mine) continue;
            if (s < 0) {
                k.dh0[(long long)b * H + unit] = dh;
                continue;
            }
            carried(tile, 0) = dh, carried(tile, 1) = past.r, carried(tile, 2) = past.of_r, carried(tile, 3) = da_z;
            of_n.keep(to, da_n);
            if (k.dZ) k.dZ[(k.row(e.time(s), e.b) * 3 + 2) * H + unit] = da_n;
        }
        for (int tile = 0; tile < tiles && s >= 0; ++tile) {
            const int first_b = group + tile * BATCH, b = first_b + pair / UNITS, n = min(BATCH, B - first_b);
            const bool mine = pair < PAIRS && b < B && unit < H;
            const Example e = TILES == 1 ? only : k.order.example(b);
            Real* const to = gates_to + tile * BATCH * 2 * H;
            typename Products::OfB::Target target;
            if (mine) target = of_gates.aim(s, tile, pair / UNITS, unit, to);
            if (!of_n.receive(arriving_at_n + k.row(s, first_b) * H, n, s, tile, false)) return abandoned(s);
            through_n.multiply(of_n.values(s, tile), part);
            __syncthreads();  // part is whole, and x free again
            Real da[2] = {0, 0};
            if (mine) {
                const Real dq = Products::A::total(part + pair, 0);
                carried(tile, 0) += reset_first_gates_derivative(carried(tile, 1), carried(tile, 2), dq, &da[0]);
                da[1] = carried(tile, 3);
                of_gates.send(target, 0, da[0]), of_gates.send(target, H, da[1]);
            }
            if (tile == tiles - 1) all_sent();
            if (!mine) continue;
            of_gates.keep(to, da[0]), of_gates.keep(to + H, da[1]);
            if (!k.dZ) continue;
            Real* const dz = k.dZ + k.row(e.time(s), e.b) * 3 * H + unit;
            dz[0] = da[0], dz[H] = da[1];
        }
    }
}
