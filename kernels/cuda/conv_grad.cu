// The gradient of a convolution's filters. A filter's weight has met a pixel under each window, and so its gradient is
// a sum over all windows of all images: dW = dY Xᵀ, a product of small matrices with a long inner axis k, the windows.
// As in conv.cu, X is never written.
//
// There are few tiles: the windows are cut into slices, which different blocks sum; sgemm_sum adds the slices up, in an
// order that is always the same.

#include "product.h"

struct ConvGrad {
    const float *x, *slopes;  // images; the gradient of what the convolution made of them
    float* parts;             // the gradient of the filters, by each slice: (slices, groups, filters, channels, taps)
    int groups, channels, filters;      // channels of x and of y in each group
    int height, width;                  // of an image x
    int windows, rows, columns;         // all windows; on an image, rows x columns
    int taps_y, taps_x;
    int stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
    int slices, slice_depth;
    int plane, x_image, y_image;  // numbers of a channel of the slopes, of an image, and of the slopes of an image
};

// The window whose turn it is.
struct Turn {
    int image, row, column;

    Turn() = default;
    __device__ __forceinline__ Turn(const ConvGrad& p, int window) {
        column = window % p.columns, row = window / p.columns % p.rows, image = window / p.columns / p.rows;
    }
    __device__ __forceinline__ void move(const ConvGrad& p, int count) {
        for (column += count; column >= p.columns; column -= p.columns)
            if (++row == p.rows) row = 0, image++;
    }
};

// Of the filters' weights in the order in which X has them, one: where its tap and its channel lie, from where a window
// begins.
template <bool LAST> struct Weight {
    int down, right, offset;

    Weight() = default;
    __device__ __forceinline__ Weight(const ConvGrad& p, int group, int number) {
        int taps = p.taps_y * p.taps_x, tap = LAST ? number / p.channels : number % taps;
        int channel = group * p.channels + (LAST ? number % p.channels : number / taps);
        down = tap / p.taps_x * p.dilation_y, right = tap % p.taps_x * p.dilation_x;
        offset = LAST ? (down * p.width + right) * p.groups * p.channels + channel
                      : channel * p.height * p.width + down * p.width + right;
        if (number >= taps * p.channels) down = 1 << 30;  // nowhere
    }
    __device__ __forceinline__ bool inside(const ConvGrad& p, int y, int x) const {  // of a window that begins there
        return (unsigned)(y + down) < (unsigned)p.height && (unsigned)(x + right) < (unsigned)p.width;
    }
};

// The slopes, channel by channel: a thread brings those of one window, whose turn the side of X says.
template <int SIZE, int DEPTH> struct Slopes {
    static constexpr int TOGETHER = 1, COUNT = SIZE * DEPTH / THREADS;
    static constexpr bool ALONG_K = false;
    const ConvGrad& p;
    const Turn& turn;
    int first;    // where the slopes of this thread's first filter begin
    int filters;  // so many there are, from the tile's first on

    static __device__ __forceinline__ int i(int u) { return threadIdx.x / DEPTH + u * (THREADS / DEPTH); }
    static __device__ __forceinline__ int k(int u) { return threadIdx.x % DEPTH; }

    __device__ __forceinline__ Slopes(const ConvGrad& p, const Turn& turn, int group, int filter) : p(p), turn(turn) {
        first = (group * p.filters + filter + i(0)) * p.plane;
        filters = p.filters - filter;
    }
    template <class Take> __device__ __forceinline__ void step(int left, Take take) {
        int at = turn.image * p.y_image + first + turn.row * p.columns + turn.column;
#pragma unroll
        for (int u = 0; u < COUNT; u++)
            take(u, p.slopes + (at + (i(u) - i(0)) * p.plane), i(u) < filters && k(u) < left);
    }
};

// X, channel by channel: a thread brings of one window the pixels under some weights. Neighbouring threads have
// neighbouring windows.
template <int SIZE, int DEPTH, bool LAST> struct Pixels {
    static constexpr int TOGETHER = 1, COUNT = SIZE * DEPTH / THREADS;
    static constexpr bool ALONG_K = false;
    const ConvGrad& p;
    Turn turn;
    Weight<false> weights[COUNT];

    static __device__ __forceinline__ int i(int u) { return threadIdx.x / DEPTH + u * (THREADS / DEPTH); }
    static __device__ __forceinline__ int k(int u) { return threadIdx.x % DEPTH; }

    __device__ __forceinline__ Pixels(const ConvGrad& p, int group, int number, int window)
        : p(p), turn(p, window + k(0)) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) weights[u] = Weight<false>(p, group, number + i(u));
    }
    template <class Take> __device__ __forceinline__ void step(int left, Take take) {
        int y = turn.row * p.stride_y - p.padding_y, x = turn.column * p.stride_x - p.padding_x;
        int at = turn.image * p.x_image + y * p.width + x;
#pragma unroll
        for (int u = 0; u < COUNT; u++)
            take(u, p.x + (at + weights[u].offset), weights[u].inside(p, y, x) && k(u) < left);
        turn.move(p, DEPTH);
    }
};

