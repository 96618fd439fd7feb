// Adding where an index says: out[index[k]] += values[k], row by row. Several k may name the same row, and float sums
// depend on their order. So first the k are sorted by row, and those of one row by k; then neighbours are added up.
//
// What is sorted is one number for each k, row · 2³² + k. Tiles are sorted first, then runs of sorted keys are merged,
// two by two. Either way each thread has a key, and asks how many others are smaller: that many places on it belongs.

constexpr int TILE = 256;
constexpr int CHUNK = 32;  // sorted keys that a warp adds up

struct Add {
    const unsigned long long* keys;  // sorted
    const float* values;             // (keys, columns)
    float *out, *parts;              // parts: (chunks, columns)
    int count, columns;
};

// How many of these sorted keys are smaller?
__device__ __forceinline__ int smaller(const unsigned long long* keys, int count, unsigned long long key) {
    int first = 0;
    while (count) {
        int half = count / 2;
        if (keys[first + half] < key) first += half + 1, count -= half + 1;
        else count = half;
    }
    return first;
}
__device__ __forceinline__ int row_of(unsigned long long key) { return (int)(key >> 32); }

extern "C" __global__ void __launch_bounds__(256)
sort_tiles(const long long* __restrict__ index, unsigned long long* __restrict__ keys, int count) {
    __shared__ unsigned long long tile[TILE];
    int start = blockIdx.x * TILE, k = start + threadIdx.x, there = min(TILE, count - start), place = 0;
    unsigned long long key = k < count ? (unsigned long long)index[k] << 32 | k : 0;
    tile[threadIdx.x] = key;
    __syncthreads();
    if (k >= count) return;
    for (int other = 0; other < there; other++) place += tile[other] < key;
    keys[start + place] = key;
}

// Runs of `width` sorted keys become runs of twice as many.
extern "C" __global__ void __launch_bounds__(256)
merge_runs(const unsigned long long* __restrict__ keys, unsigned long long* __restrict__ merged, int count, int width) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= count) return;
    int run = i / width, other = min((run ^ 1) * width, count), first = (run & ~1) * width;
    unsigned long long key = keys[i];
    merged[first + i % width + smaller(keys + other, min(width, count - other), key)] = key;
}

// A warp takes a chunk of keys, and 32 columns. What it has added up of a row goes to out; but not if the row began in
// a chunk before: then it is kept, as another warp adds to that row.
extern "C" __global__ void __launch_bounds__(256) add_runs(Add s) {
    constexpr int AT_ONCE = 8;
    int lane = threadIdx.x % 32, warp = blockIdx.x * 8 + threadIdx.x / 32, groups = (s.columns + 31) / 32;
    int chunk = warp / groups, column = warp % groups * 32 + lane, first = chunk * CHUNK;
    if (first >= s.count) return;
    int there = min(CHUNK, s.count - first);
    bool inside = column < s.columns;
    unsigned long long key = s.keys[first + min(lane, there - 1)];
    int row = row_of(key), source = (int)key;
    bool begun_before = first && row_of(s.keys[first - 1]) == __shfl_sync(~0u, row, 0);
    float sum = 0;
    for (int j = 0; j < there; j += AT_ONCE) {
        float held[AT_ONCE];
#pragma unroll
        for (int q = 0; q < AT_ONCE; q++) {
            long long from = __shfl_sync(~0u, source, j + q);
            held[q] = inside && j + q < there ? s.values[from * s.columns + column] : 0;
        }
#pragma unroll
        for (int q = 0; q < AT_ONCE; q++) {
            int now = __shfl_sync(~0u, row, j + q), next = __shfl_sync(~0u, row, min(j + q + 1, 31));
            sum += held[q];
            if (j + q + 1 == there || (j + q + 1 < there && next != now)) {
                if (inside && begun_before) s.parts[(long long)chunk * s.columns + column] = sum;
                if (inside && !begun_before) s.out[(long long)now * s.columns + column] += sum;
                begun_before = false;
                sum = 0;
            }
        }
    }
}

// The same warp again: if a row begins in its chunk and goes on in the next ones, their parts are added, too.
extern "C" __global__ void __launch_bounds__(256) add_parts(Add s) {
    int lane = threadIdx.x % 32, warp = blockIdx.x * 8 + threadIdx.x / 32, groups = (s.columns + 31) / 32;
    int chunk = warp / groups, column = warp % groups * 32 + lane, next = (chunk + 1) * CHUNK;
    if (next >= s.count || column >= s.columns) return;
    int row = row_of(s.keys[next]), first = smaller(s.keys, s.count, (unsigned long long)row << 32);
    if (first / CHUNK != chunk || first == next) return;
    int last = (smaller(s.keys, s.count, (row + 1ull) << 32) - 1) / CHUNK;
    float sum = 0;
#pragma unroll 8
    for (int other = chunk + 1; other <= last; other++) sum += s.parts[(long long)other * s.columns + column];
    s.out[(long long)row * s.columns + column] += sum;
}
