// Real: a vector of LANES units in GNU C's vector extensions; loads, stores and the qualifiers of the gate equations.
//
// REAL_IS_DOUBLE (0 or 1) comes from the command line, and so may VECTOR_BYTES: a vector wider than the machine's is
// split by the compiler. Operators act lane by lane, and a number beside a vector stands in every lane.
#pragma once

#pragma GCC diagnostic ignored "-Wpsabi"  // about vectors as arguments; all functions with such are inlined

#if REAL_IS_DOUBLE
typedef double scalar;
typedef long long bits;
#define SCALAR(number) number
#else
typedef float scalar;
typedef int bits;
#define SCALAR(number) number##f
#endif

#ifndef VECTOR_BYTES
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#endif

#define LANES ((long)(VECTOR_BYTES / sizeof(scalar)))
#define INLINE static inline __attribute__((always_inline))
#define EQUATION INLINE

typedef scalar Real __attribute__((vector_size(VECTOR_BYTES)));
typedef scalar Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(scalar)), may_alias));
typedef bits Bits __attribute__((vector_size(VECTOR_BYTES)));  // of a comparison: −1 where it is true, else 0

INLINE Real load(const scalar* a) { return *(const Unaligned*)a; }
INLINE void store(scalar* a, Real v) { *(Unaligned*)a = v; }

// GCC from 12 on makes one masked load or store of a loop over lanes, also at -O2. The stores of AVX are slow on some
// machines.
#if defined(__AVX__) && !defined(__clang__) && __GNUC__ >= 12
#define MASKED_LOADS 1
#endif
#if defined(MASKED_LOADS) && defined(__AVX512F__)
#define MASKED_STORES 1
#endif

// `lanes` < LANES numbers as copies of constant sizes.
INLINE void copy_part(scalar* to, const scalar* from, long lanes) {
    long at = 0;
    if (LANES > 8 && lanes & 8) {
        __builtin_memcpy(to, from, 8 * sizeof(scalar));
        at = 8;
    }
    if (LANES > 4 && lanes & 4) {
        __builtin_memcpy(to + at, from + at, 4 * sizeof(scalar));
        at += 4;
    }
    if (LANES > 2 && lanes & 2) {
        __builtin_memcpy(to + at, from + at, 2 * sizeof(scalar));
        at += 2;
    }
    if (lanes & 1) to[at] = from[at];
}

// The first `lanes` numbers, all of them from LANES on, and 0 in the lanes after. Nothing else is read.
INLINE Real load_part(const scalar* a, long lanes) {
#ifdef MASKED_LOADS
    const bits some = lanes < LANES ? lanes : LANES;
    scalar part[VECTOR_BYTES / sizeof(scalar)];
    for (bits i = 0; i < LANES; ++i) part[i] = i < some ? a[i] : SCALAR(0.0);
#else
    if (lanes >= LANES) return load(a);
    scalar part[VECTOR_BYTES / sizeof(scalar)] = {0};
    copy_part(part, a, lanes);
#endif
    return load(part);
}

// Writes the first `lanes` numbers, all of them from LANES on.
INLINE void store_part(scalar* a, Real v, long lanes) {
    scalar part[VECTOR_BYTES / sizeof(scalar)];
    store(part, v);
#ifdef MASKED_STORES
    const bits some = lanes < LANES ? lanes : LANES;
    for (bits i = 0; i < LANES; ++i)
        if (i < some) a[i] = part[i];
#else
    if (lanes >= LANES) store(a, v);
    else copy_part(a, part, lanes);
#endif
}

INLINE Real broadcast(scalar x) { return x - (Real){0}; }  // x − 0 is x, also where x is −0

// True in the first `lanes` lanes.
INLINE Bits first_lanes(long lanes) {
    Bits number;
    for (bits i = 0; i < LANES; ++i) number[i] = i;
    return number < (bits)(lanes < LANES ? lanes : LANES);
}

INLINE Real keep(Bits mask, Real a) { return (Real)(mask & (Bits)a); }  // and +0 elsewhere

// a where the mask is true, else b.
INLINE Real choose(Bits mask, Real a, Real b) { return (Real)((mask & (Bits)a) | (~mask & (Bits)b)); }
