// The fibers of cuda_on_cpu.h: who runs next, who waits for whom, and what is wrong when nobody can go on.
#define CUDA_ON_CPU_SCHEDULER
#include "cuda_on_cpu.h"

#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

extern "C" char __start_shared_memory[] __attribute__((weak));
extern "C" char __stop_shared_memory[] __attribute__((weak));

namespace on_cpu {
enum Outcome {
    DONE = 0,
    DEADLOCK = 2,
    LEFT_A_BARRIER = 3,
    TOO_MANY_BLOCKS = 4,
    WROTE_BEYOND_SHARED = 5,
    CLUSTER_TOO_LARGE = 6,
    CLUSTER_WITHOUT_ROOM = 7,
    STORED_BEFORE_START = 8,
    STORED_AFTER_END = 9,
    ENDED_BEFORE_STORES = 10,
    STORED_BEYOND_CLUSTER = 11,
    STORED_FROM_ELSEWHERE = 12,
    ARRIVED_TWICE = 13,
    WAITED_WITHOUT_ARRIVING = 14,
    LEFT_A_CLUSTER = 15,
    STORED_UNALIGNED = 16
};
constexpr unsigned LARGEST_CLUSTER = 8;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t STACK = 1 << 18, GUARD = 0;  // the sanitizer guards what lies beyond
#else
constexpr size_t STACK = 1 << 17, GUARD = 64;
#endif
constexpr unsigned LONGEST_PAUSE = 64;
constexpr unsigned char FRESH = 0xFF;  // memory that nobody wrote reads as NaN

struct Warp {
    uint64_t slots[2][32];
    unsigned arrived = 0, alive = 0, generation = 0;
};

struct Store {
    unsigned char* to;
    unsigned char value[16];
    size_t bytes;
    unsigned due = 0;  // of a store into another block: the generation of its cluster at which it is there
};

struct Block;
struct Cluster {
    std::vector<Block*> blocks;                 // null where one has ended
    std::vector<std::vector<Store>> under_way;  // of each thread, into other blocks
    unsigned arrived = 0, alive = 0, generation = 0;
};

struct Block {
    Cluster* cluster;
    unsigned rank;            // its place in the cluster
    unsigned pause = 0;       // rounds that its threads sit out, so that blocks are not all at the same place
    bool met = false;         // one of its threads has waited at a cluster barrier, so every block has started
    unsigned stores_due = 0;  // the generation at which all stores into it are there
    std::unique_ptr<unsigned char[]> dynamic;
    std::vector<char> variables;  // its copy of the section, while another block runs
    std::vector<Warp> warps;
    unsigned arrived = 0, alive = 0, generation = 0;
};

struct Fiber {
    Where where;
    Block* block;
    Warp* warp;
    const unsigned* waits_for = nullptr;  // a generation that must become another
    unsigned since = 0;
    bool arrived = false;  // at a cluster barrier for which it has yet to wait
    unsigned arrived_in = 0;
    bool done = false;
    ucontext_t context;
    void* stack_pointer = nullptr;
    std::unique_ptr<char[]> stack;
};

Where* here;
dim3 grid_size, block_size;

namespace {
Fiber* current;
Launch now;
void (*body)(void*);
void* body_arguments;
Outcome outcome;
std::mt19937 chance;
std::vector<Store> under_way;
std::vector<std::unique_ptr<Cluster>> clusters;
size_t remote_under_way;  // stores of all clusters
std::vector<std::unique_ptr<char[]>> spare_stacks;  // of fibers that are done
ucontext_t scheduler __attribute__((unused));
void* scheduler_stack __attribute__((unused));

// Saves what a call must leave as it was, and goes on at the other stack: an ucontext switch without its system calls.
#if defined(__x86_64__)
#define OWN_SWITCH
extern "C" void switch_stack(void** from, void* to);
asm(R"(
.text
.local switch_stack
.type switch_stack, @function
switch_stack:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
)");
#endif

void to_scheduler() {
#ifdef OWN_SWITCH
    switch_stack(&current->stack_pointer, scheduler_stack);
#else
    swapcontext(&current->context, &scheduler);
#endif
}

void note(Outcome fault) {
    if (outcome == DONE) outcome = fault;
}

[[noreturn]] void stop(Outcome fault) {
    note(fault);
    for (;;) to_scheduler();
}

void leave() {
    Fiber* const self = current;
    self->done = true;
    Block* const block = self->block;
    Cluster* const cluster = block->cluster;
    --self->warp->alive;
    if (--block->alive && block->arrived) note(LEFT_A_BARRIER);
    if ((--cluster->alive && cluster->arrived) || self->arrived) note(LEFT_A_CLUSTER);
    if (!block->alive && block->stores_due > cluster->generation) note(ENDED_BEFORE_STORES);
    for (;;) to_scheduler();
}

void entry() {
    body(body_arguments);
    leave();
}

void prepare(Fiber& fiber) {
    if (spare_stacks.empty()) spare_stacks.emplace_back(new char[STACK]);
    fiber.stack = std::move(spare_stacks.back());
    spare_stacks.pop_back();
#ifdef OWN_SWITCH
    uintptr_t top = reinterpret_cast<uintptr_t>(fiber.stack.get() + STACK) & ~uintptr_t(15);
    void** at = reinterpret_cast<void**>(top) - 1;  // entry finds its stack as after a call
    *at = nullptr;
    *--at = reinterpret_cast<void*>(entry);
    at -= 6;
    memset(at, 0, 6 * sizeof(void*));
    fiber.stack_pointer = at;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#endif
}

size_t section() { return __start_shared_memory ? __stop_shared_memory - __start_shared_memory : 0; }

void go_on_with(Fiber& fiber) {
    current = &fiber;
    here = &fiber.where;
    if (section()) memcpy(__start_shared_memory, fiber.block->variables.data(), section());
#ifdef OWN_SWITCH
    switch_stack(&scheduler_stack, fiber.stack_pointer);
#else
    swapcontext(&scheduler, &fiber.context);
#endif
    if (section()) memcpy(fiber.block->variables.data(), __start_shared_memory, section());
}

void wait(const unsigned& generation, unsigned since) {
    current->waits_for = &generation;
    current->since = since;
    while (*current->waits_for == current->since) to_scheduler();
    current->waits_for = nullptr;
}

void meet(unsigned& arrived, unsigned alive, unsigned& generation) {
    if (++arrived < alive) return wait(generation, generation);
    arrived = 0;
    ++generation;
}

void arrive(const Store& store) { memcpy(store.to, store.value, store.bytes); }

template <class There>
void take_out(std::vector<Store>& stores, There there) {
    size_t left = 0;
    for (const Store& store : stores)
        if (there(store))
            arrive(store);
        else
            stores[left++] = store;
    stores.resize(left);
}

// Of the stores into other blocks of the cluster, those that are there.
template <class There>
void take_out(Cluster& cluster, There there) {
    if (!remote_under_way) return;
    for (auto& stores : cluster.under_way) {
        const size_t before = stores.size();
        take_out(stores, there);
        remote_under_way -= before - stores.size();
    }
}

void let_stores_arrive() {
    const auto by_chance = [](const Store&) { return chance() % 2 != 0; };
    take_out(under_way, by_chance);
    for (auto& cluster : clusters) take_out(*cluster, by_chance);
}

void start(Cluster& cluster) {
    clusters.emplace_back(&cluster);
    cluster.blocks.resize(now.cluster);
    if (now.cluster > 1) cluster.under_way.resize(now.cluster * now.threads);
    cluster.alive = now.cluster * now.threads;
}
}  // namespace

unsigned char* dynamic_shared() { return current->block->dynamic.get(); }
void yield() { to_scheduler(); }
void wait_for_block() { meet(current->block->arrived, current->block->alive, current->block->generation); }
void wait_for_warp() { meet(current->warp->arrived, current->warp->alive, current->warp->generation); }

unsigned warp_side() { return current->warp->generation % 2; }
void* warp_slot(unsigned side, unsigned lane) { return &current->warp->slots[side][lane]; }

Store made_store(void* to, const void* from, size_t bytes) {
    Store store{static_cast<unsigned char*>(to), {}, bytes};
    memcpy(store.value, from, bytes);
    return store;
}

void store_later(void* to, const void* from, size_t bytes) {
    const Store store = made_store(to, from, bytes);
    if (now.seed && chance() % 2)
        under_way.push_back(store);
    else
        arrive(store);
}

void store_remote(void* here, unsigned block, const void* from, size_t bytes) {
    Block& mine = *current->block;
    Cluster& cluster = *mine.cluster;
    const uintptr_t offset = reinterpret_cast<uintptr_t>(here) - reinterpret_cast<uintptr_t>(mine.dynamic.get());
    if (offset > now.shared_bytes || bytes > now.shared_bytes - offset) stop(STORED_FROM_ELSEWHERE);
    if (offset % bytes) stop(STORED_UNALIGNED);
    if (block >= now.cluster) stop(STORED_BEYOND_CLUSTER);
    if (block == mine.rank) return arrive(made_store(here, from, bytes));
    if (!mine.met) stop(STORED_BEFORE_START);
    Block* const other = cluster.blocks[block];
    if (!other || !other->alive) stop(STORED_AFTER_END);
    Store store = made_store(other->dynamic.get() + offset, from, bytes);
    store.due = current->arrived ? current->arrived_in + 2 : cluster.generation + 1;
    other->stores_due = std::max(other->stores_due, store.due);
    auto& earlier = cluster.under_way[mine.rank * now.threads + current->where.thread.x];
    const size_t before = earlier.size();
    take_out(earlier, [&](const Store& one) {  // a thread's stores to one place keep their order
        return one.to < store.to + bytes && store.to < one.to + one.bytes;
    });
    remote_under_way -= before - earlier.size();
    if (now.seed && chance() % 2) {
        earlier.push_back(store);
        ++remote_under_way;
    } else {
        arrive(store);
    }
}

void arrive_at_cluster() {
    Cluster& cluster = *current->block->cluster;
    if (current->arrived) stop(ARRIVED_TWICE);
    current->arrived = true, current->arrived_in = cluster.generation;
    if (++cluster.arrived < cluster.alive) return;
    cluster.arrived = 0;
    ++cluster.generation;
    take_out(cluster, [&](const Store& store) { return store.due <= cluster.generation; });
}

void wait_for_cluster() {
    if (!current->arrived) stop(WAITED_WITHOUT_ARRIVING);
    wait(current->block->cluster->generation, current->arrived_in);
    current->arrived = false, current->block->met = true;
}

int run(const Launch& launch, void (*kernel)(void*), void* arguments) {
    now = launch, body = kernel, body_arguments = arguments, outcome = DONE;
    grid_size = launch.grid, block_size = {launch.threads, 1, 1};
    chance.seed(launch.seed);
    under_way.clear(), clusters.clear(), remote_under_way = 0;
    const size_t blocks = size_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    const size_t together = launch.resident > 0 ? launch.resident : blocks;
    if (launch.cooperative && blocks > together) return TOO_MANY_BLOCKS;
    if (launch.cluster > LARGEST_CLUSTER) return CLUSTER_TOO_LARGE;
    if (launch.cluster > together) return CLUSTER_WITHOUT_ROOM;

    std::vector<std::unique_ptr<Block>> running;
    std::vector<std::unique_ptr<Fiber>> fibers;
    size_t next = 0;
    while (outcome == DONE) {
        for (; next < blocks; ++next) {
            const unsigned rank = next % launch.cluster;
            if (running.size() + (rank ? 1 : launch.cluster) > together) break;
            if (rank == 0) start(*new Cluster);
            running.emplace_back(new Block);
            Block& block = *running.back();
            block.cluster = clusters.back().get(), block.rank = rank;
            block.cluster->blocks[rank] = &block;
            block.dynamic.reset(new unsigned char[launch.shared_bytes + GUARD]);
            memset(block.dynamic.get(), FRESH, launch.shared_bytes + GUARD);
            block.variables.assign(section(), char(FRESH));
            block.warps.resize((launch.threads + 31) / 32);
            block.alive = launch.threads;
            const dim3 index = {unsigned(next % launch.grid.x), unsigned(next / launch.grid.x % launch.grid.y),
                                unsigned(next / launch.grid.x / launch.grid.y)};
            for (unsigned t = 0; t < launch.threads; ++t) {
                fibers.emplace_back(new Fiber);
                Fiber& fiber = *fibers.back();
                fiber.where = {{t, 0, 0}, index};
                fiber.block = &block, fiber.warp = &block.warps[t / 32];
                ++fiber.warp->alive;
                prepare(fiber);
            }
        }
        if (fibers.empty()) break;
        if (launch.seed) std::shuffle(fibers.begin(), fibers.end(), chance);
        if (launch.seed)
            for (auto& block : running)
                if (block->pause)
                    --block->pause;
                else if (chance() % 32 == 0)
                    block->pause = chance() % LONGEST_PAUSE;
        bool somebody = false;
        for (auto& fiber : fibers) {
            if (fiber->waits_for && *fiber->waits_for == fiber->since) continue;
            somebody = true;
            if (fiber->block->pause) continue;
            go_on_with(*fiber);
        }
        if (!somebody) note(DEADLOCK);
        let_stores_arrive();
        for (auto& fiber : fibers)
            if (fiber->done) spare_stacks.push_back(std::move(fiber->stack));
        fibers.erase(
            std::remove_if(fibers.begin(), fibers.end(), [](const auto& fiber) { return fiber->done; }), fibers.end());
        running.erase(
            std::remove_if(
                running.begin(), running.end(),
                [&](const auto& block) {
                    if (block->alive) return false;
                    const unsigned char* guard = block->dynamic.get() + launch.shared_bytes;
                    if (std::any_of(guard, guard + GUARD, [](unsigned char c) { return c != FRESH; }))
                        note(WROTE_BEYOND_SHARED);
                    block->cluster->blocks[block->rank] = nullptr;
                    return true;
                }),
            running.end());
        clusters.erase(
            std::remove_if(
                clusters.begin(), clusters.end(), [](const auto& cluster) { return cluster->alive == 0; }),
            clusters.end());
    }
    for (auto& fiber : fibers) spare_stacks.push_back(std::move(fiber->stack));
    while (!under_way.empty()) let_stores_arrive();
    return outcome;
}
}  // namespace on_cpu
