// The weights' gradients: products of the gates' gradients with x(t), h(t−1) and so on over all rows (t, example).
//
// The rows are taken in blocks of ROWS, whose sums are added one after the other: what is added to what does not depend on
// the number of threads, which share the rows of the gradients among them.
#pragma once

#include "backward.h"

#define ROWS 512L

// One gradient: rows of dz, units of the values that they meet.
typedef struct {
    enum { OF_X, OF_H, OF_Q, OF_M } values;
    Gates gates;
    long width;   // of the values
    scalar* out;  // (gates · H, width) or, with OF_M, (P, H)
} Gradient;

// The values of `count` rows from row (k, j) on, columns at … at + some, into panel[n][width].
static void pack_values(
    const Sequence* s, const Gradient* g, long k, long j, long count, long at, long width, scalar* panel) {
    const long some = least(width, g->width - at);
    for (long n = first_row(s, k) + j; count > 0; --count, ++n, panel += width) {
        const scalar* row = 0;
        if (g->values == OF_X) row = x_row(s, k, j) + at;
        else if (g->values == OF_H) row = h_before_row(s, k, j) + at;
        else if (g->values == OF_M) row = s->m + n * s->H + at;
        if (g->values == OF_Q) {
            for (long unit = at; unit < at + some; unit += LANES) {
                store_up_to(panel + unit - at, load(z_row(s, unit / LANES, n)), at + some - unit);
            }
        } else if (some == 4 * LANES) {
            for (long m = 0; m < 4; ++m) store(panel + m * LANES, load(row + m * LANES));
        } else {
            memcpy(panel, row, some * sizeof(scalar));
        }
        if (some < width) memset(panel + some, 0, (width - some) * sizeof(scalar));
        if (++j == active(s, k)) j = 0, ++k;
    }
}

// Adds (the first ones: writes) the products of `count` rows of z, a row every `step` numbers, with packed values to rows
// of the gradient, one for each of z's next `units` numbers; `some` of the M vectors' columns are there.
static void add_products(
    long units, long M, long count, const scalar* values, const scalar* z, long step, scalar* const* out, long some,
    int first) {
    const long width = M * LANES;
    for (long from = 0, end; from < units; from = end) {
        end = group_end(from, units, TILE_COLUMNS[M]);
        if (some == width) {
            multiply_outer(M, end - from, first, count, values, z + from, step, out + from);
            continue;
        }
        scalar sums[MOST_COLUMNS * 4 * LANE_COUNT] __attribute__((aligned(64)));
        scalar* to[MOST_COLUMNS];
        for (long r = from; r < end; ++r) {
            to[r - from] = sums + (r - from) * width;
            if (!first) memcpy(to[r - from], out[r], some * sizeof(scalar));
        }
        multiply_outer(M, end - from, first, count, values, z + from, step, to);
        for (long r = from; r < end; ++r) memcpy(out[r], to[r - from], some * sizeof(scalar));
    }
}

static void add_panel(const Sequence* s, const Gradient* g, long panel, long n0, long count, long at, const scalar* values) {
    const long M = vectors_of_panel(g->width), some = least(M * LANES, g->width - at);
    scalar* out[4 * LANE_COUNT];
    if (g->values == OF_M) {
        const long from = panel * 4 * LANES, units = least(4 * LANES, s->P - from);
        for (long r = 0; r < units; ++r) out[r] = g->out + (from + r) * g->width + at;
        add_products(units, M, count, values, s->D + n0 * s->P + from, s->P, out, some, !n0);
        return;
    }
    const scalar* const z = z_row(s, panel, n0) + g->gates.from * LANES;
    long begun = 0, units = 0;  // of the numbers of z that follow each other without a gap
    for (long v = 0; v < g->gates.count; ++v) {
        const long unit = unit_block(s, panel, g->gates.from + v) * LANES, lanes = least(LANES, s->H - unit);
        for (long lane = 0; lane < lanes; ++lane) {
            out[units++] = g->out + (g->gates.gate[v] * s->H + unit + lane) * g->width + at;
        }
        if (units && (lanes < LANES || v == g->gates.count - 1)) {
            add_products(units, M, count, values, z + begun, s->M * LANES, out, some, !n0);
            units = 0;
        }
        if (!units) begun = (v + 1) * LANES;
    }
}

