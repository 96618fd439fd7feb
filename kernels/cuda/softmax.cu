// Softmax and cross-entropy of many lines of scores. A line is what is summed over: a row, or the scores of one pixel,
// which lie `inner` numbers apart in memory.
//
// A line is shared by a GROUP of threads: 1 where neighbouring threads' lines are neighbours in memory (pixels), a
// warp or a whole block where a line lies in one piece. Each step is a loop over the line, of which thread t takes
// every GROUP-th number from t on, and then, if it sums, a sum over the group. Only the first loop waits for memory:
// what the others read again is still in the cache.

struct Softmax {
    const float* x;
    float* y;
    long long lines;
    int classes, inner, log;
};
struct CrossEntropy {
    const float *x, *q;
    float *loss, *p;
    long long lines;
    int classes, inner;
};
struct CrossEntropyGrad {
    const float *g, *p, *q;
    float* dx;
    long long lines;
    int classes, inner;
};

struct LabelLoss {
    const float* x;
    const long long* labels;
    float *loss, *p;
    long long lines;
    int classes, inner;
};
struct LabelLossGrad {
    const float *g, *p;  // g: one number
    const long long* labels;
    float* dx;
    long long lines;
    int classes, inner;
};

// A thread's part of a line: the number of the line, where it starts in memory, and this thread's first class.
template <int GROUP> struct Part {
    long long line, start;
    int first;
    __device__ __forceinline__ Part(int classes, int inner) {
        line = blockIdx.x * (256ll / GROUP) + threadIdx.x / GROUP;
        start = line / inner * classes * inner + line % inner;
        first = threadIdx.x % GROUP;
    }
};

template <int GROUP> __device__ __forceinline__ float group_sum(float x) {
    return GROUP == 1 ? x : GROUP == 32 ? warp_sum(x) : block_sum<256>(x);
}
template <int GROUP> __device__ __forceinline__ float group_max(float x) {
    return GROUP == 1 ? x : GROUP == 32 ? warp_max(x) : block_max<256>(x);
}

// The largest score and log Σ exp(x - largest): then log p = x - largest - log_sum. The largest is subtracted first,
// so that exp never overflows.
template <int GROUP>
__device__ __forceinline__ void normalizer(const float* x, int first, int classes, int step, float& largest,
                                           float& sum) {
    largest = -INFINITY;
#pragma unroll 4
    for (int c = first; c < classes; c += GROUP) largest = larger(largest, x[(long long)c * step]);
    largest = group_max<GROUP>(largest);
    sum = 0;
#pragma unroll 4
    for (int c = first; c < classes; c += GROUP) sum += expf(x[(long long)c * step] - largest);
    sum = group_sum<GROUP>(sum);
}

// y = exp(x) / Σ exp(x), or its logarithm.
template <int GROUP> __device__ __forceinline__ void softmax(const Softmax& s) {
    Part<GROUP> part(s.classes, s.inner);
    if (part.line >= s.lines) return;  // with all the threads of its line
    const float* x = s.x + part.start;
    float *y = s.y + part.start, largest, sum;
    normalizer<GROUP>(x, part.first, s.classes, s.inner, largest, sum);
    float log_sum = logf(sum), share = 1 / sum;
#pragma unroll 4
    for (int c = part.first; c < s.classes; c += GROUP) {
        long long at = (long long)c * s.inner;
        float z = x[at] - largest;
        y[at] = s.log ? z - log_sum : expf(z) * share;
    }
}

// loss = -Σ q log p, and p = softmax(x). Where q is 0, log p may be -∞.
template <int GROUP> __device__ __forceinline__ void cross_entropy(const CrossEntropy& s) {
    Part<GROUP> part(s.classes, s.inner);
    if (part.line >= s.lines) return;
    const float *x = s.x + part.start, *q = s.q + part.start;
    float *p = s.p + part.start, largest, sum, loss = 0;
    normalizer<GROUP>(x, part.first, s.classes, s.inner, largest, sum);
    float log_sum = logf(sum);
#pragma unroll 4
    for (int c = part.first; c < s.classes; c += GROUP) {
        long long at = (long long)c * s.inner;
        float log_p = x[at] - largest - log_sum, wanted = q[at];
        loss -= wanted * (wanted == 0 ? 0 : log_p);
        p[at] = expf(log_p);
    }
    loss = group_sum<GROUP>(loss);
    if (part.first == 0) s.loss[part.line] = loss;
}

