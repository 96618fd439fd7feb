// Convolution as a product of matrices, Y = W X: a row of W is a filter, a column of X the pixels under a window. X
// would be many times as large as the images. So it is never written: whoever wants a number of it reads the pixel
// where it lies, or takes 0 in the border (an implicit GEMM).
//
// The product is computed as in sgemm.cu: a block sums a tile of Y in registers, and goes along the inner axis k in
// steps, for which a panel of W and one of X come to shared memory. k runs over the rows of a window's taps, the taps
// of a row, and the channels: so a thread, which brings one window's numbers, moves its finger over the image, and
// looks whether that left the image at each new tap only. `conv_filters` lays the filters out in the same order.
//
// The gradient of the images is such a product, too: a pixel's gradient is a sum over the taps which lay on it, of the
// filters times the gradient of the output. Where windows lie `stride` apart, each stride-th pixel has the same taps:
// for those pixels it is a convolution, and for the ones between another one. (conv.py says which.)
//
// Images lie in memory channel by channel (N, C, H, W), or pixel by pixel (N, H, W, C), "last": then four neighbours
// are four channels, which are read at once.

#include "product.h"

struct Conv {
    const float *x, *w, *bias;  // images; filters, as `conv_filters` lays them out; one bias a filter, or null
    float* y;
    int groups, channels, filters, pitch;  // channels of x and of y in each group; numbers in a row of w
    int height, width;                     // of an image x
    int windows, rows, columns;            // all windows; on an image, rows x columns
    int taps_y, taps_x;
    int first_y, first_x, stride_y, stride_x, step_y, step_x;  // tap i of window r: at first + r stride + i step
    int y_height, y_width, to_y, to_x, apart_y, apart_x;       // and in y, the window's result: at to + r apart
    int relu, careful;  // careful: 0 times an infinite weight, in the border, must not become NaN
};

// ---- X
// A finger on a column of X: on a channel of the pixel under a tap of a window.
template <bool LAST> struct Finger {
    const float* number;  // there
    int y, x;             // the pixel: outside of the image, perhaps
    int tap, channel;     // the tap's number in its row

    static __device__ __forceinline__ int pixel_step(const Conv& p) { return LAST ? p.groups * p.channels : 1; }
    static __device__ __forceinline__ int channel_step(const Conv& p) { return LAST ? 1 : p.height * p.width; }

    Finger() = default;
    __device__ __forceinline__ Finger(const Conv& p, int group, int window, int k) {
        int above = window / p.columns, image = above / p.rows, row = k / p.channels / p.taps_x;
        channel = k % p.channels, tap = k / p.channels % p.taps_x;
        y = p.first_y + above % p.rows * p.stride_y + row * p.step_y;
        x = p.first_x + window % p.columns * p.stride_x + tap * p.step_x;
        number = p.x + (long long)image * (p.groups * p.channels * p.height * p.width);
        number += (y * p.width + x) * pixel_step(p) + (group * p.channels + channel) * channel_step(p);
        if (window >= p.windows) y = -(1 << 30);  // nowhere
    }
    __device__ __forceinline__ void move(const Conv& p, int count) {
        number += count * channel_step(p);
        for (channel += count; channel >= p.channels; channel -= p.channels) {
            int right = p.step_x, down = 0;
            if (++tap == p.taps_x) tap = 0, right -= p.taps_x * p.step_x, down = p.step_y;
            x += right, y += down;
            number += (down * p.width + right) * pixel_step(p) - p.channels * channel_step(p);
        }
    }
    __device__ __forceinline__ bool inside(const Conv& p) const {
        return (unsigned)y < (unsigned)p.height && (unsigned)x < (unsigned)p.width;
    }
};

// One window a thread, of which it brings neighbours along k: neighbouring threads read neighbouring pixels.
template <int SIZE, int DEPTH, bool LAST> struct Pixels {
    static constexpr int TOGETHER = 1, COUNT = SIZE * DEPTH / THREADS;
    static constexpr bool ALONG_K = false;
    const Conv& p;
    Finger<false> finger;

    static __device__ __forceinline__ int i(int u) { return threadIdx.x % SIZE; }
    static __device__ __forceinline__ int k(int u) { return threadIdx.x / SIZE * COUNT + u; }

    __device__ __forceinline__ Pixels(const Conv& p, int group, int window)
        : p(p), finger(p, group, window + i(0), k(0)) {}

    template <class Take> __device__ __forceinline__ void step(int left, Take take) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) {
            take(u, finger.number, finger.inside(p) && k(u) < left);
            finger.move(p, u + 1 < COUNT ? 1 : DEPTH - COUNT + 1);
        }
    }
};

