// A check that the library computes right on this processor.
#pragma once

#include "forward.h"

// Returns 0 if all tiles give every column the same sums, bit for bit, and the gates' functions are right.
static int check_library(void) {
    enum { K = 5, WIDTH = 4 * VECTOR_BYTES / sizeof(scalar) };
    scalar panel[K * WIDTH], x[K], want[WIDTH], got[MOST_COLUMNS][WIDTH];
    for (long i = 0; i < K * WIDTH; ++i) panel[i] = (scalar)((i * 37 + 11) % 101) / 97;
    for (long k = 0; k < K; ++k) x[k] = (scalar)(k * k - 3 * k + 1) / 7;
    for (long M = 1; M <= 4; ++M) {
        for (long C = 1; C <= TILE_COLUMNS[M]; ++C) {
            const scalar* inputs[MOST_COLUMNS];
            scalar *out[MOST_COLUMNS], *alone = want;
            memset(want, 0, sizeof want);
            memset(got, 0, sizeof got);
            for (long c = 0; c < C; ++c) inputs[c] = x, out[c] = got[c];
            multiply(M, 1, (Inputs){1, K, 0}, panel, inputs, &alone);
            multiply(M, C, (Inputs){1, K, 0}, panel, inputs, out);
            for (long c = 0; c < C; ++c) {
                if (memcmp(want, got[c], M * LANES * sizeof(scalar))) return 1;
            }
            for (long lane = 0; lane < M * LANES; ++lane) {
                double sum = 0;
                for (long k = 0; k < K; ++k) sum += (double)panel[k * M * LANES + lane] * x[k];
                const double difference = sum - want[lane];
                if (!(difference < 1e-5 && difference > -1e-5)) return 2;
            }
        }
    }
    const Real half = broadcast((scalar)0.5), big = broadcast(100);
    const Real values[4] = {
        tanh_value(half) - (scalar)0.46211715726000975, sigmoid_value(sigmoid_kept(half)) - (scalar)0.6224593312018546,
        tanh_value(-big) + 1, sigmoid_value(sigmoid_kept(big)) - 1};
    for (int i = 0; i < 4; ++i) {
        for (long lane = 0; lane < LANES; ++lane) {
            if (!(values[i][lane] < 1e-6 && values[i][lane] > -1e-6)) return 3;
        }
    }
    return 0;
}
