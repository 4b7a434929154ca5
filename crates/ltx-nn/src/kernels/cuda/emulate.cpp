// Runs one launch of a kernel on the CPU: the launch comes in on standard input, the buffers as they are afterwards go out.
// In: length and name; grid (3), block, shared bytes, order of threads; number of arguments; each: kind and value (a buffer: its
// length and bytes). All numbers are 32 bits, little-endian, lengths and 'l' arguments 64.

#include "tile.cuh"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace norm {
#include "norm.cu"
}
namespace rope {
#include "rope.cu"
}
namespace gate {
#include "gate.cu"
}
namespace pixel {
#include "pixel_norm.cu"
}
namespace attend {
#include "attention.cu"
}
namespace convolve {
#include "conv3d.cu"
}
namespace eight {
#include "fp8.cu"
}

emulated::Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

std::map<std::string, Kernel>& kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

char* shared_memory;

namespace {

constexpr size_t STACK = 1 << 17, PAGE = 4096;

[[noreturn]] void fail(const char* why) {
    fprintf(stderr, "thread %u of block %u,%u,%u: %s\n", threadIdx.x, blockIdx.x, blockIdx.y, blockIdx.z, why);
    _exit(3);
}

struct Copy {
    bf16* target;
    const bf16* source;
    bool valid;
};
struct Fiber {
    ucontext_t context;
    bool done;
    std::vector<std::vector<Copy>> groups;  // The last one is open.
};
struct Warp {
    int arrived, generation;
    Operation operation;
    Lane in[32], out[32];
};

ucontext_t scheduler;
std::vector<Fiber> fibers;
std::vector<Warp> warps;
unsigned current, at_barrier, alive;
int barriers;
bool moved;
const Kernel* kernel;
const Argument* arguments;

void yield() { swapcontext(&fibers[current].context, &scheduler); }

void body() {
    kernel->call(arguments);
    fibers[current].done = moved = true;
    --alive;
    if (alive > 0 && at_barrier == alive) at_barrier = 0, ++barriers;
    yield();
}

// Value (row, column) of the 8×8 matrix that lanes 8 · matrix .. name the rows of.
unsigned half_of(const Warp& warp, int matrix, int row, int column) { return warp.in[matrix * 8 + row].row[column].bits; }

float value(unsigned word, int half) { return to_float(bf16{static_cast<unsigned short>(half ? word >> 16 : word)}); }

void perform(Warp& warp) {
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, t = lane % 4;
        Lane& out = warp.out[lane];
        out = warp.in[lane];
        switch (warp.operation) {
            case SHUFFLE: out.x = warp.in[lane ^ out.other].x; break;
            case SYNC: break;
            case MATRICES:
                for (int m = 0; m < 4; ++m) out.a[m] = half_of(warp, m, g, 2 * t) | half_of(warp, m, g, 2 * t + 1) << 16;
                break;
            case TRANSPOSED:
                for (int m = 0; m < 4; ++m) out.a[m] = half_of(warp, m, 2 * t, g) | half_of(warp, m, 2 * t + 1, g) << 16;
                break;
            case PRODUCT:
                for (int i = 0; i < 4; ++i) {
                    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
                    for (int k = 0; k < 16; ++k) {
                        // Who holds A(row, k) and B(k, column), and in which word.
                        const Lane& left = warp.in[row % 8 * 4 + k % 8 / 2];
                        const Lane& right = warp.in[column * 4 + k % 8 / 2];
                        out.c[i] += value(left.a[row / 8 + k / 8 * 2], k % 2) * value(right.b[k / 8], k % 2);
                    }
                }
        }
    }
}

// Memory whose end is the end of a page before a forbidden one, aligned to `alignment`.
char* guarded(size_t bytes, size_t alignment) {
    const size_t size = (bytes + alignment - 1) / alignment * alignment, pages = (size + PAGE - 1) / PAGE * PAGE;
    char* memory = static_cast<char*>(mmap(nullptr, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory == MAP_FAILED) fail("no memory");
    mprotect(memory + pages, PAGE, PROT_NONE);
    memset(memory, 0xff, pages);
    return memory + pages - size;
}

// Gives back what `guarded` made.
void release(char* memory, size_t bytes, size_t alignment) {
    const size_t size = (bytes + alignment - 1) / alignment * alignment, pages = (size + PAGE - 1) / PAGE * PAGE;
    munmap(memory - (pages - size), pages + PAGE);
}

void run_block(unsigned threads, size_t shared_bytes, bool backwards) {
    memset(shared_memory, 0xff, shared_bytes);
    warps.assign(threads / 32, Warp{});
    at_barrier = 0, alive = threads;
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        fiber.done = false;
        fiber.groups.assign(1, {});
        makecontext(&fiber.context, body, 0);
    }
    while (alive > 0) {
        moved = false;
        for (unsigned i = 0; i < threads; ++i) {
            current = backwards ? threads - 1 - i : i;
            if (fibers[current].done) continue;
            threadIdx.x = current;
            swapcontext(&scheduler, &fibers[current].context);
        }
        if (!moved) fail("deadlock: threads wait for others that do not come");
    }
}

