// CUDA's words for g++: what every .cu file may use, where it is compiled for the emulator. ../device.h has the same
// for a card, as far as the language lacks them. What a word does is in threads.cpp and memory.cpp.
#pragma once
#include <math.h>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __constant__ static const
#define __restrict__ __restrict
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// always inlined: where the emulator is called from is then a line of the kernel's
#define TN_WORD static inline __attribute__((always_inline))

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct Quad { float x, y, z, w; };  // what mma gives back

extern "C" {  // the emulator. const: the same answer for a thread's whole life, so it is asked once
uint3 tn_thread() __attribute__((const));
uint3 tn_block() __attribute__((const));
dim3 tn_block_size() __attribute__((const));
dim3 tn_grid_size() __attribute__((const));
void tn_barrier();
void tn_warp_barrier(unsigned mask);
uint64_t tn_shuffle(unsigned mask, uint64_t value, int lane);
unsigned tn_ballot(unsigned mask, int predicate);
Quad tn_mma(Quad c, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);
void tn_copy_async(void* to, const void* from, int size, int given);
void tn_copy_commit();
void tn_copy_wait(int groups);
void* tn_shared(uint64_t* key, const char* name, unsigned size, unsigned element, unsigned align);
void* tn_dynamic_shared(const char* name, unsigned element);
void tn_copy(void* to, const void* from, int size);
void tn_atomic(void* at, void* before, int size);
}

#define threadIdx tn_thread()
#define blockIdx tn_block()
#define blockDim tn_block_size()
#define gridDim tn_grid_size()
#define warpSize 32

// ---- vectors: copied whole, as one access of memory
#define TN_VECTOR2(name, type)                                                            \
    struct alignas(2 * sizeof(type)) name {                                               \
        type x, y;                                                                        \
        name() = default;                                                                 \
        TN_MEMBER name(type a, type b) : x(a), y(b) {}                                    \
        TN_MEMBER name(const name& other) { tn_copy(this, &other, sizeof(name)); }        \
        TN_MEMBER name& operator=(const name& other) { return tn_copy(this, &other, sizeof(name)), *this; } \
    };                                                                                    \
    TN_WORD name make_##name(type a, type b) { return name(a, b); }
#define TN_VECTOR4(name, type)                                                            \
    struct alignas(4 * sizeof(type)) name {                                               \
        type x, y, z, w;                                                                  \
        name() = default;                                                                 \
        TN_MEMBER name(type a, type b, type c, type d) : x(a), y(b), z(c), w(d) {}        \
        TN_MEMBER name(const name& other) { tn_copy(this, &other, sizeof(name)); }        \
        TN_MEMBER name& operator=(const name& other) { return tn_copy(this, &other, sizeof(name)), *this; } \
    };                                                                                    \
    TN_WORD name make_##name(type a, type b, type c, type d) { return name(a, b, c, d); }
#define TN_MEMBER inline __attribute__((always_inline))
TN_VECTOR2(float2, float)
TN_VECTOR4(float4, float)
TN_VECTOR2(int2, int)
TN_VECTOR4(int4, int)
TN_VECTOR2(uint2, unsigned)
TN_VECTOR4(uint4, unsigned)
TN_VECTOR4(uchar4, unsigned char)

TN_WORD float4 load4(const float* from) { return *(const float4*)from; }
TN_WORD void store4(float* to, float4 value) { *(float4*)to = value; }
template <class T> TN_WORD T __ldg(const T* from) { return *from; }

// ---- threads together
#define __syncthreads() tn_barrier()
TN_WORD void __syncwarp(unsigned mask = ~0u) { tn_warp_barrier(mask); }

template <class T> TN_WORD T tn_shuffle_of(unsigned mask, T value, int lane) {
    static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = tn_shuffle(mask, bits, lane);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}
