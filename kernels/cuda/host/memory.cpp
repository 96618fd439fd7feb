// The emulator's memory. Kernels are compiled as if for g++'s thread sanitizer, which calls a function before every
// access of memory. These functions are here, not the sanitizer's: they know the arrays of a launch, and for each
// number in them who has written and read it last, and when.
//
// Time is counted in barriers. Two accesses of one number race, if one of them writes, and they are of two threads
// with no barrier between them, or of two blocks: for nothing says which comes first.
#include "emulator.h"

#include <algorithm>
#include <cstring>
#include <link.h>

bool checking = false;
static bool recording = false;

static uintptr_t image_start, image_end;  // of the compiled kernel: its code and its constants

// ---- who was there
struct Visit {  // time 0: none yet
    uint32_t time, block, pc;
    uint16_t thread, warp_time : 14, atomic : 1, in_flight : 1;
};
struct Cell { Visit write, read, read_too, read_before; };  // the last: in another block

struct Array {
    char* start;
    size_t size;
    unsigned element;  // bytes of a number
    int space, index;
    std::vector<Cell> cells;  // one for each 4 bytes, or for each element if that is smaller
    unsigned grain() const { return element < 4 ? element : 4; }
};

static std::vector<Array> globals, shareds;  // globals: in the order of their addresses
static std::vector<char> shared_memory;
static size_t shared_top, shared_used, dynamic_size;
static uint64_t launch_number;
static uint32_t now, start_of_block, start_of_launch;
static const size_t SHARED_MOST = 227 << 10, STATIC_MOST = 48 << 10, GAP = 1 << 10, ARENA = 1 << 20;

// ---- what is recorded, for pictures
struct Access {
    int64_t offset;
    const void* pc;
    uint32_t block, thread;
    int16_t space, array;
    int32_t size;
    int64_t write;
};
static std::vector<Access> accesses;

static Visit visit(const void* pc, bool atomic = false, bool in_flight = false) {
    uint16_t thread = current->number, warp_time = warp_clock[thread / 32];
    return {now, block_number, (uint32_t)((uintptr_t)pc - image_start), thread, warp_time, atomic, in_flight};
}

static Party party(const Visit& visit, bool writes) {
    return {(void*)(image_start + visit.pc), visit.block, visit.thread, writes};
}

[[noreturn]] static void fail(Fault fault, const Array& array, const char* at, int size, Party one, Party other = {}) {
    Report what = {fault, array.space, array.index, size, at - array.start, one, other};
    fail(what);
}

// Does nothing say which of the two came first?
static bool unordered(const Visit& before, const Visit& after, int space) {
    if (before.time < start_of_launch || (before.atomic && after.atomic)) return false;
    if (before.time < start_of_block) return space == GLOBAL;  // another block's
    if (before.time < after.time || before.thread == after.thread) return false;
    return before.thread / 32 != after.thread / 32 || before.warp_time == after.warp_time;
}

static void look(Array& array, char* at, int size, bool write, const Visit& me) {
    for (char* part = at; part < at + size; part += array.grain()) {
        Cell& cell = array.cells[(part - array.start) / array.grain()];
        auto refuse = [&](Fault fault, const Visit& other, bool writes) {
            fail(fault, array, part, size, party(me, write), party(other, writes));
        };
        if (cell.write.in_flight && cell.write.time >= start_of_block) refuse(IN_FLIGHT, cell.write, true);
        if (unordered(cell.write, me, array.space)) refuse(RACE, cell.write, true);
        if (write) {
            for (const Visit& reader : {cell.read, cell.read_too, cell.read_before})
                if (unordered(reader, me, array.space)) refuse(RACE, reader, false);
            cell.write = me;
            continue;
        }
        if (array.space == SHARED && cell.write.time < start_of_block)
            fail(UNWRITTEN, array, part, size, party(me, false));
        // of this moment, two readers are kept, of two warps if there are two: one of them is not the next writer
        Visit& first = cell.read;
        if (first.time < start_of_block) cell.read_before = first;
        if (first.time != now || first.thread == me.thread) first = me;
        else if (cell.read_too.time != now || cell.read_too.thread / 32 == first.thread / 32) cell.read_too = me;
    }
}

// ---- where an address lies

static int find_image(dl_phdr_info* info, size_t, void* inside) {
    uintptr_t from = info->dlpi_addr, to = from;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type == PT_LOAD) to = std::max<uintptr_t>(to, from + part.p_vaddr + part.p_memsz);
    }
    if ((uintptr_t)inside < from || (uintptr_t)inside >= to) return 0;
    image_start = from, image_end = to;
    return 1;
}

extern "C" uint64_t tn_image() {
    if (!image_start) dl_iterate_phdr(find_image, (void*)&tn_image);
    return image_start;
}

// The array at an address; or, if `near`, the one that is nearest.
static Array* array_at(const char* at, bool near = false) {
    bool shared = at >= shared_memory.data() && at < shared_memory.data() + shared_memory.size();
    Array* found = nullptr;
    int64_t least = INT64_MAX;
    for (Array& array : shared ? shareds : globals) {
        const char* end = array.start + array.size;
        int64_t away = at < array.start ? array.start - at : at < end ? 0 : at - end + 1;
        if (away < least && (near || !away)) found = &array, least = away;
    }
    return found;
}

