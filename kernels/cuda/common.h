// What several .cu files use: in front of each of them, for a card and for the emulator.

// The larger of two; NaN if there is one (fmaxf would lose it).
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }

// Over the 32 lanes of a warp, or so many neighbours, each of which gets the result, and the same one: lanes change
// places in pairs, 16, 8, 4, 2, 1 apart.
template <int LANES = 32> __device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int apart = LANES / 2; apart; apart /= 2) x += __shfl_xor_sync(~0u, x, apart);
    return x;
}
template <int LANES = 32> __device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int apart = LANES / 2; apart; apart /= 2) x = larger(x, __shfl_xor_sync(~0u, x, apart));
    return x;
}

// Over a block of THREADS. All threads must call it, and all get the result.
template <int THREADS> __device__ __forceinline__ float block_sum(float x) {
    __shared__ float parts[THREADS / 32];
    x = warp_sum(x);
    __syncthreads();  // what the last call left has been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
#pragma unroll
    for (int warp = 0; warp < THREADS / 32; warp++) x += parts[warp];
    return x;
}
template <int THREADS> __device__ __forceinline__ float block_max(float x) {
    __shared__ float parts[THREADS / 32];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = parts[0];
#pragma unroll
    for (int warp = 1; warp < THREADS / 32; warp++) x = larger(x, parts[warp]);
    return x;
}
