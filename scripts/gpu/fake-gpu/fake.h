// A stand-in for an NVIDIA GPU: the driver's calls and the libraries' that ltxd makes, performed on the CPU. Kernels of ltx-kernels run from
// their own source, candle's and cuBLAS' are computed by what they are documented to compute. Streams are queues that run only when
// somebody waits for them, so that a missing wait, a buffer reused too early or a use after free shows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace fake {

// A value of a launch, as its PTX declares it.
struct Parameter {
    char kind;  // 'p' pointer, 'i' integer of `size` bytes, 'f' float of `size` bytes
    size_t size;
};

// One launch, its parameters copied.
struct Launch {
    std::string kernel;
    std::vector<Parameter> parameters;
    std::vector<uint64_t> values;
    unsigned grid[3], block, shared;

    template <class T> T* pointer(size_t i) const { return reinterpret_cast<T*>(values.at(i)); }
    uint64_t whole(size_t i) const { return values.at(i); }
    double real(size_t i) const;
};

// Performs it; ends the program where there is no such kernel.
void perform(const Launch& launch);
void perform_of_candle(const Launch& launch);

using Work = std::function<void()>;

// Puts work into a stream's queue, or into the graph that it is noted down in.
void enqueue(void* stream, const char* kind, Work work);

[[noreturn]] void fail(const std::string& why);

// Floats of 16 and 8 bits.
float from_bf16(uint16_t bits);
uint16_t to_bf16(float x);
float from_f16(uint16_t bits);
uint16_t to_f16(float x);
float from_e4m3(uint8_t bits);

}  // namespace fake
