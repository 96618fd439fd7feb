// Pooling: the largest or the mean pixel under each window. Each thread computes one number of the result, and reads
// what that number depends on; so no two threads write to the same place, in the gradients neither.

struct Pool {
    const float* x;      // the images; in a gradient, that of the pooled images
    float* y;            // the pooled images; in a gradient, that of the images
    long long* indices;  // which pixel won each window (max pooling only)
    long long count;     // numbers in y
    int height, width, rows, columns;  // of an image, and of a pooled one
    int size_y, size_x, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
    int count_padding, divisor;  // of a mean: does the border count; or if not 0, what it is divided by
};

// The first row (or column) that a window meets inside an image.
__device__ __forceinline__ int first_inside(int start, int dilation, int image) {
    if (start < 0) start = (dilation - -start % dilation) % dilation;
    return min(start, image - 1);  // a wide dilation may step over the whole image
}

// Of equal pixels the first wins, and a NaN beats everything.
extern "C" __global__ void __launch_bounds__(256) max_pool(Pool p) {
    long long at = blockIdx.x * 256ll + threadIdx.x;
    if (at >= p.count) return;
    long long above = at / p.columns;  // rows of the result before this one, all images counted
    int column = (int)(at % p.columns), row = (int)(above % p.rows);
    const float* image = p.x + above / p.rows * p.height * p.width;
    int top = row * p.stride_y - p.padding_y, left = column * p.stride_x - p.padding_x;
    float best = -INFINITY;
    int winner = first_inside(top, p.dilation_y, p.height) * p.width + first_inside(left, p.dilation_x, p.width);
    for (int i = 0; i < p.size_y; i++) {
        int y = top + i * p.dilation_y;
        if (y < 0 || y >= p.height) continue;
#pragma unroll 4
        for (int j = 0; j < p.size_x; j++) {
            int x = left + j * p.dilation_x;
            if (x < 0 || x >= p.width) continue;
            float pixel = image[y * p.width + x];
            if (pixel > best || pixel != pixel) {
                winner = y * p.width + x;
                best = pixel;
            }
        }
    }
    p.y[at] = best;
    p.indices[at] = winner;
}

// What is left out of a window that hangs over the end never counts.
__device__ __forceinline__ int length(int start, int size, int image, int border) {
    return min(start + size, image + border) - max(start, -border);
}
__device__ __forceinline__ float divisor(const Pool& p, int top, int left) {
    if (p.divisor) return (float)p.divisor;
    return (float)(length(top, p.size_y, p.height, p.count_padding ? p.padding_y : 0) *
                   length(left, p.size_x, p.width, p.count_padding ? p.padding_x : 0));
}

extern "C" __global__ void __launch_bounds__(256) avg_pool(Pool p) {
    long long at = blockIdx.x * 256ll + threadIdx.x;
    if (at >= p.count) return;
    long long above = at / p.columns;
    int column = (int)(at % p.columns), row = (int)(above % p.rows);
    const float* image = p.x + above / p.rows * p.height * p.width;
    int top = row * p.stride_y - p.padding_y, left = column * p.stride_x - p.padding_x;
    float sum = 0;
    for (int y = max(top, 0); y < min(top + p.size_y, p.height); y++)
#pragma unroll 4
        for (int x = max(left, 0); x < min(left + p.size_x, p.width); x++) sum += image[y * p.width + x];
    p.y[at] = sum / divisor(p, top, left);
}

// A pixel takes its share from each window over it: from `first` to `last`, along an axis.
extern "C" __global__ void __launch_bounds__(256) avg_pool_grad(Pool p) {
    long long at = blockIdx.x * 256ll + threadIdx.x;
    if (at >= p.count) return;
    long long above = at / p.width;
    int x = (int)(at % p.width) + p.padding_x, y = (int)(above % p.height) + p.padding_y;
    const float* slopes = p.x + above / p.height * p.rows * p.columns;
    int first_row = y < p.size_y ? 0 : (y - p.size_y) / p.stride_y + 1;
    int first_column = x < p.size_x ? 0 : (x - p.size_x) / p.stride_x + 1;
    int last_row = min(y / p.stride_y, p.rows - 1), last_column = min(x / p.stride_x, p.columns - 1);
    float sum = 0;
    for (int row = first_row; row <= last_row; row++)
        for (int column = first_column; column <= last_column; column++)
            sum += slopes[row * p.columns + column] /
                   divisor(p, row * p.stride_y - p.padding_y, column * p.stride_x - p.padding_x);
    p.y[at] = sum;
}

// The gradient of max pooling. It is told the winners, but not how the windows lay. A block takes one image. It looks
// which pixels' rows and columns each row and each column of windows has chosen, from where to where; turned round,
// that says for each row and column of pixels which windows may have chosen there: of those, few, each pixel asks all.
extern "C" __global__ void __launch_bounds__(256)
max_pool_grad(const float* __restrict__ slopes, const long long* __restrict__ indices, float* __restrict__ dx,
              int height, int width, int rows, int columns) {
    extern __shared__ int reach[];
    int* row_from = reach;  // for each row of windows, the first row of pixels that it has chosen, and the last
    int* row_to = row_from + rows;
    int* column_from = row_to + rows;
    int* column_to = column_from + columns;
    int* y_from = column_to + columns;  // for each row of pixels, the first row of windows that may have chosen it …
    int* y_to = y_from + height;
    int* x_from = y_to + height;
    int* x_to = x_from + width;
    slopes += (long long)blockIdx.x * rows * columns;
    indices += (long long)blockIdx.x * rows * columns;
    dx += (long long)blockIdx.x * height * width;

    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int row = warp; row < rows; row += 8) {
        int from = height, to = -1;
        for (int column = lane; column < columns; column += 32) {
            int y = (int)indices[row * columns + column] / width;
            from = min(from, y), to = max(to, y);
        }
#pragma unroll
        for (int apart = 16; apart; apart /= 2) {
            from = min(from, __shfl_xor_sync(~0u, from, apart));
            to = max(to, __shfl_xor_sync(~0u, to, apart));
        }
        if (lane == 0) row_from[row] = from, row_to[row] = to;
    }
    for (int column = threadIdx.x; column < columns; column += 256) {
        int from = width, to = -1;
        for (int row = 0; row < rows; row++) {
            int x = (int)indices[row * columns + column] % width;
            from = min(from, x), to = max(to, x);
        }
        column_from[column] = from, column_to[column] = to;
    }
    __syncthreads();
    for (int y = threadIdx.x; y < height; y += 256) {
        y_from[y] = rows, y_to[y] = -1;
        for (int row = rows - 1; row >= 0; row--)
            if (row_from[row] <= y && y <= row_to[row]) y_from[y] = row, y_to[y] = max(y_to[y], row);
    }
    for (int x = threadIdx.x; x < width; x += 256) {
        x_from[x] = columns, x_to[x] = -1;
        for (int column = columns - 1; column >= 0; column--)
            if (column_from[column] <= x && x <= column_to[column]) x_from[x] = column, x_to[x] = max(x_to[x], column);
    }
    __syncthreads();
    for (int pixel = threadIdx.x; pixel < height * width; pixel += 256) {
        int y = pixel / width, x = pixel % width;
        float sum = 0;
        for (int row = y_from[y]; row <= y_to[y]; row++)
            for (int column = x_from[x]; column <= x_to[x]; column++)
                if (indices[row * columns + column] == pixel) sum += slopes[row * columns + column];
        dx[pixel] = sum;
    }
}
