// What the cells' equations are made of on a device. The forward pass keeps the values of σ and tanh themselves, so their
// slopes come from the values.
//
// In float64 these are the library's functions. In float32 they are without branches, so that the gates of a unit are
// computed beside each other: σ is off by 3.5 units of 2⁻²⁴ at most (where it is small by |z| + 3 units of its last place,
// as 2^x is taken of a rounded z log₂e), tanh by 3.5 units of its last place. tests/rnn/cuda/test_functions.py measures them.
#pragma once

#define EQUATION __device__ __forceinline__

#ifdef K_DOUBLE
EQUATION Real sigmoid_kept(Real z) { return Real(1) / (Real(1) + exp(-z)); }
EQUATION Real tanh_kept(Real z) { return tanh(z); }
#else
#ifndef CUDA_ON_CPU  // there the same functions are plain C++
// Off by 2 units and by 1 unit of the last place at most, and right at infinity.
EQUATION float power_of_two(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
EQUATION float reciprocal(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
#endif
constexpr float LOG2_E = 1.4426950408889634f;

EQUATION float sigmoid_kept(float z) { return reciprocal(1.0f + power_of_two(-LOG2_E * z)); }

// tanh(z) = 1 − 2 / (e^2z + 1); near 0, where that loses digits, z + z³ P(z²), whose relative error is 8e-8.
EQUATION float tanh_kept(float z) {
    const float far = 1.0f - 2.0f * reciprocal(1.0f + power_of_two(2.0f * LOG2_E * z)), square = z * z;
    const float P = ((0.01564047f * square - 0.0522311f) * square + 0.13313521f) * square - 0.33332622f;
    const float near = z + z * (square * P);
    return square < 0.36f ? near : far;
}
#endif

EQUATION Real sigmoid_value(Real kept) { return kept; }
EQUATION Real sigmoid_value_of_minus(Real kept) { return Real(1) - kept; }
EQUATION Real sigmoid_slope(Real kept) { return kept * (Real(1) - kept); }

EQUATION Real tanh_value(Real kept) { return kept; }
EQUATION Real tanh_slope(Real kept) { return Real(1) - kept * kept; }

EQUATION Real relu(Real z) { return z < 0 ? Real(0) : z; }
EQUATION Real relu_gradient(Real h, Real dh) { return h > 0 ? dh : Real(0) * dh; }