template <class T> T take() {
    T value;
    if (fread(&value, sizeof value, 1, stdin) != 1) fail("the launch is cut short");
    return value;
}

}  // namespace

Lane together(Operation operation, const Lane& lane) {
    const unsigned thread = current;
    Warp& warp = warps[thread / 32];
    if (warp.arrived == 0) warp.operation = operation;
    if (warp.operation != operation) fail("lanes of a warp are at different operations");
    warp.in[thread % 32] = lane;
    moved = true;
    if (++warp.arrived == 32) {
        perform(warp);
        warp.arrived = 0, ++warp.generation;
    } else {
        const int generation = warp.generation;
        while (warp.generation == generation) yield();
    }
    return warp.out[thread % 32];
}

void barrier() {
    moved = true;
    if (warps[current / 32].arrived != 0) fail("a barrier inside an operation of a warp");
    if (++at_barrier == alive) {
        at_barrier = 0, ++barriers;
    } else {
        const int number = barriers;
        while (barriers == number) yield();
    }
}

void copy_later(bf16* target, const bf16* source, bool valid) {
    if (reinterpret_cast<uintptr_t>(target) % 16 || reinterpret_cast<uintptr_t>(source) % 16) fail("a copy is not aligned");
    fibers[current].groups.back().push_back({target, source, valid});
}

void close_group() { fibers[current].groups.emplace_back(); }

void wait_groups(size_t left) {
    auto& groups = fibers[current].groups;
    while (groups.size() > left + 1) {
        for (const Copy& copy : groups.front())
            copy.valid ? memcpy(copy.target, copy.source, 16) : memset(copy.target, 0, 16);
        groups.erase(groups.begin());
    }
}

// Runs all blocks of a launch, the last first where `backwards` says so, threads likewise.
void launch(const Kernel& which, Index grid, unsigned block, unsigned shared_bytes, const Argument* list, bool backwards) {
    gridDim = grid, blockDim = {block, 1, 1};
    if (block > which.threads || block % 32) fail("the kernel is not made for blocks of that size");
    kernel = &which, arguments = list;
    shared_memory = guarded(shared_bytes, 16);
    // A fiber that was begun may not move.
    fibers.reserve(1024);
    while (fibers.size() < block) {
        Fiber& fiber = fibers.emplace_back();
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = guarded(STACK, 16);
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
    }
    const unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; ++i) {
        const unsigned number = backwards ? blocks - 1 - i : i;
        blockIdx = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
        run_block(block, shared_bytes, backwards);
    }
    release(shared_memory, shared_bytes, 16);
}

}  // namespace emulated

int main() {
    using namespace emulated;
    std::string name(take<unsigned>(), ' ');
    if (fread(name.data(), 1, name.size(), stdin) != name.size()) fail("the launch is cut short");
    const auto found = kernels().find(name);
    if (found == kernels().end()) fail("there is no such kernel");
    const Index grid = {take<unsigned>(), take<unsigned>(), take<unsigned>()};
    const unsigned block = take<unsigned>(), shared_bytes = take<unsigned>(), order = take<unsigned>();
    std::vector<Argument> list(take<unsigned>());
    std::vector<std::pair<char*, size_t>> buffers;
    if (list.size() != found->second.arguments) fail("the kernel takes another number of arguments");
    for (Argument& argument : list) {
        argument.kind = static_cast<char>(take<unsigned>());
        switch (argument.kind) {
            case 'b': {
                const size_t bytes = take<uint64_t>();
                char* buffer = guarded(bytes, 16);
                if (fread(buffer, 1, bytes, stdin) != bytes) fail("the launch is cut short");
                buffers.emplace_back(buffer, bytes);
                argument.buffer = buffer;
                break;
            }
            case 'l': argument.whole = take<int64_t>(); break;
            case 'i': argument.whole = take<int32_t>(); break;
            case 'f': argument.real = take<float>(); break;
            default: fail("there is no such kind of argument");
        }
    }
    launch(found->second, grid, block, shared_bytes, list.data(), order);
    for (const auto& [buffer, bytes] : buffers) fwrite(buffer, 1, bytes, stdout);
    return fflush(stdout) ? 1 : 0;
}
