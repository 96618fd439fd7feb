// Attention, softmax(scale q kᵀ + mask) v, and its gradients, without the matrix of scores ever being in global memory
// (Dao et al., 2022).
//
// A block keeps some ROWS of one head, in shared memory, and goes along the columns, COLUMNS of them at a time: forward
// and for the gradient of q the rows are queries and the columns keys; for the gradients of k and v it is the other way
// round. Of the ROWS x COLUMNS scores that it meets in a step a thread computes 4 rows of COLUMNS / 16, in registers:
// half a warp of 16 lanes has four whole rows, so that it sums along a row, and finds its largest number, by itself.
// Then scores become weights, which go to shared memory, where the half warp reads its rows again to mix what belongs
// to the columns (values, keys, queries or gradients).
//
// Softmax wants the largest score first, and that may come last. So what has been summed up is kept as it is for the
// largest score so far, and is multiplied by exp(before - now) when there is a larger one.
//
// Gradients: backward has of each query its largest score and the sum of the exponentials, so p is computed again. With
// dp = g vᵀ: ds = p (dp - mean), mean = Σ p dp along a row; dq = scale ds k, dk = scale dsᵀ q, dv = pᵀ g. The first
// kernel goes along the keys twice, for the mean and for dq; the second finds the means there. Nothing is added up by
// two blocks: so the sums have one order.

struct Attention {
    const float* in[4];  // q, k, v, and g, the gradient of the result: (samples, heads, rows, features)
    long long sample_step[4], head_step[4];  // numbers from one to the next
    int pitch[4];
    const float* mask;    // (samples, heads, queries, keys), what is added to the scores; or null
    const bool* allowed;  // the same: which may be seen; or null
    long long mask_sample, mask_head, mask_query, mask_key;  // steps, of which many are 0
    float *out, *tops, *totals;         // the result; of each query the largest score, and Σ exp(score - largest)
    float *means, *dq, *dk, *dv, *ds;   // gradients; that of the scores only if it is not null
    int heads, queries, keys, features, width;  // features: of a query and of a key; width: of a value
    int causal;  // query i sees keys 0 … i
    float scale;
};

constexpr int Q = 0;
constexpr int K = 1;
constexpr int V = 2;
constexpr int G = 3;
constexpr int PAD = 4;  // numbers after each row in shared memory: the 16 lanes of half a warp meet in no bank

// A thread's rows are first_row() … + 3, its columns my_lane(), + 16, + 32, …
__device__ __forceinline__ int my_lane() { return threadIdx.x % 16; }
__device__ __forceinline__ int first_row() { return threadIdx.x / 16 * 4; }

// One head's rows of q, k, v or g, as they lie in memory.
struct Rows {
    const float* from;
    int pitch, rows, features;
    bool aligned;  // each row begins at a multiple of 16 bytes

    __device__ __forceinline__ Rows(const Attention& p, int which, int head) {
        from = p.in[which] + head / p.heads * p.sample_step[which] + head % p.heads * p.head_step[which];
        pitch = p.pitch[which];
        rows = which == Q || which == G ? p.queries : p.keys;
        features = which == Q || which == K ? p.features : p.width;
        aligned = (unsigned long long)from % 16 == 0 && pitch % 4 == 0;
    }

    // Ask for COUNT rows of D numbers, from row `first` on. Beyond the edges come zeros.
    template <int COUNT, int D, int THREADS> __device__ __forceinline__ void fetch(float* tile, int first) const {
#pragma unroll 1  // the copies wait for nothing anyway, and addresses take registers
        for (int group = threadIdx.x; group < COUNT * D / 4; group += THREADS) {
            int row = group / (D / 4), column = group % (D / 4) * 4;
            int there = first + row < rows ? max(min(features - column, 4), 0) : 0;
            const float* source = there ? from + (long long)(first + row) * pitch + column : from;
            float* target = tile + row * (D + PAD) + column;
            if (aligned) {
                copy_async(target, source, there * 4);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) copy_async_one(target + i, i < there ? source + i : from, i < there);
            }
        }
    }
};

// dot[i][j] = row i · column j.
template <int D, int J>
__device__ __forceinline__ void dots(const float* rows, const float* columns, int features, float (&dot)[4][J]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < J; j++) dot[i][j] = 0;
    rows += first_row() * (D + PAD);
    columns += my_lane() * (D + PAD);
