// A cluster of blocks: they run at the same time, write into each other's shared memory, and meet at a barrier.
//
// For compute capability 9.0 and later. A block's place in its cluster is blockIdx.x; a cluster of one block is a block.
#pragma once

static_assert(!K_CLUSTER || BLOCKS <= 8, "a portable cluster has at most eight blocks");

#ifndef CUDA_ON_CPU  // there the same functions are plain C++
#if K_CLUSTER
#define CLUSTER_DIMS __cluster_dims__(BLOCKS, 1, 1)
#else
#define CLUSTER_DIMS
#endif

// x to the place in a block's dynamic shared memory that `here` is in ours.
__device__ __forceinline__ void store_to_block(Real* here, unsigned block, Real x) {
    const unsigned own = static_cast<unsigned>(__cvta_generic_to_shared(here));
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(own), "r"(block));
#ifdef K_DOUBLE
    asm volatile("st.shared::cluster.u64 [%0], %1;" ::"r"(there), "l"(bits(x)) : "memory");
#else
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(there), "r"(bits(x)) : "memory");
#endif
}

// Whoever waits sees what a thread stored before it arrived. Every thread of the cluster does both, in turn.
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
#endif
