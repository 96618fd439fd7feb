// C = A B on tensor cores, + bias and ReLU if asked for. They take numbers in TF32: floats of which 10 bits of the
// fraction are looked at. They multiply those exactly and add in fp32; the error of a product is about 1/2000 of it.
//
// A block of 128 threads, 4 warps, computes a tile of C of 128 x 128 numbers, each warp a quarter, in steps of DEPTH
// along the inner axis. The panels of A and B come by cp.async, which copies from global to shared memory by itself.
// They lie in a ring of STAGES places: while the tensor cores work on one, the copies for the next ones are on their
// way.
//
// The inner axis may be cut into slices, as in sgemm.cu.

struct Product {
    const float *a, *b, *bias;  // bias: one for each column of C, or null
    float* c;                   // (slices, batch, m, n)
    int m, n, k;
    int a_pitch, b_pitch;  // numbers from one row in memory to the next
    int inner;             // the batch is (outer, inner), with these steps between its matrices
    long long a_outer, a_inner, b_outer, b_inner;
    int slices, slice_depth, relu;
};

constexpr int THREADS = 128;
constexpr int SIZE = 128;
constexpr int DEPTH = 16;
constexpr int STAGES = 4;

// A panel in shared memory lies as it does in global memory: SIZE rows of DEPTH, where k runs along the rows (ALONG_K:
// A as it is, B transposed), or DEPTH rows of SIZE. Its rows are a little longer than that, by so much that the 32
// lanes that read a fragment, 8 rows by 4 columns or 4 by 8, do so in 32 banks.
template <bool ALONG_K> struct Panel {
    static constexpr int ROWS = ALONG_K ? SIZE : DEPTH, COLUMNS = ALONG_K ? DEPTH : SIZE;
    static constexpr int PITCH = ALONG_K ? DEPTH + 4 : SIZE + 8;
    static constexpr int NUMBERS = ROWS * PITCH;

    // Ask for a panel: of the matrix from `from`, rows up to row_end and columns up to column_end; beyond these, zeros.
    static __device__ __forceinline__ void fetch(float* panel, const float* from, int pitch, int row0, int row_end,
                                                 int column0, int column_end, bool aligned) {
#pragma unroll
        for (int part = 0; part < ROWS * COLUMNS / 4 / THREADS; part++) {
            int group = threadIdx.x + part * THREADS, row = group / (COLUMNS / 4), column = group % (COLUMNS / 4) * 4;
            int there = row0 + row < row_end ? max(min(column_end - column0 - column, 4), 0) : 0;
            const float* source = there ? from + (long long)(row0 + row) * pitch + column0 + column : from;
            float* target = panel + row * PITCH + column;
            if (aligned) {
                copy_async(target, source, there * 4);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) copy_async_one(target + i, i < there ? source + i : from, i < there);
            }
        }
    }

    static __device__ __forceinline__ unsigned at(const float* panel, int i, int k) {
        return to_tf32(ALONG_K ? panel[i * PITCH + k] : panel[k * PITCH + i]);
    }
};

template <bool A_TURNED, bool B_TURNED> __device__ __forceinline__ void multiply(const Product& p) {
    extern __shared__ __align__(16) float ring[];
    constexpr int STAGE = Panel<!A_TURNED>::NUMBERS + Panel<B_TURNED>::NUMBERS;

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, r = lane / 4, c = lane % 4;  // as in mma_tf32
    int row0 = blockIdx.x * SIZE, column0 = blockIdx.y * SIZE;
    int row = warp / 2 * 64, column = warp % 2 * 64;  // of this warp's quarter
    int matrix = blockIdx.z / p.slices, slice = blockIdx.z % p.slices;
    const float* a = p.a + matrix / p.inner * p.a_outer + matrix % p.inner * p.a_inner;
    const float* b = p.b + matrix / p.inner * p.b_outer + matrix % p.inner * p.b_inner;
    bool aligned = ((unsigned long long)a | (unsigned long long)b) % 16 == 0 && (p.a_pitch | p.b_pitch) % 4 == 0;
    int k_first = slice * p.slice_depth, k_end = min(k_first + p.slice_depth, p.k);
    int steps = (k_end - k_first + DEPTH - 1) / DEPTH;

    auto fetch = [&](int step) {
        if (step < steps) {
            float* as = ring + step % STAGES * STAGE;
            float* bs = as + Panel<!A_TURNED>::NUMBERS;
            int k = k_first + step * DEPTH;
            if (A_TURNED) Panel<false>::fetch(as, a, p.a_pitch, k, k_end, row0, p.m, aligned);
            else Panel<true>::fetch(as, a, p.a_pitch, row0, p.m, k, k_end, aligned);
            if (B_TURNED) Panel<true>::fetch(bs, b, p.b_pitch, column0, p.n, k, k_end, aligned);
            else Panel<false>::fetch(bs, b, p.b_pitch, k, k_end, column0, p.n, aligned);
        }
        copy_commit();  // at the end of nothing: so that the groups are counted as the steps are
    };

    float sum[4][8][4] = {};  // 4 x 8 tiles of 16 x 8, of which a lane holds 4 numbers
    for (int step = 0; step < STAGES - 1; step++) fetch(step);
    for (int step = 0; step < steps; step++) {
        copy_wait<STAGES - 2>();  // this step's panels are there, for the thread that asked …
        __syncthreads();          // … and for all; and all have done with those of the last step,
        fetch(step + STAGES - 1);  // whose place is free now
        const float* as = ring + step % STAGES * STAGE;
        const float* bs = as + Panel<!A_TURNED>::NUMBERS;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            unsigned x[4][4], y[8][2];
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int q = 0; q < 4; q++)
                    x[i][q] = Panel<!A_TURNED>::at(as, row + i * 16 + q % 2 * 8 + r, k + q / 2 * 4 + c);
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int q = 0; q < 2; q++) y[j][q] = Panel<B_TURNED>::at(bs, column + j * 8 + r, k + q * 4 + c);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) mma_tf32(sum[i][j], x[i], y[j]);
        }
    }

    bool whole = p.slices == 1, pairs = p.n % 2 == 0;
    float* out = p.c + ((long long)slice * (gridDim.z / p.slices) + matrix) * p.m * p.n;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {  // of the lane's four numbers, two are neighbours
                int at_row = row0 + row + i * 16 + half * 8 + r, at_column = column0 + column + j * 8 + 2 * c;
                float two[2] = {sum[i][j][2 * half], sum[i][j][2 * half + 1]};
#pragma unroll
                for (int q = 0; q < 2; q++) {
                    if (whole && p.bias && at_column + q < p.n) two[q] += p.bias[at_column + q];
                    if (whole && p.relu) two[q] = two[q] < 0 ? 0 : two[q];  // NaN stays
                }
                float* to = out + (long long)at_row * p.n + at_column;
                if (at_row < p.m && at_column + 1 < p.n && pairs) {
                    *(float2*)to = make_float2(two[0], two[1]);
                } else if (at_row < p.m) {
                    if (at_column < p.n) to[0] = two[0];
                    if (at_column + 1 < p.n) to[1] = two[1];
                }
            }
}

// t: the matrix lies in memory transposed
extern "C" __global__ void __launch_bounds__(128, 2) tf32_nn(Product p) { multiply<false, false>(p); }
extern "C" __global__ void __launch_bounds__(128, 2) tf32_nt(Product p) { multiply<false, true>(p); }
extern "C" __global__ void __launch_bounds__(128, 2) tf32_tn(Product p) { multiply<true, false>(p); }