#pragma unroll 2
    for (int f = 0; f < features; f += 4) {
        float4 row[4];
#pragma unroll
        for (int i = 0; i < 4; i++) row[i] = load4(rows + i * (D + PAD) + f);
#pragma unroll
        for (int j = 0; j < J; j++) {
            float4 column = load4(columns + 16 * j * (D + PAD) + f);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                dot[i][j] += row[i].x * column.x;
                dot[i][j] += row[i].y * column.y;
                dot[i][j] += row[i].z * column.z;
                dot[i][j] += row[i].w * column.w;
            }
        }
    }
}

// To shared memory, for `mix` to read.
template <int COLUMNS> __device__ __forceinline__ void put(float* weights, const float (&x)[4][COLUMNS / 16]) {
    __syncwarp();  // the warp has read what it put there before
    weights += first_row() * (COLUMNS + PAD) + my_lane();
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 16; j++) weights[i * (COLUMNS + PAD) + 16 * j] = x[i][j];
    __syncwarp();
}

// sum[i] += Σ_c weights[row i][c] what[c], over `count` columns; of what[c] this thread has four features of each 64,
// from 4 my_lane() on.
template <int D, int COLUMNS>
__device__ __forceinline__ void mix(const float* weights, const float* what, int count, float (&sum)[4][D / 16]) {
    weights += first_row() * (COLUMNS + PAD);
    what += 4 * my_lane();
#pragma unroll 1
    for (int c = 0; c < count; c += 4) {
        float weight[4][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float4 four = load4(weights + i * (COLUMNS + PAD) + c);
            weight[i][0] = four.x, weight[i][1] = four.y, weight[i][2] = four.z, weight[i][3] = four.w;
        }
#pragma unroll
        for (int k = 0; k < 4; k++)
#pragma unroll
            for (int part = 0; part < D / 64; part++) {
                float4 four = load4(what + (c + k) * (D + PAD) + 64 * part);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    sum[i][4 * part] += weight[i][k] * four.x;
                    sum[i][4 * part + 1] += weight[i][k] * four.y;
                    sum[i][4 * part + 2] += weight[i][k] * four.z;
                    sum[i][4 * part + 3] += weight[i][k] * four.w;
                }
            }
    }
}

// What `mix` has summed up, times a factor for each row, to where row `first` of `rows` rows is to be.
template <int D>
__device__ __forceinline__ void write(float* to, int first, int rows, int features, const float (&sum)[4][D / 16],
                                      const float (&factor)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int k = 0; k < D / 16; k++) {
            int row = first + first_row() + i, feature = k / 4 * 64 + 4 * my_lane() + k % 4;
            if (row < rows && feature < features) to[(long long)row * features + feature] = sum[i][k] * factor[i];
        }
}

// The score of a query for a key, of which q · k is known. What is not to be seen has -∞, and so no weight.
__device__ __forceinline__ float score(const Attention& p, int head, int query, int key, float dot) {
    if (query >= p.queries || key >= p.keys || (p.causal && key > query)) return -INFINITY;
    float s = dot * p.scale;
    long long at = head / p.heads * p.mask_sample + head % p.heads * p.mask_head + query * p.mask_query;
    if (p.mask) s += p.mask[at + key * p.mask_key];
    if (p.allowed) s += p.allowed[at + key * p.mask_key] ? 0 : -INFINITY;  // as a sum: NaN stays
    return s;
}

