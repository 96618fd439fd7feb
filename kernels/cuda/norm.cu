// Normalization: (x - mean) / √(variance + ε) · w + b, where many numbers share a mean and a variance.
//
// Numbers are read in PIECES. The threads of a group share a piece, and each holds its part in registers: so all reads
// are on their way before the first number is needed, and mean and variance come of one read. There are two kinds:
//     of a run, neighbours in memory (pixels of a channel, features of a row): a warp's, or a whole block's;
//     of a column, where channels lie last: 32 columns side by side for a block, a piece of each for 8 of its threads,
//     which are those in the same lane of its 8 warps.
// Rows that are one piece, as in layer norm, need one kernel. Else there are three steps: a mean and a variance of each
// piece, joined to those of all that belong together, with which each piece is normalized. The gradient goes the same
// way, with sums of g and of g (x - mean).

constexpr int COLUMN = 8;  // the group of a column

struct Rows {
    const float *x, *w, *b;
    float *y, *mean, *var;
    int rows, size;
    float eps;
};
struct RowsGrad {
    const float *g, *of_mean, *of_var, *x, *w, *mean, *var;
    float *dx, *parts;  // parts: (blocks, 2, size), sums for the gradients of w and b; or null
    int rows, size;
    float eps;
};
// x is `runs` runs of `size` numbers, each cut into `slices` pieces of `length` (or less). Which mean a run has, and
// which weight: run / each % count. Columns are such runs, too.
struct Pieces {
    const float *x, *w, *b, *mean, *var;
    float *y, *sums, *squares;
    int runs, size, slices, length, mean_each, mean_count, weight_each, weight_count;
    float eps;
};
struct PiecesGrad {
    const float *g, *x, *w, *mean, *var, *slope, *constant;
    float *dx, *parts;  // parts: (4, pieces)
    int runs, size, slices, length, mean_each, mean_count, weight_each, weight_count;
    float eps;
};
// The pieces that share a mean or a weight are `near` neighbours, and again as many `far` further on, `pieces` in all.
struct Join {
    const float *sums, *squares;
    float *mean, *var;
    int count, pieces, near, far, size, slices, length;
};
struct JoinGrad {
    const float *sums, *products, *of_mean, *of_var, *var;
    float *slope, *constant;
    int count, pieces, near, far;
    float numbers, eps;
};
struct JoinWeights {
    const float *sums, *products;
    float *dw, *db;
    int count, pieces, near, far;
};

// What a thread has of a piece: from `at` on every `step`-th number, `mine` of them.
template <int GROUP> struct Piece {
    int run, number, count, at, step, mine;
    bool there, first;  // first: it is this thread that writes what the group found out

    template <class S> __device__ __forceinline__ Piece(const S& s) {
        if (GROUP == COLUMN) {
            int lane = threadIdx.x % 32, warp = threadIdx.x / 32, slice = blockIdx.x;
            run = blockIdx.y * 32 + lane;
            there = run < s.runs;
            number = slice * s.runs + run;
            cut(s, slice, warp);
            at = (slice * s.length + warp) * s.runs + run;
            step = COLUMN * s.runs;
        } else {
            number = blockIdx.x * (256 / GROUP) + threadIdx.x / GROUP;
            run = number / s.slices;
            there = run < s.runs;
            int slice = number % s.slices;
            cut(s, slice, threadIdx.x % GROUP);
            at = run * s.size + slice * s.length + threadIdx.x % GROUP;
            step = GROUP;
        }
    }
    template <class S> __device__ __forceinline__ void cut(const S& s, int slice, int place) {
        count = min(s.length, s.size - slice * s.length);
        mine = there ? (count - place + GROUP - 1) / GROUP : 0;
        first = there && place == 0;
    }
};

// A thread's part of a piece, every `step`-th number, and zeros behind it.
template <int HELD> __device__ __forceinline__ void hold(const float* from, int step, int mine, float (&held)[HELD]) {
#pragma unroll
    for (int k = 0; k < HELD; k++) held[k] = k < mine ? from[k * step] : 0;
}