// loss = -log p[label], and p = softmax(x).
template <int GROUP> __device__ __forceinline__ void label_loss(const LabelLoss& s) {
    Part<GROUP> part(s.classes, s.inner);
    if (part.line >= s.lines) return;
    const float* x = s.x + part.start;
    float *p = s.p + part.start, largest, sum;
    normalizer<GROUP>(x, part.first, s.classes, s.inner, largest, sum);
    float log_sum = logf(sum);
    int label = (int)s.labels[part.line];
#pragma unroll 4
    for (int c = part.first; c < s.classes; c += GROUP) {
        long long at = (long long)c * s.inner;
        float log_p = x[at] - largest - log_sum;
        if (c == label) s.loss[part.line] = -log_p;
        p[at] = expf(log_p);
    }
}

// The gradient of the scores, when that of the mean of these losses is g: g / N (p - [c is the label]).
template <int GROUP> __device__ __forceinline__ void label_gradient(const LabelLossGrad& s) {
    Part<GROUP> part(s.classes, s.inner);
    if (part.line >= s.lines) return;
    const float* p = s.p + part.start;
    float *dx = s.dx + part.start, g = s.g[0] / s.lines;
    int label = (int)s.labels[part.line];
#pragma unroll 4
    for (int c = part.first; c < s.classes; c += GROUP) {
        long long at = (long long)c * s.inner;
        dx[at] = p[at] * g - (c == label ? g : 0);
    }
}

// The gradient of the scores: g (p Σ q - q).
template <int GROUP> __device__ __forceinline__ void gradient(const CrossEntropyGrad& s) {
    Part<GROUP> part(s.classes, s.inner);
    if (part.line >= s.lines) return;
    const float *p = s.p + part.start, *q = s.q + part.start;
    float *dx = s.dx + part.start, g = s.g[part.line], sum = 0;
#pragma unroll 4
    for (int c = part.first; c < s.classes; c += GROUP) sum += q[(long long)c * s.inner];
    sum = group_sum<GROUP>(sum);
#pragma unroll 4
    for (int c = part.first; c < s.classes; c += GROUP) {
        long long at = (long long)c * s.inner;
        dx[at] = g * (p[at] * sum - q[at]);
    }
}

extern "C" __global__ void __launch_bounds__(256) softmax_1(Softmax s) { softmax<1>(s); }
extern "C" __global__ void __launch_bounds__(256) softmax_32(Softmax s) { softmax<32>(s); }
extern "C" __global__ void __launch_bounds__(256) softmax_256(Softmax s) { softmax<256>(s); }
extern "C" __global__ void __launch_bounds__(256) cross_entropy_1(CrossEntropy s) { cross_entropy<1>(s); }
extern "C" __global__ void __launch_bounds__(256) cross_entropy_32(CrossEntropy s) { cross_entropy<32>(s); }
extern "C" __global__ void __launch_bounds__(256) cross_entropy_256(CrossEntropy s) { cross_entropy<256>(s); }
extern "C" __global__ void __launch_bounds__(256) cross_entropy_grad_1(CrossEntropyGrad s) { gradient<1>(s); }
extern "C" __global__ void __launch_bounds__(256) cross_entropy_grad_32(CrossEntropyGrad s) { gradient<32>(s); }
extern "C" __global__ void __launch_bounds__(256) cross_entropy_grad_256(CrossEntropyGrad s) { gradient<256>(s); }
extern "C" __global__ void __launch_bounds__(256) label_loss_1(LabelLoss s) { label_loss<1>(s); }
extern "C" __global__ void __launch_bounds__(256) label_loss_32(LabelLoss s) { label_loss<32>(s); }
extern "C" __global__ void __launch_bounds__(256) label_loss_256(LabelLoss s) { label_loss<256>(s); }
extern "C" __global__ void __launch_bounds__(256) label_loss_grad_1(LabelLossGrad s) { label_gradient<1>(s); }
extern "C" __global__ void __launch_bounds__(256) label_loss_grad_32(LabelLossGrad s) { label_gradient<32>(s); }
extern "C" __global__ void __launch_bounds__(256) label_loss_grad_256(LabelLossGrad s) { label_gradient<256>(s); }
