// Runs one launch of a kernel on the CPU: the launch comes in on standard input, the buffers as they are afterwards go out.
// In: length and name; grid (3), block, shared bytes, order of threads; number of arguments; each: kind and value (a buffer:
// its length and bytes). All numbers are 32 bits, little-endian, lengths and 'l' arguments 64.

#include "conv3d.cuh"
#include "wgmma.cuh"

#include "emulate_block.h"

#include <sys/mman.h>
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
namespace attend_hopper {
#include "attention_hopper.cu"
}
namespace convolve {
#include "conv3d.cu"
}
namespace convolve_hopper {
#include "conv3d_hopper.cu"
}
namespace misuse {
#include "emulate_misuse.h"
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
size_t shared_size;
std::vector<Fiber> fibers;
unsigned current;
bool moved, eager;

[[noreturn]] void fail(const char* why) {
    fprintf(stderr, "thread %u of block %u,%u,%u: %s\n", threadIdx.x, blockIdx.x, blockIdx.y, blockIdx.z, why);
    _exit(3);
}

static jmp_buf scheduler;

static void yield() {
    if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

void wait_for_change(const unsigned& number) {
    Fiber& fiber = fibers[current];
    fiber.watched = &number, fiber.seen = number;
    while (number == fiber.seen) yield();
    fiber.watched = nullptr;
}

void hold_back() {
    fibers[current].held = !eager;
    while (fibers[current].held) yield();
}

void perform(const Copy& copy) {
    copy.valid ? memcpy(copy.target, copy.source, 16) : memset(copy.target, 0, 16);
    note_copied(reinterpret_cast<char*>(copy.target) - shared_memory);
}

namespace {

constexpr size_t STACK = 1 << 17, PAGE = 4096;

struct Warp {
    int arrived;
    unsigned generation;
    Operation operation;
    Lane in[32], out[32];
};

std::vector<Warp> warps;
unsigned at_barrier, alive, barriers;
const Kernel* kernel;
const Argument* arguments;

void body() {
    kernel->call(arguments);
    end_hopper();
    fibers[current].done = moved = true;
    --alive;
    if (alive > 0 && at_barrier == alive) at_barrier = 0, ++barriers;
    yield();
}

// Value (row, column) of the 8×8 matrix that lanes 8 · matrix .. name the rows of.
unsigned half_of(const Warp& warp, int matrix, int row, int column) { return warp.in[matrix * 8 + row].row[column].bits; }

float value(unsigned word, int half) { return to_float(bf16{static_cast<unsigned short>(half ? word >> 16 : word)}); }

// c + a · b of a warp, from where its lanes hold them.
void multiply_all(const Warp& warp, float (&c)[16][8]) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, t = lane % 4;
        const Lane& in = warp.in[lane];
        for (int i = 0; i < 4; ++i) c[g + i / 2 * 8][2 * t + i % 2] = in.c[i];
        for (int i = 0; i < 8; ++i) a[g + i / 2 % 2 * 8][2 * t + i % 2 + i / 4 * 8] = value(in.a[i / 2], i % 2);
        for (int i = 0; i < 4; ++i) b[2 * t + i % 2 + i / 2 * 8][g] = value(in.b[i / 2], i % 2);
    }
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 16; ++k)
            for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
}

void perform(Warp& warp) {
    float sums[16][8];
    if (warp.operation == PRODUCT) multiply_all(warp, sums);
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, t = lane % 4;
        Lane& out = warp.out[lane];
        out = warp.in[lane];
        switch (warp.operation) {
            case SHUFFLE: out.x = warp.in[lane ^ out.other].x; break;
            default: break;
            case MATRICES:
                for (int m = 0; m < 4; ++m) out.a[m] = half_of(warp, m, g, 2 * t) | half_of(warp, m, g, 2 * t + 1) << 16;
                break;
            case TRANSPOSED:
                for (int m = 0; m < 4; ++m) out.a[m] = half_of(warp, m, 2 * t, g) | half_of(warp, m, 2 * t + 1, g) << 16;
                break;
            case PRODUCT:
                for (int i = 0; i < 4; ++i) out.c[i] = sums[g + i / 2 * 8][2 * t + i % 2];
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

void resume(Fiber& fiber) {
    if (fiber.done || fiber.held || (fiber.watched && *fiber.watched == fiber.seen)) return;
    threadIdx.x = current;
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
}

// Lets go on whoever is held back; whether anybody was.
bool let_go() {
    bool any = false;
    for (Fiber& fiber : fibers) any |= fiber.held, fiber.held = false;
    return any;
}

void run_block(unsigned threads, size_t shared_bytes, bool backwards) {
    memset(shared_memory, 0xff, shared_bytes);
    warps.assign(threads / 32, Warp{});
    at_barrier = 0, alive = threads;
    start_hopper(threads);
    for (unsigned i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        fiber.begun = fiber.done = fiber.held = false;
        fiber.watched = nullptr;
        fiber.groups.assign(1, {});
        fiber.announced.clear();
        makecontext(&fiber.context, body, 0);
    }
    while (alive > 0) {
        moved = false;
        for (unsigned i = 0; i < threads; ++i) {
            current = backwards ? threads - 1 - i : i;
            resume(fibers[current]);
        }
        if (!moved && !arrive_late() && !let_go()) fail("deadlock: threads wait for others that do not come");
    }
    finish_hopper();
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
        wait_for_change(warp.generation);
    }
    return warp.out[thread % 32];
}

void barrier() {
    moved = true;
    if (warps[current / 32].arrived != 0) fail("a barrier inside an operation of a warp");
    if (++at_barrier == alive) {
        at_barrier = 0, ++barriers;
    } else {
        wait_for_change(barriers);
    }
}

void copy_later(bf16* target, const bf16* source, bool valid) {
    if (reinterpret_cast<uintptr_t>(target) % 16 || reinterpret_cast<uintptr_t>(source) % 16) fail("a copy is not aligned");
    const Copy copy{target, source, valid};
    eager ? perform(copy) : fibers[current].groups.back().push_back(copy);
}

void close_group() { fibers[current].groups.emplace_back(); }

void wait_groups(size_t left) {
    auto& groups = fibers[current].groups;
    if (groups.size() > left + 1) arrive_all();
    while (groups.size() > left + 1) {
        for (const Copy& copy : groups.front()) perform(copy);
        groups.erase(groups.begin());
    }
}

// Runs all blocks of a launch, the last first where `backwards` says so, threads likewise.
void launch(const Kernel& which, Index grid, unsigned block, unsigned shared_bytes, const Argument* list, bool backwards) {
    static std::vector<char*> stacks;
    if (block > which.threads || block % 32) fail("the kernel is not made for blocks of that size");
    while (stacks.size() < block) stacks.push_back(guarded(STACK, 16));
    gridDim = grid, blockDim = {block, 1, 1};
    kernel = &which, arguments = list;
    shared_memory = guarded(shared_bytes, 16);
    shared_size = shared_bytes, eager = backwards;
    fibers.clear();
    // What began on a stack is known by its address.
    fibers.resize(block);
    for (unsigned i = 0; i < block; ++i) {
        getcontext(&fibers[i].context);
        fibers[i].context.uc_stack.ss_sp = stacks[i];
        fibers[i].context.uc_stack.ss_size = STACK;
        fibers[i].context.uc_link = nullptr;
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
