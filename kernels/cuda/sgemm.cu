// C = A B in fp32, on the ordinary cores; then, if asked for, + bias and ReLU.
//
// A block of 256 threads computes a square tile of C, of 128 x 128 or 64 x 64 numbers. It goes along the inner axis in
// short steps: a panel of A and one of B are copied to shared memory, and each number there is then used by many
// threads. A thread keeps its share of C, 8 x 8 numbers, in registers: of 16 numbers read from shared memory it makes
// 64 products. While it computes with one pair of panels it has already asked for the next, so that the long way to
// memory is travelled in the meantime; the two take turns in two halves of the shared memory.
//
// Small products have too few tiles to occupy a card. There the inner axis is cut into slices that different blocks
// sum, and `sgemm_sum` adds the slices up, always in the same order.

struct Product {
    const float *a, *b, *bias;  // bias: one for each column of C, or null
    float* c;                   // (slices, batch, m, n)
    int m, n, k;
    int a_pitch, b_pitch;  // numbers from one row in memory to the next
    int inner;             // the batch is (outer, inner), with these steps between its matrices
    long long a_outer, a_inner, b_outer, b_inner;
    int slices, slice_depth, relu;
};

constexpr int PAD = 4;  // numbers after each row of a panel: fewer threads meet in a bank of shared memory

// A panel: SIZE rows of A (or columns of B), DEPTH along the inner axis, of which a thread brings four numbers,
// neighbours in memory. In shared memory always panel[k][i]; in global memory k runs along the rows (ALONG_K: A as it
// is, B transposed), or i does.
template <int SIZE, int DEPTH, bool ALONG_K> struct Panel {
    static_assert(SIZE * DEPTH == 4 * 256, "a thread brings four numbers");
    const float* next;  // the four numbers
    int width;          // how many of them there are, if i runs along them
    float4 kept;

    static __device__ __forceinline__ int my_i() {
        return ALONG_K ? threadIdx.x / (DEPTH / 4) : threadIdx.x % (SIZE / 4) * 4;
    }
    static __device__ __forceinline__ int my_k() {
        return ALONG_K ? threadIdx.x % (DEPTH / 4) * 4 : threadIdx.x / (SIZE / 4);
    }

    __device__ __forceinline__ Panel(const float* from, int pitch, int i, int i_end, int k) {
        i += my_i(), k += my_k();
        if (ALONG_K) i = min(i, i_end - 1);  // beyond the edge anything will do: what comes of it is not written
        next = from + (ALONG_K ? i : k) * (long long)pitch + (ALONG_K ? k : i);
        width = i_end - i;
    }

    __device__ __forceinline__ void fetch(int pitch, int left, bool aligned) {
        left -= my_k();
        int there = ALONG_K ? left : left > 0 ? width : 0;
        if (aligned && there >= 4)
            kept = load4(next);
        else
            kept = make_float4(there > 0 ? next[0] : 0, there > 1 ? next[1] : 0, there > 2 ? next[2] : 0,
                               there > 3 ? next[3] : 0);
        next += ALONG_K ? DEPTH : DEPTH * pitch;
    }

    __device__ __forceinline__ void put(float (&panel)[DEPTH][SIZE + PAD]) {
        int i = my_i(), k = my_k();
        if (ALONG_K) {
            panel[k][i] = kept.x;
            panel[k + 1][i] = kept.y;
            panel[k + 2][i] = kept.z;
            panel[k + 3][i] = kept.w;
        } else {
            store4(&panel[k][i], kept);
        }
    }
};