// The sum over a group; each of its threads gets it.
template <int GROUP> __device__ __forceinline__ float group_total(float x) {
    if (GROUP == 32) return warp_sum(x);
    if (GROUP == 256) return block_sum<256>(x);
    __shared__ float parts[8][32];
    int lane = threadIdx.x % 32;
    __syncthreads();  // what the last call left has been read
    parts[threadIdx.x / 32][lane] = x;
    __syncthreads();
    x = 0;
#pragma unroll
    for (int warp = 0; warp < 8; warp++) x += parts[warp][lane];
    return x;
}

// The sum of a piece, and the sum of (x - their mean)²; `held` becomes x - mean.
template <int GROUP, int HELD>
__device__ __forceinline__ void center(float (&held)[HELD], int mine, int count, float& sum, float& square) {
    sum = 0;
#pragma unroll
    for (int k = 0; k < HELD; k++) sum += held[k];
    sum = group_total<GROUP>(sum);
    float mean = sum / count;
    square = 0;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        held[k] = k < mine ? held[k] - mean : 0;
        square += held[k] * held[k];
    }
    square = group_total<GROUP>(square);
}

// ---- rows
template <int GROUP, int HELD> __device__ __forceinline__ void standardize_rows(const Rows& s) {
    int row = blockIdx.x * (256 / GROUP) + threadIdx.x / GROUP, first = threadIdx.x % GROUP;
    if (row >= s.rows) return;  // with all the threads of its group
    int start = row * s.size, mine = (s.size - first + GROUP - 1) / GROUP;
    float held[HELD], sum, square;
    hold(s.x + start + first, GROUP, mine, held);
    center<GROUP>(held, mine, s.size, sum, square);
    float var = square / s.size, rstd = rsqrtf(var + s.eps);
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int i = first + k * GROUP;
        if (k < mine) s.y[start + i] = held[k] * rstd * (s.w ? s.w[i] : 1) + (s.b ? s.b[i] : 0);
    }
    if (first == 0) s.mean[row] = sum / s.size, s.var[row] = var;
}

// dx = direct + (x - mean) slope + constant, where direct = g w rstd: the mean and the variance depend on x, too. For
// the gradients of w and b, sums over rows, a group takes every so many-th row, and adds up in shared memory, where
// each thread has places of its own.
template <int GROUP, int HELD> __device__ __forceinline__ void rows_grad(const RowsGrad& s) {
    constexpr int GROUPS = 256 / GROUP;
    extern __shared__ float sums[];  // (groups, 2, size)
    int group = threadIdx.x / GROUP, first = threadIdx.x % GROUP, mine = (s.size - first + GROUP - 1) / GROUP;
    float* dw = sums + 2 * group * s.size + first;
    float* db = dw + s.size;
    if (s.parts)
        for (int k = 0; k < mine; k++) dw[k * GROUP] = db[k * GROUP] = 0;
    for (int row = blockIdx.x * GROUPS + group; row < s.rows; row += gridDim.x * GROUPS) {
        int start = row * s.size + first;
        float x[HELD], g[HELD], mean = s.mean[row], rstd = rsqrtf(s.var[row] + s.eps), sum = 0, product = 0;
        hold(s.x + start, GROUP, mine, x);
        hold(s.g + start, GROUP, mine, g);
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            if (k >= mine) continue;
            x[k] -= mean;
            if (s.parts) dw[k * GROUP] += g[k] * (x[k] * rstd), db[k * GROUP] += g[k];
            g[k] *= (s.w ? s.w[first + k * GROUP] : 1) * rstd;
            sum += g[k];
            product += g[k] * x[k];
        }
        sum = group_total<GROUP>(sum);
        product = group_total<GROUP>(product);
        float slope = (s.of_var[row] * 2 - rstd * rstd * product) / s.size, constant = (s.of_mean[row] - sum) / s.size;
#pragma unroll
        for (int k = 0; k < HELD; k++)
            if (k < mine) s.dx[start + k * GROUP] = g[k] + x[k] * slope + constant;
    }
    if (!s.parts) return;
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * s.size; i += 256) {
        float sum = 0;
#pragma unroll
        for (int other = 0; other < GROUPS; other++) sum += sums[2 * other * s.size + i];
        s.parts[(long long)blockIdx.x * 2 * s.size + i] = sum;
    }
}

