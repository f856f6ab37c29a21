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
enum Outcome { DONE = 0, DEADLOCK = 2, LEFT_A_BARRIER = 3, TOO_MANY_BLOCKS = 4, WROTE_BEYOND_SHARED = 5 };
#ifdef __SANITIZE_ADDRESS__
constexpr size_t STACK = 1 << 18, GUARD = 0;  // the sanitizer guards what lies beyond
#else
constexpr size_t STACK = 1 << 17, GUARD = 64;
#endif
constexpr unsigned char FRESH = 0xFF;  // memory that nobody wrote reads as NaN

struct Warp {
    uint64_t slots[2][32];
    unsigned arrived = 0, alive = 0, generation = 0;
};

struct Block {
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
    bool done = false;
    ucontext_t context;
    void* stack_pointer = nullptr;
    std::unique_ptr<char[]> stack;
};

struct Store {
    void* to;
    uint64_t word;
    size_t bytes;
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

void leave() {
    Fiber* const self = current;
    self->done = true;
    Block* const block = self->block;
    --self->warp->alive;
    if (--block->alive && block->arrived) outcome = LEFT_A_BARRIER;
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

void wait(const unsigned& generation) {
    current->waits_for = &generation;
    current->since = generation;
    while (*current->waits_for == current->since) to_scheduler();
    current->waits_for = nullptr;
}

void meet(unsigned& arrived, unsigned alive, unsigned& generation) {
    if (++arrived < alive) return wait(generation);
    arrived = 0;
    ++generation;
}

void arrive(const Store& store) { memcpy(store.to, &store.word, store.bytes); }

void let_stores_arrive() {
    size_t left = 0;
    for (const Store& store : under_way)
        if (chance() % 2)
            arrive(store);
        else
            under_way[left++] = store;
    under_way.resize(left);
}
}  // namespace

unsigned char* dynamic_shared() { return current->block->dynamic.get(); }
void yield() { to_scheduler(); }
void wait_for_block() { meet(current->block->arrived, current->block->alive, current->block->generation); }
void wait_for_warp() { meet(current->warp->arrived, current->warp->alive, current->warp->generation); }

unsigned warp_side() { return current->warp->generation % 2; }
void* warp_slot(unsigned side, unsigned lane) { return &current->warp->slots[side][lane]; }

void store_later(void* to, const void* from, size_t bytes) {
    Store store{to, 0, bytes};
    memcpy(&store.word, from, bytes);
    if (now.seed && chance() % 2)
        under_way.push_back(store);
    else
        arrive(store);
}

int run(const Launch& launch, void (*kernel)(void*), void* arguments) {
    now = launch, body = kernel, body_arguments = arguments, outcome = DONE;
    grid_size = launch.grid, block_size = {launch.threads, 1, 1};
    chance.seed(launch.seed);
    under_way.clear();
    const size_t blocks = size_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    const size_t together = launch.resident > 0 ? launch.resident : blocks;
    if (launch.cooperative && blocks > together) return TOO_MANY_BLOCKS;

    std::vector<std::unique_ptr<Block>> running;
    std::vector<std::unique_ptr<Fiber>> fibers;
    size_t next = 0;
    while (outcome == DONE) {
        for (; next < blocks && running.size() < together; ++next) {
            running.emplace_back(new Block);
            Block& block = *running.back();
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
        bool somebody = false;
        for (auto& fiber : fibers) {
            if (fiber->waits_for && *fiber->waits_for == fiber->since) continue;
            somebody = true;
            go_on_with(*fiber);
        }
        if (!somebody) outcome = DEADLOCK;
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
                        outcome = WROTE_BEYOND_SHARED;
                    return true;
                }),
            running.end());
    }
    for (auto& fiber : fibers) spare_stacks.push_back(std::move(fiber->stack));
    while (!under_way.empty()) let_stores_arrive();
    return outcome;
}
}  // namespace on_cpu
