// The emulator's threads. Each thread of a block is a fiber: a stack of its own, and one CPU that goes from stack to
// stack. A thread runs until it must wait for others: at __syncthreads, for its block; at a shuffle, a vote, an mma or
// __syncwarp, for its warp. When all it waits for have come, they go on.
//
// Warps run as far as they can, one after the other; in one launch the first comes first, in another the last. So a
// thread that reads what another has not yet written reads what was there before, in one of the two.
#include "emulator.h"

#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>

Thread* current = nullptr;
unsigned block_number = 0;
char *stacks = nullptr, *stacks_end = nullptr;
std::vector<unsigned> warp_clock;

static const size_t MOST = 1024, STACK = 128 << 10, MARK = 0x5ca1ab1e5ca1ab1e;
static std::vector<Thread> threads;
static std::vector<ucontext_t> beginnings;
static std::vector<bool> begun;
static jmp_buf scheduler, abandoned;
static dim3 grid, block;
static uint3 block_index;
static bool reversed;
static void (*kernel)(void**);
static void** arguments;
static Report report;

// ---- faults: the launch is abandoned
void fail(const Report& what) {
    report = what;
    if (current && !report.one.pc) report.one.pc = current->pc;
    current = nullptr;
    _longjmp(abandoned, 1);
}

static Party party(const Thread& thread, const void* pc) { return {pc, block_number, thread.number, 0}; }

void fail(Fault fault, const void* pc) {
    Report what = {};
    what.fault = fault, what.array = -1;
    what.one = party(*current, pc);
    fail(what);
}

[[noreturn]] static void fail(Fault fault, const Thread& one, const Thread& other) {
    Report what = {};
    what.fault = fault, what.array = -1;
    what.one = party(one, one.pc), what.other = party(other, other.state == DONE ? nullptr : other.pc);
    fail(what);
}

// ---- fibers
static uint64_t& mark_of(unsigned number) { return *(uint64_t*)&stacks[number * STACK]; }

static void wait_for_others() {
    Thread* me = current;
    if (mark_of(me->number) != MARK) fail(STACK_FULL, me->pc);
    if (!_setjmp(me->where)) _longjmp(scheduler, 1);
}

static void life() {  // of a fiber: one thread of each block
    for (;;) {
        kernel(arguments);
        current->state = DONE;
        wait_for_others();
    }
}

static void resume(Thread& thread) {
    current = &thread;
    if (!_setjmp(scheduler)) {
        if (begun[thread.number]) _longjmp(thread.where, 1);
        begun[thread.number] = true;
        setcontext(&beginnings[thread.number]);
    }
    current = nullptr;
}

static void make_threads() {
    unsigned count = block.x * block.y * block.z;
    threads.assign(count, Thread());
    beginnings.resize(count);
    begun.assign(count, false);
    if (!stacks) {
        int kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;  // a page is there when it is first written
        stacks = (char*)mmap(nullptr, MOST * STACK, PROT_READ | PROT_WRITE, kind, -1, 0);
        stacks_end = stacks + MOST * STACK;
    }
    for (unsigned i = 0; i < count; i++) {
        threads[i].number = i;
        threads[i].index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
        mark_of(i) = MARK;
        ucontext_t& from = beginnings[i];
        getcontext(&from);
        from.uc_stack.ss_sp = &stacks[i * STACK] + sizeof MARK;
        from.uc_stack.ss_size = STACK - sizeof MARK;
        from.uc_link = nullptr;
        makecontext(&from, life, 0);
    }
}

// ---- a warp's meetings: the last to come brings them about
static void shuffle(Thread* warp, unsigned there) {
    uint64_t values[32];
    for (int lane = 0; lane < 32; lane++)
        if (there >> lane & 1) values[lane] = warp[lane].value;
    for (int lane = 0; lane < 32; lane++) {
        if (!(there >> lane & 1)) continue;
        if (!(there >> warp[lane].lane & 1)) {
            current = &warp[lane];
            fail(ABSENT_LANE, warp[lane].pc);
        }
        warp[lane].value = values[warp[lane].lane];
    }
}

