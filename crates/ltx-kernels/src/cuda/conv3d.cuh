// What the kernels of 3-D convolution share: which values a step multiplies and where results go. Stride 1, channels last, as
// a product without its unrolled input: positions times outputs, over taps and channels. A block of THREADS makes POSITIONS
// positions of OUTPUTS outputs; a step is 64 channels of one tap. Outputs unfold into positions while they are written.
#pragma once
#include "tile.cuh"

static constexpr int CHANNELS = 64, CHUNKS = CHANNELS / 8;
enum { CAUSAL = 0, REPLICATE = 1, ZEROS = 2 };

// The volume a position lies in, and the factors by which outputs unfold.
struct Volume {
    int frames, height, width;

    // Fewer than 2^31, as the launch has seen to.
    DEVICE int positions() const { return frames * height * width; }
};
struct Unfold {
    int time, rows, columns;
};

// x [samples, frames, height, width, inputs], inputs a multiple of 8; weight [kt · kh · kw, outputs, inputs]; bias [outputs];
// outputs ordered (time, row, column of the unfolding, channel)
// → out [samples, frames · time - (time - 1), height · rows, width · columns, channels], the first time - 1 frames left out;
// added to what is there where `add` says so. `whole`: channels are packs at aligned addresses. The grid is (tiles of
// positions, tiles of outputs, samples).
struct Convolution {
    const bf16 *x, *weight, *bias;
    bf16* out;
    Volume volume;
    int inputs, outputs, kt, kh, kw, time;
    Unfold unfold;
    bool add, whole;

    DEVICE int steps() const { return kt * kh * kw * ((inputs + CHANNELS - 1) / CHANNELS); }
};

// Copies a step's tiles to shared memory: [POSITIONS][64], then [OUTPUTS][64], swizzled. Steps are taken in order. Places are
// counted in packs of 8 channels; a sample has fewer than 2^32 of them, as the launch has seen to.
template <int POSITIONS, int OUTPUTS, int THREADS> struct Reader {
    // A thread copies the same pack of every STRIDEth row.
    static constexpr int STRIDE = THREADS / CHUNKS, ROWS = POSITIONS / STRIDE, OUTPUT_ROWS = OUTPUTS / STRIDE;
    static constexpr uint NOWHERE = 0xffffffffu;
    const Convolution& by;
    const bf16 *sample, *weight;
    const int chunk, row, packs, first_output;
    int frame[ROWS], line[ROWS], column[ROWS];
    // Where the rows of the next step's tap begin.
    uint start[ROWS];
    // The next step: its tap, and its channels in packs.
    int dt = 0, dh = 0, dw = 0, from = 0;

    DEVICE explicit Reader(const Convolution& by)
        : by(by), sample(by.x + static_cast<long>(blockIdx.z) * by.volume.positions() * by.inputs), weight(by.weight),
          chunk(threadIdx.x % CHUNKS), row(threadIdx.x % THREADS / CHUNKS), packs(by.inputs / 8),
          first_output(blockIdx.y * OUTPUTS) {
        const uint positions = by.volume.positions(), width = by.volume.width, height = by.volume.height;
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            const uint position = blockIdx.x * POSITIONS + row + i * STRIDE, whole_lines = position / width;
            column[i] = position - whole_lines * width;
            frame[i] = whole_lines / height;
            line[i] = whole_lines - frame[i] * height;
            // No tap of a row that is no position lies inside.
            if (position >= positions) line[i] = -(1 << 30);
        }
        locate();
    }

    DEVICE void locate() {
        const uint frames = by.volume.frames, height = by.volume.height, width = by.volume.width;
        const int front = by.time == CAUSAL ? by.kt - 1 : by.kt / 2, last = by.time == ZEROS ? 1 << 30 : by.volume.frames - 1;
        const int least = by.time == ZEROS ? -(1 << 30) : 0;
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            const uint f = min(max(frame[i] + dt - front, least), last);
            const uint h = line[i] + dh - by.kh / 2, w = column[i] + dw - by.kw / 2;
            const bool valid = (f < frames) & (h < height) & (w < width);
            start[i] = valid ? ((f * height + h) * width + w) * packs : NOWHERE;
        }
    }

    DEVICE void copy(bf16* tile) {
        const bool inside = from + chunk < packs;
#pragma unroll
        for (int i = 0; i < ROWS; ++i) {
            const bool valid = inside & (start[i] != NOWHERE);
            const uint at = valid ? start[i] + from + chunk : 0;
            copy_async(tile + swizzled<CHUNKS>(row + i * STRIDE, chunk), sample + static_cast<size_t>(at) * 8, valid);
        }
        bf16* weights = tile + POSITIONS * CHANNELS;
#pragma unroll
        for (int i = 0; i < OUTPUT_ROWS; ++i) {
            const int output = first_output + row + i * STRIDE;
            const bool valid = inside & (output < by.outputs);
            const uint at = valid ? output * packs + from + chunk : 0;
            copy_async(weights + swizzled<CHUNKS>(row + i * STRIDE, chunk), weight + static_cast<size_t>(at) * 8, valid);
        }
        from += CHUNKS;
        if (from >= packs) next_tap();
    }

    DEVICE void next_tap() {
        from = 0, weight += static_cast<long>(by.outputs) * by.inputs;
        if (++dw == by.kw) {
            dw = 0;
            if (++dh == by.kh) dh = 0, ++dt;
        }
        locate();
    }
};