// QUADS: a thread's share of C is QUADS x QUADS squares of 4 x 4. The 8 warps lie 4 x 2 in the tile, the 32 lanes of a
// warp 4 x 8; the squares of a thread lie a warp apart, so that the lanes read neighbouring groups of four.
template <bool A_TURNED, bool B_TURNED, int QUADS> __device__ __forceinline__ void multiply(const Product& p) {
    constexpr int SIZE = 64 * QUADS, DEPTH = 16 / QUADS;
    __shared__ float as[2][DEPTH][SIZE + PAD];
    __shared__ float bs[2][DEPTH][SIZE + PAD];

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int row = warp / 2 * (16 * QUADS) + lane / 8 * 4, column = warp % 2 * (32 * QUADS) + lane % 8 * 4;
    int row0 = blockIdx.x * SIZE, column0 = blockIdx.y * SIZE;
    int matrix = blockIdx.z / p.slices, slice = blockIdx.z % p.slices;
    const float* a = p.a + matrix / p.inner * p.a_outer + matrix % p.inner * p.a_inner;
    const float* b = p.b + matrix / p.inner * p.b_outer + matrix % p.inner * p.b_inner;
    int k_first = slice * p.slice_depth, k_end = min(k_first + p.slice_depth, p.k);
    Panel<SIZE, DEPTH, !A_TURNED> a_next(a, p.a_pitch, row0, p.m, k_first);
    Panel<SIZE, DEPTH, B_TURNED> b_next(b, p.b_pitch, column0, p.n, k_first);

    // fours are read at once only where all of them lie at multiples of four
    bool aligned = ((unsigned long long)a | (unsigned long long)b) % 16 == 0 && (p.a_pitch | p.b_pitch) % 4 == 0;

    float sum[4 * QUADS][4 * QUADS] = {};
    a_next.fetch(p.a_pitch, k_end - k_first, aligned);
    b_next.fetch(p.b_pitch, k_end - k_first, aligned);
    a_next.put(as[0]);
    b_next.put(bs[0]);
    __syncthreads();

    int half = 0;
    for (int left = k_end - k_first - DEPTH;; left -= DEPTH) {
        if (left > 0) {
            a_next.fetch(p.a_pitch, left, aligned);
            b_next.fetch(p.b_pitch, left, aligned);
        }
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            float x[4 * QUADS], y[4 * QUADS];
#pragma unroll
            for (int quad = 0; quad < QUADS; quad++) {
                float4 four = load4(&as[half][k][row + quad * 16]);
                x[4 * quad] = four.x, x[4 * quad + 1] = four.y, x[4 * quad + 2] = four.z, x[4 * quad + 3] = four.w;
                four = load4(&bs[half][k][column + quad * 32]);
                y[4 * quad] = four.x, y[4 * quad + 1] = four.y, y[4 * quad + 2] = four.z, y[4 * quad + 3] = four.w;
            }
#pragma unroll
            for (int i = 0; i < 4 * QUADS; i++)
#pragma unroll
                for (int j = 0; j < 4 * QUADS; j++) sum[i][j] += x[i] * y[j];
        }
        if (left <= 0) break;
        half ^= 1;  // nobody has read that half since the last barrier
        a_next.put(as[half]);
        b_next.put(bs[half]);
        __syncthreads();
    }

    bool whole = p.slices == 1, c_aligned = p.n % 4 == 0;
    float* c = p.c + ((long long)slice * (gridDim.z / p.slices) + matrix) * p.m * p.n;
#pragma unroll
    for (int i = 0; i < 4 * QUADS; i++) {
        int r = row0 + row + i / 4 * 16 + i % 4;
        if (r >= p.m) continue;
#pragma unroll
        for (int quad = 0; quad < QUADS; quad++) {
            int at = column0 + column + quad * 32;
            float out[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                out[j] = sum[i][4 * quad + j];
                if (whole && p.bias && at + j < p.n) out[j] += p.bias[at + j];
                if (whole && p.relu) out[j] = out[j] < 0 ? 0 : out[j];  // NaN stays
            }
            if (c_aligned && at + 4 <= p.n) {
                store4(c + (long long)r * p.n + at, make_float4(out[0], out[1], out[2], out[3]));
            } else {
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (at + j < p.n) c[(long long)r * p.n + at + j] = out[j];
            }
        }
    }
}

// t: the matrix lies in memory transposed. At 128, two blocks share a multiprocessor: 128 registers for each thread.
extern "C" __global__ void __launch_bounds__(256, 2) sgemm_nn_128(Product p) { multiply<false, false, 2>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) sgemm_nt_128(Product p) { multiply<false, true, 2>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) sgemm_tn_128(Product p) { multiply<true, false, 2>(p); }
extern "C" __global__ void __launch_bounds__(256) sgemm_nn_64(Product p) { multiply<false, false, 1>(p); }
extern "C" __global__ void __launch_bounds__(256) sgemm_nt_64(Product p) { multiply<false, true, 1>(p); }
extern "C" __global__ void __launch_bounds__(256) sgemm_tn_64(Product p) { multiply<true, false, 1>(p); }

// The slices, added up: c[i] = Σ_s parts[s][i], then + bias and ReLU.
extern "C" __global__ void __launch_bounds__(256)
sgemm_sum(const float* __restrict__ parts, const float* __restrict__ bias, float* __restrict__ c, long long size, int n,
          int slices, int relu) {
    long long i = blockIdx.x * 256ll + threadIdx.x;
    if (i >= size) return;
    float sum = 0;
#pragma unroll 4
    for (int slice = 0; slice < slices; slice++) sum += parts[slice * size + i];
    if (bias) sum += bias[i % n];
    c[i] = relu && sum < 0 ? 0 : sum;
}
