// The forward pass of some columns: for a chunk of steps first Wc x(t) + b, then step by step Wr h(t−1) and the gates.
#pragma once

#include <stdlib.h>

#include "gates_forward.h"
#include "pack.h"
#include "sequence.h"
#include "team.h"
#include "tile.h"

// What a row of Z starts from: the biases, for each panel M vectors.
static void fill_bias(const Sequence* s, scalar* out) {
    const Gates input = gates_of_input(s);
    for (long panel = 0; panel < s->panels; ++panel) {
        for (long m = 0; m < s->M; ++m) {
            for (long lane = 0; lane < LANES; ++lane) {
                const long unit = unit_block(s, panel, m) * LANES + lane, v = m - input.from;
                scalar bias = 0;
                if (unit < s->H) {
                    if (v >= 0 && s->b) bias = s->b[input.gate[v] * s->H + unit];
                    if (s->kind == GRU && s->br) {
                        if (m == 0) bias = s->br[2 * s->H + unit];
                        if (m == 1 || m == 2) bias += s->br[(m - 1) * s->H + unit];
                    }
                }
                *out++ = bias;
            }
        }
    }
}

// So many columns are multiplied at a time; the groups of `count` columns are about equal.
INLINE long group_end(long from, long count, long most) {
    const long groups = blocks_of(count - from, most);
    return from + blocks_of(count - from, groups);
}

// Where a row's Z and C lie. Where nothing is saved, a part has rows for one chunk, and c(t) takes the place of c(t−1).
typedef struct {
    long first;   // the chunk's first row of Z
    long k;       // its first step
    Span span;
    Span panels;  // that this thread computes
} Chunk;

INLINE long z_index(const Sequence* s, const Chunk* chunk, long k, long j) {
    if (s->saves) return first_row(s, k) + j;
    long n = chunk->first;
    if (!s->first) return n + (k - chunk->k) * (chunk->span.to - chunk->span.from) + j - chunk->span.from;
    for (long i = chunk->k; i < k; ++i) n += active_to(s, chunk->span, i) - chunk->span.from;
    return n + j - chunk->span.from;
}
INLINE scalar* c_row(const Sequence* s, long unit, long k, long j) {  // c(t) of read step k; k = −1 is c(−1)
    const long row = k < 0 || !s->saves ? j : s->B + first_row(s, k) + j;
    return s->C + (unit * (s->B + (s->saves ? s->rows : 0)) + row) * LANES;
}

typedef struct {
    const scalar** x;  // (chunk,)
    scalar** z;        // (chunk,) rows of the first panel
    const scalar** h_before;  // (columns,)
    scalar* bias;      // of each panel
    scalar* panel;     // one panel of weights that were not packed before
    scalar *q, *m;     // (columns, H padded): r · h(t−1) as published, and what a projection reads
    long width;        // numbers of a row of q and m
} ForwardMemory;

// The weights of one panel: packed before for many steps, or here for the few that meet them.
INLINE const scalar* panel_of(
    const Sequence* s, Gates gates, const scalar* packed, const scalar* W, long K, long panel, ForwardMemory* memory) {
    if (packed) return packed + panel * K * gates.count * LANES;
    pack_panel(s, PACK, gates, panel, W, K, memory->panel);
    return memory->panel;
}

static void multiply_inputs(const Sequence* s, const Chunk* chunk, long to, ForwardMemory* memory) {
    const Gates gates = gates_of_input(s);
    const long width = s->M * LANES, most = TILE_COLUMNS[gates.count];
    long n = 0;
    for (long k = chunk->k; k < to; ++k) {
        scalar* z = z_row(s, 0, z_index(s, chunk, k, chunk->span.from));
        for (long j = chunk->span.from; j < active_to(s, chunk->span, k); ++j, ++n, z += width) {
            memory->x[n] = x_row(s, k, j);
            memory->z[n] = z;
        }
    }
    for (long panel = chunk->panels.from; panel < chunk->panels.to; ++panel) {
        const scalar* const bias = memory->bias + panel * width;
        const scalar* const weights = panel_of(s, gates, s->packed_Wc, s->Wc, s->I, panel, memory);
        for (long from = 0, end; from < n; from = end) {
            end = group_end(from, n, most);
            scalar* out[MOST_COLUMNS];
            for (long c = from; c < end; ++c) {
                scalar* const z = memory->z[c] + panel * s->rows * width;
                memcpy(z, bias, width * sizeof(scalar));
                out[c - from] = z + gates.from * LANES;
            }
            multiply(gates.count, end - from, (Inputs){1, s->I, 0}, weights, memory->x + from, out);
        }
    }
}

