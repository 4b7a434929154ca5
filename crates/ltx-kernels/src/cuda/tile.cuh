// Tensor cores and shared memory: asynchronous copies, matrices from shared memory to registers, the bf16 product.
// Layouts are those of the PTX ISA's mma.m16n8k16 and ldmatrix: with g = lane / 4 and t = lane % 4,
//   A [16, 16] row-major: a[0] (row g, columns 2t 2t+1)  a[1] (row g+8)  a[2] (row g, columns 2t+8 2t+9)  a[3] (row g+8, the same)
//   B [16, 8]: b[0] (rows 2t 2t+1, column g)  b[1] (rows 2t+8 2t+9)
//   C [16, 8]: c[0] c[1] (row g, columns 2t 2t+1)  c[2] c[3] (row g+8)
#pragma once
#include "common.cuh"

// Where 16 bytes of a row lie in a tile of shared memory whose rows are CHUNKS times 16 bytes: spread so that 8 rows of one
// column fall into different banks. In elements of bf16.
template <int CHUNKS> DEVICE int swizzled(int row, int chunk) { return (row * CHUNKS + (chunk ^ (row & 7))) * 8; }

#ifndef LTX_EMULATE

DEVICE uint shared_address(const void* pointer) { return static_cast<uint>(__cvta_generic_to_shared(pointer)); }

// Begins to copy 16 bytes to shared memory; zeros where `valid` is false, and nothing is read then.
DEVICE void copy_async(bf16* target, const bf16* source, bool valid) {
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(target)), "l"(source), "r"(bytes) : "memory");
}

// Closes a group of copies.
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most N groups of this thread's copies are under way.
template <int N> DEVICE void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// Four 8×8 matrices; lane l names row l % 8 of matrix l / 8.
DEVICE void load_matrices(uint (&r)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each matrix transposed.
DEVICE void load_transposed(uint (&r)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// c += a · b, sums in f32.
DEVICE void multiply(float (&c)[4], const uint (&a)[4], uint b0, uint b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

// A fragment [16, 16] of a tile whose rows run along the product's inner dimension: rows from `row` on, 16-byte chunks from
// `chunk` on.
template <int CHUNKS> DEVICE void load_a(uint (&r)[4], const bf16* tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load_matrices(r, tile + swizzled<CHUNKS>(row + lane % 16, chunk + lane / 16));
}

// Two fragments of B, [16, 8] each, of a tile stored [columns, inner]: columns from `column` on. r[0] r[1] are the first's, r[2]
// r[3] the second's.
template <int CHUNKS> DEVICE void load_b(uint (&r)[4], const bf16* tile, int column, int chunk) {
    const int lane = threadIdx.x % 32;
    load_matrices(r, tile + swizzled<CHUNKS>(column + lane % 8 + lane / 16 * 8, chunk + lane / 8 % 2));
}

// The same of a tile stored [inner, columns]: inner rows from `row` on, columns from 8 · `chunk` on.
template <int CHUNKS> DEVICE void load_b_rows(uint (&r)[4], const bf16* tile, int row, int chunk) {
    const int lane = threadIdx.x % 32;
    load_transposed(r, tile + swizzled<CHUNKS>(row + lane % 8 + lane / 8 % 2 * 8, chunk + lane / 16));
}

// The largest of a row of a product's result over the four lanes that hold it; `sum_row` likewise.
DEVICE float max_row(float x) {
    x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}
DEVICE float sum_row(float x) {
    x += __shfl_xor_sync(FULL_WARP, x, 1);
    return x + __shfl_xor_sync(FULL_WARP, x, 2);
}
