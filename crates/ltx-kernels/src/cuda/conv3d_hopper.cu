// 3-D convolution as conv3d.cuh says, for compute capability 9.0. A block makes 256 positions of 128 outputs. Two warpgroups
// multiply, each 128 positions in two products of 64; two more copy tiles into a ring of four stages and are ahead of them.
#include "conv3d.cuh"
#include "wgmma.cuh"

static constexpr int POSITIONS = 256, OUTPUTS = 128, STAGES = 4, THREADS = 256, M = POSITIONS / 128;
static constexpr int STAGE = (POSITIONS + OUTPUTS) * CHANNELS;
// Registers a thread of the multiplying and of the copying warpgroups; the block has 65536.
static constexpr int MULTIPLYING = 168, COPYING = 88;
// The number of the multiplying warpgroups' barrier.
static constexpr int OWN = 1;

// Shared memory: room for alignment, STAGES tiles, and two barriers for each stage: when it is full and when it is empty.
DEVICE void conv3d(const Convolution& by) {
    SHARED(bf16, shared);
    bf16* tiles = aligned_panels(shared);
    Barrier *full = reinterpret_cast<Barrier*>(tiles + STAGES * STAGE), *empty = full + STAGES;
    const int steps = by.steps();
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) {
            barrier_init(full + i, THREADS);
            barrier_init(empty + i, THREADS / 32);
        }
    }
    __syncthreads();

    Turn<STAGES> turn;
    if (threadIdx.x >= THREADS) {
        fewer_registers<COPYING>();
        Reader<POSITIONS, OUTPUTS, THREADS> reader(by);
        for (int step = 0; step < steps; ++step) {
            barrier_wait(empty + turn.stage, turn.parity ^ 1);
            reader.copy(tiles + turn.stage * STAGE);
            barrier_arrive_copied(full + turn.stage);
            turn.next();
        }
        copy_commit();
        copy_wait<0>();
    } else {
        more_registers<MULTIPLYING>();
        const int lane = threadIdx.x % 32, group_row = threadIdx.x / WARPGROUP * M * 64;
        const Descriptor a = describe(tiles + group_row * CHANNELS, 0), b = describe(tiles + POSITIONS * CHANNELS, 0);
        float sums[M][OUTPUTS / 2] = {};
#pragma unroll 1
        for (int step = 0; step < steps; ++step) {
            const int stage = turn.stage, bytes = stage * STAGE * 2;
            barrier_wait(full + stage, turn.parity);
            turn.next();
            shared_fence();
            product_fence();
#pragma unroll
            for (int inner = 0; inner < CHANNELS / 16; ++inner)
#pragma unroll
                for (int m = 0; m < M; ++m) {
                    const int rows = m * 64 * CHANNELS * 2;
                    product(sums[m], advanced(a, bytes + rows + inner * 32), advanced(b, bytes + inner * 32), true);
                }
            product_commit();
            // The step before is done in this warp.
            product_wait<1>();
            if (step > 0 && lane == 0) barrier_arrive(empty + (stage + STAGES - 1) % STAGES);
        }
        product_wait<0>(sums[0], sums[1]);

        using Out = Writer<POSITIONS, OUTPUTS, THREADS>;
        float* results = reinterpret_cast<float*>(tiles);
        meet(OWN, THREADS);
        const int warp_row = group_row + threadIdx.x % WARPGROUP / 32 * 16;
#pragma unroll
        for (int m = 0; m < M; ++m)
#pragma unroll
            for (int n = 0; n < OUTPUTS / 8; ++n)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const int position = warp_row + m * 64 + lane / 4 + half * 8, output = n * 8 + lane % 4 * 2;
                    Out::put(results, position, output, sums[m][4 * n + 2 * half], sums[m][4 * n + 2 * half + 1]);
                }
        meet(OWN, THREADS);
        Out::write(by, results);
    }
}

KERNEL(512, 1, conv3d_hopper_bf16, CONVOLUTION_ARGUMENTS) { conv3d(CONVOLUTION); }
