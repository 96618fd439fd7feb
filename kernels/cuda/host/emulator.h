// What the two halves of the emulator share: threads.cpp runs a kernel's threads, memory.cpp watches what they touch.
#pragma once
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <vector>

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct Quad { float x, y, z, w; };

enum Fault {  // ../report.py has a sentence for each
    NONE, RACE, OUT_OF_BOUNDS, INDEX, UNWRITTEN, MISALIGNED, IN_FLIGHT, LEFT_EARLY, TWO_BARRIERS, DEADLOCK, ABSENT_LANE,
    OUTSIDE_MASK, DIVISION, STACK_FULL, TOO_MUCH_SHARED
};

// What is told of a fault: who did it, where, and, if two are needed for it, who else.
struct Party { const void* pc; uint32_t block, thread; int32_t write; };
struct Report {
    int32_t fault, space, array, size;  // space: 0 global, 1 shared
    int64_t offset;                     // in bytes, from the start of the array
    Party one, other;
    const char* type;  // of the array, where an index is outside of it
};
enum { GLOBAL, SHARED };

struct Copy { char* to; const char* from; int size, given; unsigned group; const void* pc; };  // on its way
enum State { RUNNING, AT_BARRIER, AT_MEETING, DONE };
enum Meeting { WARP_BARRIER, SHUFFLE, BALLOT, MMA };

struct Thread {
    jmp_buf where;
    uint3 index;
    unsigned number;
    State state;
    // what it waits for, and brings along
    Meeting meeting;
    unsigned mask;
    const void* pc;
    uint64_t value;
    int lane;
    Quad c;
    unsigned a[4], b[2];
    // what it has asked for
    std::vector<Copy> copies;
    unsigned groups;
};

extern Thread* current;             // nobody, between threads
extern unsigned block_number;       // which block runs
extern char *stacks, *stacks_end;   // the threads' local variables
extern std::vector<unsigned> warp_clock;  // how often each warp has met at __syncwarp

[[noreturn]] void fail(Fault fault, const void* pc);
[[noreturn]] void fail(const Report& report);

// memory.cpp
extern bool checking;
void memory_of_launch(bool checks, bool record, size_t dynamic_bytes);
void memory_of_block();
void memory_after_barrier();
void copy_issued(const Copy& copy);
void copy_landed(const Copy& copy);
