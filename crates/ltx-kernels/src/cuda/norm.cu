// Normalisation of rows with modulation or a weight: one block a row, sums in f32.
#include "common.cuh"

enum { RMS = 0, LAYER = 1, NOT = 2 };

// out = normalised(x) (1 + scale) + shift. x [rows, width], row r being token r mod tokens; table [values, stride], of which a token's
// value has its shift and its scale at those places. `index` [tokens] names the values, where `indexed`; else all have the first.
template <class T>
DEVICE void norm_modulate(const T* x, const T* table, const uint* index, T* out, int width, int tokens, int stride, int shift, int scale,
                          int indexed, int by, float eps, int whole) {
    SHARED(float, parts);
    const long row = blockIdx.x;
    const T* in = x + row * width;
    const int step = blockDim.x * Pack<T>::N, first = threadIdx.x * Pack<T>::N;
    float mean = 0.f, inverse = 1.f;
    if (by == LAYER) {
        float sum = 0.f;
        for (int i = first; i < width; i += step) {
            const Pack<T> pack = load(in, i, width, whole);
            for (int j = 0; j < Pack<T>::N; ++j) sum += pack[j];
        }
        mean = block_sum(sum, parts) / width;
    }
    if (by != NOT) {
        float sum = 0.f;
        for (int i = first; i < width; i += step) {
            const Pack<T> pack = load(in, i, width, whole);
            for (int j = 0; j < Pack<T>::N; ++j)
                if (i + j < width) sum += (pack[j] - mean) * (pack[j] - mean);
        }
        inverse = rsqrtf(block_sum(sum, parts) / width + eps);
    }
    const T* rows = table + value_of(index, row % tokens, indexed) * stride;
    for (int i = first; i < width; i += step) {
        Pack<T> pack = load(in, i, width, whole);
        const Pack<T> by_scale = load(rows + scale, i, width, whole), by_shift = load(rows + shift, i, width, whole);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, (pack[j] - mean) * inverse * (1.f + by_scale[j]) + by_shift[j]);
        store(out + row * width, i, width, whole, pack);
    }
}

// out = x + table, x [values, width] and table [width]: one block a value.
template <class T> DEVICE void add_table(const T* x, const T* table, T* out, int width, int whole) {
    const long at = static_cast<long>(blockIdx.x) * width;
    for (int i = threadIdx.x * Pack<T>::N; i < width; i += blockDim.x * Pack<T>::N) {
        Pack<T> pack = load(x + at, i, width, whole);
        const Pack<T> more = load(table, i, width, whole);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, pack[j] + more[j]);
        store(out + at, i, width, whole, pack);
    }
}

// out = x / rms(x) · weight; without a weight where `weighted` is 0. x [rows, width], weight [width].
template <class T>
DEVICE void rms_norm(const T* x, const T* weight, T* out, int width, float eps, int weighted, int whole) {
    SHARED(float, parts);
    const long row = blockIdx.x;
    const T* in = x + row * width;
    const int step = blockDim.x * Pack<T>::N, first = threadIdx.x * Pack<T>::N;
    float sum = 0.f;
    for (int i = first; i < width; i += step) {
        const Pack<T> pack = load(in, i, width, whole);
        for (int j = 0; j < Pack<T>::N; ++j) sum += pack[j] * pack[j];
    }
    const float inverse = rsqrtf(block_sum(sum, parts) / width + eps);
    for (int i = first; i < width; i += step) {
        Pack<T> pack = load(in, i, width, whole);
        if (weighted) {
            const Pack<T> by = load(weight, i, width, whole);
            for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, pack[j] * inverse * by[j]);
        } else {
            for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, pack[j] * inverse);
        }
        store(out + row * width, i, width, whole, pack);
    }
}

#define NORM_KERNELS(T, suffix)                                                                                                  \
    KERNEL(256, 4, norm_modulate_##suffix, const T* x, const T* table, const uint* index, T* out, int width, int tokens,          \
           int stride, int shift, int scale, int indexed, int by, float eps, int whole) {                                         \
        norm_modulate(x, table, index, out, width, tokens, stride, shift, scale, indexed, by, eps, whole);                        \
    }                                                                                                                             \
    KERNEL(256, 4, add_table_##suffix, const T* x, const T* table, T* out, int width, int whole) {                                \
        add_table(x, table, out, width, whole);                                                                                   \
    }                                                                                                                             \
    KERNEL(256, 4, rms_norm_##suffix, const T* x, const T* weight, T* out, int width, float eps, int weighted, int whole) {       \
        rms_norm(x, weight, out, width, eps, weighted, whole);                                                                    \
    }

NORM_KERNELS(float, f32)
NORM_KERNELS(bf16, bf16)
