// Random numbers, and dropout, which needs one for each number. Philox (Salmon, Moraes, Dror & Shaw 2011) has no memory:
// the n-th block of four words is computed from n. So each thread draws for itself, no mask is written or read, and
// backward the same words are simply drawn again.

struct Dropout {
    const float* x;
    float* y;
    const unsigned long long* live;  // null; or the offset in memory: a captured step is told it so
    unsigned long long offset, seed;
    int count, each;  // numbers of x, and how many neighbours share a word
    float p, scale;
};

// Ten rounds mix a counter with the seed, by products whose halves change places.
__device__ __forceinline__ void draw(unsigned long long counter, unsigned long long seed, unsigned (&word)[4]) {
    unsigned a = (unsigned)counter, b = (unsigned)(counter >> 32), c = 0, d = 0;
    unsigned key = (unsigned)seed, other = (unsigned)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned p = __umulhi(0xD2511F53u, a), q = __umulhi(0xCD9E8D57u, c);
        unsigned low = 0xD2511F53u * a;
        a = q ^ b ^ key, b = 0xCD9E8D57u * c, c = p ^ d ^ other, d = low;
        key += 0x9E3779B9u, other += 0xBB67AE85u;  // the golden ratio and √3 - 1, as fractions of 2³²
    }
    word[0] = a, word[1] = b, word[2] = c, word[3] = d;
}

extern "C" __global__ void __launch_bounds__(256)
philox(unsigned* __restrict__ words, const unsigned long long* __restrict__ live, unsigned long long offset,
       unsigned long long seed, long long blocks) {
    long long block = blockIdx.x * 256ll + threadIdx.x;
    if (block >= blocks) return;
    unsigned word[4];
    draw((live ? *live : offset) + block, seed, word);
#pragma unroll
    for (int k = 0; k < 4; k++) words[block * 4 + k] = word[k];
}

// y = x · scale where a uniform number in [0, 1), the first 24 bits of a word, is p or more; else 0 · x. ALONE: each
// number has a word of its own, so four neighbours take a block.
template <bool ALONE> __device__ __forceinline__ void drop(const Dropout& s) {
    int i = (blockIdx.x * 256 + threadIdx.x) * 4, before = -1;
    if (i >= s.count) return;
    unsigned long long offset = s.live ? *s.live : s.offset;
    unsigned word[4], bits = 0;
    float kept[4];
    if (ALONE) draw(offset + i / 4, s.seed, word);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        if (ALONE) {
            bits = word[k];
        } else if (int number = (i + k) / s.each; number != before) {
            draw(offset + number / 4, s.seed, word);
            bits = number % 2 ? (number % 4 == 3 ? word[3] : word[1]) : (number % 4 ? word[2] : word[0]);
            before = number;
        }
        kept[k] = (bits >> 8) * 0x1p-24f >= s.p ? s.scale : 0;
    }
    if (((unsigned long long)s.x | (unsigned long long)s.y) % 16 == 0 && i + 4 <= s.count) {
        float4 x = load4(s.x + i);
        store4(s.y + i, make_float4(x.x * kept[0], x.y * kept[1], x.z * kept[2], x.w * kept[3]));
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (i + k < s.count) s.y[i + k] = s.x[i + k] * kept[k];
    }
}

extern "C" __global__ void __launch_bounds__(256) dropout(Dropout s) { drop<true>(s); }
extern "C" __global__ void __launch_bounds__(256) dropout_channels(Dropout s) { drop<false>(s); }
