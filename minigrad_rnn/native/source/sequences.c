// The exported functions: weights packed, sequences forward and backward, a check of the library on this processor.
#include "weight_gradients.h"
#include "self_check.h"

#define EXPORTED __attribute__((visibility("default")))

// Sizes that the caller needs for its memory: the lanes of a vector, M and panels of Z, blocks of units.
EXPORTED void sizes(Sequence* s, long* lanes) {
    *lanes = LANES;
    s->units = blocks_of(s->H, LANES);
    s->M = s->kind == RNN_TANH || s->kind == RNN_RELU ? vectors_of_panel(s->H) : 4;
    s->panels = is_simple(s) ? blocks_of(s->units, s->M) : s->units;
}

// Numbers of the packed weights: Wc, Wr, Wn, Wp, and for the backward pass WcT, WrT, WnT, WpT.
EXPORTED void packed_sizes(const Sequence* s, long* numbers) {
    const long of_input = gates_of_input(s).count * s->panels * LANES, of_state = gates_of_state(s).count * s->panels * LANES;
    const long of_n = s->kind == GRU_RESET_FIRST ? s->panels * LANES : 0;
    numbers[0] = of_input * s->I;
    numbers[1] = of_state * s->P;
    numbers[2] = of_n * s->H;
    numbers[3] = s->Wp ? padded_width(s->P) * s->H : 0;
    numbers[4] = of_input * padded_width(s->I);
    numbers[5] = of_state * padded_width(s->P);
    numbers[6] = of_n * padded_width(s->H);
    numbers[7] = s->Wp ? padded_width(s->H) * s->P : 0;
}

static int pack(const Sequence* s, int purpose) {
    return pack_rows(s, purpose, gates_of_input(s), s->Wc, s->I, (scalar*)s->packed_Wc) ||
           pack_rows(s, purpose, gates_of_state(s), s->Wr, s->P, (scalar*)s->packed_Wr) ||
           (s->kind == GRU_RESET_FIRST &&
            pack_rows(s, purpose, gates_of_candidate(), s->Wr, s->H, (scalar*)s->packed_Wn)) ||
           (s->Wp && pack_plain(purpose, s->Wp, s->P, s->H, (scalar*)s->packed_Wp));
}

EXPORTED void pack_forward(const Sequence* s) { pack(s, PACK); }

// Whether the weights are no longer those that were packed, bit for bit.
EXPORTED int differs(const Sequence* s) { return pack(s, COMPARE); }

EXPORTED void pack_backward(const Sequence* s) {
    if (s->dxs) pack_columns(s, gates_of_input(s), s->Wc, s->I, (scalar*)s->packed_WcT);
    pack_columns(s, gates_of_state(s), s->Wr, s->P, (scalar*)s->packed_WrT);
    if (s->kind == GRU_RESET_FIRST) pack_columns(s, gates_of_candidate(), s->Wr, s->H, (scalar*)s->packed_WnT);
    if (s->Wp) pack_plain_transposed(s->Wp, s->P, s->H, (scalar*)s->packed_WpT);
}

// Each returns 0, or 1 if there is no memory.
EXPORTED int forward(const Sequence* s, long part, long parts) { return forward_part(s, part, parts); }
EXPORTED int backward(const Sequence* s, long part, long parts) { return backward_part(s, part, parts); }
EXPORTED int weight_gradients(const Sequence* s, long part, long parts) { return weight_gradients_part(s, part, parts); }
EXPORTED int bptt(const Sequence* s, long part, long parts) {
    return backward_part(s, part, parts) || weight_gradients_part(s, part, parts);
}
EXPORTED int self_check(void) { return check_library(); }
EXPORTED long sequence_bytes(void) { return sizeof(Sequence); }
EXPORTED long team_bytes(void) { return TEAM_BYTES; }
