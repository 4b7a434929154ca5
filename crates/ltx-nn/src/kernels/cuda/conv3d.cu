// 3-D convolution, stride 1, channels last, as a product without its unrolled input: positions times outputs, over taps and
// channels. A block makes 128 positions of 128 outputs; each of its 8 warps 64 positions of 32 outputs. Three stages of tiles, 64
// channels of one tap each, are copied while the one before is multiplied. Outputs unfold into positions while they are written.
#include "tile.cuh"

static constexpr int POSITIONS = 128, OUTPUTS = 128, CHANNELS = 64, STAGES = 3, THREADS = 256, CHUNKS = CHANNELS / 8;
static constexpr int STAGE = (POSITIONS + OUTPUTS) * CHANNELS;
enum { CAUSAL = 0, REPLICATE = 1, ZEROS = 2 };

// The volume a position lies in, and the factors by which outputs unfold.
struct Volume {
    int frames, height, width;
};
struct Unfold {
    int time, rows, columns;
};

// x [samples, frames, height, width, inputs], inputs a multiple of 8; weight [kt · kh · kw, outputs, inputs]; bias [outputs];
// outputs ordered (time, row, column of the unfolding, channel)
// → out [samples, frames · time - (time - 1), height · rows, width · columns, channels], the first time - 1 frames left out; added to
// what is there where `add` says so. `whole`: channels are packs at aligned addresses. The grid is (tiles of positions, tiles of
// outputs, samples).
DEVICE void conv3d(const bf16* x, const bf16* weight, const bf16* bias, bf16* out, Volume volume, int inputs, int outputs, int kt,
                   int kh, int kw, int time, Unfold unfold, bool add, bool whole) {
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

    // Through shared memory, in f32, so that a position's outputs are written side by side.
    constexpr int PITCH = OUTPUTS + 8;
    float* results = reinterpret_cast<float*>(tiles);
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int position = warp_row + m * 16 + lane / 4 + i / 2 * 8, output = warp_column + n * 8 + lane % 4 * 2 + i % 2;
                results[position * PITCH + output] = sums[m][n][i];
            }
    __syncthreads();
    const int channels = outputs / (unfold.time * unfold.rows * unfold.columns), dropped = unfold.time - 1;
    const long out_height = static_cast<long>(volume.height) * unfold.rows, out_width = static_cast<long>(volume.width) * unfold.columns;
    const long out_frames = static_cast<long>(volume.frames) * unfold.time - dropped;
    bf16* out_sample = out + blockIdx.z * out_frames * out_height * out_width * channels;
    for (int work = threadIdx.x; work < POSITIONS * OUTPUTS / 8; work += THREADS) {
        const int place = work / (OUTPUTS / 8), from = work % (OUTPUTS / 8) * 8;
        const long position = first + place;
        if (position >= positions) continue;
        const int w = position % volume.width, h = position / volume.width % volume.height, f = position / volume.width / volume.height;
        const float* result = results + place * PITCH + from;
        // Where an output goes; null where it is none or its frame is left out.
        auto target_of = [&](int output) -> bf16* {
            if (output >= outputs) return nullptr;
            const int group = output / channels;
            const long frame = static_cast<long>(f) * unfold.time + group / (unfold.rows * unfold.columns) - dropped;
            const long row = static_cast<long>(h) * unfold.rows + group / unfold.columns % unfold.rows;
            const long at = (frame * out_height + row) * out_width + static_cast<long>(w) * unfold.columns + group % unfold.columns;
            return frame < 0 ? nullptr : out_sample + at * channels + output % channels;
        };
        if (whole) {
            auto* target = reinterpret_cast<Pack<bf16>*>(target_of(first_output + from));
            if (target == nullptr) continue;
            const Pack<bf16> biases = *reinterpret_cast<const Pack<bf16>*>(bias + first_output + from);
            Pack<bf16> pack;
            if (add) pack = *target;
#pragma unroll
            for (int j = 0; j < 8; ++j) pack.set(j, result[j] + biases[j] + (add ? pack[j] : 0.f));
            *target = pack;
        } else {
            for (int j = 0; j < 8; ++j) {
                bf16* target = target_of(first_output + from + j);
                if (target == nullptr) continue;
                const float y = result[j] + to_float(bias[first_output + from + j]);
                *target = from_float<bf16>(add ? y + to_float(*target) : y);
            }
        }
    }
}

KERNEL(256, 1, conv3d_bf16, const bf16* x, const bf16* weight, const bf16* bias, bf16* out, int frames, int height, int width,
       int inputs, int outputs, int kt, int kh, int kw, int time, int unfold_time, int unfold_rows, int unfold_columns, int add,
       int whole) {
    conv3d(x, weight, bias, out, Volume{frames, height, width}, inputs, outputs, kt, kh, kw, time,
           Unfold{unfold_time, unfold_rows, unfold_columns}, add, whole);
}
