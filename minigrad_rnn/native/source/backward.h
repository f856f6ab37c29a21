// Back-propagation through time of some columns, from the last step to the first: the gradients of the gates' arguments
// into Z, of xs, of the initial state; and dh(t) of every row where a projection's gradient needs it.
#pragma once

#include "forward.h"
#include "gates_backward.h"

#define SOME_ROWS 8

// The same sums, in the same order, with weights that were not packed: a few rows of W at a time meet all columns.
static void multiply_back_unpacked(
    const Sequence* s, Gates gates, const scalar* W, long units, const scalar* const* z, long count, scalar* const* out) {
    const long panel_step = s->rows * s->M * LANES;
    for (long panel = 0; panel < s->panels; ++panel) {
        for (long v = 0; v < gates.count; ++v) {
            const long unit = unit_block(s, panel, gates.from + v) * LANES, lanes = least(LANES, s->H - unit);
            const scalar* const rows = W + (gates.gate[v] * s->H + unit) * units;
            for (long lane = 0; lane < lanes; lane += SOME_ROWS) {
                const long some = least(SOME_ROWS, lanes - lane);
                for (long c = 0; c < count; ++c) {
                    const scalar* const of_rows = z[c] + panel * panel_step + v * LANES + lane;
                    for (long at = 0; at < units; at += LANES) {
                        Real sum = load_up_to(out[c] + at, units - at);
                        for (long r = 0; r < some; ++r) {
                            sum += load_up_to(rows + (lane + r) * units + at, units - at) * of_rows[r];
                        }
                        store_up_to(out[c] + at, sum, units - at);
                    }
                }
            }
        }
    }
    for (long c = 0; s->H % LANES && c < count; ++c) {  // packed weights are zero past the last unit: −0 becomes +0
        for (long at = 0; at < units; at += LANES) {
            store_up_to(out[c] + at, load_up_to(out[c] + at, units - at) + SCALAR(0.0), units - at);
        }
    }
}

// out (columns, width) += the products of neighbouring rows of Z with packed columns of a weight.
static void multiply_back(
    const Sequence* s, Gates gates, const scalar* packed, const scalar* W, long units, const scalar* z0, long count,
    scalar* out, long out_step, const Member* me) {
    if (!packed) {
        for (long c = 0; c < count; ++c) {
            const scalar* const z = z0 + (c * s->M + gates.from) * LANES;
            scalar* const to = out + c * out_step;
            multiply_back_unpacked(s, gates, W, units, &z, 1, &to);
        }
        return;
    }
    const long M = vectors_of_panel(units), width = M * LANES;
    const Inputs in = {s->panels, gates.count * LANES, s->rows * s->M * LANES};
    const Span share = share_of(me, blocks_of(units, width));
    const long last = least(units, share.to * width), step = in.segments * in.length * width;
    packed += share.from * step;
    for (long at = share.from * width; at < last; at += width, packed += step) {
        for (long from = 0, end; from < count; from = end) {
            end = group_end(from, count, TILE_COLUMNS[M]);
            const scalar* z[MOST_COLUMNS];
            scalar* to[MOST_COLUMNS];
            for (long c = from; c < end; ++c) {
                z[c - from] = z0 + (c * s->M + gates.from) * LANES;
                to[c - from] = out + c * out_step + at;
            }
            multiply(M, end - from, in, packed, z, to);
        }
    }
}

// dx of the columns of some steps.
static void input_gradients(
    const Sequence* s, long from_k, long to_k, Span span, const scalar** z, scalar** dx, const Member* me) {
    const Gates gates = gates_of_input(s);
    const long M = vectors_of_panel(s->I), width = M * LANES;
    const Inputs in = {s->panels, gates.count * LANES, s->rows * s->M * LANES};
    const scalar* packed = s->packed_WcT;
    long n = 0;
    for (long k = from_k; k < to_k; ++k) {
        for (long j = span.from; j < active_to(s, span, k); ++j, ++n) {
            z[n] = z_row(s, 0, first_row(s, k) + j) + gates.from * LANES;
            dx[n] = s->dxs + (time_of(s, k, j) * s->B + example_of(s, j)) * s->I;
        }
    }
    const Span share = share_of(me, n);
    z += share.from, dx += share.from, n = share.to - share.from;
    if (!packed) {
        for (long c = 0; c < n; ++c) memset(dx[c], 0, s->I * sizeof(scalar));
        multiply_back_unpacked(s, gates, s->Wc, s->I, z, n, dx);
        return;
    }
    for (long at = 0; at < s->I; at += width, packed += in.segments * in.length * width) {
        for (long from = 0, end; from < n; from = end) {
            end = group_end(from, n, TILE_COLUMNS[M]);
            scalar sums[MOST_COLUMNS * 4 * (VECTOR_BYTES / sizeof(scalar))] __attribute__((aligned(64)));
            scalar* to[MOST_COLUMNS];
            memset(sums, 0, (end - from) * width * sizeof(scalar));
            for (long c = from; c < end; ++c) to[c - from] = sums + (c - from) * width;
            multiply(M, end - from, in, packed, z + from, to);
            for (long c = from; c < end; ++c) {
                memcpy(dx[c] + at, to[c - from], least(width, s->I - at) * sizeof(scalar));
            }
        }
    }
}