// Where channels are last: four channels at once. Their number is a multiple of four.
template <int SIZE, int DEPTH> struct Pixels<SIZE, DEPTH, true> {
    static constexpr int TOGETHER = 4, COUNT = SIZE * DEPTH / THREADS / TOGETHER;
    static constexpr bool ALONG_K = true;
    static constexpr int ACROSS = DEPTH / 4;  // threads that bring one window's
    const Conv& p;
    Finger<true> fingers[COUNT];

    static __device__ __forceinline__ int i(int u) { return threadIdx.x / ACROSS + u * (THREADS / ACROSS); }
    static __device__ __forceinline__ int k(int u) { return threadIdx.x % ACROSS * 4; }

    __device__ __forceinline__ Pixels(const Conv& p, int group, int window) : p(p) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) fingers[u] = Finger<true>(p, group, window + i(u), k(u));
    }
    template <class Take> __device__ __forceinline__ void step(int left, Take take) {
#pragma unroll
        for (int u = 0; u < COUNT; u++) {
            take(u, fingers[u].number, fingers[u].inside(p) && k(u) < left);
            fingers[u].move(p, DEPTH);
        }
    }
};

// ---- the results
// Where in y the results of a window lie, that of filter 0 of a group; null, if there is no such window.
template <bool LAST> __device__ __forceinline__ float* place(const Conv& p, int group, int window) {
    if (window >= p.windows) return nullptr;
    int above = window / p.columns, image = above / p.rows;
    int y = p.to_y + above % p.rows * p.apart_y, x = p.to_x + window % p.columns * p.apart_x;
    long long plane = (long long)p.y_height * p.y_width, pixel = (long long)y * p.y_width + x;
    if (LAST) return p.y + (image * plane + pixel) * p.groups * p.filters + group * p.filters;
    return p.y + ((long long)image * p.groups + group) * p.filters * plane + pixel;
}

__device__ __forceinline__ float finished(const Conv& p, int group, int filter, float sum) {
    if (p.bias && filter < p.filters) sum += p.bias[group * p.filters + filter];
    return p.relu && sum < 0 ? 0 : sum;  // NaN stays
}

template <bool LAST, class Sums>
__device__ __forceinline__ void write(const Conv& p, const Sums& sums, int group, int filter0, int window0) {
    if constexpr (LAST) {  // four filters of a window are neighbours
        constexpr int NEAR = Sums::NEAR_ROWS;
        bool together = p.filters % NEAR == 0;
#pragma unroll
        for (int j = 0; j < Sums::COLUMNS; j++) {
            float* to = place<LAST>(p, group, window0 + Sums::column(j));
            if (!to) continue;
#pragma unroll
            for (int i = 0; i < Sums::ROWS; i += NEAR) {
                int filter = filter0 + Sums::row(i);
                float out[NEAR];
#pragma unroll
                for (int v = 0; v < NEAR; v++) out[v] = finished(p, group, filter + v, sums.number(i + v, j));
                if (together && filter < p.filters) {
                    store_together<NEAR>(to + filter, out);
                } else {
#pragma unroll
                    for (int v = 0; v < NEAR; v++)
                        if (filter + v < p.filters) to[filter + v] = out[v];
                }
            }
        }
    } else {  // four windows of a filter, if their results have no gaps between them
        constexpr int NEAR = Sums::NEAR_COLUMNS;
        long long plane = (long long)p.y_height * p.y_width;
        bool together = plane == p.rows * p.columns && plane % NEAR == 0;
#pragma unroll
        for (int j = 0; j < Sums::COLUMNS; j += NEAR) {
            float* to[NEAR];
#pragma unroll
            for (int v = 0; v < NEAR; v++) to[v] = place<LAST>(p, group, window0 + Sums::column(j + v));
#pragma unroll
            for (int i = 0; i < Sums::ROWS; i++) {
                int filter = filter0 + Sums::row(i);
                if (filter >= p.filters) continue;
                float out[NEAR];
#pragma unroll
                for (int v = 0; v < NEAR; v++) out[v] = finished(p, group, filter, sums.number(i, j + v));
                if (together && to[0]) {
                    store_together<NEAR>(to[0] + filter * plane, out);
                } else {
#pragma unroll
                    for (int v = 0; v < NEAR; v++)
                        if (to[v]) to[v][filter * plane] = out[v];
                }
            }
        }
    }
}

// One number of Y, term by term. In a gradient, what lies in the border is left out: it was never there, and 0 times an
// infinite weight would be NaN.
template <bool LAST>
__device__ __forceinline__ float term_by_term(const Conv& p, int group, int filter, int window) {
    int depth = p.taps_y * p.taps_x * p.channels;
    const float* w = p.w + (long long)group * depth * p.pitch + filter;
    Finger<LAST> finger(p, group, window, 0);
    float sum = 0;
#pragma unroll 1
    for (int k = 0; k < depth; k++, finger.move(p, 1)) {
        bool inside = finger.inside(p);
        if (inside || !p.careful) sum += w[(long long)k * p.pitch] * (inside ? *finger.number : 0);
    }
    return sum;
}

