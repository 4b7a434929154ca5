// RMS norm over a whole row and rotary position embedding of its heads, in one pass: one block a token.
// Split layout: the first and second half of each head rotate against each other.
#include "common.cuh"

// Two packs of a head that rotate against each other: chunk `work % chunks` of both halves of head `work / chunks`.
template <class T, bool WHOLE> struct Turned {
    Pack<T> first, second;

    DEVICE void read(const T* row, int work, int chunks, int half) {
        const int low = work / chunks * 2 * half, i = work % chunks * Pack<T>::N;
        first = load(row + low, i, half, WHOLE);
        second = load(row + low + half, i, half, WHOLE);
    }
    DEVICE void write(T* row, int work, int chunks, int half) const {
        const int low = work / chunks * 2 * half, i = work % chunks * Pack<T>::N;
        store(row + low, i, half, WHOLE, first);
        store(row + low + half, i, half, WHOLE, second);
    }
    DEVICE float squares() const {
        float sum = 0.f;
        for (int j = 0; j < Pack<T>::N; ++j) sum += first[j] * first[j] + second[j] * second[j];
        return sum;
    }
};

// Cosines and sines of N pairs.
template <int N, bool WHOLE> struct Angles {
    float cos[N], sin[N];

    DEVICE void read(const float* cosines, const float* sines, long token, int work, int chunks, int half, int heads) {
        const int i = work % chunks * N;
        const long at = token + (heads > 1 ? work / chunks * half : 0);
#pragma unroll
        for (int j = 0; j < N; j += Pack<float>::N) {
            const Pack<float> c = load(cosines + at, i + j, half, WHOLE), s = load(sines + at, i + j, half, WHOLE);
#pragma unroll
            for (int l = 0; l < Pack<float>::N; ++l) cos[j + l] = c[l], sin[j + l] = s[l];
        }
    }
};

// x [rows, heads · 2 · half], weight [heads · 2 · half]; cos and sin [tokens, table_heads, half] in f32, table_heads 1 or heads.
// Row r is token r mod tokens. Without `normalize` only the rotation.
template <class T, bool WHOLE>
DEVICE void norm_rope(const T* x, const T* weight, const float* cos, const float* sin, T* out, int heads, int half, int tokens,
                      int table_heads, float eps, int normalize) {
    SHARED(float, parts);
    // A thread's work is a pack of a head's first half and the one it turns against; WHOLE says that halves hold whole packs.
    constexpr int N = Pack<T>::N;
    const int chunks = (half + N - 1) / N, works = heads * chunks, width = heads * 2 * half, number = blockIdx.x;
    const T* in = x + static_cast<long>(number) * width;
    T* result = out + static_cast<long>(number) * width;
    const long angles = static_cast<long>(number % tokens) * table_heads * half;
    // Of its works the first stays in registers while the sum is waited for.
    Turned<T, WHOLE> own = {};
    Angles<N, WHOLE> own_angles = {};
    if (static_cast<int>(threadIdx.x) < works) {
        own.read(in, threadIdx.x, chunks, half);
        own_angles.read(cos, sin, angles, threadIdx.x, chunks, half, table_heads);
    }
    float inverse = 1.f;
    if (normalize) {
        float sum = 0.f;
        if (static_cast<int>(threadIdx.x) < works) sum = own.squares();
        for (int work = threadIdx.x + blockDim.x; work < works; work += blockDim.x) {
            Turned<T, WHOLE> other;
            other.read(in, work, chunks, half);
            sum += other.squares();
        }
        inverse = rsqrtf(block_sum(sum, parts) / width + eps);
    }
    for (int work = threadIdx.x; work < works; work += blockDim.x) {
        if (work != static_cast<int>(threadIdx.x)) {
            own.read(in, work, chunks, half);
            own_angles.read(cos, sin, angles, work, chunks, half, table_heads);
        }
        Turned<T, WHOLE> by = {};
        if (normalize) by.read(weight, work, chunks, half);
#pragma unroll
        for (int j = 0; j < N; ++j) {
            float a = own.first[j] * inverse, b = own.second[j] * inverse;
            if (normalize) a *= by.first[j], b *= by.second[j];
            const float c = own_angles.cos[j], s = own_angles.sin[j];
            own.first.set(j, a * c - b * s);
            own.second.set(j, b * c + a * s);
        }
        own.write(result, work, chunks, half);
    }
}

#define ROPE_KERNELS(T, suffix)                                                                                                 \
    KERNEL(512, 2, norm_rope_##suffix, const T* x, const T* weight, const float* cos, const float* sin, T* out, int heads,       \
           int half, int tokens, int table_heads, float eps, int normalize, int whole) {                                         \
        if (whole)                                                                                                               \
            norm_rope<T, true>(x, weight, cos, sin, out, heads, half, tokens, table_heads, eps, normalize);                      \
        else                                                                                                                     \
            norm_rope<T, false>(x, weight, cos, sin, out, heads, half, tokens, table_heads, eps, normalize);                     \
    }

ROPE_KERNELS(float, f32)
ROPE_KERNELS(bf16, bf16)
