// Runs the compiled sequences on arrays of exactly their size, each a block of memory of its own: what reads or writes
// past an end meets AddressSanitizer. Compiled together with sequences.c; prints a line for each kind of cell: sums of
// all that was computed, which other machines' must agree with.
//
// All kinds, sizes that are no multiple of a vector, with and without padding, backward, saved and not, in several
// parts, steps and examples apart, one number as every gradient, every state, no biases, no gradient of xs or weights.
// Each example is run again alone and must give the same bits. With -DTEAM each part has a thread of its own, and the
// threads share the units where they can: what is not in order between them meets ThreadSanitizer. -DSOME: some of it.
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef TEAM
static long coming;
#define COMING coming
#endif
#include "sequences.c"

typedef struct {
    void* blocks[64];
    int count;
} Blocks;

// The array ends with its block, and begins where numbers, but not vectors, are aligned.
static void* block(Blocks* all, size_t bytes) {
    char* const memory = malloc(bytes + sizeof(scalar));
    if (!memory || all->count == 64) abort();
    memset(memory, 0xff, bytes + sizeof(scalar));  // NaN: what nobody wrote
    all->blocks[all->count++] = memory;
    return memory + sizeof(scalar);
}

static long* whole_numbers(Blocks* all, long count) {
    const long more = sizeof(long) - sizeof(scalar);  // so that they are aligned
    return (long*)((char*)block(all, count * sizeof(long) + more) + more);
}

static unsigned long long state;
static double drawn(void) {  // in −1 … 1, in few bits: the same in both dtypes
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(state >> 44) / 524288 - 1;
}

static scalar* numbers(Blocks* all, long count, double scale) {
    scalar* const a = block(all, count * sizeof(scalar));
    for (long i = 0; i < count; ++i) a[i] = (scalar)(drawn() * scale);
    return a;
}
static scalar* unwritten(Blocks* all, long count) { return block(all, count * sizeof(scalar)); }

typedef struct {
    int padded, backward, saves, parts, peephole, every_state, biases, apart, one_gradient, no_dxs, weights, unpacked;
    long projection;
} Options;

static double total;
static void add(const scalar* a, long count) {
    double sum = 0, weighted = 0;
    for (long i = 0; a && i < count; ++i) {
        if (a[i] != a[i]) {
            printf("NaN at %ld of %ld\n", i, count);
            exit(3);
        }
        sum += (double)a[i] * a[i], weighted += (double)a[i] * (i % 7 + 1);
    }
    total += sqrt(sum) + weighted / (1 + count);
}

// A packed weight that is other by its last bit is told, wherever it is.
static void check_differences(const Sequence* s) {
    const long rows = s->kind == LSTM ? 4 * s->H : s->kind >= GRU ? 3 * s->H : s->H;
    const scalar* const weights[3] = {s->Wc, s->Wr, s->Wp};
    const long counts[3] = {rows * s->I, rows * s->P, s->Wp ? s->P * s->H : 0};
    if (differs(s)) exit(4);
    for (int k = 0; k < 3; ++k) {
        for (long i = 0; i < counts[k]; i += 1 + counts[k] / 40) {
            ((unsigned char*)(weights[k] + i))[0] ^= 1;
            if (!differs(s)) exit(8);
            ((unsigned char*)(weights[k] + i))[0] ^= 1;
        }
    }
}

static void free_all(Blocks* all) {
    while (all->count) free(all->blocks[--all->count]);
}

#ifdef SOME
#define FIRST_WAY 1
#define EVERY_WAY 3  // of the options that follow each other, one
#define MOST_PARTS 2
#define EVERY_SIZE 2
#else
#define FIRST_WAY 0
#define EVERY_WAY 1
#define MOST_PARTS 4
#define EVERY_SIZE 1
#endif

typedef int Pass(const Sequence*, long, long);
#ifdef TEAM
typedef struct {
    Pass* pass;
    const Sequence* s;
    long part, parts;
    int failed;
} Part;

