// Hopper's instructions on a CPU, see emulate_hopper.cpp; what wgmma.cuh declares.
#pragma once

namespace emulated {

unsigned address_of(const void* pointer);
// `left` is null where a describes the left side.
void begin_product(float* sums, int columns, const unsigned* left, Descriptor a, Descriptor b, bool add);
void fence_products();
void close_products();
void wait_products(size_t left);
void fence_shared();
void init_barrier(const void* barrier, unsigned arrivals);
void arrive(const void* barrier);
void arrive_copied(const void* barrier);
void wait_barrier(const void* barrier, unsigned parity);
void meet(int number, unsigned threads, bool waits);
void set_registers();

}  // namespace emulated

using Barrier = unsigned long long;

inline unsigned shared_address(const void* pointer) { return emulated::address_of(pointer); }
inline void product(float (&c)[64], Descriptor a, Descriptor b, bool add) {
    emulated::begin_product(c, 128, nullptr, a, b, add);
}
inline void product(float (&c)[32], const unsigned (&a)[4], Descriptor b) { emulated::begin_product(c, 64, a, 0, b, true); }
inline void product(float (&c)[64], const unsigned (&a)[4], Descriptor b) { emulated::begin_product(c, 128, a, 0, b, true); }
inline void product_fence() { emulated::fence_products(); }
inline void product_commit() { emulated::close_products(); }
template <int N> void hold(float (&)[N]) {}
template <int N, class... Sums> void product_wait(Sums&...) { emulated::wait_products(N); }
inline void shared_fence() { emulated::fence_shared(); }
inline void barrier_init(Barrier* barrier, int arrivals) { emulated::init_barrier(barrier, arrivals); }
inline void barrier_arrive(Barrier* barrier) { emulated::arrive(barrier); }
inline void barrier_arrive_copied(Barrier* barrier) { emulated::arrive_copied(barrier); }
inline void barrier_wait(Barrier* barrier, unsigned parity) { emulated::wait_barrier(barrier, parity); }
inline void meet(int number, int threads) { emulated::meet(number, threads, true); }
inline void announce(int number, int threads) { emulated::meet(number, threads, false); }
template <int N> void fewer_registers() { emulated::set_registers(); }
template <int N> void more_registers() { emulated::set_registers(); }
inline float fast_exp2(float x) { return std::exp2(x); }