// ---- pieces
template <int GROUP, int HELD> __device__ __forceinline__ void moments(const Pieces& s) {
    Piece<GROUP> piece(s);
    float held[HELD], sum, square;
    hold(s.x + piece.at, piece.step, piece.mine, held);
    center<GROUP>(held, piece.mine, piece.count, sum, square);
    if (piece.first) s.sums[piece.number] = sum, s.squares[piece.number] = square;
}

template <int GROUP, int HELD> __device__ __forceinline__ void standardize(const Pieces& s) {
    Piece<GROUP> piece(s);
    if (!piece.there) return;
    int m = piece.run / s.mean_each % s.mean_count, weight = piece.run / s.weight_each % s.weight_count;
    float held[HELD], mean = s.mean[m], rstd = rsqrtf(s.var[m] + s.eps);
    float w = s.w ? s.w[weight] : 1, b = s.b ? s.b[weight] : 0;
    hold(s.x + piece.at, piece.step, piece.mine, held);
#pragma unroll
    for (int k = 0; k < HELD; k++)
        if (k < piece.mine) s.y[piece.at + k * piece.step] = (held[k] - mean) * rstd * w + b;
}

// Of each piece Σ g and Σ g (x - mean) rstd, of which the gradients of w and b are sums, and Σ direct and
// Σ direct (x - mean), which that of x needs. (With an infinite w these are not w times those.)
template <int GROUP, int HELD> __device__ __forceinline__ void slopes(const PiecesGrad& s) {
    Piece<GROUP> piece(s);
    int m = piece.run / s.mean_each % s.mean_count, weight = piece.run / s.weight_each % s.weight_count;
    float mean = piece.there ? s.mean[m] : 0, rstd = piece.there ? rsqrtf(s.var[m] + s.eps) : 0;
    float w = s.w && piece.there ? s.w[weight] : 1, x[HELD], g[HELD], sums[4] = {};
    hold(s.x + piece.at, piece.step, piece.mine, x);
    hold(s.g + piece.at, piece.step, piece.mine, g);
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        if (k >= piece.mine) continue;
        float centred = x[k] - mean, direct = g[k] * w * rstd;
        sums[0] += g[k];
        sums[1] += g[k] * (centred * rstd);
        sums[2] += direct;
        sums[3] += direct * centred;
    }
    int pieces = s.runs * s.slices;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        float sum = group_total<GROUP>(sums[k]);
        if (piece.first) s.parts[k * pieces + piece.number] = sum;
    }
}

template <int GROUP, int HELD> __device__ __forceinline__ void gradient(const PiecesGrad& s) {
    Piece<GROUP> piece(s);
    if (!piece.there) return;
    int m = piece.run / s.mean_each % s.mean_count, weight = piece.run / s.weight_each % s.weight_count;
    float mean = s.mean[m], factor = (s.w ? s.w[weight] : 1) * rsqrtf(s.var[m] + s.eps);
    float slope = s.slope[m], constant = s.constant[m], x[HELD], g[HELD];
    hold(s.x + piece.at, piece.step, piece.mine, x);
    hold(s.g + piece.at, piece.step, piece.mine, g);
#pragma unroll
    for (int k = 0; k < HELD; k++)
        if (k < piece.mine) s.dx[piece.at + k * piece.step] = g[k] * factor + (x[k] - mean) * slope + constant;
}

// ---- joined, for each mean or weight by a warp, or, where it has many pieces, by a block
template <int GROUP> __device__ __forceinline__ int number_of_group() {
    return blockIdx.x * (256 / GROUP) + threadIdx.x / GROUP;
}

// Σ of one part, over the pieces that belong together.
template <int GROUP, class S> __device__ __forceinline__ float joined(const S& s, const float* parts, int number) {
    float sum = 0;
    parts += number * s.near;
#pragma unroll 4
    for (int k = threadIdx.x % GROUP; k < s.pieces; k += GROUP) sum += parts[k / s.near * s.far + k % s.near];
    return group_total<GROUP>(sum);
}