static void* run_part(void* argument) {
    Part* const part = argument;
    part->failed = part->pass(part->s, part->part, part->parts);
    return 0;
}

static int in_parts(Pass* pass, Sequence* s, long parts) {
    Part of[8];
    pthread_t threads[8];
    int failed = 0;
    s->team = aligned_alloc(64, TEAM_BYTES);
    memset(s->team, 0, TEAM_BYTES);
    for (long k = 0; k < parts; ++k) {
        of[k] = (Part){pass, s, k, parts, 0};
        if (coming && pthread_create(&threads[k], 0, run_part, &of[k])) abort();
    }
    for (long k = parts; k-- > 0;) {
        if (!coming) run_part(&of[k]);  // the leader comes last and finds nobody
        else pthread_join(threads[k], 0);
        failed |= of[k].failed;
    }
    free(s->team);
    s->team = 0;
    return failed;
}
#else
static int in_parts(Pass* pass, Sequence* s, long parts) {
    for (long k = 0; k < parts; ++k) {
        if (pass(s, k, parts)) return 1;
    }
    return 0;
}
#endif

// Allocates what the passes fill, and runs them in parts.
static void compute(Sequence* s, Blocks* all, const Options* o) {
    const long T = s->T, B = s->B, I = s->I, H = s->H, P = s->P, gates = s->kind == LSTM ? 4 : s->kind >= GRU ? 3 : 1;
    const long lanes = LANES;
    s->chunk = 9;
    if (!s->saves) {
        if (s->chunk < B) s->chunk = B;
        s->rows = s->chunk * o->parts;
    }
    s->hs = unwritten(all, T * B * P), s->hT = unwritten(all, B * P);
    s->Z = unwritten(all, s->panels * s->rows * s->M * lanes);
    if (s->kind == LSTM) {
        s->cT = unwritten(all, B * H);
        s->C = unwritten(all, s->units * (B + (s->saves ? s->rows : 0)) * lanes);
        if (o->every_state) s->cs = unwritten(all, T * B * H);
        if (s->Wp && s->saves) s->m = unwritten(all, s->rows * H);
    }
    if (in_parts(forward, s, o->parts)) exit(5);
    if (!s->saves) return;
    s->dh0 = unwritten(all, B * P);
    if (s->kind == LSTM) s->dc0 = unwritten(all, B * H);
    if (s->Wp) s->D = unwritten(all, s->rows * P);
    if (o->every_state) {
        s->dh_steps = unwritten(all, T * B * P);
        memset(s->dh_steps, 0, T * B * P * sizeof(scalar));
        if (s->kind == LSTM) {
            s->dc_steps = unwritten(all, T * B * H);
            memset(s->dc_steps, 0, T * B * H * sizeof(scalar));
        }
    }
    if (!o->no_dxs) s->dxs = unwritten(all, T * B * I);
    if (o->weights) {
        s->dWc = unwritten(all, gates * H * I), s->dWr = unwritten(all, gates * H * P);
        if (s->b) s->db = unwritten(all, gates * H);
        if (s->br) s->dbr = unwritten(all, gates * H);
        if (s->p) s->dp = unwritten(all, 3 * H);
        if (s->Wp) s->dWp = unwritten(all, P * H);
    }
    if (!o->unpacked) pack_backward(s);
    if (in_parts(backward, s, o->parts)) exit(6);
    if (in_parts(weight_gradients, s, o->parts)) exit(7);
}

// One example's row of each step, `width` numbers, in a batch and alone.
static void same(const char* name, const scalar* batch, long step, const scalar* alone, long T, long width) {
    for (long t = 0; batch && t < T; ++t) {
        if (memcmp(batch + t * step, alone + t * width, width * sizeof(scalar))) {
            printf("%s differs at step %ld of an example alone\n", name, t);
            exit(9);
        }
    }
}

