// 3-D convolution, stride 1, as a product without its unrolled input: positions times outputs, over taps and channels.
// A block makes 128 positions of 128 outputs; each of its 8 warps 64 positions of 32 outputs. Three stages of tiles, 64 channels
// of one tap each, are copied while the one before is multiplied.
#include "tile.cuh"

static constexpr int POSITIONS = 128, OUTPUTS = 128, CHANNELS = 64, STAGES = 3, THREADS = 256, CHUNKS = CHANNELS / 8;
static constexpr int STAGE = (POSITIONS + OUTPUTS) * CHANNELS;
enum { CAUSAL = 0, REPLICATE = 1, ZEROS = 2 };

// The volume a position lies in.
struct Volume {
    int frames, height, width;
};

// x [samples, frames, height, width, inputs], inputs a multiple of 8; weight [kt · kh · kw, outputs, inputs]; bias [outputs]
// → out [samples, outputs, frames, height, width]. The grid is (tiles of positions, tiles of outputs, samples).
DEVICE void conv3d(const bf16* x, const bf16* weight, const bf16* bias, bf16* out, Volume volume, int inputs, int outputs, int kt,
                   int kh, int kw, int time) {
    SHARED(bf16, tiles);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const long positions = static_cast<long>(volume.frames) * volume.height * volume.width;
    const long first = static_cast<long>(blockIdx.x) * POSITIONS;
    const int first_output = blockIdx.y * OUTPUTS;
    const bf16* sample = x + blockIdx.z * positions * inputs;

    // A thread copies the same chunk of every 32nd row.
    constexpr int ROWS = POSITIONS * CHUNKS / THREADS, STRIDE = THREADS / CHUNKS;
    const int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
    int frame[ROWS], line[ROWS], column[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const long position = first + row + i * STRIDE;
        column[i] = position % volume.width;
        line[i] = position / volume.width % volume.height;
        frame[i] = position < positions ? position / volume.width / volume.height : -1;
    }
    const int slices = (inputs + CHANNELS - 1) / CHANNELS, steps = kt * kh * kw * slices;
    const int front = time == CAUSAL ? kt - 1 : kt / 2;
    auto copy = [&](int step) {
        bf16* tile = tiles + step % STAGES * STAGE;
        const int tap = step / slices, channel = step % slices * CHANNELS + chunk * 8;
        const int dt = tap / (kh * kw) - front, dh = tap / kw % kh - kh / 2, dw = tap % kw - kw / 2;
        const bool inside = channel < inputs;
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            int f = frame[i] + dt;
            const int h = line[i] + dh, w = column[i] + dw;
            bool valid = inside && frame[i] >= 0 && h >= 0 && h < volume.height && w >= 0 && w < volume.width;
            if (time == ZEROS)
                valid = valid && f >= 0 && f < volume.frames;
            else
                f = f < 0 ? 0 : f >= volume.frames ? volume.frames - 1 : f;
            const long at = valid ? ((static_cast<long>(f) * volume.height + h) * volume.width + w) * inputs + channel : 0;
            copy_async(tile + swizzled<CHUNKS>(row + i * STRIDE, chunk), sample + at, valid);
        }
#pragma unroll
        for (int i = 0; i < OUTPUTS * CHUNKS / THREADS; ++i) {
            const int output = row + i * STRIDE;
            const bool valid = inside && first_output + output < outputs;
            const long at = valid ? (static_cast<long>(tap) * outputs + first_output + output) * inputs + channel : 0;
            copy_async(tile + POSITIONS * CHANNELS + swizzled<CHUNKS>(output, chunk), weight + at, valid);
        }
    };

    constexpr int M = 4, N = 4;
    const int warp_row = warp % 2 * M * 16, warp_column = warp / 2 * N * 8;
    float sums[M][N][4] = {};
    for (int step = 0; step < STAGES - 1; ++step) {
        if (step < steps) copy(step);
        copy_commit();
    }
    for (int step = 0; step < steps; ++step) {
        // This stage's tiles are here, and no warp reads those that the next copy goes to.
        copy_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) copy(step + STAGES - 1);
        copy_commit();
        const bf16* a_tile = tiles + step % STAGES * STAGE;
        const bf16* b_tile = a_tile + POSITIONS * CHANNELS;
#pragma unroll
        for (int inner = 0; inner < CHANNELS / 16; ++inner) {
            uint a[M][4], b[N / 2][4];
#pragma unroll
            for (int m = 0; m < M; ++m) load_a<CHUNKS>(a[m], a_tile, warp_row + m * 16, inner * 2);
#pragma unroll
            for (int n = 0; n < N / 2; ++n) load_b<CHUNKS>(b[n], b_tile, warp_column + n * 16, inner * 2);
#pragma unroll
            for (int m = 0; m < M; ++m)
#pragma unroll
                for (int n = 0; n < N; ++n) multiply(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
        }
    }

    // Through shared memory, so that positions are written side by side.
    constexpr int PITCH = POSITIONS + 8;
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int output = warp_column + n * 8 + lane % 4 * 2 + i;
            const float add = first_output + output < outputs ? to_float(bias[first_output + output]) : 0.f;
#pragma unroll
            for (int m = 0; m < M; ++m)
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    tiles[output * PITCH + warp_row + m * 16 + lane / 4 + half * 8] =
                        from_float<bf16>(sums[m][n][2 * half + i] + add);
        }
    __syncthreads();
    bf16* target = out + (blockIdx.z * static_cast<long>(outputs) + first_output) * positions + first;
    const bool whole = positions % 8 == 0;
    for (int work = threadIdx.x; work < OUTPUTS * POSITIONS / 8; work += THREADS) {
        const int output = work / (POSITIONS / 8), i = work % (POSITIONS / 8) * 8;
        if (first_output + output >= outputs || first + i >= positions) continue;
        const int left = positions - first - i < 8 ? static_cast<int>(positions - first - i) : 8;
        const Pack<bf16> pack = *reinterpret_cast<const Pack<bf16>*>(tiles + output * PITCH + i);
        store(target + output * positions + i, 0, left, whole, pack);
    }
}

KERNEL(256, 1, conv3d_bf16, const bf16* x, const bf16* weight, const bf16* bias, bf16* out, int frames, int height, int width,
       int inputs, int outputs, int kt, int kh, int kw, int time) {
    conv3d(x, weight, bias, out, Volume{frames, height, width}, inputs, outputs, kt, kh, kw, time);
}