TN_WORD int tn_lane() {
    dim3 size = tn_block_size();
    uint3 at = tn_thread();
    return (at.x + size.x * (at.y + size.y * at.z)) % 32;
}
template <class T> TN_WORD T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
    return tn_shuffle_of(mask, value, (tn_lane() & ~(width - 1)) + (lane & (width - 1)));
}
template <class T> TN_WORD T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    int lane = tn_lane(), other = lane ^ bits;
    return tn_shuffle_of(mask, value, other < (lane & ~(width - 1)) + width ? other : lane);
}
template <class T> TN_WORD T __shfl_down_sync(unsigned mask, T value, int by, int width = 32) {
    int lane = tn_lane();
    return tn_shuffle_of(mask, value, (lane & (width - 1)) + by < width ? lane + by : lane);
}
template <class T> TN_WORD T __shfl_up_sync(unsigned mask, T value, int by, int width = 32) {
    int lane = tn_lane();
    return tn_shuffle_of(mask, value, (lane & (width - 1)) >= by ? lane - by : lane);
}
TN_WORD unsigned __ballot_sync(unsigned mask, int predicate) { return tn_ballot(mask, predicate); }
TN_WORD int __any_sync(unsigned mask, int predicate) { return tn_ballot(mask, predicate) != 0; }
TN_WORD int __all_sync(unsigned mask, int predicate) { return tn_ballot(mask, !predicate) == 0; }
TN_WORD void __threadfence() {}

template <class T> TN_WORD T atomicAdd(T* at, T more) {
    T before;
    tn_atomic(at, &before, sizeof(T));
    T after = before + more;
    tn_copy(at, &after, -(int)sizeof(T));  // negative: an atomic's, which races with no other
    return before;
}

// ---- memory
template <class T> TN_WORD T& tn_shared_as(uint64_t* key, const char* name) {
    constexpr unsigned element = sizeof(std::remove_all_extents_t<T>), align = alignof(T) < 16 ? 16 : alignof(T);
    return *(T*)tn_shared(key, name, sizeof(T), element, align);
}
template <class T> TN_WORD T* tn_dynamic_shared_as(const char* name) {
    return (T*)tn_dynamic_shared(name, sizeof(T));
}
TN_WORD void copy_async(float* shared, const float* global, int given = 16) {
    tn_copy_async(shared, global, 16, given);
}
TN_WORD void copy_async_one(float* shared, const float* global, bool given = true) {
    tn_copy_async(shared, global, 4, given ? 4 : 0);
}
TN_WORD void copy_commit() { tn_copy_commit(); }
template <int N> TN_WORD void copy_wait() { tn_copy_wait(N); }

// ---- numbers
template <class To, class From> TN_WORD To tn_bits(From from) {
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
TN_WORD unsigned __float_as_uint(float x) { return tn_bits<unsigned>(x); }
TN_WORD int __float_as_int(float x) { return tn_bits<int>(x); }
TN_WORD float __uint_as_float(unsigned x) { return tn_bits<float>(x); }
TN_WORD float __int_as_float(int x) { return tn_bits<float>(x); }
TN_WORD unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
TN_WORD int __popc(unsigned x) { return __builtin_popcount(x); }
TN_WORD int __clz(int x) { return x ? __builtin_clz(x) : 32; }
TN_WORD int __ffs(int x) { return __builtin_ffs(x); }
TN_WORD float rsqrtf(float x) { return 1 / sqrtf(x); }
#define __expf expf
#define __logf logf
TN_WORD float __fdividef(float a, float b) { return a / b; }
TN_WORD float __frcp_rn(float x) { return 1 / x; }
TN_WORD int min(int a, int b) { return a < b ? a : b; }
TN_WORD int max(int a, int b) { return a > b ? a : b; }
TN_WORD long long min(long long a, long long b) { return a < b ? a : b; }
TN_WORD long long max(long long a, long long b) { return a > b ? a : b; }

// round to TF32, 10 bits of fraction, halves away from zero; NaN stays
TN_WORD unsigned to_tf32(float x) {
    return x != x ? 0x7fffffffu : (__float_as_uint(x) + 0x1000u) & 0xffffe000u;
}
TN_WORD void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    Quad sum = tn_mma({d[0], d[1], d[2], d[3]}, a[0], a[1], a[2], a[3], b[0], b[1]);
    d[0] = sum.x, d[1] = sum.y, d[2] = sum.z, d[3] = sum.w;
}

// ---- how a kernel is called: with the addresses of its arguments
template <class... A, int... I>
__attribute__((no_sanitize("thread"))) void tn_call(void (*kernel)(A...), void** at, std::integer_sequence<int, I...>) {
    kernel(*(std::remove_reference_t<A>*)at[I]...);
}
#define TN_ENTRY(kernel) extern "C" void enter_##kernel(void** at) { tn_enter(kernel, at); }
template <class... A> void tn_enter(void (*kernel)(A...), void** at) {
    tn_call(kernel, at, std::make_integer_sequence<int, sizeof...(A)>());
}