static void compare_with_alone(const Sequence* batch, long j, Options o) {
    Blocks blocks = {.count = 0}, *const all = &blocks;
    const long B = batch->B, I = batch->I, H = batch->H, P = batch->P, b = example_of(batch, j);
    Sequence s = *batch;
    const long T = s.T = s.rows = length_of(batch, j);
    s.B = 1, s.example = s.length = s.first = 0, o.parts = 1;
    s.xs += b * s.xs_example, s.h0 += b * P;
    if (s.c0) s.c0 += b * H;
    if (s.saves) s.dhs += b * s.dhs_example, s.dhT += b * P;
    if (s.dcT) s.dcT += b * H;
    if (s.dcs) {
        scalar* const dcs = unwritten(all, T * H);
        for (long t = 0; t < T; ++t) memcpy(dcs + t * H, batch->dcs + (t * B + b) * H, H * sizeof(scalar));
        s.dcs = dcs;
    }
    s.dh_steps = s.dc_steps = 0;
    s.dWc = s.dWr = s.db = s.dbr = s.dp = s.dWp = 0, o.weights = 0;
    compute(&s, all, &o);
    same("h", batch->hs + b * P, B * P, s.hs, T, P), same("last h", batch->hT + b * P, 0, s.hT, 1, P);
    if (s.kind == LSTM) same("last c", batch->cT + b * H, 0, s.cT, 1, H);
    if (s.cs) same("c", batch->cs + b * H, B * H, s.cs, T, H);
    if (s.saves) same("dh0", batch->dh0 + b * P, 0, s.dh0, 1, P);
    if (s.dc0) same("dc0", batch->dc0 + b * H, 0, s.dc0, 1, H);
    if (s.dxs) same("dxs", batch->dxs + b * I, B * I, s.dxs, T, I);
    if (s.dh_steps) same("dh of every step", batch->dh_steps + b * P, B * P, s.dh_steps, T, P);
    if (s.dc_steps) same("dc of every step", batch->dc_steps + b * H, B * H, s.dc_steps, T, H);
    free_all(all);
}

