// What follows a convolution in most networks, ReLU and the largest of each 2 x 2 block, in one step; and the way back.
// Images are numbers at (image, row, column, inside): inside are the channels, if they are last in memory; or else
// there is one, and every channel counts as an image.

// The largest of each block, if it is positive, and its number in the block, row · 2 + column; or else 0, and 4. Of
// equal numbers the first wins, and a NaN beats everything.
extern "C" __global__ void __launch_bounds__(256)
relu_pool(const float* __restrict__ x, float* __restrict__ y, uint8_t* __restrict__ winner, long long count, int rows,
          int columns, int height, int width, int inside) {
    long long at = blockIdx.x * 256ll + threadIdx.x, rest = at / inside;
    if (at >= count) return;
    int column = (int)(rest % columns), row = (int)(rest / columns % rows);
    x += ((rest / columns / rows * height + 2 * row) * width + 2 * column) * inside + at % inside;
    float best = *x;
    int number = 0;
#pragma unroll
    for (int i = 1; i < 4; i++) {
        float pixel = x[(i / 2 * width + i % 2) * inside];
        if (pixel > best || (pixel != pixel && best == best)) best = pixel, number = i;
    }
    y[at] = best <= 0 ? 0 : best;
    winner[at] = best <= 0 ? 4 : number;
}

// The gradient: a pixel takes that of its block, if it has won. What belongs to no block has not.
extern "C" __global__ void __launch_bounds__(256)
unpool(const float* __restrict__ slopes, const uint8_t* __restrict__ winner, float* __restrict__ dx, long long count,
       int rows, int columns, int height, int width, int inside) {
    long long at = blockIdx.x * 256ll + threadIdx.x, rest = at / inside;
    if (at >= count) return;
    int x = (int)(rest % width), y = (int)(rest / width % height);
    float slope = 0;
    if (y / 2 < rows && x / 2 < columns) {
        long long block = ((rest / width / height * rows + y / 2) * columns + x / 2) * inside + at % inside;
        if (winner[block] == y % 2 * 2 + x % 2) slope = slopes[block];
    }
    dx[at] = slope;
}

// And its own gradient: of each block, the pixel that won; 0, if none did.
extern "C" __global__ void __launch_bounds__(256)
pool_winners(const float* __restrict__ x, const uint8_t* __restrict__ winner, float* __restrict__ y, long long count,
             int rows, int columns, int height, int width, int inside) {
    long long at = blockIdx.x * 256ll + threadIdx.x, rest = at / inside;
    if (at >= count) return;
    int column = (int)(rest % columns), row = (int)(rest / columns % rows), number = winner[at];
    x += ((rest / columns / rows * height + 2 * row) * width + 2 * column) * inside + at % inside;
    y[at] = number < 4 ? x[(number / 2 * width + number % 2) * inside] : 0;
}

// The gradient of a bias: parts[slice][channel] = Σ x over the images of a slice and all pixels. A block has one
// channel and one slice.
extern "C" __global__ void __launch_bounds__(256)
channel_sums(const float* __restrict__ x, float* __restrict__ parts, int images, int channels, int plane,
             int slice_images) {
    int channel = blockIdx.x, first = blockIdx.y * slice_images, end = min(first + slice_images, images);
    float sum = 0;
    for (int image = first; image < end; image++) {
        const float* pixels = x + ((long long)image * channels + channel) * plane;
#pragma unroll 4
        for (int i = threadIdx.x; i < plane; i += 256) sum += pixels[i];
    }
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) parts[(long long)blockIdx.y * channels + channel] = sum;
}