// dm = Wpᵀ dh into `dm`, dh itself into D.
static void unproject(const Sequence* s, const Carried* now, long n0, scalar* dm, long dm_step) {
    const long M = vectors_of_panel(s->H), width = M * LANES;
    for (long j = 0; j < now->count; ++j) {
        scalar *const dh = now->dh + j * now->width, *const row = s->D + (n0 + j) * s->P;
        for (long unit = 0; unit < s->P; unit += LANES) {
            store_up_to(row + unit, arriving(s, now, j, unit, s->P - unit), s->P - unit);
        }
        memset(dh, 0, now->width * sizeof(scalar));
        memset(dm + j * dm_step, 0, dm_step * sizeof(scalar));
    }
    for (long at = 0; at < s->H; at += width) {
        for (long from = 0, end; from < now->count; from = end) {
            end = group_end(from, now->count, TILE_COLUMNS[M]);
            const scalar* rows[MOST_COLUMNS];
            scalar* to[MOST_COLUMNS];
            for (long j = from; j < end; ++j) {
                rows[j - from] = s->D + (n0 + j) * s->P;
                to[j - from] = dm + j * dm_step + at;
            }
            multiply(M, end - from, (Inputs){1, s->P, 0}, s->packed_WpT + at * s->P, rows, to);
        }
    }
}

// dh(t) of one step's columns into dh_steps; a member's own units, for the others change theirs.
static void keep_dh(const Sequence* s, const Carried* now, long k, long from, const Member* me) {
    const Span panels = share_of(me, s->panels);
    const long units = LANES * (is_simple(s) ? s->M : 1);
    const long first = panels.from * units, last = s->Wp ? s->P : least(s->P, panels.to * units);
    for (long j = 0; j < now->count; ++j) {
        scalar* const row = s->dh_steps + (time_of(s, k, from + j) * s->B + example_of(s, from + j)) * s->P;
        for (long unit = first; unit < last; unit += LANES) {
            store_up_to(row + unit, arriving(s, now, j, unit, s->P - unit), s->P - unit);
        }
    }
}

typedef struct {
    const scalar **dhs, **h_before, **h, **dcs;
    scalar** dc_steps;
    scalar *dh, *dc, *dq;  // dq: also dm
    long width, units;
    const scalar** z;      // of a chunk's rows
    scalar** dx;
} BackwardMemory;

static void backward_step(const Sequence* s, long k, Span now, BackwardMemory* memory, const Member* me) {
    const long n0 = first_row(s, k) + now.from, count = now.to - now.from, row_step = s->M * LANES;
    scalar* const z0 = z_row(s, 0, n0);
    const long panel_step = s->rows * row_step;
    for (long j = now.from; j < now.to; ++j) {
        const long c = j - now.from, t = time_of(s, k, j), b = example_of(s, j);
        memory->dhs[c] = s->dhs + t * s->dhs_step + b * s->dhs_example;
        memory->h_before[c] = h_before_row(s, k, j);
        memory->h[c] = h_row(s, k, j);
        if (s->dcs) memory->dcs[c] = s->dcs + (t * s->B + b) * s->H;
        if (s->dc_steps) memory->dc_steps[c] = s->dc_steps + (t * s->B + b) * s->H;
    }
    Carried carried = {count, s->dhs ? memory->dhs : 0, memory->h_before, memory->h, s->dcs ? memory->dcs : 0,
                       memory->dh, memory->dc, memory->dq, memory->width, memory->units,
                       s->dc_steps ? memory->dc_steps : 0};
    if (s->dh_steps) keep_dh(s, &carried, k, now.from, me);
    const Carried of_h = carried;
    if (s->Wp) {  // the gates meet dm in the place of dh
        unproject(s, &carried, n0, memory->dq, memory->units);
        carried.dhs = 0, carried.dh = memory->dq, carried.width = memory->units;
    }
    const Span panels = share_of(me, s->panels);
    for (long panel = panels.from; panel < panels.to; ++panel) {
        scalar* const z = z0 + panel * panel_step;
        const long unit = unit_block(s, panel, 0) * LANES;
        if (s->kind == LSTM) {
            lstm_gates_backward(
                s, &carried, z, c_row(s, panel, k - 1, now.from), c_row(s, panel, k, now.from), unit);
        } else if (s->kind == GRU) {
            gru_gates_backward(s, &carried, z, unit);
        } else if (s->kind == GRU_RESET_FIRST) {
            reset_first_candidate_backward(s, &carried, z, unit);
        } else {
            rnn_gates_backward(s, &carried, z, unit);
        }
    }
    if (s->kind == GRU_RESET_FIRST) {
        multiply_back(
            s, gates_of_candidate(), s->packed_WnT, s->Wr, s->H, z0, count, memory->dq, memory->width, me);
        for (long panel = 0; panel < s->panels; ++panel) {
            reset_first_gates_backward(s, &carried, z0 + panel * panel_step, panel * LANES);
        }
    }
    meet(me);
    multiply_back(s, gates_of_state(s), s->packed_WrT, s->Wr, s->P, z0, count, of_h.dh, of_h.width, me);
}

