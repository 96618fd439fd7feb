// Sums of many numbers, always in the same order: parts first, each by a block, and then the parts.

constexpr int CHUNK = 4096;  // numbers that a block sums

// y[b] = factor Σ x over the b-th chunk. Called again with the sums, until there is one.
extern "C" __global__ void __launch_bounds__(256)
sum_chunks(const float* __restrict__ x, float* __restrict__ y, long long count, float factor) {
    long long start = (long long)blockIdx.x * CHUNK, end = min(start + CHUNK, count);
    float sum = 0;
#pragma unroll 4
    for (long long i = start + threadIdx.x; i < end; i += 256) sum += x[i];
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = sum * factor;
}

// parts[slice][column] = Σ of a column of x (rows, columns), over the rows of a slice. A block sums 32 columns, 8 rows
// at a time: so a warp reads a row's neighbours.
extern "C" __global__ void __launch_bounds__(256)
column_sums(const float* __restrict__ x, float* __restrict__ parts, int rows, int columns, int slice_rows) {
    __shared__ float sums[8][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    int end = min((int)(blockIdx.y + 1) * slice_rows, rows);
    float sum = 0;
    if (column < columns) {
#pragma unroll 4
        for (int row = blockIdx.y * slice_rows + warp; row < end; row += 8) sum += x[(long long)row * columns + column];
    }
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < columns) {
#pragma unroll
        for (int other = 1; other < 8; other++) sum += sums[other][lane];
        parts[(long long)blockIdx.y * columns + column] = sum;
    }
}

// The gradient of ReLU: g where y, which came of it, is not 0.
extern "C" __global__ void __launch_bounds__(256)
relu_grad(const float* __restrict__ g, const float* __restrict__ y, float* __restrict__ dx, long long count) {
    long long i = (blockIdx.x * 256ll + threadIdx.x) * 4, end = min(i + 4, count);
    bool aligned = ((unsigned long long)g | (unsigned long long)y | (unsigned long long)dx) % 16 == 0;
    if (aligned && i + 4 <= count) {
        float4 slope = load4(g + i), out = load4(y + i);
        store4(dx + i, make_float4(out.x <= 0 ? 0 : slope.x, out.y <= 0 ? 0 : slope.y, out.z <= 0 ? 0 : slope.z,
                                   out.w <= 0 ? 0 : slope.w));
    } else {
        for (; i < end; i++) dx[i] = y[i] <= 0 ? 0 : g[i];
    }
}
