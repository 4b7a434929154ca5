// Pixel norm and SiLU of positions whose channels lie side by side, and room behind the channels, so that the convolution reads
// whole packs. As many lanes as a position has packs, up to a warp, share a position; a block takes 256 / lanes of them.
#include "common.cuh"

// x [positions, channels] → [positions, padded], zeros behind the channels. Where `norm` says so, every position is divided by the
// root mean square of its channels, and SiLU follows. `lanes` is a power of two up to 32, `padded` a multiple of a pack where it is
// not `channels`; `whole`: channels are packs at aligned addresses.
template <class T>
DEVICE void pixel_norm(const T* x, T* out, int channels, int padded, long positions, float eps, int norm, int lanes, int whole) {
    constexpr int N = Pack<T>::N;
    const int lane = threadIdx.x % lanes;
    const long position = static_cast<long>(blockIdx.x) * (blockDim.x / lanes) + threadIdx.x / lanes;
    const bool valid = position < positions;
    const T* row = x + (valid ? position : 0) * channels;
    float inverse = 1.f;
    if (norm) {
        float sum = 0.f;
        for (int i = lane * N; i < channels; i += lanes * N) {
            const Pack<T> pack = load(row, i, channels, whole);
#pragma unroll
            for (int j = 0; j < N; ++j) sum += pack[j] * pack[j];
        }
        // All lanes of a warp come here alike, with a position or without.
        for (int offset = lanes / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(FULL_WARP, sum, offset);
        inverse = rsqrtf(sum / channels + eps);
    }
    if (!valid) return;
    T* target = out + position * padded;
    for (int i = lane * N; i < padded; i += lanes * N) {
        Pack<T> pack = load(row, i, channels, whole);
        if (norm) {
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const float y = pack[j] * inverse;
                pack.set(j, y * sigmoid(y));
            }
        }
        store(target, i, padded, padded % N == 0, pack);
    }
}

KERNEL(256, 4, pixel_norm_f32, const float* x, float* out, int channels, int padded, long positions, float eps, int norm, int lanes,
       int whole) {
    pixel_norm(x, out, channels, padded, positions, eps, norm, lanes, whole);
}
KERNEL(256, 4, pixel_norm_bf16, const bf16* x, bf16* out, int channels, int padded, long positions, float eps, int norm, int lanes,
       int whole) {
    pixel_norm(x, out, channels, padded, positions, eps, norm, lanes, whole);
}