// Adds the gates' products of one panel to neighbouring rows of Z: weights of K inputs, one row of inputs for each.
INLINE void multiply_panel(
    const Sequence* s, Gates gates, const scalar* weights, long K, const scalar* const* inputs, scalar* z, int count) {
    scalar* out[MOST_COLUMNS];
    for (int c = 0; c < count; ++c) out[c] = z + (c * s->M + gates.from) * LANES;
    multiply(gates.count, count, (Inputs){1, K, 0}, weights, inputs, out);
}

// h(t), or what a projection makes h(t) of.
INLINE scalar* m_row(const Sequence* s, const ForwardMemory* memory, long k, long j, long first) {
    if (!s->Wp) return h_row(s, k, j);
    return s->m ? s->m + (first_row(s, k) + j) * s->H : memory->m + (j - first) * memory->width;
}

static void project(const Sequence* s, long k, Span now, const ForwardMemory* memory) {
    const long M = vectors_of_panel(s->P), width = M * LANES;
    for (long at = 0; at < s->P; at += width) {
        for (long from = now.from, end; from < now.to; from = end) {
            end = group_end(from, now.to, TILE_COLUMNS[M]);
            scalar sums[MOST_COLUMNS * 4 * (VECTOR_BYTES / sizeof(scalar))] __attribute__((aligned(64)));
            memset(sums, 0, sizeof sums);
            const scalar* m[MOST_COLUMNS];
            scalar* out[MOST_COLUMNS];
            for (long j = from; j < end; ++j) {
                m[j - from] = m_row(s, memory, k, j, now.from);
                out[j - from] = sums + (j - from) * width;
            }
            multiply(M, end - from, (Inputs){1, s->H, 0}, s->packed_Wp + at * s->H, m, out);
            for (long j = from; j < end; ++j) {
                memcpy(h_row(s, k, j) + at, out[j - from], least(width, s->P - at) * sizeof(scalar));
            }
        }
    }
}

static void forward_step(const Sequence* s, const Chunk* chunk, long k, ForwardMemory* memory) {
    const Span now = {chunk->span.from, active_to(s, chunk->span, k)};
    if (now.from >= now.to) return;
    scalar* const z0 = z_row(s, 0, z_index(s, chunk, k, now.from));
    const Gates gates = gates_of_state(s);
    const long most = TILE_COLUMNS[gates.count], panel_step = s->rows * s->M * LANES, row_step = s->M * LANES;
    for (long j = now.from; j < now.to; ++j) memory->h_before[j - now.from] = h_before_row(s, k, j);
    for (long panel = chunk->panels.from; panel < chunk->panels.to; ++panel) {
        const long unit = unit_block(s, panel, 0) * LANES;
        const scalar* const weights = panel_of(s, gates, s->packed_Wr, s->Wr, s->P, panel, memory);
        for (long from = now.from, end; from < now.to; from = end) {
            end = group_end(from, now.to, most);
            Columns columns = {.count = (int)(end - from), .z = z0 + panel * panel_step + (from - now.from) * row_step};
            const scalar* const* const h_before = memory->h_before + from - now.from;
            multiply_panel(s, gates, weights, s->P, h_before, columns.z, columns.count);
            for (long j = from; j < end; ++j) {
                columns.h_before[j - from] = h_before[j - from] + unit;
                columns.h[j - from] = m_row(s, memory, k, j, now.from) + unit;
                columns.cs[j - from] =
                    s->cs ? s->cs + (time_of(s, k, j) * s->B + example_of(s, j)) * s->H + unit : 0;
            }
            if (s->kind == LSTM) {
                columns.c_before = c_row(s, panel, k - 1, from);
                columns.c = c_row(s, panel, k, from);
                lstm_gates(s, &columns, unit);
            } else if (s->kind == GRU) {
                gru_gates(s, &columns, unit);
            } else if (s->kind == GRU_RESET_FIRST) {
                reset_first_gates_of(s, &columns, unit, memory->q + (from - now.from) * memory->width + unit, memory->width);
            } else {
                rnn_gates(s, &columns, unit);
            }
        }
    }
    if (s->Wp) project(s, k, now, memory);
    if (s->kind != GRU_RESET_FIRST) return;
    const Gates candidate = gates_of_candidate();
    for (long panel = 0; panel < s->panels; ++panel) {
        const long unit = panel * LANES;
        const scalar* const weights = panel_of(s, candidate, s->packed_Wn, s->Wr, s->H, panel, memory);
        for (long from = now.from, end; from < now.to; from = end) {
            end = group_end(from, now.to, TILE_COLUMNS[candidate.count]);
            Columns columns = {.count = (int)(end - from), .z = z0 + panel * panel_step + (from - now.from) * row_step};
            const scalar* q[MOST_COLUMNS];
            for (long j = from; j < end; ++j) {
                q[j - from] = memory->q + (j - now.from) * memory->width;
                columns.h_before[j - from] = memory->h_before[j - now.from] + unit;
                columns.h[j - from] = h_row(s, k, j) + unit;
            }
            multiply_panel(s, candidate, weights, s->H, q, columns.z, columns.count);
            reset_first_candidate(s, &columns, unit);
        }
    }
}