// Where channels are last, the slopes of a window are a row of a matrix, and so are four channels under a tap.
template <int SIZE, int DEPTH> struct Pixels<SIZE, DEPTH, true> {
    static constexpr int TOGETHER = 4, COUNT = SIZE * DEPTH / THREADS / TOGETHER, ACROSS = SIZE / 4;
    static constexpr bool ALONG_K = false;
    const ConvGrad& p;
    Turn turns[COUNT];
    Weight<true> weight;  // the first of the four

    static __device__ __forceinline__ int i(int u) { return threadIdx.x % ACROSS * 4; }
    static __device__ __forceinline__ int k(int u) { return threadIdx.x / ACROSS + u * (THREADS / ACROSS); }

    __device__ __forceinline__ Pixels(const ConvGrad& p, int group, int number, int window)
        : p(p), weight(p, group, number + i(0)) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) turns[u] = Turn(p, window + k(u));
    }
    template <class Take> __device__ __forceinline__ void step(int left, Take take) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) {
            int y = turns[u].row * p.stride_y - p.padding_y, x = turns[u].column * p.stride_x - p.padding_x;
            int pixel = (turns[u].image * p.height + y) * p.width + x;
            take(u, p.x + (pixel * p.groups * p.channels + weight.offset), weight.inside(p, y, x) && k(u) < left);
            turns[u].move(p, DEPTH);
        }
    }
};

template <class Sums, bool LAST> __device__ __forceinline__ void correlate(const ConvGrad& p) {
    int number0 = blockIdx.x * Sums::WIDTH, filter0 = blockIdx.y * Sums::HEIGHT;
    int group = blockIdx.z / p.slices, slice = blockIdx.z % p.slices;
    int first = slice * p.slice_depth, depth = min(p.slice_depth, p.windows - first);
    Pixels<Sums::WIDTH, Sums::DEPTH, LAST> pixels(p, group, number0, first);
    Sums sums;
    if constexpr (LAST) {
        int all = p.groups * p.filters;
        const float* slopes = p.slopes + (long long)first * all + group * p.filters;
        Rows<Sums::HEIGHT, Sums::DEPTH> rows(slopes, all, filter0, p.filters);
        sums.multiply(rows, pixels, depth);
    } else {
        Slopes<Sums::HEIGHT, Sums::DEPTH> slopes(p, pixels.turn, group, filter0);
        sums.multiply(slopes, pixels, depth);
    }

    int taps = p.taps_y * p.taps_x, weights = taps * p.channels;
    constexpr int NEAR = Sums::NEAR_COLUMNS;
    bool together = !LAST && weights % NEAR == 0;
    float* parts = p.parts + ((long long)slice * p.groups + group) * p.filters * weights;
#pragma unroll
    for (int i = 0; i < Sums::ROWS; i++) {
        int filter = filter0 + Sums::row(i);
        if (filter >= p.filters) continue;
#pragma unroll
        for (int j = 0; j < Sums::COLUMNS; j += NEAR) {
            int number = number0 + Sums::column(j);
            float out[NEAR];
#pragma unroll
            for (int v = 0; v < NEAR; v++) out[v] = sums.number(i, j + v);
            if (together && number < weights) {
                store_together<NEAR>(parts + filter * weights + number, out);
            } else {
#pragma unroll
                for (int v = 0; v < NEAR; v++) {
                    int to = LAST ? (number + v) % p.channels * taps + (number + v) / p.channels : number + v;
                    if (number + v < weights) parts[filter * weights + to] = out[v];
                }
            }
        }
    }
}

// last: channels are last in memory, of x and of the slopes
extern "C" __global__ void __launch_bounds__(256, 2) conv_grad_128(ConvGrad p) { correlate<Share<2, 2, 2>, false>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_grad_64(ConvGrad p) { correlate<Share<1, 1>, false>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_grad_tf32(ConvGrad p) { correlate<Tensor, false>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_grad_128_last(ConvGrad p) { correlate<Share<2, 2>, true>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_grad_64_last(ConvGrad p) { correlate<Share<1, 1>, true>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_grad_tf32_last(ConvGrad p) { correlate<Tensor, true>(p); }

// Where a group has few filters and channels, or one, a tile would be nearly empty: so a block sums a few weights of one
// filter. A thread reads a slope once for all of them.
constexpr int FEW = 9;

extern "C" __global__ void __launch_bounds__(256) conv_grad_each(ConvGrad p) {
    int filter = blockIdx.x, first = blockIdx.y * FEW, slice = blockIdx.z, weights = p.taps_y * p.taps_x * p.channels;
    int end = min((slice + 1) * p.slice_depth, p.windows);
    Weight<false> some[FEW];
    float sum[FEW] = {};
#pragma unroll
    for (int u = 0; u < FEW; u++) some[u] = Weight<false>(p, filter / p.filters, first + u);
    for (int window = slice * p.slice_depth + threadIdx.x; window < end; window += THREADS) {
        Turn turn(p, window);
        int y = turn.row * p.stride_y - p.padding_y, x = turn.column * p.stride_x - p.padding_x;
        int at = turn.image * p.x_image + y * p.width + x;
        float slope = p.slopes[turn.image * p.y_image + filter * p.plane + turn.row * p.columns + turn.column];
#pragma unroll
        for (int u = 0; u < FEW; u++) sum[u] += slope * (some[u].inside(p, y, x) ? p.x[at + some[u].offset] : 0);
    }
    float* parts = p.parts + ((long long)slice * p.groups * p.filters + filter) * weights;
#pragma unroll
    for (int u = 0; u < FEW; u++) {
        float all = block_sum<THREADS>(sum[u]);
        if (threadIdx.x == 0 && first + u < weights) parts[first + u] = all;
    }
}
