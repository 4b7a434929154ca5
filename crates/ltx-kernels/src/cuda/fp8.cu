// 8-bit floats, e4m3 without infinities (Micikevicius et al., "FP8 Formats for Deep Learning", 2022): widening of weights, and
// rounding of activations with one scale a tensor.
#include "common.cuh"

static constexpr float LARGEST = 448.f;

DEVICE float from_e4m3(unsigned char byte) {
    const int exponent = byte >> 3 & 15, mantissa = byte & 7;
    float magnitude;
    if (exponent == 15 && mantissa == 7)
        magnitude = __uint_as_float(0x7fffffffu);
    else if (exponent == 0)
        magnitude = mantissa * 0.001953125f;
    else
        magnitude = __uint_as_float(static_cast<uint>(exponent + 120) << 23 | static_cast<uint>(mantissa) << 20);
    return byte & 0x80 ? -magnitude : magnitude;
}

// To nearest, ties to even; beyond the largest becomes the largest, what is not a number stays so.
DEVICE unsigned char to_e4m3(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    unsigned short pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.f), "f"(x));
    return static_cast<unsigned char>(pair & 0xff);
#else
    const uint bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    const unsigned char sign = bits >> 24 & 0x80;
    if (magnitude > 0x7f800000u) return 0x7f;
    if (magnitude >= 0x43e00000u) return sign | 0x7e;  // 448
    if (magnitude < 0x3c800000u) {                     // below 2^-6: multiples of 2^-9, rounded by the sum's own rounding
        const float counted = __uint_as_float(magnitude) * 512.f;
        return sign | static_cast<unsigned char>(__float_as_uint(counted + 8388608.f) & 0xff);
    }
    const uint rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1);
    const uint code = (rounded >> 20) - (120u << 3);
    return sign | static_cast<unsigned char>(code > 0x7e ? 0x7e : code);
#endif
}

// Two values to two bytes, the first in the low one.
DEVICE unsigned short to_e4m3(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    unsigned short pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return static_cast<unsigned short>(to_e4m3(low) | to_e4m3(high) << 8);
#endif
}

// Eight bytes, as one load or store where they lie at a multiple of eight.
struct alignas(8) Bytes {
    unsigned short pairs[4];

    DEVICE unsigned char operator[](int i) const { return static_cast<unsigned char>(pairs[i / 2] >> i % 2 * 8 & 0xff); }
};

// Calls `work(i, left)` for every eight values of a thread that begin at `i`, of which `left` are there; the threads of the grid
// take them in turn.
template <class Work> DEVICE void each_eight(long count, const Work& work) {
    const long step = static_cast<long>(gridDim.x) * blockDim.x * 8;
    for (long i = (static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x) * 8; i < count; i += step)
        work(i, count - i < 8 ? static_cast<int>(count - i) : 8);
}

// out = weight · scale, of `count` values; `whole`: both begin at aligned addresses.
template <class T> DEVICE void e4m3_widen(const unsigned char* weight, T* out, float scale, long count, int whole) {
    each_eight(count, [&](long i, int left) {
        if (!whole || left < 8) {
            for (int j = 0; j < left; ++j) out[i + j] = from_float<T>(from_e4m3(weight[i + j]) * scale);
            return;
        }
        const Bytes bytes = *reinterpret_cast<const Bytes*>(weight + i);
#pragma unroll
        for (int j = 0; j < 8; j += Pack<T>::N) {
            Pack<T> pack;
#pragma unroll
            for (int l = 0; l < Pack<T>::N; ++l) pack.set(l, from_e4m3(bytes[j + l]) * scale);
            *reinterpret_cast<Pack<T>*>(out + i + j) = pack;
        }
    });
}

KERNEL(256, 4, e4m3_widen_f32, const unsigned char* weight, float* out, float scale, long count, int whole) {
    e4m3_widen(weight, out, scale, count, whole);
}
KERNEL(256, 4, e4m3_widen_bf16, const unsigned char* weight, bf16* out, float scale, long count, int whole) {
    e4m3_widen(weight, out, scale, count, whole);
}

// The largest magnitude of `count` values, as the bits of a float, into `most`, which holds 0 at first.
KERNEL(256, 4, e4m3_range_bf16, const bf16* x, uint* most, long count, int whole) {
    SHARED(float, parts);
    float largest = 0.f;
    each_eight(count, [&](long i, int left) {
        const Pack<bf16> pack = load(x + i, 0, left, whole && left == 8);
#pragma unroll
        for (int j = 0; j < 8; ++j) largest = fmaxf(largest, fabsf(pack[j]));
    });
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, offset));
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = largest;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < static_cast<int>(blockDim.x) / 32; ++i) largest = fmaxf(largest, parts[i]);
        atomicMax(most, __float_as_uint(largest));
    }
}

// out = x / scale as e4m3, and the scale: the largest magnitude over 448, or 1 if there is none.
KERNEL(256, 4, e4m3_round_bf16, const bf16* x, const uint* most, unsigned char* out, float* scale, long count, int whole) {
    const float largest = __uint_as_float(*most), inverse = largest > 0.f ? LARGEST / largest : 1.f;
    if (blockIdx.x == 0 && threadIdx.x == 0) *scale = largest > 0.f ? largest / LARGEST : 1.f;
    each_eight(count, [&](long i, int left) {
        const bool full = whole && left == 8;
        const Pack<bf16> pack = load(x + i, 0, left, full);
        if (!full) {
            for (int j = 0; j < left; ++j) out[i + j] = to_e4m3(pack[j] * inverse);
            return;
        }
        Bytes bytes;
#pragma unroll
        for (int j = 0; j < 4; ++j) bytes.pairs[j] = to_e4m3(pack[2 * j] * inverse, pack[2 * j + 1] * inverse);
        *reinterpret_cast<Bytes*>(out + i) = bytes;
    });
}

// out = x / scale as e4m3, with a scale for every row of `width`: its largest magnitude over 448, or 1 if there is none. One block
// a row.
template <bool WHOLE> DEVICE void e4m3_round_rows(const bf16* x, unsigned char* out, float* scales, int width, float* parts) {
    const long at = static_cast<long>(blockIdx.x) * width;
    const Row<bf16, WHOLE, 4> row(x + at, width);
    float largest = 0.f;
    row.each([&](int k, int i) {
        const Pack<bf16> pack = row.pack(k, i);
#pragma unroll
        for (int j = 0; j < 8; ++j) largest = fmaxf(largest, fabsf(pack[j]));
    });
    largest = block_max(largest, parts);
    const float inverse = largest > 0.f ? LARGEST / largest : 1.f;
    if (threadIdx.x == 0) scales[blockIdx.x] = largest > 0.f ? largest / LARGEST : 1.f;
    row.each([&](int k, int i) {
        const Pack<bf16> pack = row.pack(k, i);
        if constexpr (WHOLE) {
            Bytes bytes;
#pragma unroll
            for (int j = 0; j < 4; ++j) bytes.pairs[j] = to_e4m3(pack[2 * j] * inverse, pack[2 * j + 1] * inverse);
            *reinterpret_cast<Bytes*>(out + at + i) = bytes;
        } else {
            for (int j = 0; j < 8 && i + j < width; ++j) out[at + i + j] = to_e4m3(pack[j] * inverse);
        }
    });
}

KERNEL(512, 2, e4m3_round_rows_bf16, const bf16* x, unsigned char* out, float* scales, int width, int whole) {
    SHARED(float, parts);
    if (whole)
        e4m3_round_rows<true>(x, out, scales, width, parts);
    else
        e4m3_round_rows<false>(x, out, scales, width, parts);
}
