// σ, tanh and relu with their slopes, lane by lane: what gates/rnn.h asks of whoever includes it.
//
// One exponential of a number ≤ 0 serves all: e^x = 2ⁿ (1 + p) with n = round(x / ln 2), r = x − n ln 2, p = e^r − 1.
// It is carried as y = S e^x with a power of two S, so that whatever is computed from it stays in the range of normal
// numbers; the last operation takes S out and may give a subnormal number. With s = 2ⁿ S:
//     t = σ(x) = y / (S + y)               for x ≤ 0; y (1 − t) / S is σ(x) with less rounding, and σ(−x) = 1 − σ(x)
//     tanh(|z|) = ((S − s) − s p) / ((S + s) + s p)    with x = −2|z|; S ± s is exact while it matters
//     1 − tanh² z = 4 σ(x) σ(−x)
// No product here is added to another product, so a compiler may fuse what it likes and finds one way only; numbers do
// not depend on the lane or the vector's width. NaN passes through everything.
#pragma once

#include "vector.h"

#if REAL_IS_DOUBLE
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define SCALE_EXPONENT 64
#define LN2_HIGH 0x1.62e42fefap-1  // n · LN2_HIGH is exact, |n| < 2^19
#define LN2_LOW 0x1.cf79abc9e3b3ap-40
#define LARGEST 747.0  // 4 e^−747 rounds to 0
#else
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define SCALE_EXPONENT 32
#define LN2_HIGH 0x1.62e4p-1f  // n · LN2_HIGH is exact, |n| < 2^9
#define LN2_LOW 0x1.7f7d1cp-20f
#define LARGEST 106.0f
#endif
#define LOG2_E SCALAR(1.44269504088896340736)
#define SCALE ((scalar)(1LL << (SCALE_EXPONENT / 2)) * (scalar)(1LL << (SCALE_EXPONENT / 2)))
// x + MAGIC is rounded to a whole number; its lowest bits are n plus the exponent of 1 and that of S.
#define MAGIC ((scalar)(3LL << (MANTISSA_BITS - 1)) + (scalar)(EXPONENT_BIAS + SCALE_EXPONENT))
#define SIGN ((bits)(1ULL << (8 * sizeof(scalar) - 1)))

// e^r − 1 for |r| ≤ ln 2 / 2 and a little more. The coefficients make the largest relative error smallest, found by
// iteratively reweighted least squares (Lawson's) at Chebyshev nodes in 50 digits: 1.8e-17 in float64. In float32 it is
// 7.5e-9 for r < 0 and 1.9e-8 for r > 0, where n < 0 and p stands beside a larger number.
EQUATION Real expm1_near_0(Real r) {
    const Real r2 = r * r;  // pairs of coefficients: the sum in r2 is half as long
#if REAL_IS_DOUBLE
    Real q = 2.5055105920656321771e-8 * r + 2.7626077503773849175e-7;
    q = q * r2 + (2.755740360893947895e-6 * r + 2.4801505175592592151e-5);
    q = q * r2 + (0.00019841269722987267093 * r + 0.0013888888931644743809);
    q = q * r2 + (0.0083333333333879980892 * r + 0.041666666666576525243);
    q = q * r2 + (0.16666666666666591044 * r + 0.50000000000000051935);
#else
    Real q = 0.00136760888667f * r2 + (0.00836611175617f * r + 0.0416703867758f);
    q = q * r2 + (0.166665478223f * r + 0.499999880223f);
#endif
    return q * r2 + r;
}

typedef struct {
    Real s, p;  // S 2ⁿ and e^r − 1
} Exponential;

// e^−a for a ≥ 0.
EQUATION Exponential exponential_of_minus(Real a) {
    const Real x = choose(a > LARGEST, broadcast(LARGEST), a);
    const Real n_and_bias = MAGIC - x * LOG2_E;
    const Real n = n_and_bias - MAGIC;
    Real r = -x - n * LN2_HIGH;
    r = r - n * LN2_LOW;
    return (Exponential){(Real)((Bits)n_and_bias << MANTISSA_BITS), expm1_near_0(r)};
}

EQUATION Real scaled_exponential(Exponential e) { return e.s * e.p + e.s; }

EQUATION Real magnitude(Real z) { return (Real)((Bits)z & ~SIGN); }

EQUATION Real with_sign_of(Real magnitude, Real z) { return (Real)((Bits)magnitude | ((Bits)z & SIGN)); }

EQUATION Real one_where(Bits mask) { return (Real)(mask & (Bits)broadcast(SCALAR(1.0))); }

// σ(−|z|), which is exact in both tails, with the sign of z.
EQUATION Real sigmoid_kept(Real z) {
    const Real y = scaled_exponential(exponential_of_minus(magnitude(z))), t = y / (y + SCALE);
    return with_sign_of((y - y * t) * (SCALAR(1.0) / SCALE), z);
}

// The sign bit tells which side it is, also that of a zero: 1 − |kept| = 1 − kept and |kept| = 0 − kept.
EQUATION Real sigmoid_value(Real kept) { return one_where((Bits)kept >= 0) - kept; }

EQUATION Real sigmoid_value_of_minus(Real kept) { return one_where((Bits)kept < 0) + kept; }

EQUATION Real sigmoid_slope(Real kept) {
    const Real small = magnitude(kept);
    return small * (SCALAR(1.0) - small);
}

EQUATION Real tanh_kept(Real z) { return z; }

EQUATION Real tanh_value(Real kept) {
    const Exponential e = exponential_of_minus(SCALAR(2.0) * magnitude(kept));
    const Real numerator = (SCALE - e.s) - e.s * e.p, denominator = (SCALE + e.s) + e.s * e.p;
    return with_sign_of(numerator / denominator, kept);
}

EQUATION Real tanh_slope(Real kept) {
    const Real y = scaled_exponential(exponential_of_minus(SCALAR(2.0) * magnitude(kept))), t = y / (y + SCALE);
    return (y - y * t) * ((SCALAR(4.0) / SCALE) - (SCALAR(4.0) / SCALE) * t);
}

// max(z, 0), with NaN as it is.
EQUATION Real relu(Real z) { return (Real)(~(z < SCALAR(0.0)) & (Bits)z); }

// dh where h > 0, else 0 · dh.
EQUATION Real relu_gradient(Real h, Real dh) { return dh * one_where(h > SCALAR(0.0)); }