static void run(long kind, long T, long B, long I, long H, Options o) {
    Blocks blocks = {.count = 0}, *const all = &blocks;
    const long gates = kind == LSTM ? 4 : kind >= GRU ? 3 : 1, P = o.projection ? o.projection : H;
    const double scale = 1.2 / sqrt((double)H);
    Sequence s;
    memset(&s, 0, sizeof s);
    s.kind = kind, s.T = T, s.B = B, s.I = I, s.H = H, s.P = P, s.backward = o.backward, s.saves = o.saves;
    s.Wc = numbers(all, gates * H * I, scale), s.Wr = numbers(all, gates * H * P, scale);
    if (o.biases) s.b = numbers(all, gates * H, scale);
    if (o.biases && kind == GRU) s.br = numbers(all, gates * H, scale);
    if (o.peephole) s.p = numbers(all, 3 * H, scale);
    if (o.projection) s.Wp = numbers(all, P * H, scale);
    long lanes, packed[8];
    sizes(&s, &lanes);
    packed_sizes(&s, packed);
    const scalar** const to[8] = {&s.packed_Wc, &s.packed_Wr, &s.packed_Wn, &s.packed_Wp,
                                  &s.packed_WcT, &s.packed_WrT, &s.packed_WnT, &s.packed_WpT};
    for (int k = 0; k < 8; ++k) *to[k] = unwritten(all, packed[k]);
    pack_forward(&s);
    check_differences(&s);
    s.rows = T * B;
    if (o.padded) {
        long *const example = whole_numbers(all, B), *const length = whole_numbers(all, B);
        long* const first = whole_numbers(all, T + 1);
        for (long j = 0; j < B; ++j) example[j] = (j * 7 + 3) % B;
        for (long j = 0; j < B; ++j) {
            if (B % 7 == 0) example[j] = j;
            length[j] = T - j * (T - 1) / (B > 1 ? B - 1 : 1);
        }
        first[0] = 0;
        for (long k = 0; k < T; ++k) {
            long running = 0;
            while (running < B && length[running] > k) ++running;
            first[k + 1] = first[k] + running;
        }
        s.example = example, s.length = length, s.first = first, s.rows = first[T];
    }
    s.xs_example = o.apart ? I + 1 : I, s.xs_step = o.apart ? B * (I + 1) + 2 : B * I;
    s.xs = numbers(all, (T - 1) * s.xs_step + (B - 1) * s.xs_example + I, 1);
    s.h0 = numbers(all, B * P, 1);
    if (kind == LSTM) s.c0 = numbers(all, B * H, 1);
    if (o.saves) {
        s.dhs = numbers(all, o.one_gradient ? 1 : T * B * P, 1);
        if (!o.one_gradient) s.dhs_step = B * P, s.dhs_example = P, s.dhs_unit = 1;
        s.dhT = numbers(all, B * P, 1);
        if (kind == LSTM) s.dcT = numbers(all, B * H, 1);
        if (kind == LSTM && o.every_state) s.dcs = numbers(all, T * B * H, 1);
    }
    if (o.unpacked) {
        for (int k = 0; k < 8; ++k) *to[k] = 0;
    }
    compute(&s, all, &o);
    add(s.hs, T * B * P), add(s.hT, B * P), add(s.cs, T * B * H), add(s.cT, B * H);
    add(s.dh_steps, T * B * P), add(s.dc_steps, T * B * H);
    add(s.dxs, T * B * I), add(s.dh0, B * P), add(s.dc0, B * H), add(s.dWc, gates * H * I);
    add(s.dWr, gates * H * P), add(s.db, gates * H), add(s.dbr, gates * H), add(s.dp, 3 * H), add(s.dWp, P * H);
    if (o.unpacked) {  // and then the same bits as with packed weights
        for (int k = 0; k < 8; ++k) *to[k] = unwritten(all, packed[k]);
        pack_forward(&s);
        o.unpacked = 0;
    }
    for (long j = 0; j < B; ++j) compare_with_alone(&s, j, o);
    free_all(all);
}

int main(void) {
    static const long SIZES[][4] = {{1, 1, 1, 1}, {2, 1, 1, 1}, {1, 3, 1, 2}, {3, 2, 5, 7},   {2, 7, 3, 16},  {5, 3, 2, 17},
                                    {4, 5, 16, 8}, {2, 2, 33, 4}, {3, 8, 7, 31}, {2, 11, 4, 33}, {90, 9, 3, 3}, {3, 4, 37, 65}};
    static const char* const NAMES[] = {"rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_first"};
    if (check_library()) return 2;
    for (long kind = RNN_TANH; kind <= GRU_RESET_FIRST; ++kind) {
        total = 0;
        state = 12345;
        for (unsigned k = 0; k < sizeof SIZES / sizeof *SIZES; k += EVERY_SIZE) {
            const long T = SIZES[k][0], B = SIZES[k][1], I = SIZES[k][2], H = SIZES[k][3];
            for (unsigned way = FIRST_WAY; way < 16; way += EVERY_WAY) {
#ifdef TEAM
                coming = way == 10 ? 0 : 1000000000;
#endif
                Options o = {
                    .padded = way & 1, .backward = way >> 1 & 1, .saves = way % 4 != 1, .parts = 1 + (way + k) % MOST_PARTS,
                    .peephole = kind == LSTM && way >> 2 & 1, .every_state = way % 3 != 0, .biases = way % 5 != 0,
                    .apart = way % 2, .one_gradient = way % 7 == 3, .no_dxs = way % 6 == 4, .weights = way % 8 != 6,
                    .unpacked = k % 3 == 1 && !(kind == LSTM && way >> 3),
                    .projection = kind == LSTM && way >> 3 && H > 1 ? (2 * H + 1) / 3 : 0};
                run(kind, T, B, I, H, o);
            }
        }
        printf("%s %.9e\n", NAMES[kind], total);
    }
    return 0;
}