// The mean of all, and their variance: of each piece's numbers about its own mean, and of the pieces' means.
template <int GROUP> __device__ __forceinline__ void join_moments(const Join& s) {
    int number = number_of_group<GROUP>(), first = threadIdx.x % GROUP;
    if (number >= s.count) return;  // with all the threads of its group
    float numbers = (float)(s.pieces / s.slices) * s.size, square = 0;
    float mean = joined<GROUP>(s, s.sums, number) / numbers;
#pragma unroll 4
    for (int k = first; k < s.pieces; k += GROUP) {
        int at = k / s.near * s.far + number * s.near + k % s.near;
        int count = min(s.length, s.size - k % s.slices * s.length);
        float apart = s.sums[at] / count - mean;
        square += s.squares[at] + count * apart * apart;
    }
    square = group_total<GROUP>(square);
    if (first == 0) s.mean[number] = mean, s.var[number] = square / numbers;
}

template <int GROUP> __device__ __forceinline__ void join_slopes(const JoinGrad& s) {
    int number = number_of_group<GROUP>();
    if (number >= s.count) return;
    float sum = joined<GROUP>(s, s.sums, number), product = joined<GROUP>(s, s.products, number);
    if (threadIdx.x % GROUP) return;
    float rstd = rsqrtf(s.var[number] + s.eps);
    s.slope[number] = (s.of_var[number] * 2 - rstd * rstd * product) / s.numbers;
    s.constant[number] = (s.of_mean[number] - sum) / s.numbers;
}

template <int GROUP> __device__ __forceinline__ void join_weights(const JoinWeights& s) {
    int number = number_of_group<GROUP>();
    if (number >= s.count) return;
    float sum = joined<GROUP>(s, s.sums, number), product = joined<GROUP>(s, s.products, number);
    if (threadIdx.x % GROUP == 0) s.dw[number] = product, s.db[number] = sum;
}

extern "C" __global__ void __launch_bounds__(256) join_moments_32(Join s) { join_moments<32>(s); }
extern "C" __global__ void __launch_bounds__(256) join_moments_256(Join s) { join_moments<256>(s); }
extern "C" __global__ void __launch_bounds__(256) join_slopes_32(JoinGrad s) { join_slopes<32>(s); }
extern "C" __global__ void __launch_bounds__(256) join_slopes_256(JoinGrad s) { join_slopes<256>(s); }
extern "C" __global__ void __launch_bounds__(256) join_weights_32(JoinWeights s) { join_weights<32>(s); }
extern "C" __global__ void __launch_bounds__(256) join_weights_256(JoinWeights s) { join_weights<256>(s); }

// Here the number at the end of a name is how many a piece has at most.
extern "C" __global__ void __launch_bounds__(256) standardize_rows_128(Rows s) { standardize_rows<32, 4>(s); }
extern "C" __global__ void __launch_bounds__(256) standardize_rows_1024(Rows s) { standardize_rows<32, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) standardize_rows_8192(Rows s) { standardize_rows<256, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) rows_grad_128(RowsGrad s) { rows_grad<32, 4>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) rows_grad_1024(RowsGrad s) { rows_grad<32, 32>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) rows_grad_8192(RowsGrad s) { rows_grad<256, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) moments_128(Pieces s) { moments<32, 4>(s); }
extern "C" __global__ void __launch_bounds__(256) moments_1024(Pieces s) { moments<32, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) moments_8192(Pieces s) { moments<256, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) moments_columns(Pieces s) { moments<COLUMN, 16>(s); }
extern "C" __global__ void __launch_bounds__(256) standardize_128(Pieces s) { standardize<32, 4>(s); }
extern "C" __global__ void __launch_bounds__(256) standardize_1024(Pieces s) { standardize<32, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) standardize_8192(Pieces s) { standardize<256, 32>(s); }
extern "C" __global__ void __launch_bounds__(256) standardize_columns(Pieces s) { standardize<COLUMN, 16>(s); }
extern "C" __global__ void __launch_bounds__(256) slopes_128(PiecesGrad s) { slopes<32, 4>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) slopes_1024(PiecesGrad s) { slopes<32, 32>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) slopes_8192(PiecesGrad s) { slopes<256, 32>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) slopes_columns(PiecesGrad s) { slopes<COLUMN, 16>(s); }
extern "C" __global__ void __launch_bounds__(256) gradient_128(PiecesGrad s) { gradient<32, 4>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) gradient_1024(PiecesGrad s) { gradient<32, 32>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) gradient_8192(PiecesGrad s) { gradient<256, 32>(s); }
extern "C" __global__ void __launch_bounds__(256, 2) gradient_columns(PiecesGrad s) { gradient<COLUMN, 16>(s); }