// So where NaN came out of a product that is a gradient, a thread sums again.
template <bool LAST, class Sums>
__device__ __forceinline__ void look_again(const Conv& p, const Sums& sums, int group, int filter0, int window0) {
    bool found = false;
#pragma unroll
    for (int i = 0; i < Sums::ROWS; i++)
#pragma unroll
        for (int j = 0; j < Sums::COLUMNS; j++) found |= sums.number(i, j) != sums.number(i, j);
    if (!found) return;
#pragma unroll 1
    for (int number = 0; number < Sums::ROWS * Sums::COLUMNS; number++) {
        int filter = filter0 + Sums::row(number / Sums::COLUMNS);
        int window = window0 + Sums::column(number % Sums::COLUMNS);
        float* to = place<LAST>(p, group, window);
        if (!to || filter >= p.filters) continue;
        to += filter * (LAST ? 1 : (long long)p.y_height * p.y_width);
        if (*to != *to) *to = term_by_term<LAST>(p, group, filter, window);
    }
}

template <class Sums, bool LAST> __device__ __forceinline__ void convolve(const Conv& p) {
    int window0 = blockIdx.x * Sums::WIDTH, filter0 = blockIdx.y * Sums::HEIGHT, group = blockIdx.z;
    int depth = p.taps_y * p.taps_x * p.channels;
    Rows<Sums::HEIGHT, Sums::DEPTH> filters(p.w + (long long)group * depth * p.pitch, p.pitch, filter0, p.pitch);
    Pixels<Sums::WIDTH, Sums::DEPTH, LAST> pixels(p, group, window0);
    Sums sums;
    sums.multiply(filters, pixels, depth);
    write<LAST>(p, sums, group, filter0, window0);
    if (p.careful) look_again<LAST>(p, sums, group, filter0, window0);
}

// last: channels are last in memory
extern "C" __global__ void __launch_bounds__(256, 2) conv_128(Conv p) { convolve<Share<2, 2>, false>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_64(Conv p) { convolve<Share<1, 1>, false>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_128_last(Conv p) { convolve<Share<2, 2>, true>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_64_last(Conv p) { convolve<Share<1, 1>, true>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_tf32(Conv p) { convolve<Tensor, false>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) conv_tf32_last(Conv p) { convolve<Tensor, true>(p); }

// Where a group has few filters, or one, a tile would be nearly empty: so each thread makes a number by itself.
template <bool LAST> __device__ __forceinline__ void convolve_each(const Conv& p) {
    int at = blockIdx.x * THREADS + threadIdx.x, all = p.groups * p.filters, plane = p.rows * p.columns;
    int image = at / (all * plane), filter = LAST ? at % all : at / plane % all;
    int window = image * plane + (LAST ? at / all : at) % plane;
    if (image * plane >= p.windows) return;
    int group = filter / p.filters;
    filter %= p.filters;
    float sum = term_by_term<LAST>(p, group, filter, window);
    float* to = place<LAST>(p, group, window) + filter * (LAST ? 1 : (long long)p.y_height * p.y_width);
    *to = finished(p, group, filter, sum);
}
extern "C" __global__ void __launch_bounds__(256) conv_each(Conv p) { convolve_each<false>(p); }
extern "C" __global__ void __launch_bounds__(256) conv_each_last(Conv p) { convolve_each<true>(p); }

// The filters w as all these kernels want them: packed[group][row][tap][channel][filter], each row of filters with
// zeros up to a multiple of four. Of the rows of taps, and of the taps, every step-th is taken, from the first on.
extern "C" __global__ void __launch_bounds__(256)
conv_filters(const float* __restrict__ w, float* __restrict__ packed, long long count, int filters, int pitch,
             int channels, int taps_y, int taps_x, int first_y, int first_x, int step_y, int step_x, int size_x,
             long long from_filter, long long from_channel, long long from_group) {
    long long at = blockIdx.x * 256ll + threadIdx.x, rest = at / pitch;
    if (at >= count) return;
    int filter = (int)(at % pitch), channel = (int)(rest % channels);
    rest /= channels;
    int x = first_x + (int)(rest % taps_x) * step_x;
    rest /= taps_x;
    int y = first_y + (int)(rest % taps_y) * step_y;
    const float* from = w + rest / taps_y * from_group + filter * from_filter + channel * from_channel;
    packed[at] = filter < filters ? from[y * size_x + x] : 0;
}