// The first state, and zeros at padding.
static void begin(const Sequence* s, Span span) {
    for (long j = span.from; j < span.to; ++j) {
        const long b = example_of(s, j);
        for (long unit = 0; s->kind == LSTM && unit < s->units; ++unit) {
            store(c_row(s, unit, -1, j), load_up_to(s->c0 + b * s->H + unit * LANES, s->H - unit * LANES));
        }
        for (long t = length_of(s, j); t < s->T; ++t) {
            memset(s->hs + (t * s->B + b) * s->P, 0, s->P * sizeof(scalar));
            if (s->cs) memset(s->cs + (t * s->B + b) * s->H, 0, s->H * sizeof(scalar));
        }
    }
}

// The state after each sequence's last step.
static void end(const Sequence* s, Span span) {
    for (long j = span.from; j < span.to; ++j) {
        const long b = example_of(s, j), last = length_of(s, j) - 1;
        memcpy(s->hT + b * s->P, h_row(s, last, j), s->P * sizeof(scalar));
        for (long unit = 0; s->kind == LSTM && unit < s->units; ++unit) {
            store_up_to(s->cT + b * s->H + unit * LANES, load(c_row(s, unit, last, j)), s->H - unit * LANES);
        }
    }
}

// Whether a team can share the units: what one thread needs of another's is all in h(t) or dh(t).
INLINE int in_a_team(const Sequence* s, long parts) {
    return s->team && parts > 1 && !s->Wp && s->kind != GRU_RESET_FIRST && s->packed_Wr;
}

// Returns 0, or 1 if there is no memory.
static int forward_part(const Sequence* s, long part, long parts) {
    const int shared = in_a_team(s, parts);
    Chunk chunk = {shared ? 0 : part * s->chunk, 0, columns_of_part(s, shared ? 0 : part, shared ? 1 : parts)};
    const long columns = chunk.span.to - chunk.span.from;
    if (!columns) return 0;
    const long steps = least(s->T, s->chunk / columns > 1 ? s->chunk / columns : 1), padded = s->units * LANES;
    const long wide = s->kind == GRU_RESET_FIRST || (s->Wp && !s->m) ? columns * padded : 0;
    const long pointers = 2 * steps * columns + columns, biases = s->panels * s->M * LANES;
    const long widest = s->I > s->H ? s->I : s->H, panel = s->packed_Wr ? 0 : widest * 4 * LANES;
    char* const block = malloc(pointers * sizeof(void*) + (biases + wide + panel) * sizeof(scalar));
    if (!block) return 1;
    ForwardMemory memory = {.x = (const scalar**)block, .width = padded};
    memory.z = (scalar**)(memory.x + steps * columns);
    memory.h_before = (const scalar**)(memory.z + steps * columns);
    memory.bias = (scalar*)(memory.h_before + columns);
    memory.q = memory.m = memory.bias + biases;
    memory.panel = memory.m + wide;
    fill_bias(s, memory.bias);
    if (!shared || !part) begin(s, chunk.span);
    Member me = !shared ? ALONE : part ? join(s->team) : lead(s->team, parts);
    int goes_on = me.size > 0;
    for (; goes_on && chunk.k < s->T; chunk.k += steps) {
        const long to = least(s->T, chunk.k + steps);
        chunk.panels = share_of(&me, s->panels);
        multiply_inputs(s, &chunk, to, &memory);
        for (long k = chunk.k; goes_on && k < to; ++k) {
            chunk.panels = share_of(&me, s->panels);
            forward_step(s, &chunk, k, &memory);
            goes_on = end_step(&me);
        }
    }
    if (goes_on && !me.rank) end(s, chunk.span);
    free(block);
    return 0;
}
