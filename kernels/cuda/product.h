// The product of two matrices that need not lie in memory as such, in fp32 or on tensor cores: what conv.cu and
// conv_grad.cu share. The loops are those of sgemm.cu and tf32.cu. But where they copy panels of matrices, here two
// `sides`, left and right, say where each number is:
//
//     i(u), k(u)              which place of the panel this thread brings as its u-th, of COUNT
//     step(left, take)        calls take(u, from, there) for each: the address of that number, if there is one, for it
//                             may be a 0; k has `left` numbers left. The next call is for the next step along k.
//     TOGETHER = 4, ALONG_K   not one number but four neighbours, along k or along i
//
// A block of 256 threads sums a tile, and each thread a share of it: ROWS x COLUMNS numbers, number(i, j) standing in
// the tile at (row(i), column(j)).

constexpr int THREADS = 256;

// The side of a matrix that lies in memory in rows, k being the row's number: four neighbours of a row, which begin at
// multiples of four.
template <int SIZE, int DEPTH> struct Rows {
    static constexpr int TOGETHER = 4, COUNT = SIZE * DEPTH / THREADS / TOGETHER, ACROSS = SIZE / 4;
    static constexpr bool ALONG_K = false;
    const float* next;
    int pitch;  // numbers from one row to the next
    bool mine;  // does the matrix reach so far?

    static __device__ __forceinline__ int i(int u) { return threadIdx.x % ACROSS * 4; }
    static __device__ __forceinline__ int k(int u) { return threadIdx.x / ACROSS + u * (THREADS / ACROSS); }

    __device__ __forceinline__ Rows(const float* from, int pitch, int i0, int i_end) : pitch(pitch) {
        next = from + (long long)k(0) * pitch + i0 + i(0);
        mine = i0 + i(0) < i_end;
    }
    template <class Take> __device__ __forceinline__ void step(int left, Take take) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) take(u, next + (long long)(k(u) - k(0)) * pitch, mine && k(u) < left);
        next += (long long)DEPTH * pitch;
    }
};

// ---- fp32
constexpr int PAD = 4;  // numbers after each row of a panel: fewer threads meet in a bank of shared memory

// What a thread brings for a panel, kept in registers on its way from global to shared memory.
template <class Side> struct Kept {
    float number[Side::COUNT * Side::TOGETHER];

    __device__ __forceinline__ void fetch(Side& side, int left) {
        side.step(left, [&](int u, const float* from, bool there) {
            if (Side::TOGETHER == 1) {
                number[u] = there ? *from : 0;
            } else {
                float4 four = there ? load4(from) : make_float4(0, 0, 0, 0);
                number[4 * u] = four.x, number[4 * u + 1] = four.y;
                number[4 * u + 2] = four.z, number[4 * u + 3] = four.w;
            }
        });
    }
    template <int DEPTH, int PITCH> __device__ __forceinline__ void put(float (&panel)[DEPTH][PITCH]) const {
#pragma unroll
        for (int u = 0; u < Side::COUNT; u++) {
            int i = Side::i(u), k = Side::k(u);
            if (Side::TOGETHER == 4 && !Side::ALONG_K) {
                const float* four = number + 4 * u;
                store4(&panel[k][i], make_float4(four[0], four[1], four[2], four[3]));
            } else {
#pragma unroll
                for (int v = 0; v < Side::TOGETHER; v++) panel[k + v][i] = number[Side::TOGETHER * u + v];
            }
        }
    }
};

// A thread's share of a tile: DOWN x ACROSS squares of 4 x 4. The 8 warps lie 4 x 2 in the tile, the 32 lanes of a warp
// 4 x 8; the squares of a thread lie a warp apart, so that the lanes read neighbouring groups of four.
// UNROLLED: so many k are computed at once; fewer take fewer registers.
template <int DOWN, int ACROSS, int UNROLLED = 16> struct Share {
    static constexpr int HEIGHT = 64 * DOWN, WIDTH = 64 * ACROSS, DEPTH = DOWN * ACROSS == 4 ? 8 : 16;
    static constexpr int ROWS = 4 * DOWN, COLUMNS = 4 * ACROSS;
    static constexpr int NEAR_ROWS = 4, NEAR_COLUMNS = 4;  // so many of its numbers are neighbours
    float sum[ROWS][COLUMNS] = {};

    static __device__ __forceinline__ int row(int i) {
        return threadIdx.x / 64 * (16 * DOWN) + threadIdx.x % 32 / 8 * 4 + i / 4 * 16 + i % 4;
    }
    static __device__ __forceinline__ int column(int j) {
        return threadIdx.x / 32 % 2 * (32 * ACROSS) + threadIdx.x % 8 * 4 + j / 4 * 32 + j % 4;
    }
    __device__ __forceinline__ float number(int i, int j) const { return sum[i][j]; }

    template <class Left, class Right>
    __device__ __forceinline__ void multiply(Left& left, Right& right, int depth) {
        __shared__ float as[2][DEPTH][HEIGHT + PAD];
        __shared__ float bs[2][DEPTH][WIDTH + PAD];
        Kept<Left> a;
        Kept<Right> b;
        a.fetch(left, depth);
        b.fetch(right, depth);
        a.put(as[0]);
        b.put(bs[0]);
        __syncthreads();

        int half = 0;
        for (int more = depth - DEPTH;; more -= DEPTH) {
            if (more > 0) {
                a.fetch(left, more);
                b.fetch(right, more);
            }
#pragma unroll UNROLLED
            for (int k = 0; k < DEPTH; k++) {
                float x[ROWS], y[COLUMNS];
#pragma unroll
                for (int i = 0; i < ROWS; i += 4) {
                    float4 four = load4(&as[half][k][row(i)]);
                    x[i] = four.x, x[i + 1] = four.y, x[i + 2] = four.z, x[i + 3] = four.w;
                }
#pragma unroll
                for (int j = 0; j < COLUMNS; j += 4) {
                    float4 four = load4(&bs[half][k][column(j)]);
                    y[j] = four.x, y[j + 1] = four.y, y[j + 2] = four.z, y[j + 3] = four.w;
                }
#pragma unroll
                for (int i = 0; i < ROWS; i++)
#pragma unroll
                    for (int j = 0; j < COLUMNS; j++) sum[i][j] += x[i] * y[j];
            }
            if (more <= 0) break;
            half ^= 1;  // nobody has read that half since the last barrier
            a.put(as[half]);
            b.put(bs[half]);
            __syncthreads();
        }
    }
};