// Σ_n dz(n) of a panel's vectors, added to the rows of a bias's gradient.
static void add_bias(const Sequence* s, Gates gates, long panel, long n0, long count, scalar* db) {
    for (long v = 0; v < gates.count; ++v) {
        const long m = gates.from + v, unit = unit_block(s, panel, m) * LANES;
        const scalar* z = z_row(s, panel, n0) + m * LANES;
        Real sum = {0};
        for (long n = 0; n < count; ++n, z += s->M * LANES) sum += load(z);
        if (unit < s->H) {
            scalar* const out = db + gates.gate[v] * s->H + unit;
            store_up_to(out, n0 ? load_up_to(out, s->H - unit) + sum : sum, s->H - unit);
        }
    }
}

// The peepholes': Σ dz_i c(t−1), Σ dz_f c(t−1), Σ dz_o c(t).
static void add_peepholes(const Sequence* s, long unit, long k, long j, long n0, long count) {
    const scalar* z = z_row(s, unit, n0);
    Real sum[3] = {{0}, {0}, {0}};
    for (; count > 0; --count, z += 4 * LANES) {
        const Real before = load(c_row(s, unit, k - 1, j)), after = load(c_row(s, unit, k, j));
        sum[0] += load(z) * before;
        sum[1] += load(z + LANES) * before;
        sum[2] += load(z + 3 * LANES) * after;
        if (++j == active(s, k)) j = 0, ++k;
    }
    for (long gate = 0; gate < 3; ++gate) {
        scalar* const out = s->dp + gate * s->H + unit * LANES;
        const long lanes = s->H - unit * LANES;
        store_up_to(out, n0 ? load_up_to(out, lanes) + sum[gate] : sum[gate], lanes);
    }
}

// Returns 0, or 1 if there is no memory.
static int weight_gradients_part(const Sequence* s, long part, long parts) {
    Gradient gradients[4];
    int count = 0;
    if (s->dWc) gradients[count++] = (Gradient){OF_X, gates_of_input(s), s->I, s->dWc};
    if (s->dWr) gradients[count++] = (Gradient){OF_H, gates_of_state(s), s->P, s->dWr};
    if (s->dWr && s->kind == GRU_RESET_FIRST) {
        gradients[count++] = (Gradient){OF_Q, gates_of_candidate(), s->H, s->dWr};
    }
    if (s->dWp) gradients[count++] = (Gradient){OF_M, {0, 0, {0}}, s->H, s->dWp};
    scalar* const values = aligned_alloc(64, ROWS * 4 * LANES * sizeof(scalar));
    if (!values) return 1;
    long tasks = 0;
    for (int g = 0; g < count; ++g) {
        const long panels = gradients[g].values == OF_M ? blocks_of(s->P, 4 * LANES) : s->panels;
        tasks += panels * blocks_of(gradients[g].width, vectors_of_panel(gradients[g].width) * LANES);
    }
    const long first = tasks * part / parts, last = tasks * (part + 1) / parts;
    const long first_panel = s->panels * part / parts, last_panel = s->panels * (part + 1) / parts;
    long k = 0, j = 0;
    for (long n0 = 0; n0 < s->rows; n0 += ROWS) {
        const long rows = least(ROWS, s->rows - n0);
        while (first_row(s, k) + active(s, k) <= n0) ++k;
        j = n0 - first_row(s, k);
        long task = 0;
        for (int g = 0; g < count; ++g) {
            const long panels = gradients[g].values == OF_M ? blocks_of(s->P, 4 * LANES) : s->panels;
            const long width = vectors_of_panel(gradients[g].width) * LANES;
            for (long at = 0; at < gradients[g].width; at += width, task += panels) {
                if (task + panels <= first || task >= last) continue;
                pack_values(s, &gradients[g], k, j, rows, at, width, values);
                for (long panel = 0; panel < panels; ++panel) {
                    if (task + panel >= first && task + panel < last) {
                        add_panel(s, &gradients[g], panel, n0, rows, at, values);
                    }
                }
            }
        }
        for (long panel = first_panel; panel < last_panel; ++panel) {
            if (s->db) add_bias(s, gates_of_input(s), panel, n0, rows, s->db);
            if (s->dbr) add_bias(s, gates_of_state(s), panel, n0, rows, s->dbr);
            if (s->dp) add_peepholes(s, panel, k, j, n0, rows);
        }
    }
    free(values);
    return 0;
}
