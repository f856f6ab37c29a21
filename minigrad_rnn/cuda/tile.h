// A block's share of one product per step: some rows of a matrix, resident in the block for the whole sequence, times
// what all blocks published at the step before.
//
// A block has UNITS hidden units (UNIT_WARPS groups of WARP_UNITS) and BATCH examples at a time. The columns of the
// matrix are split over the 32 lanes of a warp and over SPLIT warps; the lanes' sums meet by shuffles, the warps' in
// shared memory. Every sum is taken in one fixed order, so results are equal bit by bit from run to run.
#pragma once

constexpr int H = K_H;
constexpr int VEC = K_VECTOR;  // values that one load from shared memory brings
constexpr int WARP_UNITS = K_WARP_UNITS, UNIT_WARPS = K_UNIT_WARPS, SPLIT = K_SPLIT, BATCH = K_BATCH, TILES = K_TILES;
constexpr int UNITS = WARP_UNITS * UNIT_WARPS, THREADS = 32 * UNIT_WARPS * SPLIT;
constexpr int BLOCKS = (H + UNITS - 1) / UNITS;  // that have all units of an example
constexpr int PAIRS = UNITS * BATCH;  // (example, unit), unit fastest: what one thread each works on between products
constexpr bool IN_REGISTERS = K_REGISTERS;
static_assert(PAIRS <= THREADS, "a thread has one pair of a tile");
static_assert(((WARP_UNITS * BATCH) & (WARP_UNITS * BATCH - 1)) == 0, "halving needs a power of two");

template <int N>
struct alignas(sizeof(Real) * N) Values {
    Real of[N];
};
using Vec = Values<VEC>;

constexpr int STRIDE = 32 * VEC;  // columns that a warp takes at once

__device__ constexpr int padded(int columns) {
    return (columns + SPLIT * STRIDE - 1) / (SPLIT * STRIDE) * (SPLIT * STRIDE);
}

// v[0 … N − 1] of 32 lanes, added over the lanes: each lane is left with the first max(1, N / 32) of v. Of fewer than 32
// sums, 32 / N lanes have the same one.
//
// Half of what is left goes to another lane, whose other half comes. Which half a lane gives would depend on the lane,
// and take two selections a value: so a lane's v[i] is the summand of sum i ^ order<N>(), and all give their upper half.
template <int N>
__device__ __forceinline__ void add_over_lanes(Real (&v)[N]) {
    int width = N;
#pragma unroll
    for (int bit = 16; bit > 0; bit /= 2) {
        const int given = width > 1 ? width / 2 : 0;  // the first that is given; a last sum goes both ways
        width = width > 1 ? width / 2 : 1;
#pragma unroll
        for (int i = 0; i < (N + 1) / 2; ++i)
            if (i < width) v[i] += __shfl_xor_sync(0xFFFFFFFFu, v[i + given], bit);
    }
}

// The first of the sums that this lane is left with, and what its summands' places differ by from their sums'.
// order<N>() / 2 is order<N / 2>(): sums that are added to the end of each leave the order of the others.
template <int N>
__device__ __forceinline__ int order() {
    return threadIdx.x % 32 * N / 32;
}

// left(b, unit) for every pair of this thread; for a block that gave up waiting.
template <class Left>
__device__ __forceinline__ void for_each_pair(int B, Left left) {
    const int pair = threadIdx.x, unit = blockIdx.x * UNITS + pair % UNITS;
    for (int tile = 0; tile < TILES; ++tile) {
        const int b = (blockIdx.y * TILES + tile) * BATCH + pair / UNITS;
        if (pair < PAIRS && b < B && unit < H) left(b, unit);
    }
}

// N values of each pair that a thread carries from step to step: in registers, or in shared memory if it has many tiles.
template <int N>
struct Carried {
    Real own[N];
    Real* const shared;

    __device__ __forceinline__ explicit Carried(Real* memory) : shared(memory + threadIdx.x) {}
    __device__ __forceinline__ Real& operator()(int tile, int k) {
        if constexpr (TILES == 1)
            return own[k];
        else
            return shared[(N * tile + k) * PAIRS];
    }
};

// ROWS rows for each unit of the block, of a matrix with COLUMNS columns: in registers, or in shared memory.
template <int ROWS, int COLUMNS>
struct Resident {
    static constexpr int MINE = ROWS * WARP_UNITS, TIMES = padded(COLUMNS) / (SPLIT * STRIDE);
    static constexpr int SHARED = IN_REGISTERS ? 0 : MINE * UNIT_WARPS * padded(COLUMNS);
    static constexpr int PART = SPLIT * ROWS * PAIRS;
    static constexpr int SUMS = WARP_UNITS * BATCH;  // of a row that a warp's lanes have shares of
    // Rows whose sums are added together, as long as there are no more of them than lanes.
    static constexpr int TOGETHER = ROWS % 4 == 0 && SUMS <= 8 ? 4 : ROWS >= 2 && SUMS <= 16 ? 2 : 1;
    Vec kept[IN_REGISTERS ? MINE : 1][IN_REGISTERS ? TIMES : 1];
    Real* shared;

    static __device__ __forceinline__ int group() { return threadIdx.x / 32 / SPLIT; }
    static __device__ __forceinline__ int column(int time) {
        return (time * SPLIT + threadIdx.x / 32 % SPLIT) * STRIDE + threadIdx.x % 32 * VEC;
    }

