// Enough of CUDA to run the kernels as C++: every thread of the grid is a fiber, and whoever waits lets another run.
//
// It is included before a kernel's source. What needs the standard library stands in scheduler.cpp, so that a kernel
// compiles in a fraction of a second.
#pragma once
#include <stddef.h>

#define CUDA_ON_CPU
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define CLUSTER_DIMS  // the launch says how many blocks are a cluster
// All blocks' variables lie in one section, which the scheduler exchanges when it goes on with another block.
#define __shared__ static __attribute__((section("shared_memory")))
#define DYNAMIC_SHARED(name) unsigned char* const name = on_cpu::dynamic_shared()

struct dim3 {
    unsigned x, y, z;
};

namespace on_cpu {
struct Launch {
    dim3 grid;
    unsigned threads;
    unsigned long long shared_bytes;
    int seed;          // 0: threads in order; otherwise the order is shuffled and relaxed and remote stores arrive late
    int resident;      // blocks that run at the same time
    int cooperative;   // whether more blocks than that are refused
    unsigned cluster;  // blocks of a row of the grid that start together and store into each other's shared memory
};

struct Where {
    dim3 thread, block;
};
extern Where* here;
extern dim3 grid_size, block_size;

unsigned char* dynamic_shared();
void yield();
void wait_for_block();
void wait_for_warp();
unsigned warp_side();  // shuffles alternate between two sides, so the next one overwrites nothing that is still read
void* warp_slot(unsigned side, unsigned lane);  // 8 bytes that each lane has
void store_later(void* to, const void* from, size_t bytes);
void store_remote(void* here, unsigned block, const void* from, size_t bytes);
void arrive_at_cluster();
void wait_for_cluster();
int run(const Launch& launch, void (*kernel)(void*), void* arguments);
}  // namespace on_cpu

#define threadIdx (on_cpu::here->thread)
#define blockIdx (on_cpu::here->block)
#define gridDim on_cpu::grid_size
#define blockDim on_cpu::block_size

inline void __syncthreads() { on_cpu::wait_for_block(); }
inline void __syncwarp(unsigned = 0xFFFFFFFFu) { on_cpu::wait_for_warp(); }

template <class T>
inline T from_lane(T value, unsigned lane) {
    const unsigned side = on_cpu::warp_side();
    __builtin_memcpy(on_cpu::warp_slot(side, threadIdx.x % 32), &value, sizeof(T));
    on_cpu::wait_for_warp();
    __builtin_memcpy(&value, on_cpu::warp_slot(side, lane), sizeof(T));
    return value;
}
template <class T>
inline T __shfl_sync(unsigned, T value, int lane) {
    return from_lane(value, lane % 32);
}
template <class T>
inline T __shfl_xor_sync(unsigned, T value, int bits) {
    return from_lane(value, (threadIdx.x ^ bits) % 32);
}
template <class T>
inline T __shfl_down_sync(unsigned, T value, unsigned by) {
    const unsigned lane = threadIdx.x % 32;
    return from_lane(value, lane + by < 32 ? lane + by : lane);
}

#ifndef CUDA_ON_CPU_SCHEDULER  // which includes the library's own
extern "C" double exp(double) noexcept;
extern "C" double tanh(double) noexcept;
inline float power_of_two(float x) { return __builtin_exp2f(x); }
inline float reciprocal(float x) { return 1 / x; }
inline int min(int a, int b) { return a < b ? a : b; }
#endif

// What exchange.h has in PTX. A template, so that its types may come later.
template <class R, class W>
inline void load_relaxed(const R* from, W& words) {
    for (auto& word : words.of) {
        word = *reinterpret_cast<const volatile decltype(+words.of[0])*>(from);
        ++from;
    }
}
template <class R, class W>
inline void store_relaxed(R* to, W word) {
    on_cpu::store_later(to, &word, sizeof word);
}

// What cluster.h has in PTX. A store into another block, of a number or of a vector up to 16 bytes, may arrive late, but
// not later than the cluster barrier at which the storing thread arrives next.
template <class R>
struct Same {
    using type = R;
};
template <class R>
inline void store_to_block(R* here, unsigned block, typename Same<R>::type x) {
    static_assert(sizeof x <= 16, "a store has at most 16 bytes");
    on_cpu::store_remote(here, block, &x, sizeof x);
}
template <class R>
struct RemotePlace {
    R* here;
    unsigned block;
};
template <class R>
inline RemotePlace<R> place_in_block(R* here, unsigned block) {
    return {here, block};
}
template <class R>
inline void store_at(RemotePlace<R> place, int offset, typename Same<R>::type x) {
    store_to_block(place.here + offset, place.block, x);
}
inline void cluster_arrive() { on_cpu::arrive_at_cluster(); }
inline void cluster_wait() { on_cpu::wait_for_cluster(); }

inline unsigned bits(float x) {
    unsigned word;
    __builtin_memcpy(&word, &x, 4);
    return word;
}
inline unsigned long long bits(double x) {
    unsigned long long word;
    __builtin_memcpy(&word, &x, 8);
    return word;
}
inline float value_of(unsigned word) {
    float x;
    __builtin_memcpy(&x, &word, 4);
    return x;
}
inline double value_of(unsigned long long word) {
    double x;
    __builtin_memcpy(&x, &word, 8);
    return x;
}
inline int load_flag(const int* flag) { return *reinterpret_cast<const volatile int*>(flag); }
inline void store_flag(int* flag, int value) { *reinterpret_cast<volatile int*>(flag) = value; }
inline void wait_a_little() { on_cpu::yield(); }
// Reads what it asks for, so that an address beyond an array is found.
template <class R>
inline void prefetch(const R* from) {
    static_cast<void>(*static_cast<const volatile R*>(from));
}

// From the addresses of the arguments, as a driver is given them, to a call.
namespace on_cpu {
template <unsigned... I>
struct Places {};
template <unsigned N, unsigned... I>
struct PlacesTo : PlacesTo<N - 1, N - 1, I...> {};
template <unsigned... I>
struct PlacesTo<0, I...> {
    using type = Places<I...>;
};

template <class... A>
struct Call {
    void (*kernel)(A...);
    void** addresses;

    template <unsigned... I>
    void make(Places<I...>) {
        kernel(*static_cast<A*>(addresses[I])...);
    }
    static void entry(void* self) { static_cast<Call*>(self)->make(typename PlacesTo<sizeof...(A)>::type{}); }
};

template <class... A>
int call(void (*kernel)(A...), const Launch& launch, void** addresses) {
    Call<A...> made{kernel, addresses};
    return run(launch, Call<A...>::entry, &made);
}

template <class T>
constexpr int kind_of(T*) {
    return 0;  // a pointer
}
constexpr int kind_of(int) { return 4; }
template <class... A>
int kinds(void (*)(A...), int* kinds) {
    int n = 0;
    ((kinds[n++] = kind_of(A())), ...);
    return n;
}
}  // namespace on_cpu
