// The functions that the gates use, over arrays, for tests.
#include "functions.h"

#define OVER_ARRAYS(name, result)                                           \
    void name##_array(const scalar* from, scalar* to, long n) {             \
        for (long i = 0; i < n; i += LANES) {                               \
            const Real z = load_part(from + i, n - i);                      \
            store_part(to + i, result, n - i);                              \
        }                                                                   \
    }

OVER_ARRAYS(sigmoid_kept, sigmoid_kept(z))
OVER_ARRAYS(sigmoid_value, sigmoid_value(sigmoid_kept(z)))
OVER_ARRAYS(sigmoid_value_of_minus, sigmoid_value_of_minus(sigmoid_kept(z)))
OVER_ARRAYS(sigmoid_slope, sigmoid_slope(sigmoid_kept(z)))
OVER_ARRAYS(tanh_value, tanh_value(tanh_kept(z)))
OVER_ARRAYS(tanh_slope, tanh_slope(tanh_kept(z)))
OVER_ARRAYS(relu, relu(z))
OVER_ARRAYS(copy, z)

void relu_gradient_array(const scalar* h, const scalar* dh, scalar* to, long n) {
    for (long i = 0; i < n; i += LANES) store_part(to + i, relu_gradient(load_part(h + i, n - i), load_part(dh + i, n - i)), n - i);
}

// Value and slope beside each other, where the compiler computes what they share once.
void tanh_value_and_slope_array(const scalar* from, scalar* value, scalar* slope, long n) {
    for (long i = 0; i < n; i += LANES) {
        const Real kept = tanh_kept(load_part(from + i, n - i));
        store_part(value + i, tanh_value(kept), n - i);
        store_part(slope + i, tanh_slope(kept), n - i);
    }
}
