// Pixel norm: every position by the root mean square of its channels, SiLU behind it; and the same into the layout in which the
// convolution reads, channels last. A block takes 32 positions, a lane each; its 8 warps share the channels.
#include "common.cuh"

static constexpr int POSITIONS = 32, WARPS = 8, SLICE = 64;

// 1 / rms over the channels of this lane's position. `parts` holds WARPS · 32 floats.
template <class T>
DEVICE float inverse_rms(const T* sample, int channels, long positions, long position, float eps, float* parts) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float sum = 0.f;
    if (position < positions)
        for (int c = warp; c < channels; c += WARPS) {
            const float x = to_float(sample[c * positions + position]);
            sum += x * x;
        }
    parts[warp * 32 + lane] = sum;
    __syncthreads();
    sum = 0.f;
    for (int i = 0; i < WARPS; ++i) sum += parts[i * 32 + lane];
    return rsqrtf(sum / channels + eps);
}

// x [samples, channels, positions] → the same. The grid's y is the sample.
template <class T> DEVICE void pixel_norm(const T* x, T* out, int channels, long positions, float eps, int silu) {
    SHARED(float, parts);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long position = static_cast<long>(blockIdx.x) * POSITIONS + lane, sample = blockIdx.y * channels * positions;
    const float inverse = inverse_rms(x + sample, channels, positions, position, eps, parts);
    if (position >= positions) return;
    for (int c = warp; c < channels; c += WARPS) {
        const long at = sample + c * positions + position;
        float y = to_float(x[at]) * inverse;
        if (silu) y *= sigmoid(y);
        out[at] = from_float<T>(y);
    }
}

// x [samples, channels, positions] → [samples, positions, padded], zeros behind the channels; pixel norm and SiLU on the way
// where `norm` says so. `padded` is a multiple of 8.
DEVICE void channels_last(const bf16* x, bf16* out, int channels, int padded, long positions, float eps, int norm) {
    SHARED(float, parts);
    // Values of SLICE channels, position by position; an odd number of words a position spreads them over the banks.
    constexpr int PITCH = SLICE + 2;
    bf16* slice = reinterpret_cast<bf16*>(parts + WARPS * 32);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long first = static_cast<long>(blockIdx.x) * POSITIONS, position = first + lane;
    const bf16* sample = x + blockIdx.y * channels * positions;
    const float inverse = norm ? inverse_rms(sample, channels, positions, position, eps, parts) : 1.f;
    for (int start = 0; start < padded; start += SLICE) {
        for (int c = warp; c < SLICE; c += WARPS) {
            float y = 0.f;
            if (start + c < channels && position < positions) {
                y = to_float(sample[(start + c) * positions + position]);
                if (norm) {
                    y *= inverse;
                    y *= sigmoid(y);
                }
            }
            slice[lane * PITCH + c] = from_float<bf16>(y);
        }
        __syncthreads();
        for (int work = threadIdx.x; work < POSITIONS * SLICE / 8; work += blockDim.x) {
            const int row = work / (SLICE / 8), c = work % (SLICE / 8) * 8;
            if (first + row < positions && start + c < padded) {
                Pack<bf16> pack;
                for (int j = 0; j < 8; ++j) pack.values[j] = slice[row * PITCH + c + j];
                bf16* target = out + ((blockIdx.y * positions + first + row) * padded + start + c);
                *reinterpret_cast<Pack<bf16>*>(target) = pack;
            }
        }
        __syncthreads();
    }
}

KERNEL(256, 4, pixel_norm_f32, const float* x, float* out, int channels, long positions, float eps, int silu) {
    pixel_norm(x, out, channels, positions, eps, silu);
}
KERNEL(256, 4, pixel_norm_bf16, const bf16* x, bf16* out, int channels, long positions, float eps, int silu) {
    pixel_norm(x, out, channels, positions, eps, silu);
}
KERNEL(256, 4, channels_last_bf16, const bf16* x, bf16* out, int channels, int padded, long positions, float eps, int norm) {
    channels_last(x, out, channels, padded, positions, eps, norm);
}
