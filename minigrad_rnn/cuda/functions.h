// σ and tanh with their slopes, the slopes from the value.
#pragma once

__device__ __forceinline__ Real sigmoid(Real z) { return Real(1) / (Real(1) + exp(-z)); }
__device__ __forceinline__ Real sigmoid_slope(Real y) { return y * (Real(1) - y); }
__device__ __forceinline__ Real tanh_slope(Real y) { return Real(1) - y * y; }
