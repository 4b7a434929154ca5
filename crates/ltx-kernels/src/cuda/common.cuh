// What every kernel shares: how a kernel is declared, bf16 values, packs of 16 bytes, sums over a block.
// Compiled by nvcc for GPUs, and by a C++ compiler on top of emulate.h, where a test runs it block by block without a GPU.
#pragma once

#ifdef LTX_EMULATE
#include "emulate.h"
#else
#define DEVICE __device__ __forceinline__
// A kernel of at most so many threads a block, of which so many blocks should fit on a multiprocessor.
#define KERNEL(threads, blocks, name, ...) extern "C" __global__ void __launch_bounds__(threads, blocks) name(__VA_ARGS__)
// The block's shared memory, whose size the launch gives.
#define SHARED(type, name)                             \
    extern __shared__ __align__(128) char shared_bytes[]; \
    type* name = reinterpret_cast<type*>(shared_bytes)
#define FULL_WARP 0xffffffffu
#endif

using uint = unsigned int;

// A 16-bit brain float.
struct bf16 {
    unsigned short bits;
};

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bf16 x) { return __uint_as_float(static_cast<uint>(x.bits) << 16); }

// Two floats to two brain floats in one word, to nearest, ties to even; the first in the low half.
DEVICE uint pack_bf16(float low, float high) {
#ifdef __CUDA_ARCH__
    uint packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#else
    auto round = [](float x) -> uint {
        uint bits = __float_as_uint(x);
        if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
        return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    };
    return round(low) | round(high) << 16;
#endif
}

template <class T> DEVICE T from_float(float x);
template <> DEVICE float from_float<float>(float x) { return x; }
template <> DEVICE bf16 from_float<bf16>(float x) { return bf16{static_cast<unsigned short>(pack_bf16(x, 0.f))}; }

// 16 bytes of values.
template <class T> struct alignas(16) Pack {
    static constexpr int N = 16 / sizeof(T);
    T values[N];

    DEVICE float operator[](int i) const { return to_float(values[i]); }
    DEVICE void set(int i, float x) { values[i] = from_float<T>(x); }
};

// Values at `i` of a row of `width`; one load where rows hold whole packs at aligned addresses (`whole`).
template <class T> DEVICE Pack<T> load(const T* row, int i, int width, bool whole) {
    if (whole) return *reinterpret_cast<const Pack<T>*>(row + i);
    Pack<T> pack;
#pragma unroll
    for (int j = 0; j < Pack<T>::N; ++j) pack.values[j] = i + j < width ? row[i + j] : from_float<T>(0.f);
    return pack;
}

template <class T> DEVICE void store(T* row, int i, int width, bool whole, const Pack<T>& pack) {
    if (whole) {
        *reinterpret_cast<Pack<T>*>(row + i) = pack;
        return;
    }
#pragma unroll
    for (int j = 0; j < Pack<T>::N; ++j)
        if (i + j < width) row[i + j] = pack.values[j];
}

// A thread's packs of a row, those at blockDim packs' distance from each other. Where rows hold whole packs, the first MOST are
// read at once and stay in registers from pass to pass; what lies beyond is read in every pass.
template <class T, bool WHOLE, int MOST = 1> struct Row {
    static constexpr int KEPT = WHOLE ? MOST : 0;
    const T* values;
    int width;
    Pack<T> kept[MOST];

    DEVICE Row(const T* values, int width) : values(values), width(width) {
#pragma unroll
        for (int k = 0; k < KEPT; ++k) kept[k] = place(k) < width ? load(values, place(k), width, WHOLE) : Pack<T>();
    }
    // Where the thread's k-th pack begins.
    static DEVICE int place(int k) { return (k * blockDim.x + threadIdx.x) * Pack<T>::N; }
    // The pack at `i`, which is the k-th or, with KEPT, any behind the kept ones.
    DEVICE Pack<T> pack(int k, int i) const { return k < KEPT ? kept[k] : load(values, i, width, WHOLE); }
    // Calls `work(k, i)` for every pack of the thread.
    template <class Work> DEVICE void each(const Work& work) const {
#pragma unroll
        for (int k = 0; k < KEPT; ++k)
            if (place(k) < width) work(k, place(k));
        for (int i = place(KEPT); i < width; i += blockDim.x * Pack<T>::N) work(KEPT, i);
    }
};

struct Sum {
    DEVICE float operator()(float a, float b) const { return a + b; }
};
struct Largest {
    DEVICE float operator()(float a, float b) const { return fmaxf(a, b); }
};

// What all threads of a block have, taken together, in every thread; 0 is to change nothing. `parts` holds 32 floats of shared
// memory, which may be used again at once.
template <class Together> DEVICE float over_block(float x, float* parts, Together together) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x = together(x, __shfl_xor_sync(FULL_WARP, x, offset));
    const int warps = blockDim.x / 32, lane = threadIdx.x % 32;
    if (lane == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = lane < warps ? parts[lane] : 0.f;
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) x = together(x, __shfl_xor_sync(FULL_WARP, x, offset));
    __syncthreads();
    return x;
}
DEVICE float block_sum(float x, float* parts) { return over_block(x, parts, Sum()); }
// Of magnitudes.
DEVICE float block_max(float x, float* parts) { return over_block(x, parts, Largest()); }

// Which value of a modulation a token has; the first where no index names them.
DEVICE long value_of(const uint* index, int token, int indexed) { return indexed ? index[token] : 0; }

DEVICE float sigmoid(float x) { return 1.f / (1.f + __expf(-x)); }
