// Normalisation of rows with modulation or a weight: one block a row, sums in f32.
#include "common.cuh"

enum { RMS = 0, LAYER = 1, NOT = 2 };

// out = normalised(x) (1 + scale) + shift. x [rows, width], row r being token r mod tokens; table [values, stride], of which a token's
// value has its shift and its scale at those places. `index` [tokens] names the values, where `indexed`; else all have the first.
template <class T, bool WHOLE>
DEVICE void norm_modulate(const T* x, const T* table, const uint* index, T* out, int width, int tokens, int stride, int shift, int scale,
                          int indexed, int by, float eps) {
    SHARED(float, parts);
    const int number = blockIdx.x;
    const long at = static_cast<long>(number) * width;
    const T* rows = table + value_of(index, number % tokens, indexed) * stride;
    // All of it before the first sum is waited for.
    const Row<T, WHOLE> row(x + at, width), scales(rows + scale, width), shifts(rows + shift, width);
    float mean = 0.f, inverse = 1.f;
    if (by == LAYER) {
        float sum = 0.f;
        row.each([&](int k, int i) {
            const Pack<T> pack = row.pack(k, i);
            for (int j = 0; j < Pack<T>::N; ++j) sum += pack[j];
        });
        mean = block_sum(sum, parts) / width;
    }
    if (by != NOT) {
        float sum = 0.f;
        row.each([&](int k, int i) {
            const Pack<T> pack = row.pack(k, i);
            for (int j = 0; j < Pack<T>::N; ++j)
                if (i + j < width) sum += (pack[j] - mean) * (pack[j] - mean);
        });
        inverse = rsqrtf(block_sum(sum, parts) / width + eps);
    }
    row.each([&](int k, int i) {
        Pack<T> pack = row.pack(k, i);
        const Pack<T> by_scale = scales.pack(k, i), by_shift = shifts.pack(k, i);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, (pack[j] - mean) * inverse * (1.f + by_scale[j]) + by_shift[j]);
        store(out + at, i, width, WHOLE, pack);
    });
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
template <class T, bool WHOLE>
DEVICE void rms_norm(const T* x, const T* weight, T* out, int width, float eps, int weighted) {
    SHARED(float, parts);
    const long at = static_cast<long>(blockIdx.x) * width;
    const Row<T, WHOLE> row(x + at, width), weights(weighted ? weight : x, width);
    float sum = 0.f;
    row.each([&](int k, int i) {
        const Pack<T> pack = row.pack(k, i);
        for (int j = 0; j < Pack<T>::N; ++j) sum += pack[j] * pack[j];
    });
    const float inverse = rsqrtf(block_sum(sum, parts) / width + eps);
    row.each([&](int k, int i) {
        Pack<T> pack = row.pack(k, i);
        const Pack<T> by = weights.pack(k, i);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, weighted ? pack[j] * inverse * by[j] : pack[j] * inverse);
        store(out + at, i, width, WHOLE, pack);
    });
}

#define NORM_KERNELS(T, suffix)                                                                                                  \
    KERNEL(512, 3, norm_modulate_##suffix, const T* x, const T* table, const uint* index, T* out, int width, int tokens,          \
           int stride, int shift, int scale, int indexed, int by, float eps, int whole) {                                         \
        if (whole)                                                                                                                \
            norm_modulate<T, true>(x, table, index, out, width, tokens, stride, shift, scale, indexed, by, eps);                  \
        else                                                                                                                      \
            norm_modulate<T, false>(x, table, index, out, width, tokens, stride, shift, scale, indexed, by, eps);                 \
    }                                                                                                                             \
    KERNEL(512, 3, add_table_##suffix, const T* x, const T* table, T* out, int width, int whole) {                                \
        add_table(x, table, out, width, whole);                                                                                   \
    }                                                                                                                             \
    KERNEL(512, 3, rms_norm_##suffix, const T* x, const T* weight, T* out, int width, float eps, int weighted, int whole) {       \
        if (whole)                                                                                                                \
            rms_norm<T, true>(x, weight, out, width, eps, weighted);                                                              \
        else                                                                                                                      \
            rms_norm<T, false>(x, weight, out, width, eps, weighted);                                                             \
    }

NORM_KERNELS(float, f32)
NORM_KERNELS(bf16, bf16)
