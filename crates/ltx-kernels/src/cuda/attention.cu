// Attention without a mask, exact, with the softmax taken as the keys go by: Dao, "FlashAttention-2" (2023).
// A block takes 128 queries of one head, 32 a warp, and walks over the keys in tiles of 64. The copy of the values hides behind
// the scores, that of the next keys behind the product with the values. Scores and sums are in f32, weights in bf16.
#include "tile.cuh"

static constexpr int WARPS = 4, M_TILES = 2, QUERIES = WARPS * M_TILES * 16, KEYS = 64;

// Copies rows `first`.. of a head into a tile of ROWS; zeros behind `count`.
template <int HD, int ROWS> DEVICE void copy_rows(bf16* tile, const bf16* head, int first, int count, long stride) {
    constexpr int CHUNKS = HD / 8;
    for (int work = threadIdx.x; work < ROWS * CHUNKS; work += WARPS * 32) {
        const int row = work / CHUNKS, chunk = work % CHUNKS;
        const bool valid = first + row < count;
        copy_async(tile + swizzled<CHUNKS>(row, chunk), head + (valid ? first + row : 0) * stride + chunk * 8, valid);
    }
}

// q and out [batch, queries, heads · HD]; k and v [batch, keys, kv_heads · HD]. `scale` is in units of log2 e. The grid is
// (tiles of queries, heads, batch). Shared memory: (QUERIES + 2 · KEYS) · HD values.
template <int HD>
DEVICE void attention(const bf16* q, const bf16* k, const bf16* v, bf16* out, int queries, int keys, int heads, int kv_heads,
                      float scale) {
    constexpr int CHUNKS = HD / 8;
    SHARED(bf16, q_tile);
    bf16* k_tile = q_tile + QUERIES * HD;
    bf16* v_tile = k_tile + KEYS * HD;
    const int head = blockIdx.y, kv_head = head / (heads / kv_heads), lane = threadIdx.x % 32;
    const int first = blockIdx.x * QUERIES, warp_row = threadIdx.x / 32 * M_TILES * 16;
    const long q_stride = static_cast<long>(heads) * HD, kv_stride = static_cast<long>(kv_heads) * HD;
    const bf16* q_head = q + blockIdx.z * queries * q_stride + head * HD;
    const bf16* k_head = k + blockIdx.z * keys * kv_stride + kv_head * HD;
    const bf16* v_head = v + blockIdx.z * keys * kv_stride + kv_head * HD;

    float result[M_TILES][HD / 8][4] = {}, largest[M_TILES][2], total[M_TILES][2] = {};
    for (int m = 0; m < M_TILES; ++m) largest[m][0] = largest[m][1] = -INFINITY;

    copy_rows<HD, QUERIES>(q_tile, q_head, first, queries, q_stride);
    copy_rows<HD, KEYS>(k_tile, k_head, 0, keys, kv_stride);
    copy_commit();
    for (int start = 0; start < keys; start += KEYS) {
        // The keys are here, and no warp reads the values of the tile before any more.
        copy_wait<0>();
        __syncthreads();
        copy_rows<HD, KEYS>(v_tile, v_head, start, keys, kv_stride);
        copy_commit();

        float scores[M_TILES][KEYS / 8][4] = {};
#pragma unroll
        for (int inner = 0; inner < HD / 16; ++inner) {
            uint a[M_TILES][4];
#pragma unroll
            for (int m = 0; m < M_TILES; ++m) load_a<CHUNKS>(a[m], q_tile, warp_row + m * 16, inner * 2);
#pragma unroll
            for (int n = 0; n < KEYS / 16; ++n) {
                uint b[4];
                load_b<CHUNKS>(b, k_tile, n * 16, inner * 2);
#pragma unroll
                for (int m = 0; m < M_TILES; ++m) {
                    multiply(scores[m][2 * n], a[m], b[0], b[1]);
                    multiply(scores[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
        // The values are here, and no warp reads the keys any more.
        copy_wait<0>();
        __syncthreads();
        if (start + KEYS < keys) copy_rows<HD, KEYS>(k_tile, k_head, start + KEYS, keys, kv_stride);
        copy_commit();

        if (start + KEYS > keys) {
#pragma unroll
            for (int m = 0; m < M_TILES; ++m)
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                    for (int i = 0; i < 4; ++i)
                        if (start + n * 8 + lane % 4 * 2 + i % 2 >= keys) scores[m][n][i] = -INFINITY;
        }
        // Scores become weights, in place; what came before is scaled to the new largest score.
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float most = largest[m][half];
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n) most = fmaxf(most, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
                most = max_row(most);
                const float shrink = exp2f((largest[m][half] - most) * scale), offset = most * scale;
                largest[m][half] = most;
                float sum = 0.f;
#pragma unroll
                for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; ++i) {
                        scores[m][n][i] = exp2f(scores[m][n][i] * scale - offset);
                        sum += scores[m][n][i];
                    }
                total[m][half] = total[m][half] * shrink + sum;
#pragma unroll
                for (int n = 0; n < HD / 8; ++n) {
                    result[m][n][2 * half] *= shrink;
                    result[m][n][2 * half + 1] *= shrink;
                }
            }
#pragma unroll
        for (int inner = 0; inner < KEYS / 16; ++inner) {
            // A product's result is laid out as the next one's left side.
            uint a[M_TILES][4];
#pragma unroll
            for (int m = 0; m < M_TILES; ++m) {
                const float(&low)[4] = scores[m][2 * inner], (&high)[4] = scores[m][2 * inner + 1];
                a[m][0] = pack_bf16(low[0], low[1]);
                a[m][1] = pack_bf16(low[2], low[3]);
                a[m][2] = pack_bf16(high[0], high[1]);
                a[m][3] = pack_bf16(high[2], high[3]);
            }
#pragma unroll
            for (int n = 0; n < HD / 16; ++n) {
                uint b[4];
                load_b_rows<CHUNKS>(b, v_tile, inner * 16, n * 2);
#pragma unroll
                for (int m = 0; m < M_TILES; ++m) {
                    multiply(result[m][2 * n], a[m], b[0], b[1]);
                    multiply(result[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
    }
    // Each warp's rows of the queries' tile are its own: the result goes through them, so that whole chunks are written.
    __syncwarp();
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float inverse = 1.f / sum_row(total[m][half]);
            const int row = warp_row + m * 16 + lane / 4 + half * 8;
#pragma unroll
            for (int n = 0; n < HD / 8; ++n) {
                const uint pair = pack_bf16(result[m][n][2 * half] * inverse, result[m][n][2 * half + 1] * inverse);
                *reinterpret_cast<uint*>(q_tile + swizzled<CHUNKS>(row, n) + lane % 4 * 2) = pair;
            }
        }
    __syncwarp();
    bf16* out_head = out + blockIdx.z * queries * q_stride + head * HD;
    for (int work = lane; work < M_TILES * 16 * CHUNKS; work += 32) {
        const int row = warp_row + work / CHUNKS, chunk = work % CHUNKS;
        if (first + row < queries)
            *reinterpret_cast<Pack<bf16>*>(out_head + (first + row) * q_stride + chunk * 8) =
                *reinterpret_cast<const Pack<bf16>*>(q_tile + swizzled<CHUNKS>(row, chunk));
    }
}

KERNEL(128, 2, attention_64_bf16, const bf16* q, const bf16* k, const bf16* v, bf16* out, int queries, int keys, int heads,
       int kv_heads, float scale) {
    attention<64>(q, k, v, out, queries, keys, heads, kv_heads, scale);
}
KERNEL(128, 2, attention_128_bf16, const bf16* q, const bf16* k, const bf16* v, bf16* out, int queries, int keys, int heads,
       int kv_heads, float scale) {
    attention<128>(q, k, v, out, queries, keys, heads, kv_heads, scale);
}
