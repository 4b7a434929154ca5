// Attention as in attention.cu, for compute capability 9.0: Shah et al., "FlashAttention-3" (2024), from its description. A
// block takes 64 queries of one head for each of its consuming warpgroups. A warpgroup more copies tiles of 128 keys and of
// their values into a ring and is ahead of the others. The scores of the next keys are under way while a warpgroup multiplies
// the values of those before, and both while it takes the softmax; warpgroups issue their products in turn, so that one's
// softmax hides behind the others' products. The keys are walked from the last to the first: what is masked comes first.
#include "wgmma.cuh"

// Consuming warpgroups, and the registers a thread of theirs and of the copying one; the block has 65536.
template <int HD> struct Division;
template <> struct Division<64> {
    static constexpr int CONSUMERS = 3, CONSUMING = 160, COPYING = 32;
};
template <> struct Division<128> {
    static constexpr int CONSUMERS = 2, CONSUMING = 232, COPYING = 40;
};
static constexpr int KEYS = 128, STAGES = 6, ROWS = 64;

// Numbers of barriers: a warpgroup's turn to issue products, and its own.
static constexpr int TURN = 1, OWN = 4;

// Copies rows `first`.. of a head into panels of ROWS_ each; zeros behind `count`. Called by one warpgroup.
template <int HD, int ROWS_> DEVICE void copy_panels(bf16* tile, const bf16* head, int first, int count, long stride) {
    constexpr int CHUNKS = HD / 8, STEP = WARPGROUP / CHUNKS;
    static_assert(STEP % 8 == 0, "all rows of a thread are swizzled alike");
    const int thread = threadIdx.x % WARPGROUP, chunk = thread % CHUNKS, row = thread / CHUNKS, left = count - first - row;
    bf16* target = tile + chunk / PANEL_CHUNKS * ROWS_ * PANEL + swizzled<PANEL_CHUNKS>(row, chunk % PANEL_CHUNKS);
    const bf16* source = head + (first + row) * stride + chunk * 8;
#pragma unroll 8
    for (int i = 0; i < ROWS_ / STEP; ++i) {
        copy_async(target + i * STEP * PANEL, source, i * STEP < left);
        source += STEP * stride;
    }
}

// Scores become weights, in place; `shrink` is what everything before is to be multiplied by.
template <bool FIRST>
DEVICE void soften(float (&scores)[KEYS / 2], float (&largest)[2], float (&total)[2], float (&shrink)[2], float scale) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float even = FIRST ? -INFINITY : largest[half], odd = even;
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n) {
            even = fmaxf(even, scores[4 * n + 2 * half]);
            odd = fmaxf(odd, scores[4 * n + 2 * half + 1]);
        }
        const float most = max_row(fmaxf(even, odd)), offset = most * scale;
        shrink[half] = FIRST ? 0.f : fast_exp2(largest[half] * scale - offset);
        largest[half] = most;
        float sums[2] = {};
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                float& score = scores[4 * n + 2 * half + i];
                score = fast_exp2(score * scale - offset);
                sums[i] += score;
            }
        total[half] = (FIRST ? 0.f : total[half] * shrink[half]) + sums[0] + sums[1];
    }
}

// A product's result is laid out as the next one's left side.
DEVICE void pack_weights(uint (&weights)[KEYS / 16][4], const float (&scores)[KEYS / 2]) {
#pragma unroll
    for (int i = 0; i < KEYS / 4; ++i) weights[i / 4][i % 4] = pack_bf16(scores[2 * i], scores[2 * i + 1]);
}

template <int HD> DEVICE void multiply_keys(float (&scores)[KEYS / 2], Descriptor q, int q_panel, Descriptor k) {
#pragma unroll
    for (int inner = 0; inner < HD / 16; ++inner) {
        const int panel = inner / 4, within = inner % 4 * 32;
        product(scores, advanced(q, panel * q_panel + within), advanced(k, panel * KEYS * PANEL * 2 + within), inner > 0);
    }
}

template <int HD> DEVICE void multiply_values(float (&result)[HD / 2], const uint (&weights)[KEYS / 16][4], Descriptor v) {
#pragma unroll
    for (int inner = 0; inner < KEYS / 16; ++inner) product(result, weights[inner], advanced(v, inner * 16 * PANEL * 2));
}