INLINE long padded_width(long units) {
    const long width = vectors_of_panel(units) * LANES;
    return blocks_of(units, width) * width;
}

// Returns 0, or 1 if there is no memory.
static int backward_part(const Sequence* s, long part, long parts) {
    const int shared = in_a_team(s, parts) && s->packed_WrT;
    const Span span = columns_of_part(s, shared ? 0 : part, shared ? 1 : parts);
    const long columns = span.to - span.from;
    if (!columns) return 0;
    const long steps = least(s->T, s->chunk / columns > 1 ? s->chunk / columns : 1);
    BackwardMemory memory = {.width = padded_width(s->P), .units = padded_width(s->H)};
    const long numbers = columns * (memory.width + 2 * memory.units), pointers = (5 + 2 * steps) * columns;
    char* const block = calloc(1, pointers * sizeof(void*) + numbers * sizeof(scalar));
    if (!block) return 1;
    memory.dhs = (const scalar**)block;
    memory.h_before = memory.dhs + columns, memory.h = memory.h_before + columns, memory.dcs = memory.h + columns;
    memory.dc_steps = (scalar**)(memory.dcs + columns), memory.z = (const scalar**)(memory.dc_steps + columns);
    memory.dx = (scalar**)(memory.z + steps * columns);
    memory.dh = (scalar*)(memory.dx + steps * columns);
    memory.dc = memory.dh + columns * memory.width;
    memory.dq = memory.dc + columns * memory.units;
    for (long j = span.from; (!shared || !part) && j < span.to; ++j) {
        const long b = example_of(s, j), c = j - span.from;
        memcpy(memory.dh + c * memory.width, s->dhT + b * s->P, s->P * sizeof(scalar));
        if (s->kind == LSTM) memcpy(memory.dc + c * memory.units, s->dcT + b * s->H, s->H * sizeof(scalar));
        for (long t = length_of(s, j); s->dxs && t < s->T; ++t) {
            memset(s->dxs + (t * s->B + b) * s->I, 0, s->I * sizeof(scalar));
        }
    }
    if (shared && !part) s->team->dh = memory.dh, s->team->dc = memory.dc;
    Member me = !shared ? ALONE : part ? join(s->team) : lead(s->team, parts);
    int goes_on = me.size > 0;
    if (goes_on && me.rank) memory.dh = s->team->dh, memory.dc = s->team->dc;
    for (long to = s->T; goes_on && to > 0; to -= steps) {
        const long from = to > steps ? to - steps : 0;
        for (long k = to; goes_on && k-- > from;) {
            const Span now = {span.from, active_to(s, span, k)};
            if (now.from < now.to) backward_step(s, k, now, &memory, &me);
            goes_on = end_step(&me);
        }
        if (goes_on && s->dxs) input_gradients(s, from, to, span, memory.z, memory.dx, &me);
    }
    for (long j = span.from; goes_on && !me.rank && j < span.to; ++j) {
        const long b = example_of(s, j), c = j - span.from;
        memcpy(s->dh0 + b * s->P, memory.dh + c * memory.width, s->P * sizeof(scalar));
        if (s->kind == LSTM) memcpy(s->dc0 + b * s->H, memory.dc + c * memory.units, s->H * sizeof(scalar));
    }
    free(block);
    return 0;
}