static void ballot(Thread* warp, unsigned there) {
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++)
        if (there >> lane & 1 && warp[lane].value) votes |= 1u << lane;
    for (int lane = 0; lane < 32; lane++)
        if (there >> lane & 1) warp[lane].value = votes;
}

static float from_tf32(unsigned bits) {
    float x;
    bits &= 0xffffe000u;  // the tensor cores look at no more of a number
    memcpy(&x, &bits, 4);
    return x;
}

// D = A B + D, 16 x 8 x 8: lane 4r + c holds what the PTX manual says it does
static void mma(Thread* warp) {
    float a[16][8], b[8][8];
    for (int lane = 0; lane < 32; lane++) {
        int row = lane / 4, column = lane % 4;
        for (int i = 0; i < 4; i++) a[row + i % 2 * 8][column + i / 2 * 4] = from_tf32(warp[lane].a[i]);
        for (int i = 0; i < 2; i++) b[column + i * 4][row] = from_tf32(warp[lane].b[i]);
    }
    for (int lane = 0; lane < 32; lane++) {
        float* c = &warp[lane].c.x;
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            for (int k = 0; k < 8; k++) c[i] += a[row][k] * b[k][column];
        }
    }
}

// Let one group of a warp's lanes go on that waits for nobody else. Is there one?
static bool met(unsigned first, unsigned lanes) {
    Thread* warp = &threads[first];
    for (unsigned lane = 0; lane < lanes; lane++) {
        if (warp[lane].state != AT_MEETING) continue;
        const Thread& leader = warp[lane];
        unsigned there = 0, wanted = leader.mask & (lanes == 32 ? ~0u : (1u << lanes) - 1);
        for (unsigned other = 0; other < lanes; other++) {
            const Thread& t = warp[other];
            bool same = t.meeting == leader.meeting && t.mask == leader.mask;
            if (t.state == AT_MEETING && same) there |= 1u << other;
        }
        if ((there & wanted) != wanted) continue;
        if (leader.meeting == WARP_BARRIER) warp_clock[first / 32]++;
        if (leader.meeting == SHUFFLE) shuffle(warp, wanted);
        if (leader.meeting == BALLOT) ballot(warp, wanted);
        if (leader.meeting == MMA) mma(warp);
        for (unsigned other = 0; other < lanes; other++)
            if (wanted >> other & 1) warp[other].state = RUNNING;
        return true;
    }
    return false;
}

// ---- blocks
static void run_warp(unsigned first) {
    unsigned lanes = threads.size() - first < 32 ? threads.size() - first : 32;
    do {
        for (unsigned i = 0; i < lanes; i++) {
            Thread& thread = threads[first + (reversed ? lanes - 1 - i : i)];
            if (thread.state == RUNNING) resume(thread);
        }
    } while (met(first, lanes));
}

// All warps have come as far as they can: is everybody at the same barrier, or at the end?
static bool everybody_left() {
    const Thread& first = threads[0];
    for (const Thread& thread : threads)
        if (thread.state == AT_MEETING) {  // somebody it waits for has not come: of its warp, so look there
            unsigned from = thread.number / 32 * 32;
            for (unsigned i = from; i < threads.size() && i < from + 32; i++) {
                bool same = threads[i].state == AT_MEETING && threads[i].meeting == thread.meeting;
                same = same && threads[i].mask == thread.mask;
                if (thread.mask >> i % 32 & 1 && !same) fail(DEADLOCK, thread, threads[i]);
            }
        }
    for (const Thread& thread : threads) {
        if (thread.state == first.state && (thread.state == DONE || thread.pc == first.pc)) continue;
        const Thread& waiting = first.state == DONE ? thread : first;
        const Thread& other = first.state == DONE ? first : thread;
        fail(other.state == DONE ? LEFT_EARLY : TWO_BARRIERS, waiting, other);
    }
    return first.state == DONE;
}