template <int D, int ROWS, int COLUMNS> __device__ __forceinline__ void forward(const Attention& p) {
    extern __shared__ __align__(16) float pool[];
    constexpr int THREADS = 4 * ROWS, J = COLUMNS / 16;
    float *q = pool, *k = q + ROWS * (D + PAD), *v = k + COLUMNS * (D + PAD), *weights = v + COLUMNS * (D + PAD);
    int blocks = (p.queries + ROWS - 1) / ROWS, head = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    int end = p.causal ? min(p.keys, first + ROWS) : p.keys;
    Rows queries(p, Q, head), keys(p, K, head), values(p, V, head);

    float top[4], total[4], sum[4][D / 16] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) top[i] = -INFINITY, total[i] = 0;
    queries.fetch<ROWS, D, THREADS>(q, first);
    keys.fetch<COLUMNS, D, THREADS>(k, 0);
    copy_commit();
    for (int key = 0; key < end; key += COLUMNS) {
        copy_wait<0>();
        __syncthreads();  // the keys are there, and all have done with the last values
        values.fetch<COLUMNS, D, THREADS>(v, key);  // they come while the scores are computed
        copy_commit();
        float s[4][J];
        dots<D>(q, k, p.features, s);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float most = top[i];
#pragma unroll
            for (int j = 0; j < J; j++) {
                s[i][j] = score(p, head, first + first_row() + i, key + my_lane() + 16 * j, s[i][j]);
                most = larger(most, s[i][j]);
            }
            most = warp_max<16>(most);  // of the row
            float base = most == -INFINITY ? 0 : most;  // nothing was seen yet: exp(-∞ - 0) is 0
            float shrink = expf(top[i] - base);
            top[i] = most;
            total[i] *= shrink;
#pragma unroll
            for (int f = 0; f < D / 16; f++) sum[i][f] *= shrink;
#pragma unroll
            for (int j = 0; j < J; j++) {
                s[i][j] = expf(s[i][j] - base);
                total[i] += s[i][j];
            }
        }
        put<COLUMNS>(weights, s);
        copy_wait<0>();
        __syncthreads();  // the values are there, and all have done with the keys
        if (key + COLUMNS < end) keys.fetch<COLUMNS, D, THREADS>(k, key + COLUMNS);
        copy_commit();
        mix<D, COLUMNS>(weights, v, min(COLUMNS, end - key), sum);
    }

    float share[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int query = first + first_row() + i;
        total[i] = warp_sum<16>(total[i]);
        if (total[i] == 0) top[i] = 0, total[i] = 1;  // a query that sees nothing
        share[i] = 1 / total[i];
        if (my_lane() == 0 && query < p.queries) {
            p.tops[(long long)head * p.queries + query] = top[i];
            p.totals[(long long)head * p.queries + query] = total[i];
        }
    }
    write<D>(p.out + (long long)head * p.queries * p.width, first, p.queries, p.width, sum, share);
}

// dq, the means that the other kernel wants, and ds if it is asked for.
template <int D, int ROWS, int COLUMNS> __device__ __forceinline__ void gradient_of_queries(const Attention& p) {
    extern __shared__ __align__(16) float pool[];
    constexpr int THREADS = 4 * ROWS, J = COLUMNS / 16;
    float *q = pool, *g = q + ROWS * (D + PAD), *k = g + ROWS * (D + PAD), *v = k + COLUMNS * (D + PAD);
    float* weights = v + COLUMNS * (D + PAD);
    int blocks = (p.queries + ROWS - 1) / ROWS, head = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    int end = p.causal && !p.ds ? min(p.keys, first + ROWS) : p.keys;  // in ds the zeros are to be written, too
    Rows queries(p, Q, head), slopes(p, G, head), keys(p, K, head), values(p, V, head);
    long long of_head = (long long)head * p.queries;

    float top[4], share[4], mean[4] = {}, found[4] = {}, sum[4][D / 16] = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int query = first + first_row() + i;
        top[i] = query < p.queries ? p.tops[of_head + query] : 0;
        share[i] = query < p.queries ? 1 / p.totals[of_head + query] : 1;
    }
    queries.fetch<ROWS, D, THREADS>(q, first);
    slopes.fetch<ROWS, D, THREADS>(g, first);
    for (int pass = 0; pass < 2; pass++) {
        for (int key = 0; key < end; key += COLUMNS) {
            __syncthreads();  // all have done with the last keys and values
            keys.fetch<COLUMNS, D, THREADS>(k, key);
            copy_commit();
            values.fetch<COLUMNS, D, THREADS>(v, key);
            copy_commit();
            float s[4][J], d[4][J];
            copy_wait<1>();  // all but the values
            __syncthreads();
            dots<D>(q, k, p.features, s);
            copy_wait<0>();
            __syncthreads();
            dots<D>(g, v, p.width, d);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < J; j++) {
                    int query = first + first_row() + i, column = key + my_lane() + 16 * j;
                    float prob = expf(score(p, head, query, column, s[i][j]) - top[i]) * share[i];
                    s[i][j] = prob * (d[i][j] - mean[i]);
                    if (column >= p.keys) prob = s[i][j] = 0;  // whatever the query's numbers are
                    if (pass == 0) found[i] += prob * d[i][j];
                    if (pass == 1 && p.ds && query < p.queries && column < p.keys)
                        p.ds[(of_head + query) * p.keys + column] = s[i][j];
                }
            if (pass == 1) {
                put<COLUMNS>(weights, s);
                mix<D, COLUMNS>(weights, k, min(COLUMNS, end - key), sum);
            }
        }
        if (pass == 0) {
#pragma unroll
            for (int i = 0; i < 4; i++) mean[i] = warp_sum<16>(found[i]);
        }
    }

