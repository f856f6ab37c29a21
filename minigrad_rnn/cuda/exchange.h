// How the values of a step reach every block that multiplies them at the next one.
//
// Polled: a buffer in global memory is filled with UNWRITTEN before the launch. A block publishes a value by storing it
// there; the others read until they find something else. The datum is its own flag, so no order between two stores
// matters, nothing is added atomically, and no barrier spans the grid.
//
// In a cluster (K_CLUSTER): a block stores its values into the shared memory of all blocks, and a barrier of the cluster
// says that they are there. A step's values go where nobody reads at that step, so one barrier a step is enough.
//
// Both have the same functions. `step` counts exchanges; send and receive of the same values are given the same one.
#pragma once

// Values of an array that one thread takes at once, until all of them are written. False if they were not in time.
template <int COLUMNS>
__device__ __forceinline__ bool gather(const Real* from, int rows, Real* x, bool wait, int* flag) {
    constexpr int PER_ROW = COLUMNS / WIDE, SHARE = (BATCH * PER_ROW + THREADS - 1) / THREADS;
    constexpr int AT_ONCE = SHARE < 8 ? SHARE : 8;  // loads of one thread that are under way together
    const int n = rows * PER_ROW;
    for (int first = threadIdx.x; first < n; first += THREADS * AT_ONCE) {
        Words w[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)  // issue all loads before the first is checked
            load_relaxed(from + min(first + i * THREADS, n - 1) * WIDE, w[i]);
        for (int tries = 0; wait; ++tries) {
            bool there = true;
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i)
                if (!is_written(w[i])) {  // read again what is missing, and only that
                    load_relaxed(from + min(first + i * THREADS, n - 1) * WIDE, w[i]);
                    there = false;
                }
            if (there) break;
            if (give_up(tries, flag)) return false;
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            const int k = first + i * THREADS;
            if (k >= n) break;
            Values<WIDE> v;
#pragma unroll
            for (int e = 0; e < WIDE; ++e) v.of[e] = value_of(w[i].of[e]);
            *reinterpret_cast<Values<WIDE>*>(x + k / PER_ROW * padded(COLUMNS) + k % PER_ROW * WIDE) = v;
        }
    }
    return true;
}

// Rows of COLUMNS values of the BATCH examples of each tile. Where values are sent while those of the step before are
// still read, BUFFERS is 2.
template <int COLUMNS, int BUFFERS>
struct Exchange {
    static constexpr int ROW = padded(COLUMNS), ONE = BATCH * ROW;
    static constexpr int SHARED = K_CLUSTER ? BUFFERS * TILES * ONE : ONE;
    Real* const x;
    int *const stopped, *const flag;

    // The values of a step, where receive left them.
    __device__ __forceinline__ Real* values(int step, int tile) const {
        return K_CLUSTER ? x + ((BUFFERS == 2 ? (step & 1) * TILES : 0) + tile) * ONE : x;
    }

    __device__ __forceinline__ void clear() const {
        for (int i = threadIdx.x; i < SHARED; i += THREADS) x[i] = 0;
    }

#if K_CLUSTER
    // Values that lie in global memory since before the launch.
    __device__ __forceinline__ void fill(const Real* from, int rows, int step, int tile) const {
        gather<COLUMNS>(from, rows, values(step, tile), false, flag);
    }
    // True when the values of `step` are in every thread's sight. `first`: they were filled in.
    __device__ __forceinline__ bool receive(const Real*, int, int step, int tile, bool first) const {
        if (BLOCKS == 1 || tile > 0)
            __syncthreads();  // x is whole, and part free again
        else if (!first)
            cluster_wait();  // x is whole in every block
        return true;
    }
    __device__ __forceinline__ void prefetch_row(const Real*, int) const {}
    // Where values go: to every block. BPTT will read them in the row; keep stores them there, after what others wait for.
    struct Target {
        Real* here;
        PlaceInBlock of[BLOCKS];
    };
    __device__ __forceinline__ Target aim(int step, int tile, int example, int column, Real*) const {
        Target target{values(step, tile) + example * ROW + column};
        if constexpr (BLOCKS > 1)
#pragma unroll
            for (int block = 0; block < BLOCKS; ++block) target.of[block] = place_in_block(target.here, block);
        return target;
    }
    static __device__ __forceinline__ void send(const Target& target, int offset, Real value) {
        const Real sent = value_of(published(value));
        if constexpr (BLOCKS == 1) target.here[offset] = sent;
#pragma unroll
        for (int block = 0; block < BLOCKS && BLOCKS > 1; ++block) store_at(target.of[block], offset, sent);
    }
    static __device__ __forceinline__ void keep(Real* to, Real value) { *to = value_of(published(value)); }
#else
    __device__ __forceinline__ void fill(const Real*, int, int, int) const {}
    __device__ __forceinline__ bool receive(const Real* from, int rows, int, int, bool first) const {
        if (!gather<COLUMNS>(from, rows, x, !first, flag)) *stopped = 1;
        __syncthreads();  // x is whole
        return !*stopped;
    }
    __device__ __forceinline__ void prefetch_row(const Real* from, int rows) const {
        constexpr int LINE = 128 / sizeof(Real);
#pragma unroll 1
        for (int i = threadIdx.x * LINE; i < rows * COLUMNS; i += THREADS * LINE) prefetch(from + i);
    }
    struct Target {
        Real* row;
    };
    __device__ __forceinline__ Target aim(int, int, int, int, Real* row) const { return {row}; }
    static __device__ __forceinline__ void send(const Target& target, int offset, Real value) {
        publish(target.row + offset, value);
    }
    static __device__ __forceinline__ void keep(Real*, Real) {}
#endif
};

// Every thread, once it has sent its values of a step and no longer needs those that it received.
__device__ __forceinline__ void all_sent() {
#if K_CLUSTER
    if constexpr (BLOCKS > 1) cluster_arrive();
#endif
}

// Every thread, before the first value is sent: shared memory is ready in every block.
__device__ __forceinline__ void all_started() {
#if K_CLUSTER
    if constexpr (BLOCKS > 1) {
        cluster_arrive();
        cluster_wait();
        return;
    }
#endif
    __syncthreads();
}