static void touch(const void* where, int size, bool write, const void* pc, int align, bool atomic = false,
                  bool in_flight = false) {
    if (!current || !checking) return;
    char* at = (char*)where;
    if (at >= stacks && at < stacks_end) return;  // a local variable
    if ((uintptr_t)at >= image_start && (uintptr_t)at < image_end) return;
    Visit me = visit(pc, atomic, in_flight);
    Array* array = array_at(at);
    if (!array || at + size > array->start + array->size) {
        array = array_at(at, true);
        static Array nowhere = {nullptr, 0, 1, GLOBAL, -1, {}};
        fail(OUT_OF_BOUNDS, array ? *array : nowhere, at, size, party(me, write));
    }
    if ((uintptr_t)at % align) fail(MISALIGNED, *array, at, align, party(me, write));
    if (recording)
        accesses.push_back({at - array->start, pc, block_number, current->number, (int16_t)array->space,
                            (int16_t)array->index, size, write});
    look(*array, at, size, write, me);
}

// ---- the arrays of a launch
extern "C" void tn_forget_arrays() { globals.clear(); }

extern "C" void tn_array(char* start, size_t size, unsigned element, int index) {
    globals.push_back({start, size, element, GLOBAL, index, {}});
    globals.back().cells.resize(size / globals.back().grain());
}

static std::vector<const char*> shared_names;

extern "C" int tn_shared_array(int index, const char** name, unsigned* element, size_t* size) {
    if (index >= (int)shareds.size()) return 0;
    *name = shared_names[index], *element = shareds[index].element, *size = shareds[index].size;
    return 1;
}

static char* new_shared(const char* name, size_t size, unsigned element, unsigned align, const void* pc) {
    shared_top = (shared_top + GAP + align - 1) / align * align;  // the gap: so that a step beyond an array is seen
    shared_used += size;
    if (shared_used > STATIC_MOST + dynamic_size || shared_used > SHARED_MOST) fail(TOO_MUCH_SHARED, pc);
    char* start = shared_memory.data() + shared_top;
    shareds.push_back({start, size, element, SHARED, (int)shareds.size(), {}});
    if (checking) shareds.back().cells.resize(size / shareds.back().grain());
    shared_names.push_back(name);
    shared_top += size;
    return start;
}

// key: where a declaration remembers in which launch it was given which place
static void* place_of(uint64_t* key, const char* name, size_t size, unsigned element, unsigned align, const void* pc) {
    if (key[0] != launch_number) {
        key[0] = launch_number;
        key[1] = new_shared(name, size, element, align, pc) - shared_memory.data();
    }
    return shared_memory.data() + key[1];
}

extern "C" void* tn_shared(uint64_t* key, const char* name, unsigned size, unsigned element, unsigned align) {
    return place_of(key, name, size, element, align, __builtin_return_address(0));
}

extern "C" void* tn_dynamic_shared(const char* name, unsigned element) {
    static uint64_t key[2];
    return place_of(key, name, dynamic_size, element, 128, __builtin_return_address(0));
}

void memory_of_launch(bool checks, bool record, size_t dynamic_bytes) {
    tn_image();
    checking = checks, recording = record, dynamic_size = dynamic_bytes;
    launch_number++;
    now++;
    start_of_launch = now;
    shareds.clear(), shared_names.clear();
    shared_top = shared_used = 0;
    shared_memory.assign(ARENA, 0x7f);
}

void memory_of_block() {
    start_of_block = ++now;
    memset(shared_memory.data(), 0x7f, shared_top);  // what a block finds in shared memory is no block's: huge numbers
}

void memory_after_barrier() { now++; }

// ---- copies on their way: written, but not to be looked at
void copy_issued(const Copy& copy) {
    if (copy.given) touch(copy.from, copy.given, false, copy.pc, copy.size);
    touch(copy.to, copy.size, true, copy.pc, copy.size, false, true);
}

void copy_landed(const Copy& copy) {
    memcpy(copy.to, copy.from, copy.given);
    memset(copy.to + copy.given, 0, copy.size - copy.given);
    Array* array = checking && current ? array_at(copy.to) : nullptr;
    for (int i = 0; array && i < copy.size; i += array->grain())
        array->cells[(copy.to + i - array->start) / array->grain()].write = visit(copy.pc);
}

// ---- what kernels call
#define HERE __builtin_return_address(0)

extern "C" {
void tn_copy(void* to, const void* from, int size) {
    bool atomic = size < 0;
    size = atomic ? -size : size;
    touch(from, size, false, HERE, size);
    touch(to, size, true, HERE, size, atomic);
    memcpy(to, from, size);
}

void tn_atomic(void* at, void* before, int size) {
    touch(at, size, true, HERE, size, true);
    memcpy(before, at, size);
}

#define SIZE(n)                                                                     \
    void __tsan_read##n(void* at) { touch(at, n, false, HERE, n); }                 \
    void __tsan_write##n(void* at) { touch(at, n, true, HERE, n); }                 \
    void __tsan_unaligned_read##n(void* at) { touch(at, n, false, HERE, 1); }       \
    void __tsan_unaligned_write##n(void* at) { touch(at, n, true, HERE, 1); }
SIZE(1) SIZE(2) SIZE(4) SIZE(8) SIZE(16)
void __tsan_read_range(void* at, unsigned long size) { touch(at, size, false, HERE, 1); }
void __tsan_write_range(void* at, unsigned long size) { touch(at, size, true, HERE, 1); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

// ---- what was recorded
uint64_t tn_recorded(const Access** first) { return *first = accesses.data(), accesses.size(); }
void tn_forget_record() { accesses.clear(), accesses.shrink_to_fit(); }
}