// Sums of a tile in f32 in shared memory, so that a position's outputs are written side by side.
template <int POSITIONS, int OUTPUTS, int THREADS> struct Writer {
    static constexpr int PITCH = OUTPUTS + 8, PACKS = OUTPUTS / 8;
    struct alignas(8) Pair {
        float first, second;
    };

    // Two neighbouring outputs of a position, the first an even one.
    DEVICE static void put(float* results, int position, int output, float first, float second) {
        *reinterpret_cast<Pair*>(results + position * PITCH + output) = {first, second};
    }

    // Adds the bias and writes. A thread writes the same 8 outputs of every so manieth position.
    DEVICE static void write(const Convolution& by, const float* results) {
        const int height = by.volume.height, width = by.volume.width, dropped = by.unfold.time - 1;
        const Unfold unfold = by.unfold;
        const int channels = by.outputs / (unfold.time * unfold.rows * unfold.columns);
        const long out_height = static_cast<long>(height) * unfold.rows, out_width = static_cast<long>(width) * unfold.columns;
        const long out_frames = static_cast<long>(by.volume.frames) * unfold.time - dropped;
        bf16* out_sample = by.out + blockIdx.z * out_frames * out_height * out_width * channels;
        // Where an output goes, seen from its position.
        struct Place {
            int time, row, column, channel;
        };
        auto place_of = [&](int output) {
            const int group = output / channels;
            return Place{group / (unfold.rows * unfold.columns) - dropped, group / unfold.columns % unfold.rows,
                         group % unfold.columns, output % channels};
        };
        const int from = threadIdx.x % THREADS % PACKS * 8, first_output = blockIdx.y * OUTPUTS + from;
        const uint positions = by.volume.positions();
        const Place place = place_of(first_output);
        for (int row = threadIdx.x % THREADS / PACKS; row < POSITIONS; row += THREADS / PACKS) {
            const uint position = blockIdx.x * POSITIONS + row;
            if (position >= positions) break;
            const int whole_lines = position / static_cast<uint>(width), w = position - whole_lines * width;
            const int f = static_cast<uint>(whole_lines) / static_cast<uint>(height), h = whole_lines - f * height;
            const float* result = results + row * PITCH + from;
            // Null where its frame is left out.
            auto target_of = [&](const Place& place) -> bf16* {
                const long frame = static_cast<long>(f) * unfold.time + place.time;
                const long line = static_cast<long>(h) * unfold.rows + place.row;
                const long column = static_cast<long>(w) * unfold.columns + place.column;
                const long at = (frame * out_height + line) * out_width + column;
                return frame < 0 ? nullptr : out_sample + at * channels + place.channel;
            };
            if (by.whole) {
                auto* target = reinterpret_cast<Pack<bf16>*>(target_of(place));
                if (target == nullptr || first_output >= by.outputs) continue;
                const Pack<bf16> biases = *reinterpret_cast<const Pack<bf16>*>(by.bias + first_output);
                Pack<bf16> pack;
                if (by.add) pack = *target;
#pragma unroll
                for (int j = 0; j < 8; ++j) pack.set(j, result[j] + biases[j] + (by.add ? pack[j] : 0.f));
                *target = pack;
            } else {
                for (int j = 0; j < 8 && first_output + j < by.outputs; ++j) {
                    bf16* target = target_of(place_of(first_output + j));
                    if (target == nullptr) continue;
                    const float y = result[j] + to_float(by.bias[first_output + j]);
                    *target = from_float<bf16>(by.add ? y + to_float(*target) : y);
                }
            }
        }
    }
};

// Arguments as the launches give them.
#define CONVOLUTION_ARGUMENTS                                                                                          \
    const bf16 *x, const bf16 *weight, const bf16 *bias, bf16 *out, int frames, int height, int width, int inputs,      \
        int outputs, int kt, int kh, int kw, int time, int unfold_time, int unfold_rows, int unfold_columns, int add, \
        int whole
#define CONVOLUTION                                                                                      \
    Convolution {                                                                                        \
        x, weight, bias, out, {frames, height, width}, inputs, outputs, kt, kh, kw, time,                \
            {unfold_time, unfold_rows, unfold_columns}, add != 0, whole != 0                             \
    }
