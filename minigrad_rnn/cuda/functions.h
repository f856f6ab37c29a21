// What the cells' equations are made of on a device. The forward pass keeps the values of σ and tanh themselves, so their
// slopes come from the values.
#pragma once

#define EQUATION __device__ __forceinline__

#if defined(CUDA_ON_CPU) || defined(K_DOUBLE)
EQUATION Real reciprocal(Real x) { return Real(1) / x; }
#else  // off by one in the last place at most, and without a division's branch for what is very large or small
EQUATION float reciprocal(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
#endif

EQUATION Real sigmoid_kept(Real z) { return reciprocal(Real(1) + exp(-z)); }
EQUATION Real sigmoid_value(Real kept) { return kept; }
EQUATION Real sigmoid_value_of_minus(Real kept) { return Real(1) - kept; }
EQUATION Real sigmoid_slope(Real kept) { return kept * (Real(1) - kept); }

EQUATION Real tanh_kept(Real z) { return tanh(z); }
EQUATION Real tanh_value(Real kept) { return kept; }
EQUATION Real tanh_slope(Real kept) { return Real(1) - kept * kept; }

EQUATION Real relu(Real z) { return z < 0 ? Real(0) : z; }
EQUATION Real relu_gradient(Real h, Real dh) { return h > 0 ? dh : Real(0) * dh; }
