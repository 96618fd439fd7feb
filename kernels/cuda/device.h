// Words that .cu files use and CUDA lacks without its headers: in PTX where there is no other way. host/cuda.h has the
// same for the emulator.
typedef unsigned char uint8_t;
typedef int int32_t;
typedef unsigned uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)

// 16 bytes in one instruction; the address must be a multiple of 16
__device__ __forceinline__ float4 load4(const float* from) { return *reinterpret_cast<const float4*>(from); }
__device__ __forceinline__ void store4(float* to, float4 value) { *reinterpret_cast<float4*>(to) = value; }

// Copy 16 bytes from global to shared memory without waiting and without registers; of these only the first `given`
// are read, and the others become 0. What is copied is there after copy_wait, for the thread that copied it, and after
// a barrier for others.
__device__ __forceinline__ void copy_async(float* shared, const float* global, int given = 16) {
    unsigned at = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(global), "r"(given) : "memory");
}
// The same for one number, which may lie anywhere.
__device__ __forceinline__ void copy_async_one(float* shared, const float* global, bool given = true) {
    unsigned at = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(global), "r"(given ? 4 : 0) : "memory");
}
// The copies since the last commit are a group.
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Wait until all but the last N groups are there.
template <int N> __device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// TF32, what tensor cores multiply: a float with 10 bits of fraction. To the nearest, halves away from zero.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}
// A warp multiplies matrices on its tensor core: D (16 x 8) += A (16 x 8) B (8 x 8). Of these each lane holds some
// numbers; with lane = 4 r + c (r < 8, c < 4):
//     a[0] = A[r][c], a[1] = A[r + 8][c], a[2] = A[r][c + 4], a[3] = A[r + 8][c + 4]
//     b[0] = B[c][r], b[1] = B[c + 4][r]
//     d[0] = D[r][2 c], d[1] = D[r][2 c + 1], d[2] = D[r + 8][2 c], d[3] = D[r + 8][2 c + 1]
__device__ __forceinline__ void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
