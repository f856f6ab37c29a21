// A team: threads that share the units of every step, and meet at its end. It serves few examples with many units, whose
// weights each thread would otherwise read whole at every step.
//
// The leader is the caller. Whoever comes before it closes the team takes part; who comes later has nothing to do. So no
// thread waits for another that may be busy elsewhere. Where a member is held up again and again, as by other programs
// on its core, the leader dismisses all and goes on alone. What is computed does not depend on who takes part.
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "sequence.h"

enum { OPEN = 1 << 20, CLOSED = 1 << 21 };
#ifndef COMING
#define COMING 120000     // nanoseconds that the leader waits for members, and they for it
#endif
#ifndef PATIENCE
#define PATIENCE 2000000  // nanoseconds that the leader waits at meetings, all together
#endif
#ifndef SPINS
#define SPINS 4000        // looks before a thread lets others have its core
#endif

// The caller's memory, TEAM_BYTES at the beginning of a line of the cache; zero before each pass.
struct Team {
    _Alignas(64) atomic_long state;  // how many came beside the leader, OPEN, CLOSED
    atomic_long size;                // members, the leader included; 0 until it is known
    _Alignas(64) atomic_long here;   // at the present meeting
    _Alignas(64) atomic_long meetings;
    _Alignas(64) atomic_long last;   // the number, from 1 on, of the meeting after which the others leave; 0 if they stay
    scalar *dh, *dc;                 // of the backward pass, the leader's memory
    long waited;                     // nanoseconds of the leader's
};
#define TEAM_BYTES 256
_Static_assert(sizeof(Team) <= TEAM_BYTES, "the caller's memory");

typedef struct {
    Team* team;  // null for a thread of its own
    long rank, size;
} Member;
#define ALONE ((Member){0, 0, 1})

INLINE void relax(long spin) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
    if (spin >= SPINS) sched_yield();
}

static long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

// The leader's: lets up to `most` − 1 others join.
static Member lead(Team* team, long most) {
    const long until = nanoseconds() + COMING;
    atomic_fetch_or(&team->state, OPEN);
    while ((atomic_load(&team->state) & (OPEN - 1)) < most - 1 && nanoseconds() < until) relax(0);
    const long size = (atomic_fetch_or(&team->state, CLOSED) & (OPEN - 1)) + 1;
    atomic_store(&team->size, size);
    return (Member){team, 0, size};
}

// The others': rank 0 for who comes too late.
static Member join(Team* team) {
    const long until = nanoseconds() + COMING;
    long state = atomic_load(&team->state);
    while (!(state & CLOSED)) {
        if (state & OPEN) {
            if (!atomic_compare_exchange_weak(&team->state, &state, state + 1)) continue;
            Member member = {team, (state & (OPEN - 1)) + 1, 0};
            for (long spin = 0; !(member.size = atomic_load(&team->size)); ++spin) relax(spin);
            return member;
        }
        if (nanoseconds() > until) break;
        relax(0);
        state = atomic_load(&team->state);
    }
    return (Member){team, 0, 0};
}

// Returns when all members are here: what each wrote before, all read after. Returns the meeting's number.
static long meet(const Member* me) {
    if (me->size < 2) return 0;
    Team* const team = me->team;
    const long meeting = atomic_load(&team->meetings);
    if (atomic_fetch_add(&team->here, 1) + 1 == me->size) {
        atomic_store(&team->here, 0);
        atomic_store(&team->meetings, meeting + 1);
        return meeting + 1;
    }
    long spin = 0;
    for (; atomic_load(&team->meetings) == meeting && spin < SPINS; ++spin) relax(spin);
    if (spin < SPINS) return meeting + 1;
    const long since = nanoseconds();
    for (; atomic_load(&team->meetings) == meeting; ++spin) relax(spin);
    if (!me->rank) team->waited += nanoseconds() - since;
    return meeting + 1;
}

// The meeting at the end of a step. Returns whether this thread goes on.
static int end_step(Member* me) {
    if (me->size < 2) return 1;
    Team* const team = me->team;
    if (!me->rank && team->waited > PATIENCE) atomic_store(&team->last, atomic_load(&team->meetings) + 1);
    const long meeting = meet(me);
    if (atomic_load(&team->last) != meeting) return 1;
    me->size = 1;
    return !me->rank;
}

// A member's share of `count` things.
INLINE Span share_of(const Member* me, long count) {
    return (Span){count * me->rank / me->size, count * (me->rank + 1) / me->size};
}