// ---- TF32
// 8 warps, 2 x 4 in the tile, each with 4 x 4 squares of 16 x 8 for its tensor core. Panels come by cp.async, into a
// ring of STAGES pairs.
struct Tensor {
    static constexpr int HEIGHT = 128, WIDTH = 128, DEPTH = 16, STAGES = 4;
    static constexpr int ROWS = 8, COLUMNS = 8;
    static constexpr int NEAR_ROWS = 1, NEAR_COLUMNS = 2;
    float sum[4][4][4] = {};

    static __device__ __forceinline__ int row(int i) {
        return threadIdx.x / 128 * 64 + i / 2 * 16 + i % 2 * 8 + threadIdx.x % 32 / 4;
    }
    static __device__ __forceinline__ int column(int j) {
        return threadIdx.x / 32 % 4 * 32 + j / 2 * 8 + threadIdx.x % 4 * 2 + j % 2;
    }
    __device__ __forceinline__ float number(int i, int j) const { return sum[i / 2][j / 2][i % 2 * 2 + j % 2]; }

    // A panel lies in shared memory as its side brings it, k along the rows or i. Its rows are so much longer that the
    // 32 lanes that read a fragment do so in 32 banks.
    static constexpr int NUMBERS = 128 * (DEPTH + 4);  // enough for either way: DEPTH (128 + 8) are fewer
    template <class Side> static __device__ __forceinline__ int at(int i, int k) {
        return Side::ALONG_K ? i * (DEPTH + 4) + k : k * (128 + 8) + i;
    }
    template <class Side>
    static __device__ __forceinline__ void fetch(Side& side, float* panel, int left) {
        side.step(left, [&](int u, const float* from, bool there) {
            float* to = panel + at<Side>(Side::i(u), Side::k(u));
            if (Side::TOGETHER == 4) copy_async(to, from, there ? 16 : 0);
            else copy_async_one(to, from, there);
        });
    }

    template <class Left, class Right>
    __device__ __forceinline__ void multiply(Left& left, Right& right, int depth) {
        extern __shared__ __align__(16) float ring[];
        int r = threadIdx.x % 32 / 4, c = threadIdx.x % 4;  // as in mma_tf32
        int row0 = threadIdx.x / 128 * 64, column0 = threadIdx.x / 32 % 4 * 32, steps = (depth + DEPTH - 1) / DEPTH;
        auto ask = [&](int step) {
            if (step < steps) {
                float* panels = ring + step % STAGES * (2 * NUMBERS);
                fetch(left, panels, depth - step * DEPTH);
                fetch(right, panels + NUMBERS, depth - step * DEPTH);
            }
            copy_commit();  // at the end of nothing: so that the groups are counted as the steps are
        };
        for (int step = 0; step < STAGES - 1; step++) ask(step);
        for (int step = 0; step < steps; step++) {
            copy_wait<STAGES - 2>();  // this step's panels are there, for the thread that asked …
            __syncthreads();          // … and for all; and all have done with those of the last step,
            ask(step + STAGES - 1);   // whose place is free now
            const float* as = ring + step % STAGES * (2 * NUMBERS);
            const float* bs = as + NUMBERS;
#pragma unroll
            for (int k = 0; k < DEPTH; k += 8) {
                unsigned x[4][4], y[4][2];
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int q = 0; q < 4; q++)
                        x[i][q] = to_tf32(as[at<Left>(row0 + i * 16 + q % 2 * 8 + r, k + q / 2 * 4 + c)]);
#pragma unroll
                for (int j = 0; j < 4; j++)
#pragma unroll
                    for (int q = 0; q < 2; q++) y[j][q] = to_tf32(bs[at<Right>(column0 + j * 8 + r, k + q * 4 + c)]);
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++) mma_tf32(sum[i][j], x[i], y[j]);
            }
        }
    }
};

template <int COUNT> __device__ __forceinline__ void store_together(float* to, const float (&numbers)[COUNT]) {
    if constexpr (COUNT == 4) store4(to, make_float4(numbers[0], numbers[1], numbers[2], numbers[3]));
    else if constexpr (COUNT == 2) *(float2*)to = make_float2(numbers[0], numbers[1]);
    else *to = numbers[0];
}
