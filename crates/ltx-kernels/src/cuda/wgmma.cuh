// Hopper's tensor cores (compute capability 9.0): the product of a warpgroup, the barriers in shared memory, and the order
// between the two. A warpgroup is four warps, 128 threads; warp w of it holds rows 16w.. of a product's 64. Layouts are those
// of the PTX ISA's wgmma.m64nNk16: with g = lane / 4 and t = lane % 4 of a warp,
//   A [64, 16] in registers and the sums C [64, N] are laid out per warp as in tile.cuh: c[4n..4n+3] are columns 8n..
//   A and B in shared memory are panels of rows of 128 bytes, swizzled as tile.cuh does (128-byte swizzle), beginning at
//   multiples of 1024 bytes. "K-major" panels are [rows or columns, 64 of the inner dimension], "N-major" ones [inner
//   dimension, 64 columns].
#pragma once
#include "tile.cuh"

static constexpr int WARPGROUP = 128, PANEL = 64, PANEL_CHUNKS = PANEL / 8, PANEL_ALIGNMENT = 1024;

// Where the instruction finds a side in shared memory.
using Descriptor = unsigned long long;

#ifndef LTX_EMULATE

// Sums of an instruction as operands, and as the instruction names them.
#define SUMS_8(c, i) \
    "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define SUMS_32(c, i) SUMS_8(c, i), SUMS_8(c, i + 8), SUMS_8(c, i + 16), SUMS_8(c, i + 24)
#define NAMES_32                                                                                     \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
    "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_64                                                                                            \
    NAMES_32                                                                                                \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, " \
    "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// c = a · b, plus c where `add` says so; a and b K-major in shared memory. Begun, not done: the sums may be touched after
// product_wait alone.
DEVICE void product(float (&c)[64], Descriptor a, Descriptor b, bool add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_64 "}, %64, %65, add, 1, 1, 0, 0;\n}"
        : SUMS_32(c, 0), SUMS_32(c, 32)
        : "l"(a), "l"(b), "r"(static_cast<int>(add))
        : "memory");
}

// c += a · b; a in registers, which must stay as they are until the product is done, b N-major in shared memory.
DEVICE void product(float (&c)[32], const uint (&a)[4], Descriptor b) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_32 "}, {%32, %33, %34, %35}, %36, add, 1, 1, 1;\n}"
        : SUMS_32(c, 0)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)
        : "memory");
}
DEVICE void product(float (&c)[64], const uint (&a)[4], Descriptor b) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_64 "}, {%64, %65, %66, %67}, %68, add, 1, 1, 1;\n}"
        : SUMS_32(c, 0), SUMS_32(c, 32)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)
        : "memory");
}

// Before products: their registers hold what was last written to them.
DEVICE void product_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// Closes a group of products.
DEVICE void product_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Keeps the compiler from moving what reads the sums before a wait.
template <int N> DEVICE void hold(float (&c)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(c[i])::"memory");
}

// Waits until at most N groups are under way; then takes the sums of those that are done.
template <int N, class... Sums> DEVICE void product_wait(Sums&... sums) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
    (hold(sums), ...);
}

// What ordinary copies wrote to shared memory, and this thread knows to be there, is there for its products.
DEVICE void shared_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A barrier in shared memory, for `arrivals` at a time. Whoever waits names the parity of the phase: 0, 1, 0, …
using Barrier = unsigned long long;

DEVICE void barrier_init(Barrier* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
DEVICE void barrier_arrive(Barrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives when all copies that this thread has begun are done.
DEVICE void barrier_arrive_copied(Barrier* barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}
DEVICE void barrier_wait(Barrier* barrier, uint parity) {
    uint done;
    do {
        asm volatile(
            "{\n.reg .pred done;\nmbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\nselp.u32 %0, 1, 0, done;\n}"
            : "=r"(done)
            : "r"(shared_address(barrier)), "r"(parity)
            : "memory");
    } while (!done);
}

// The numbered barriers of a block: `threads` come, of which those that only announce themselves do not wait.
DEVICE void meet(int number, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory"); }
DEVICE void announce(int number, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory"); }

// A warpgroup's registers a thread from now on; the block's together are no more than it began with.
template <int N> DEVICE void fewer_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> DEVICE void more_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }

// 2^x to 22 bits; results below the smallest normal number are 0.
DEVICE float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#else
#include "emulate_hopper.h"
#endif

// The first address from `shared` on where panels may begin.
DEVICE bf16* aligned_panels(bf16* shared) {
    const uint behind = shared_address(shared) % PANEL_ALIGNMENT;
    return shared + (behind ? PANEL_ALIGNMENT - behind : 0) / sizeof(bf16);
}

// The products' view of panels from `panel` on: for K-major ones `next` is of no account, for N-major ones it is the distance
// in bytes to the panel of the next 64 columns. Eight rows are 1024 bytes, and the next eight lie behind them.
DEVICE Descriptor describe(const bf16* panel, int next) {
    const Descriptor swizzle_128 = 1;
    return (shared_address(panel) & 0x3ffff) >> 4 | static_cast<Descriptor>(next >> 4) << 16 |
           static_cast<Descriptor>(PANEL_ALIGNMENT >> 4) << 32 | swizzle_128 << 62;
}

// So many bytes further on.
DEVICE Descriptor advanced(Descriptor descriptor, int bytes) { return descriptor + (bytes >> 4); }

// Which stage of a ring of N comes next, and the parity of its phase.
template <int N> struct Turn {
    int stage = 0;
    uint parity = 0;

    DEVICE void next() {
        if (++stage == N) stage = 0, parity ^= 1;
    }
};
