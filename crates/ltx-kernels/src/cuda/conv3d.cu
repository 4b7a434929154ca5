// 3-D convolution as conv3d.cuh says. A block makes 128 positions of 128 outputs; each of its 8 warps 64 positions of 32
// outputs. Three stages of tiles are copied while the one before is multiplied.
#include "conv3d.cuh"

static constexpr int POSITIONS = 128, OUTPUTS = 128, STAGES = 3, THREADS = 256;
static constexpr int STAGE = (POSITIONS + OUTPUTS) * CHANNELS;

// Shared memory: STAGES tiles.
DEVICE void conv3d(const Convolution& by) {
    SHARED(bf16, tiles);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Reader<POSITIONS, OUTPUTS, THREADS> reader(by);
    const int steps = by.steps();

    constexpr int M = 4, N = 4;
    const int warp_row = warp % 2 * M * 16, warp_column = warp / 2 * N * 8;
    float sums[M][N][4] = {};
    for (int step = 0; step < STAGES - 1; ++step) {
        if (step < steps) reader.copy(tiles + step * STAGE);
        copy_commit();
    }
    for (int step = 0; step < steps; ++step) {
        // This stage's tiles are here, and no warp reads those that the next copy goes to.
        copy_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) reader.copy(tiles + (step + STAGES - 1) % STAGES * STAGE);
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

    using Out = Writer<POSITIONS, OUTPUTS, THREADS>;
    float* results = reinterpret_cast<float*>(tiles);
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int position = warp_row + m * 16 + lane / 4 + half * 8, output = warp_column + n * 8 + lane % 4 * 2;
                Out::put(results, position, output, sums[m][n][2 * half], sums[m][n][2 * half + 1]);
            }
    __syncthreads();
    Out::write(by, results);
}

KERNEL(256, 1, conv3d_bf16, CONVOLUTION_ARGUMENTS) { conv3d(CONVOLUTION); }
