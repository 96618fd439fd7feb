// What an optimizer does at a step, to all parameters at once. A network has many small arrays, and starting a kernel
// for each would take longer than the arithmetic. So one launch takes up to MOST of them: their addresses come as an
// argument, by value. The arrays are cut into chunks; a block takes one chunk of one array.

constexpr int MOST = 48;     // arrays of a launch: an argument may have 4 KB
constexpr int CHUNK = 4096;  // numbers of a block

struct Adam {
    float* w[MOST];
    const float* g[MOST];
    float *m[MOST], *v[MOST], *most[MOST];  // most: null, but for amsgrad
    long long size[MOST];
    int first[MOST];                  // the block that begins with this array
    float rate[MOST], scale[MOST];    // lr / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), of each array's own t
    const float* live;                // null; or rate, scale and lr in memory, for all: a captured step is told them so
    int arrays;
    float lr, beta2, rest1, rest2, eps, weight_decay;  // rest: 1 - beta
    int decoupled, maximize;
};
struct Sgd {
    float* w[MOST];
    const float* g[MOST];
    float* b[MOST];  // null where there is no momentum
    long long size[MOST];
    int first[MOST];
    const float* live;  // null; or lr, in memory
    int arrays;
    float lr, momentum, undamped, weight_decay;  // undamped: 1 - dampening
    int nesterov, maximize;
};

// Which array is this block's?
__device__ __forceinline__ int my_array(const int* first, int arrays) {
    int array = 0;
    while (array + 1 < arrays && first[array + 1] <= blockIdx.x) array++;
    return array;
}

// Four neighbours: at once where they lie at a multiple of 16 bytes, and all are there.
__device__ __forceinline__ void get(const float* from, int there, bool aligned, float (&x)[4]) {
    if (aligned && there >= 4) {
        float4 four = load4(from);
        x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = i < there ? from[i] : 0;
    }
}
__device__ __forceinline__ void put(float* to, int there, bool aligned, const float (&x)[4]) {
    if (aligned && there >= 4) {
        store4(to, make_float4(x[0], x[1], x[2], x[3]));
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < there) to[i] = x[i];
    }
}

// m ← β1 m + (1 - β1) g, v ← β2 v + (1 - β2) g², w ← w - rate m / (√v scale + ε)
extern "C" __global__ void __launch_bounds__(256) adam(Adam s) {
    int a = my_array(s.first, s.arrays);
    float rate = s.live ? s.live[0] : s.rate[a], scale = s.live ? s.live[1] : s.scale[a];
    float lr = s.live ? s.live[2] : s.lr;
    float *w_all = s.w[a], *m_all = s.m[a], *v_all = s.v[a], *most_all = s.most[a];
    const float* g_all = s.g[a];
    bool aligned = ((unsigned long long)w_all | (unsigned long long)g_all | (unsigned long long)m_all |
                    (unsigned long long)v_all | (unsigned long long)most_all) % 16 == 0;
    long long start = (long long)(blockIdx.x - s.first[a]) * CHUNK, end = min(start + CHUNK, s.size[a]);
    for (long long at = start + threadIdx.x * 4; at < end; at += 256 * 4) {
        int there = (int)min(end - at, 4ll);
        float w[4], g[4], m[4], v[4], most[4];
        get(w_all + at, there, aligned, w);
        get(g_all + at, there, aligned, g);
        get(m_all + at, there, aligned, m);
        get(v_all + at, there, aligned, v);
        if (most_all) get(most_all + at, there, aligned, most);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float slope = s.maximize ? -g[i] : g[i];
            if (s.weight_decay != 0 && s.decoupled) w[i] *= 1 - lr * s.weight_decay;
            else if (s.weight_decay != 0) slope += s.weight_decay * w[i];
            m[i] += s.rest1 * (slope - m[i]);
            v[i] = s.beta2 * v[i] + s.rest2 * slope * slope;
            if (most_all) most[i] = larger(most[i], v[i]);
            w[i] -= rate * m[i] / (sqrtf(most_all ? most[i] : v[i]) * scale + s.eps);
        }
        put(w_all + at, there, aligned, w);
        put(m_all + at, there, aligned, m);
        put(v_all + at, there, aligned, v);
        if (most_all) put(most_all + at, there, aligned, most);
    }
}

// b ← momentum b + (1 - dampening) g, w ← w - lr b; nesterov: w ← w - lr (g + momentum b)
extern "C" __global__ void __launch_bounds__(256) sgd(Sgd s) {
    int a = my_array(s.first, s.arrays);
    float lr = s.live ? s.live[0] : s.lr;
    float *w_all = s.w[a], *b_all = s.b[a];
    const float* g_all = s.g[a];
    bool aligned = ((unsigned long long)w_all | (unsigned long long)g_all | (unsigned long long)b_all) % 16 == 0;
    long long start = (long long)(blockIdx.x - s.first[a]) * CHUNK, end = min(start + CHUNK, s.size[a]);
    for (long long at = start + threadIdx.x * 4; at < end; at += 256 * 4) {
        int there = (int)min(end - at, 4ll);
        float w[4], g[4], b[4];
        get(w_all + at, there, aligned, w);
        get(g_all + at, there, aligned, g);
        if (b_all) get(b_all + at, there, aligned, b);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float slope = (s.maximize ? -g[i] : g[i]) + (s.weight_decay != 0 ? s.weight_decay * w[i] : 0);
            if (b_all) {
                b[i] = s.momentum * b[i] + s.undamped * slope;
                slope = s.nesterov ? slope + s.momentum * b[i] : b[i];
            }
            w[i] -= lr * slope;
        }
        put(w_all + at, there, aligned, w);
        if (b_all) put(b_all + at, there, aligned, b);
    }
}