// Arguments as in attention.cu. Shared memory: room for alignment, CONSUMERS · 64 queries, STAGES tiles of keys or values, and
// two barriers for each stage: when it is full and when it is empty.
template <int HD>
DEVICE void attention(const bf16* q, const bf16* k, const bf16* v, bf16* out, int queries, int keys, int heads, int kv_heads,
                      float scale) {
    using D = Division<HD>;
    constexpr int QUERIES = D::CONSUMERS * ROWS, CHUNKS = HD / 8, TILE = KEYS * HD;
    SHARED(bf16, shared);
    bf16* q_tile = aligned_panels(shared);
    bf16* ring = q_tile + QUERIES * HD;
    Barrier *full = reinterpret_cast<Barrier*>(ring + STAGES * TILE), *empty = full + STAGES;
    const int group = threadIdx.x / WARPGROUP, lane = threadIdx.x % 32;
    const int head = blockIdx.y, kv_head = head / (heads / kv_heads), first = blockIdx.x * QUERIES;
    const long q_stride = static_cast<long>(heads) * HD, kv_stride = static_cast<long>(kv_heads) * HD;
    const long q_start = blockIdx.z * queries * q_stride + head * HD, kv_start = blockIdx.z * keys * kv_stride + kv_head * HD;
    const int tiles = (keys + KEYS - 1) / KEYS;

    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; ++i) {
            barrier_init(full + i, WARPGROUP);
            barrier_init(empty + i, D::CONSUMERS * 4);
        }
    }
    __syncthreads();

    if (group == D::CONSUMERS) {
        fewer_registers<D::COPYING>();
        copy_panels<HD, QUERIES>(q_tile, q + q_start, first, queries, q_stride);
        Turn<STAGES> turn;
        // When the first tile is there, so are the queries. Keys are one tile ahead of the values, as they are consumed.
        for (int tile = tiles - 1; tile >= -1; --tile) {
#pragma unroll 1
            for (int values = 0; values < 2; ++values) {
                const int which = tile + values;
                if (which < 0 || which == tiles) continue;
                barrier_wait(empty + turn.stage, turn.parity ^ 1);
                copy_panels<HD, KEYS>(ring + turn.stage * TILE, (values ? v : k) + kv_start, which * KEYS, keys, kv_stride);
                barrier_arrive_copied(full + turn.stage);
                turn.next();
            }
        }
        copy_commit();
        copy_wait<0>();
    } else {
        more_registers<D::CONSUMING>();
        bf16* own = q_tile + group * ROWS * PANEL;
        const Descriptor q_rows = describe(own, 0), tiles_of_ring = describe(ring, KEYS * PANEL * 2);
        float scores[KEYS / 2] = {}, result[HD / 2] = {}, largest[2], total[2], shrink[2];
        uint weights[KEYS / 16][4];
        Turn<STAGES> turn;
        // A stage that is full is the next one's turn; one that no warp of this warpgroup reads any more is given back.
        auto take = [&] {
            const int stage = turn.stage;
            barrier_wait(full + stage, turn.parity);
            turn.next();
            return stage;
        };
        auto give_back = [&](int stage) {
            if (lane == 0) barrier_arrive(empty + stage);
        };
        auto at = [&](int stage) { return advanced(tiles_of_ring, stage * TILE * 2); };

        if (tiles > 1 && group == D::CONSUMERS - 1) announce(TURN, 2 * WARPGROUP);
        int next = take();
        shared_fence();
        product_fence();
        multiply_keys<HD>(scores, q_rows, QUERIES * PANEL * 2, at(next));
        product_commit();
        product_wait<0>(scores);
        give_back(next);
        const int last = (tiles - 1) * KEYS;
        if (last + KEYS > keys) {
#pragma unroll
            for (int i = 0; i < KEYS / 2; ++i)
                if (last + i / 4 * 8 + lane % 4 * 2 + i % 2 >= keys) scores[i] = -INFINITY;
        }
        soften<true>(scores, largest, total, shrink, scale);
        pack_weights(weights, scores);
        next = take();
#pragma unroll 1
        for (int tile = tiles - 2; tile >= 0; --tile) {
            const int k_stage = next, v_stage = take();
            shared_fence();
            meet(TURN + group, 2 * WARPGROUP);
            product_fence();
            multiply_keys<HD>(scores, q_rows, QUERIES * PANEL * 2, at(k_stage));
            product_commit();
            multiply_values<HD>(result, weights, at(v_stage));
            product_commit();
            // The last turn of all is nobody's.
            if (tile > 0 || group < D::CONSUMERS - 1) announce(TURN + (group + 1) % D::CONSUMERS, 2 * WARPGROUP);
            product_wait<1>(scores);
            give_back(k_stage);
            soften<false>(scores, largest, total, shrink, scale);
            // Here, so that the compiler leaves the softmax in front of the next wait: it moves nothing over a branch.
            hold(scores);
            next = take();
            product_wait<0>(result);
            give_back(v_stage);
#pragma unroll
            for (int i = 0; i < HD / 2; ++i) result[i] *= shrink[i % 4 / 2];
            pack_weights(weights, scores);
        }
        shared_fence();
        product_fence();
        multiply_values<HD>(result, weights, at(next));
        product_commit();
        product_wait<0>(result);

        // The result goes through the queries' rows, which this warpgroup alone has read, so that whole chunks are written.
        meet(OWN + group, WARPGROUP);
        const int warp_row = threadIdx.x % WARPGROUP / 32 * 16;
        auto place = [&](int row, int chunk) {
            return own + chunk / PANEL_CHUNKS * QUERIES * PANEL + swizzled<PANEL_CHUNKS>(row, chunk % PANEL_CHUNKS);
        };
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float inverse = 1.f / sum_row(total[half]);
#pragma unroll
            for (int n = 0; n < HD / 8; ++n) {
                const uint pair = pack_bf16(result[4 * n + 2 * half] * inverse, result[4 * n + 2 * half + 1] * inverse);
                *reinterpret_cast<uint*>(place(warp_row + lane / 4 + half * 8, n) + lane % 4 * 2) = pair;
            }
        }
        __syncwarp();
        bf16* out_rows = out + q_start + (first + group * ROWS) * q_stride;
        for (int work = lane; work < 16 * CHUNKS; work += 32) {
            const int row = warp_row + work / CHUNKS, chunk = work % CHUNKS;
            if (first + group * ROWS + row < queries)
                *reinterpret_cast<Pack<bf16>*>(out_rows + row * q_stride + chunk * 8) =
                    *reinterpret_cast<const Pack<bf16>*>(place(row, chunk));
        }
    }
}

KERNEL(512, 1, attention_hopper_64_bf16, const bf16* q, const bf16* k, const bf16* v, bf16* out, int queries, int keys,
       int heads, int kv_heads, float scale) {
    attention<64>(q, k, v, out, queries, keys, heads, kv_heads, scale);
}
KERNEL(384, 1, attention_hopper_128_bf16, const bf16* q, const bf16* k, const bf16* v, bf16* out, int queries, int keys,
       int heads, int kv_heads, float scale) {
    attention<128>(q, k, v, out, queries, keys, heads, kv_heads, scale);
}
