// RMS norm over a whole row and rotary position embedding of its heads, in one pass: one block a token.
// Split layout: the first and second half of each head rotate against each other.
#include "common.cuh"

// x [rows, heads · 2 · half], weight [heads · 2 · half]; cos and sin [tokens, table_heads, half] in f32, table_heads 1 or heads.
// Row r is token r mod tokens. Without `normalize` only the rotation.
template <class T>
DEVICE void norm_rope(const T* x, const T* weight, const float* cos, const float* sin, T* out, int heads, int half, int tokens,
                      int table_heads, float eps, int normalize, int whole) {
    SHARED(float, parts);
    const int width = heads * 2 * half;
    const long row = blockIdx.x;
    const T* in = x + row * width;
    T* result = out + row * width;
    float inverse = 1.f;
    if (normalize) {
        float sum = 0.f;
        for (int i = threadIdx.x * Pack<T>::N; i < width; i += blockDim.x * Pack<T>::N) {
            const Pack<T> pack = load(in, i, width, whole);
            for (int j = 0; j < Pack<T>::N; ++j) sum += pack[j] * pack[j];
        }
        inverse = rsqrtf(block_sum(sum, parts) / width + eps);
    }
    // `whole` says that a half of a head holds whole packs, too.
    constexpr int N = Pack<T>::N;
    const long angles = row % tokens * table_heads * half;
    const int chunks = (half + N - 1) / N;
    for (int work = threadIdx.x; work < heads * chunks; work += blockDim.x) {
        const int head = work / chunks, i = work % chunks * N;
        const int low = head * 2 * half, high = low + half;
        const long table = angles + (table_heads > 1 ? head * half : 0);
        Pack<T> first = load(in + low, i, half, whole), second = load(in + high, i, half, whole);
        Pack<T> by_first, by_second;
        if (normalize) by_first = load(weight + low, i, half, whole), by_second = load(weight + high, i, half, whole);
        for (int j = 0; j < N && i + j < half; ++j) {
            float a = first[j] * inverse, b = second[j] * inverse;
            if (normalize) a *= by_first[j], b *= by_second[j];
            const float c = cos[table + i + j], s = sin[table + i + j];
            first.set(j, a * c - b * s);
            second.set(j, b * c + a * s);
        }
        store(result + low, i, half, whole, first);
        store(result + high, i, half, whole, second);
    }
}

#define ROPE_KERNELS(T, suffix)                                                                                                 \
    KERNEL(256, 4, norm_rope_##suffix, const T* x, const T* weight, const float* cos, const float* sin, T* out, int heads,       \
           int half, int tokens, int table_heads, float eps, int normalize, int whole) {                                         \
        norm_rope(x, weight, cos, sin, out, heads, half, tokens, table_heads, eps, normalize, whole);                            \
    }

ROPE_KERNELS(float, f32)
ROPE_KERNELS(bf16, bf16)