#pragma unroll
    for (int i = 0; i < 4; i++) {
        int query = first + first_row() + i;
        if (my_lane() == 0 && query < p.queries) p.means[of_head + query] = mean[i];
    }
    float scales[4] = {p.scale, p.scale, p.scale, p.scale};
    write<D>(p.dq + of_head * p.features, first, p.queries, p.features, sum, scales);
}

// dk and dv: the rows are keys, the columns queries. What a query's row would know is here asked for by each column.
template <int D, int ROWS, int COLUMNS> __device__ __forceinline__ void gradients_of_keys(const Attention& p) {
    extern __shared__ __align__(16) float pool[];
    constexpr int THREADS = 4 * ROWS, J = COLUMNS / 16;
    float *k = pool, *v = k + ROWS * (D + PAD), *q = v + ROWS * (D + PAD), *g = q + COLUMNS * (D + PAD);
    float* weights = g + COLUMNS * (D + PAD);
    int blocks = (p.keys + ROWS - 1) / ROWS, head = blockIdx.x / blocks, first = blockIdx.x % blocks * ROWS;
    Rows queries(p, Q, head), slopes(p, G, head), keys(p, K, head), values(p, V, head);
    long long of_head = (long long)head * p.queries;

    float dk[4][D / 16] = {}, dv[4][D / 16] = {};
    keys.fetch<ROWS, D, THREADS>(k, first);
    values.fetch<ROWS, D, THREADS>(v, first);
    for (int query = p.causal ? first : 0; query < p.queries; query += COLUMNS) {  // those before see none of the keys
        __syncthreads();  // all have done with the last queries and slopes
        queries.fetch<COLUMNS, D, THREADS>(q, query);
        copy_commit();
        slopes.fetch<COLUMNS, D, THREADS>(g, query);
        copy_commit();
        float s[4][J], d[4][J];
        copy_wait<1>();  // all but the slopes
        __syncthreads();
        dots<D>(k, q, p.features, s);
#pragma unroll
        for (int j = 0; j < J; j++) {
            int column = query + my_lane() + 16 * j;
            float top = column < p.queries ? p.tops[of_head + column] : 0;
            float share = column < p.queries ? 1 / p.totals[of_head + column] : 1;
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[i][j] = expf(score(p, head, column, first + first_row() + i, s[i][j]) - top) * share;
        }
        put<COLUMNS>(weights, s);
        copy_wait<0>();
        __syncthreads();
        mix<D, COLUMNS>(weights, g, min(COLUMNS, p.queries - query), dv);
        dots<D>(v, g, p.width, d);
#pragma unroll
        for (int j = 0; j < J; j++) {
            int column = query + my_lane() + 16 * j;
            float mean = column < p.queries ? p.means[of_head + column] : 0;
#pragma unroll
            for (int i = 0; i < 4; i++) s[i][j] *= d[i][j] - mean;
        }
        put<COLUMNS>(weights, s);
        mix<D, COLUMNS>(weights, q, min(COLUMNS, p.queries - query), dk);
    }
    float scales[4] = {p.scale, p.scale, p.scale, p.scale}, ones[4] = {1, 1, 1, 1};
    write<D>(p.dk + (long long)head * p.keys * p.features, first, p.keys, p.features, dk, scales);
    write<D>(p.dv + (long long)head * p.keys * p.width, first, p.keys, p.width, dv, ones);
}

// By the most features that a head may have. More of them want more shared memory, so the tiles are smaller.
extern "C" __global__ void __launch_bounds__(256, 2) attention_64(Attention p) { forward<64, 64, 64>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) attention_128(Attention p) { forward<128, 64, 32>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) attention_dq_64(Attention p) { gradient_of_queries<64, 64, 32>(p); }
extern "C" __global__ void __launch_bounds__(128) attention_dq_128(Attention p) { gradient_of_queries<128, 32, 32>(p); }
extern "C" __global__ void __launch_bounds__(256, 2) attention_dk_64(Attention p) { gradients_of_keys<64, 64, 32>(p); }
extern "C" __global__ void __launch_bounds__(128) attention_dk_128(Attention p) { gradients_of_keys<128, 32, 32>(p); }
