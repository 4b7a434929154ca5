// Gates: the gated way back into the residual stream, the gate of an attention's heads, and GELU.
#include "common.cuh"

// out = x + y · gate. x and y [rows, width], row r being token r mod tokens; table [values, stride], of which a token's value has its
// gate at that place; `index` and `indexed` as in norm.cu. One block a row.
template <class T>
DEVICE void gated_residual(const T* x, const T* y, const T* table, const uint* index, T* out, int width, int tokens, int stride,
                           int gate, int indexed, int whole) {
    const long row = blockIdx.x, at = row * width;
    const T* gates = table + value_of(index, row % tokens, indexed) * stride + gate;
    for (int i = threadIdx.x * Pack<T>::N; i < width; i += blockDim.x * Pack<T>::N) {
        Pack<T> pack = load(x + at, i, width, whole);
        const Pack<T> more = load(y + at, i, width, whole), by = load(gates, i, width, whole);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, pack[j] + more[j] * by[j]);
        store(out + at, i, width, whole, pack);
    }
}

// out = x · 2σ(logit). x [rows, heads · head_dim], logits [rows, heads]. One block a row.
template <class T> DEVICE void gate_heads(const T* x, const T* logits, T* out, int heads, int head_dim, int whole) {
    const int chunks = (head_dim + Pack<T>::N - 1) / Pack<T>::N;
    const long row = blockIdx.x;
    for (int work = threadIdx.x; work < heads * chunks; work += blockDim.x) {
        const int head = work / chunks, i = work % chunks * Pack<T>::N;
        const long at = (row * heads + head) * head_dim;
        const float gate = 2.f * sigmoid(to_float(logits[row * heads + head]));
        Pack<T> pack = load(x + at, i, head_dim, whole);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, pack[j] * gate);
        store(out + at, i, head_dim, whole, pack);
    }
}

// GELU in its tanh form, written as x · σ(2 √(2/π) (x + 0.044715 x³)), which is the same.
DEVICE float gelu(float x) { return x * sigmoid(1.595769122f * (x + 0.044715f * x * x * x)); }

// out = gelu(x) of `count` values.
template <class T> DEVICE void gelu_all(const T* x, T* out, long count, int whole) {
    const long step = static_cast<long>(gridDim.x) * blockDim.x * Pack<T>::N;
    for (long i = (static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x) * Pack<T>::N; i < count; i += step) {
        const int left = count - i < Pack<T>::N ? static_cast<int>(count - i) : Pack<T>::N;
        const bool full = whole && left == Pack<T>::N;
        Pack<T> pack = load(x + i, 0, left, full);
        for (int j = 0; j < Pack<T>::N; ++j) pack.set(j, gelu(pack[j]));
        store(out + i, 0, left, full, pack);
    }
}

#define GATE_KERNELS(T, suffix)                                                                                                \
    KERNEL(256, 4, gated_residual_##suffix, const T* x, const T* y, const T* table, const uint* index, T* out, int width,       \
           int tokens, int stride, int gate, int indexed, int whole) {                                                          \
        gated_residual(x, y, table, index, out, width, tokens, stride, gate, indexed, whole);                                   \
    }                                                                                                                           \
    KERNEL(512, 3, gate_heads_##suffix, const T* x, const T* logits, T* out, int heads, int head_dim, int whole) {              \
        gate_heads(x, logits, out, heads, head_dim, whole);                                                                     \
    }                                                                                                                           \
    KERNEL(256, 4, gelu_##suffix, const T* x, T* out, long count, int whole) { gelu_all(x, out, count, whole); }

GATE_KERNELS(float, f32)
GATE_KERNELS(bf16, bf16)
