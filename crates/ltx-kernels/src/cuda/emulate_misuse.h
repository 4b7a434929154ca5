// A product of a warpgroup with one mistake, which emulate_hopper.cpp must refuse; a test names the mistake by its number.
#pragma once
#include "wgmma.cuh"

enum {
    NONE,
    NO_SHARED_FENCE,
    NO_PRODUCT_FENCE,
    NO_WAIT,
    SUMS_TOUCHED,
    LEFT_TOUCHED,
    UNALIGNED,
    OUTSIDE,
    DIFFERENT,
    NO_SWIZZLE,
    FENCE_TOO_EARLY,
    BARRIER_NOT_SET_UP,
    COPIES_LEFT,
    ANNOUNCED_ONLY,
};

// x [64, 64] → out [64, 128]: twice the product of x with its transpose, twice side by side. Shared memory: room for
// alignment, 192 rows of 64, one barrier.
KERNEL(128, 1, misuse_bf16, const bf16* x, bf16* out, int mistake) {
    SHARED(bf16, shared);
    bf16 *a = aligned_panels(shared), *b = a + 64 * PANEL;
    Barrier* full = reinterpret_cast<Barrier*>(b + 128 * PANEL);
    if (threadIdx.x == 0 && mistake != BARRIER_NOT_SET_UP) barrier_init(full, WARPGROUP);
    __syncthreads();
    for (int work = threadIdx.x; work < 192 * PANEL_CHUNKS; work += WARPGROUP) {
        const int row = work / PANEL_CHUNKS, chunk = work % PANEL_CHUNKS;
        copy_async(a + swizzled<PANEL_CHUNKS>(row, chunk), x + row % 64 * PANEL + chunk * 8, true);
    }
    barrier_arrive_copied(full);
    if (mistake == FENCE_TOO_EARLY) shared_fence();
    barrier_wait(full, 0);
    if (mistake != NO_SHARED_FENCE && mistake != FENCE_TOO_EARLY) shared_fence();

    Descriptor left = describe(mistake == UNALIGNED ? a + PANEL : a, 0);
    if (mistake == OUTSIDE) left = advanced(left, 192 * PANEL * 2);
    if (mistake == DIFFERENT && threadIdx.x % 32 == 5) left = advanced(left, 32);
    if (mistake == NO_SWIZZLE) left &= ~(Descriptor{1} << 62);
    float sums[64] = {};
    if (mistake != NO_PRODUCT_FENCE) product_fence();
    const Descriptor right = describe(b, 0);
    for (int inner = 0; inner < 4; ++inner) product(sums, advanced(left, inner * 32), advanced(right, inner * 32), inner > 0);
    product_commit();
    if (mistake == SUMS_TOUCHED) sums[7] = 0.f;
    if (mistake != NO_WAIT) product_wait<0>(sums);
    // Once more, with the sums' left side in registers and nothing added but zeros.
    uint none[4] = {};
    product_fence();
    product(sums, none, describe(b, 64 * PANEL * 2));
    product_commit();
    if (mistake == LEFT_TOUCHED) none[1] = 1;
    if (mistake != NO_WAIT) product_wait<0>(sums);
    if (mistake == COPIES_LEFT) copy_async(a, x, true);
    if (mistake == ANNOUNCED_ONLY) announce(1, 2 * WARPGROUP);
    copy_commit();
    if (mistake != COPIES_LEFT) copy_wait<0>();
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
    for (int i = 0; i < 64; ++i) {
        const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
        out[(row + i % 4 / 2 * 8) * 128 + column] = from_float<bf16>(2.f * sums[i]);
    }
}
