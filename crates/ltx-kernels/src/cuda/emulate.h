// CUDA's threads, barriers, warps and tensor cores on a CPU, as far as these kernels use them: slow, and strict where a GPU is
// silent. Every thread of a block is a fiber. What is checked: the warp's operations are reached by all its lanes alike;
// barriers do not deadlock; copies to shared memory arrive when they are waited for and not before, or else at once (in the
// other order of threads); shared memory holds garbage at first; nothing is read or written behind the end of a buffer (the
// next page is forbidden). Hopper's instructions are in emulate_hopper.cpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#define DEVICE inline
#define FULL_WARP 0xffffffffu
#define KERNEL(threads, blocks, name, ...)                                            \
    static void name(__VA_ARGS__);                                                    \
    static const emulated::Registered registered_##name(#name, (threads), &name);     \
    static void name(__VA_ARGS__)
#define SHARED(type, name) type* name = reinterpret_cast<type*>(emulated::shared_memory)

struct bf16;

namespace emulated {

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

// An argument of a kernel. Of kind * it is whatever the kernel takes.
struct Argument {
    char kind;
    void* buffer;
    int64_t whole;
    float real;

    template <class T> T as() const {
        if constexpr (std::is_pointer_v<T>) return expect('b'), reinterpret_cast<T>(buffer);
        else if constexpr (std::is_same_v<T, float>) return expect('f'), real;
        else if constexpr (std::is_same_v<T, long>) return expect('l'), static_cast<T>(whole);
        else return expect('i'), static_cast<T>(whole);
    }
    void expect(char wanted) const {
        if (kind != wanted && kind != '*') fprintf(stderr, "an argument is of kind %c, the kernel takes %c\n", kind, wanted), exit(4);
    }
};

using Call = std::function<void(const Argument*)>;
struct Kernel {
    unsigned threads;
    size_t arguments;
    Call call;
};
std::map<std::string, Kernel>& kernels();

struct Registered {
    template <class... A> Registered(const char* name, unsigned threads, void (*kernel)(A...)) {
        kernels()[name] = {threads, sizeof...(A), [kernel](const Argument* list) { unfold(kernel, list, std::index_sequence_for<A...>{}); }};
    }
    template <class... A, size_t... I> static void unfold(void (*kernel)(A...), const Argument* list, std::index_sequence<I...>) {
        kernel(list[I].as<A>()...);
    }
};

// What a lane brings to an operation of its warp, and what it takes away.
struct Lane {
    float x, c[4];
    unsigned a[4], b[2];
    int other;
    const bf16* row;
};
enum Operation { SHUFFLE, SYNC, MATRICES, TRANSPOSED, PRODUCT, FENCE, CLOSE, WAIT, MEET, ANNOUNCE, REGISTERS };

extern char* shared_memory;
Lane together(Operation operation, const Lane& lane);
void barrier();
void copy_later(bf16* target, const bf16* source, bool valid);
void close_group();
void wait_groups(size_t left);

}  // namespace emulated

extern emulated::Index threadIdx, blockIdx, blockDim, gridDim;

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline void __syncthreads() { emulated::barrier(); }
inline void __syncwarp() { emulated::together(emulated::SYNC, {}); }
inline float __shfl_xor_sync(unsigned, float x, int offset) {
    emulated::Lane lane = {};
    lane.x = x, lane.other = offset;
    return emulated::together(emulated::SHUFFLE, lane).x;
}
inline void atomicMax(unsigned* target, unsigned value) {
    if (value > *target) *target = value;
}

inline void copy_async(bf16* target, const bf16* source, bool valid) { emulated::copy_later(target, source, valid); }
inline void copy_commit() { emulated::close_group(); }
template <int N> void copy_wait() { emulated::wait_groups(N); }
inline void load_matrices(unsigned (&r)[4], const bf16* row) {
    emulated::Lane lane = {};
    lane.row = row;
    memcpy(r, emulated::together(emulated::MATRICES, lane).a, sizeof r);
}
inline void load_transposed(unsigned (&r)[4], const bf16* row) {
    emulated::Lane lane = {};
    lane.row = row;
    memcpy(r, emulated::together(emulated::TRANSPOSED, lane).a, sizeof r);
}
inline void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulated::Lane lane = {};
    memcpy(lane.a, a, sizeof a), memcpy(lane.c, c, sizeof c);
    lane.b[0] = b0, lane.b[1] = b1;
    memcpy(c, emulated::together(emulated::PRODUCT, lane).c, sizeof c);
}
