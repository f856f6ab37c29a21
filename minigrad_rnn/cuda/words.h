// Words of memory that one block writes and another reads while both run: their loads, stores and bits.
//
// UNWRITTEN is a NaN of all ones. Nothing that is published has those bits, so a word is its own flag.
#pragma once

#ifdef K_DOUBLE
typedef double Real;
typedef unsigned long long Word;
#else
typedef float Real;
typedef unsigned int Word;
#endif

constexpr Word UNWRITTEN = ~Word(0);
// Values that one load brings: 16 bytes where rows of H values hold them whole.
constexpr int MOST = 16 / sizeof(Real), WIDE = K_H % MOST == 0 ? MOST : K_H % 2 == 0 ? 2 : 1;

#ifndef K_SPINS
#define K_SPINS (1 << 23)  // a few seconds
#endif

struct alignas(sizeof(Word) * WIDE) Words {
    Word of[WIDE];
};

#ifndef CUDA_ON_CPU  // there the same functions are plain C++
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

__device__ __forceinline__ void load_relaxed(const Real* from, Words& w) {
#ifdef K_DOUBLE
    if constexpr (WIDE == 2)
        asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];"
                     : "=l"(w.of[0]), "=l"(w.of[1]) : "l"(from) : "memory");
    else
        asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(w.of[0]) : "l"(from) : "memory");
#else
    if constexpr (WIDE == 4)
        asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(w.of[0]), "=r"(w.of[1]), "=r"(w.of[2]), "=r"(w.of[3]) : "l"(from) : "memory");
    else if constexpr (WIDE == 2)
        asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                     : "=r"(w.of[0]), "=r"(w.of[1]) : "l"(from) : "memory");
    else
        asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(w.of[0]) : "l"(from) : "memory");
#endif
}

__device__ __forceinline__ void store_relaxed(Real* to, Word w) {
#ifdef K_DOUBLE
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(w) : "memory");
#else
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(w) : "memory");
#endif
}

__device__ __forceinline__ Word bits(Real x) {
#ifdef K_DOUBLE
    return __double_as_longlong(x);
#else
    return __float_as_uint(x);
#endif
}

__device__ __forceinline__ Real value_of(Word w) {
#ifdef K_DOUBLE
    return __longlong_as_double(w);
#else
    return __uint_as_float(w);
#endif
}

// The flag lies in the host's memory: acquire and release order it with what the host reads.
__device__ __forceinline__ int load_flag(const int* flag) {
    int value;
    asm volatile("ld.acquire.sys.global.s32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value;
}

__device__ __forceinline__ void store_flag(int* flag, int value) {
    asm volatile("st.release.sys.global.s32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

// A device need not wait: its threads go on by themselves. As C++ another one runs.
__device__ __forceinline__ void wait_a_little() {}

// Asks for the line of an address, which the L2 cache then has when it is read.
__device__ __forceinline__ void prefetch(const Real* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }
#endif

// A NaN with the bits of UNWRITTEN becomes another NaN.
__device__ __forceinline__ Word published(Real x) {
    const Word w = bits(x);
    return w == UNWRITTEN ? UNWRITTEN >> 1 : w;
}

__device__ __forceinline__ void publish(Real* to, Real x) {
    const Word w = published(x);
    store_relaxed(to, w);
}

__device__ __forceinline__ bool is_written(const Words& w) {
    bool written = true;
#pragma unroll
    for (int e = 0; e < WIDE; ++e) written &= w.of[e] != UNWRITTEN;
    return written;
}

// Whether to stop waiting: after too many tries, or because another block did. It is reported to the host.
__device__ __forceinline__ bool give_up(int tries, int* flag) {
    wait_a_little();
    if (tries < K_SPINS) return (tries & 4095) == 4095 && load_flag(flag) != 0;
    store_flag(flag, 1);
    return true;
}