static void run_block() {
    warp_clock.assign((threads.size() + 31) / 32, 0);
    for (Thread& thread : threads) thread.state = RUNNING, thread.copies.clear(), thread.groups = 0;
    memory_of_block();
    unsigned warps = warp_clock.size();
    for (;;) {
        for (unsigned i = 0; i < warps; i++) run_warp(32 * (reversed ? warps - 1 - i : i));
        if (everybody_left()) break;
        memory_after_barrier();
        for (Thread& thread : threads) thread.state = RUNNING;
    }
    for (Thread& thread : threads)
        for (const Copy& copy : thread.copies) copy_landed(copy);
}

// Run a kernel on a grid of blocks. 0, or 1 and what was wrong.
extern "C" int tn_launch(void (*enter)(void**), void** at, const unsigned* sizes, size_t dynamic_bytes, int backwards,
                         int checks, int record, Report* result) {
    kernel = enter, arguments = at, reversed = backwards;
    grid = {sizes[0], sizes[1], sizes[2]}, block = {sizes[3], sizes[4], sizes[5]};
    if (_setjmp(abandoned)) return *result = report, 1;
    make_threads();
    memory_of_launch(checks, record, dynamic_bytes);
    uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    for (uint64_t i = 0; i < blocks; i++) {
        block_number = reversed ? blocks - 1 - i : i;
        block_index = {block_number % grid.x, block_number / grid.x % grid.y, block_number / (grid.x * grid.y)};
        run_block();
    }
    return 0;
}

// ---- what a kernel calls
#define HERE __builtin_return_address(0)

extern "C" {
uint3 tn_thread() { return current->index; }
uint3 tn_block() { return block_index; }
dim3 tn_block_size() { return block; }
dim3 tn_grid_size() { return grid; }

void tn_barrier() {
    current->state = AT_BARRIER, current->pc = HERE;
    wait_for_others();
}
}

static void meet(Meeting meeting, unsigned mask, const void* pc) {
    Thread* me = current;
    me->state = AT_MEETING, me->meeting = meeting, me->mask = mask, me->pc = pc;
    if (!(mask >> me->number % 32 & 1)) fail(OUTSIDE_MASK, pc);
    wait_for_others();
}

extern "C" {
void tn_warp_barrier(unsigned mask) { meet(WARP_BARRIER, mask, HERE); }

uint64_t tn_shuffle(unsigned mask, uint64_t value, int lane) {
    current->value = value, current->lane = lane;
    meet(SHUFFLE, mask, HERE);
    return current->value;
}

unsigned tn_ballot(unsigned mask, int predicate) {
    current->value = predicate != 0;
    meet(BALLOT, mask, HERE);
    return current->value;
}

Quad tn_mma(Quad c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    Thread* me = current;
    me->c = c, me->a[0] = a0, me->a[1] = a1, me->a[2] = a2, me->a[3] = a3, me->b[0] = b0, me->b[1] = b1;
    meet(MMA, ~0u, HERE);
    return me->c;
}

// ---- cp.async: what it copies lands when it is waited for, and not before
void tn_copy_async(void* to, const void* from, int size, int given) {
    Copy copy = {(char*)to, (const char*)from, size, given, current->groups, HERE};
    copy_issued(copy);
    current->copies.push_back(copy);
}

void tn_copy_commit() { current->groups++; }

void tn_copy_wait(int still_flying) {
    std::vector<Copy> flying;
    for (const Copy& copy : current->copies) {
        if (copy.group + still_flying < current->groups) copy_landed(copy);
        else flying.push_back(copy);
    }
    current->copies = flying;
}

// ---- what g++'s checks of the language find
struct TypeName { uint16_t kind, more; char name[1]; };
struct IndexData { const char* file; uint32_t line, column; TypeName* array; };
void __ubsan_handle_out_of_bounds(IndexData* data, void* index) {
    Report what = {};
    what.fault = INDEX, what.array = -1;
    what.one = party(*current, HERE);
    what.offset = (int64_t)index, what.type = data->array->name;
    fail(what);
}
void __ubsan_handle_divrem_overflow(void*, void*, void*) { fail(DIVISION, HERE); }
}