    // Element (row, unit, k) is W[row * row_step + unit * unit_step + k * column_step].
    __device__ __forceinline__ void load(
        const Real* W, long long row_step, int unit_step, int column_step, int first_unit, Real* memory) {
        shared = memory;
        // Into shared memory MINE vectors at a time: the registers for more would be spilled.
#pragma unroll (IN_REGISTERS ? TIMES : 1)
        for (int i = 0; i < TIMES; ++i)
#pragma unroll
            for (int r = 0; r < MINE; ++r) {
                const int unit = first_unit + group() * WARP_UNITS + (r % WARP_UNITS ^ order<SUMS>() % WARP_UNITS);
                const int row = row_of(r / WARP_UNITS);
                Vec v;
#pragma unroll
                for (int e = 0; e < VEC; ++e) {
                    const int k = column(i) + e;
                    const long long at = row * row_step + (long long)unit * unit_step + (long long)k * column_step;
                    v.of[e] = unit < H && k < COLUMNS ? W[at] : Real(0);
                }
                if constexpr (IN_REGISTERS)
                    kept[r][i] = v;
                else  // read again by this lane alone
                    *reinterpret_cast<Vec*>(shared + (group() * MINE + r) * padded(COLUMNS) + column(i)) = v;
            }
    }

    // part[split][row][pair] = the share of the sums that this warp's columns have.
    __device__ __forceinline__ void multiply(const Real* x, Real* part) const {
        Real sum[MINE][BATCH];
#pragma unroll
        for (int r = 0; r < MINE; ++r)
#pragma unroll
            for (int b = 0; b < BATCH; ++b) sum[r][b] = 0;
        const Real* of_example[BATCH];  // in this lane's order
#pragma unroll
        for (int b = 0; b < BATCH; ++b) of_example[b] = x + (b ^ order<SUMS>() / WARP_UNITS) * padded(COLUMNS);
        if constexpr (IN_REGISTERS) {
#pragma unroll
            for (int i = 0; i < TIMES; ++i)
#pragma unroll
                for (int b = 0; b < BATCH; ++b) {
                    const Vec v = *reinterpret_cast<const Vec*>(of_example[b] + column(i));
#pragma unroll
                    for (int r = 0; r < MINE; ++r)
#pragma unroll
                        for (int e = 0; e < VEC; ++e) sum[r][b] += kept[r][i].of[e] * v.of[e];
                }
        } else {
#pragma unroll 1
            for (int i = 0; i < TIMES; ++i) {
                Vec w[MINE];
#pragma unroll
                for (int r = 0; r < MINE; ++r)
                    w[r] = *reinterpret_cast<const Vec*>(shared + (group() * MINE + r) * padded(COLUMNS) + column(i));
#pragma unroll
                for (int b = 0; b < BATCH; ++b) {
                    const Vec v = *reinterpret_cast<const Vec*>(of_example[b] + column(i));
#pragma unroll
                    for (int r = 0; r < MINE; ++r)
#pragma unroll
                        for (int e = 0; e < VEC; ++e) sum[r][b] += w[r].of[e] * v.of[e];
                }
            }
        }
        add_rows<0, TOGETHER>(sum, part);
    }

    // The sums of N rows from the first one on, and then those of the rest.
    template <int FIRST, int N>
    static __device__ __forceinline__ void add_rows(const Real (&sum)[MINE][BATCH], Real* part) {
        constexpr int ALL = SUMS * N, LEFT = ALL > 32 ? ALL / 32 : 1, SAME = ALL > 32 ? 1 : 32 / ALL;
        Real v[ALL];
#pragma unroll
        for (int b = 0; b < BATCH; ++b)
#pragma unroll
            for (int u = 0; u < WARP_UNITS; ++u)
#pragma unroll
                for (int row = 0; row < N; ++row)
                    v[(b * WARP_UNITS + u) * N + row] = sum[(FIRST + row) * WARP_UNITS + u][b];
        add_over_lanes<ALL>(v);
        if (threadIdx.x % SAME == 0)
#pragma unroll
            for (int i = 0; i < LEFT; ++i) {
                const int place = order<ALL>() + i, row = FIRST + place % N, of_row = place / N;
                const int b = of_row / WARP_UNITS, u = of_row % WARP_UNITS, split = threadIdx.x / 32 % SPLIT;
                part[(split * ROWS + row) * PAIRS + b * UNITS + group() * WARP_UNITS + u] = v[i];
            }
        constexpr int NEXT = FIRST + N;
        if constexpr (NEXT < ROWS) add_rows<NEXT, (ROWS - NEXT < N ? 1 : N)>(sum, part);
    }

    // The row of W that this lane keeps as its `row`.
    static __device__ __forceinline__ int row_of(int row) {
        const int first = row / TOGETHER * TOGETHER;
        return ROWS - first < TOGETHER ? row : row ^ order<SUMS * TOGETHER>() % TOGETHER;
    }

    // The whole sum of a row for one pair: `of_pair` is part + pair.
    static __device__ __forceinline__ Real total(const Real* of_pair, int row) {
        Real sum = of_pair[row * PAIRS];
#pragma unroll
        for (int split = 1; split < SPLIT; ++split) sum += of_pair[(split * ROWS + row) * PAIRS];
        return sum;
    }
};
