// A cluster of blocks: they run at the same time, write into each other's shared memory, and meet at a barrier.
//
// For compute capability 9.0 and later. A block's place in its cluster is blockIdx.x; a cluster of one block is a block.
#pragma once

static_assert(!K_CLUSTER || BLOCKS <= 8, "a portable cluster has at most eight blocks");

#ifdef CUDA_ON_CPU  // there the same functions are plain C++
using PlaceInBlock = RemotePlace<Real>;
#else
#if K_CLUSTER
#define CLUSTER_DIMS __cluster_dims__(BLOCKS, 1, 1)
#else
#define CLUSTER_DIMS
#endif

// The place in a block's dynamic shared memory that `here` is in ours. Made before a wait, so that nothing but stores is left
// when the values are there.
struct PlaceInBlock {
    Real* there;
};

__device__ __forceinline__ PlaceInBlock place_in_block(Real* here, unsigned block) {
    unsigned long long there;
    asm volatile("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"(here), "r"(block));
    return {reinterpret_cast<Real*>(there)};
}

__device__ __forceinline__ void store_at(PlaceInBlock place, int offset, Real x) { place.there[offset] = x; }

// Whoever waits sees what a thread stored before it arrived. Every thread of the cluster does both, in turn.
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }
#endif
