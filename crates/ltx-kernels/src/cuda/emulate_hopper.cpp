// Hopper's instructions on a CPU, after the PTX ISA: products of warpgroups, barriers in shared memory, numbered barriers.
// What is checked: all threads of a warpgroup begin the same product; descriptors are decoded, aligned and inside the block's
// shared memory; sums are garbage from a product's beginning to the wait for it, and nobody writes to them or to the left
// side's registers meanwhile; a fence stands between writing those and the product; a product reads of what was copied only
// what a fence of the copying thread, or of all the warpgroup's own, lies behind; barriers are set up before they are used,
// and none is left half full. Who arrives at a barrier without waiting gets no further until all others are stuck. Products
// read shared memory when they begin, or when each warp waits for them (`eager` or not).

#include "wgmma.cuh"

#include "emulate_block.h"

#include <algorithm>
#include <map>
#include <memory>

namespace emulated {

namespace {

constexpr unsigned GROUP = 128, GARBAGE = 0x7fc0dead, BARRIERS = 16;

struct Product {
    int columns;
    bool from_registers, add;
    Descriptor a, b;
    unsigned left[GROUP][4];
    uint64_t fenced;             // When the last of the warpgroup's threads made sure of shared memory.
    std::vector<float> done[4];  // By warp: 16 rows.
};
// A thread's part in a product.
struct Part {
    std::shared_ptr<Product> product;
    float* sums;
    std::vector<float> before;  // Empty where an earlier product has yet to give it.
    const unsigned* left;
};
struct Thread {
    std::vector<std::vector<Part>> groups;                 // The last one is open.
    std::map<const void*, std::vector<unsigned>> fenced;   // Registers that took part in products, at the last fence.
    std::map<const void*, size_t> registers;
    bool any_fence;
    uint64_t shared_fence;
};
struct Group {
    unsigned arrived, generation;
    std::shared_ptr<Product> product;
};
struct InShared {
    unsigned expected, missing, phase;
};
struct Numbered {
    unsigned arrived, expected, generation;
};
struct Written {
    uint64_t when;
    unsigned who;
};

std::vector<Thread> threads;
std::vector<Group> groups;
std::map<unsigned, InShared> in_shared;
Numbered numbered[BARRIERS];
std::vector<Written> written;  // By 16 bytes.
uint64_t now;

// Shared memory does not begin at a multiple of 1024 bytes in both orders.
unsigned base() { return eager ? 1024 + 48 : 1024; }

std::vector<unsigned> bits_of(const void* registers, size_t count) {
    std::vector<unsigned> bits(count);
    memcpy(bits.data(), registers, count * 4);
    return bits;
}

// The value at an address of a swizzled panel.
float read(const Product& product, unsigned address) {
    address ^= (address >> 7 & 7) << 4;
    const size_t offset = address - base();
    if (address < base() || offset + 2 > shared_size) fail("a product reads outside the block's shared memory");
    const Written& last = written[offset / 16];
    if (last.when && threads[last.who].shared_fence < last.when && product.fenced < last.when)
        fail("a product reads what was copied without a fence behind the copy");
    bf16 value;
    memcpy(&value, shared_memory + offset, 2);
    return to_float(value);
}

unsigned field(Descriptor descriptor, int low, int bits) { return descriptor >> low & ((1ull << bits) - 1); }

void check(Descriptor descriptor, bool k_major) {
    if (field(descriptor, 62, 2) != 1) fail("a descriptor of another swizzle than that of 128 bytes");
    if (field(descriptor, 49, 3)) fail("a descriptor with a base offset");
    if (field(descriptor, 14, 2) | field(descriptor, 30, 2) | field(descriptor, 46, 3) | field(descriptor, 52, 10))
        fail("a descriptor with bits that mean nothing");
    const unsigned within = (field(descriptor, 0, 14) << 4) % 1024;
    if (k_major ? within + 32 > 128 : within != 0) fail("a panel does not begin at a multiple of 1024 bytes");
}

// Value `inner` of row or column `outer`.
float value(const Product& product, Descriptor descriptor, bool k_major, int outer, int inner) {
    const unsigned start = field(descriptor, 0, 14) << 4, leading = field(descriptor, 16, 14) << 4;
    const unsigned stride = field(descriptor, 32, 14) << 4;
    return k_major ? read(product, start + outer / 8 * stride + outer % 8 * 128 + inner * 2)
                   : read(product, start + outer / 64 * leading + inner / 8 * stride + inner % 8 * 128 + outer % 64 * 2);
}

float half_of(unsigned word, int half) { return to_float(bf16{static_cast<unsigned short>(half ? word >> 16 : word)}); }

// A warp's 16 rows of a product.
void compute(Product& product, int warp) {
    const int columns = product.columns;
    std::vector<float> right(16 * columns), &result = product.done[warp];
    for (int k = 0; k < 16; ++k)
        for (int n = 0; n < columns; ++n) right[k * columns + n] = value(product, product.b, !product.from_registers, n, k);
    result.assign(16 * columns, 0.f);
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 16; ++k) {
            const unsigned* left = product.left[warp * 32 + row % 8 * 4 + k % 8 / 2];
            const float by = product.from_registers ? half_of(left[row / 8 + k / 8 * 2], k % 2)
                                                    : value(product, product.a, true, warp * 16 + row, k);
            for (int n = 0; n < columns; ++n) result[row * columns + n] += by * right[k * columns + n];
        }
}

void spoil(float* sums, size_t count) {
    for (size_t i = 0; i < count; ++i) memcpy(sums + i, &GARBAGE, 4);
}

// The part that gives a thread its sums next, among those that have yet to.
Part* with_sums(Thread& thread, const float* sums, bool last) {
    Part* found = nullptr;
    for (auto& group : thread.groups)
        for (Part& part : group)
            if (part.sums == sums && (last || !found)) found = &part;
    return found;
}

// A part is done: its sums appear, or go to the next product that adds to them.
void finish(Thread& thread, Part part) {
    Product& product = *part.product;
    const unsigned in_group = current % GROUP, warp = in_group / 32, lane = in_group % 32;
    const size_t count = product.columns / 2;
    if (product.done[warp].empty()) compute(product, warp);
    const auto found = bits_of(part.sums, count);
    if (std::any_of(found.begin(), found.end(), [](unsigned bits) { return bits != GARBAGE; }))
        fail("the sums of a product were written to while it was under way");
    if (part.left && memcmp(part.left, product.left[in_group], 16))
        fail("the left side's registers of a product were written to while it was under way");
    std::vector<float> after(count);
    for (size_t i = 0; i < count; ++i) {
        const int row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
        after[i] = (product.add ? part.before[i] : 0.f) + product.done[warp][row * product.columns + column];
    }
    if (Part* next = with_sums(thread, part.sums, false)) {
        next->before = after;
        return;
    }
    memcpy(part.sums, after.data(), count * 4);
    thread.fenced[part.sums] = bits_of(part.sums, count);
}

void copies_arrive(Fiber& fiber) {
    const Announced announced = fiber.announced.front();
    fiber.announced.pop_front();
    const unsigned thread = current;
    current = &fiber - fibers.data();
    for (const Copy& copy : announced.copies) perform(copy);
    current = thread;
    InShared& barrier = in_shared[announced.barrier];
    if (barrier.missing == 0) fail("more arrivals at a barrier than it was set up for");
    if (--barrier.missing == 0) barrier.missing = barrier.expected, ++barrier.phase;
    moved = true;
}

InShared& barrier_at(const void* pointer) {
    const auto found = in_shared.find(address_of(pointer));
    if (found == in_shared.end()) fail("a barrier is used before it is set up");
    return found->second;
}

}  // namespace

unsigned address_of(const void* pointer) {
    const ptrdiff_t offset = static_cast<const char*>(pointer) - shared_memory;
    if (offset < 0 || static_cast<size_t>(offset) > shared_size) fail("an address outside the block's shared memory");
    return base() + offset;
}

void start_hopper(unsigned count) {
    threads.assign(count, Thread{});
    for (Thread& thread : threads) thread.groups.assign(1, {});
    groups.assign((count + GROUP - 1) / GROUP, Group{});
    in_shared.clear();
    std::fill(std::begin(numbered), std::end(numbered), Numbered{});
    written.assign(shared_size / 16 + 1, Written{});
}

void end_hopper() {
    const Fiber& fiber = fibers[current];
    auto filled = [](const auto& group) { return !group.empty(); };
    if (!fiber.announced.empty() || std::any_of(fiber.groups.begin(), fiber.groups.end(), filled))
        fail("a thread ends while its copies are under way");
    const auto& products = threads[current].groups;
    if (std::any_of(products.begin(), products.end(), filled)) fail("a thread ends while its products are under way");
}

void finish_hopper() {
    for (const auto& [address, barrier] : in_shared)
        if (barrier.missing != barrier.expected) fail("a block ended with too few arrivals at a barrier in shared memory");
    for (const Numbered& barrier : numbered)
        if (barrier.arrived) fail("a block ended with threads announced at a barrier that others did not come to");
}

void note_copied(size_t offset) { written[offset / 16] = {++now, current}; }

bool arrive_late() {
    bool any = false;
    for (Fiber& fiber : fibers)
        if (!fiber.announced.empty()) copies_arrive(fiber), any = true;
    return any;
}

void arrive_all() {
    while (!fibers[current].announced.empty()) copies_arrive(fibers[current]);
}

void begin_product(float* sums, int columns, const unsigned* left, Descriptor a, Descriptor b, bool add) {
    const unsigned number = current;
    Thread& thread = threads[number];
    Group& group = groups[number / GROUP];
    if (threads.size() % GROUP) fail("a block of no whole warpgroups");
    if (group.arrived == 0) {
        group.product = std::make_shared<Product>(Product{columns, left != nullptr, add, a, b, {}, UINT64_MAX, {}});
        if (!left) check(a, true);
        check(b, !left);
    }
    const auto product = group.product;
    if (product->columns != columns || product->from_registers != (left != nullptr) || product->add != add || product->a != a ||
        product->b != b)
        fail("threads of a warpgroup begin different products");
    product->fenced = std::min(product->fenced, thread.shared_fence);
    if (!thread.any_fence) fail("a product without a fence before it");
    auto unchanged = [&](const void* registers, size_t count) {
        if (thread.registers.count(registers) && thread.fenced[registers] != bits_of(registers, count))
            fail("registers of a product were written to after the fence before it");
        thread.registers[registers] = count;
        thread.fenced[registers] = bits_of(registers, count);
    };
    Part part{product, sums, {}, left};
    if (left) {
        unchanged(left, 4);
        memcpy(product->left[number % GROUP], left, 16);
    }
    if (const Part* earlier = with_sums(thread, sums, true)) {
        if (earlier->product->columns != columns) fail("sums of products of different sizes");
    } else {
        unchanged(sums, columns / 2);
        part.before.assign(sums, sums + columns / 2);
        spoil(sums, columns / 2);
    }
    thread.groups.back().push_back(part);
    moved = true;
    if (++group.arrived < GROUP) {
        wait_for_change(group.generation);
        return;
    }
    group.arrived = 0, ++group.generation;
    if (eager)
        for (int warp = 0; warp < 4; ++warp) compute(*product, warp);
}

void fence_products() {
    together(FENCE, {});
    Thread& thread = threads[current];
    thread.any_fence = true;
    for (const auto& [registers, count] : thread.registers) thread.fenced[registers] = bits_of(registers, count);
}

void close_products() {
    together(CLOSE, {});
    threads[current].groups.emplace_back();
}

void wait_products(size_t left) {
    together(WAIT, {});
    auto& thread = threads[current];
    while (thread.groups.size() > left + 1) {
        while (!thread.groups.front().empty()) {
            const Part part = thread.groups.front().front();
            thread.groups.front().erase(thread.groups.front().begin());
            finish(thread, part);
        }
        thread.groups.erase(thread.groups.begin());
    }
}

void fence_shared() { threads[current].shared_fence = ++now; }

void init_barrier(const void* pointer, unsigned arrivals) {
    const unsigned address = address_of(pointer);
    if (address % 8) fail("a barrier is not aligned");
    if (in_shared.count(address)) fail("a barrier is set up twice");
    in_shared[address] = {arrivals, arrivals, 0};
}

void arrive(const void* pointer) {
    InShared& barrier = barrier_at(pointer);
    if (barrier.missing == 0) fail("more arrivals at a barrier than it was set up for");
    if (--barrier.missing == 0) barrier.missing = barrier.expected, ++barrier.phase;
    moved = true;
    hold_back();
}

void arrive_copied(const void* pointer) {
    barrier_at(pointer);
    Fiber& fiber = fibers[current];
    Announced announced{{}, address_of(pointer)};
    for (auto& group : fiber.groups) {
        announced.copies.insert(announced.copies.end(), group.begin(), group.end());
        group.clear();
    }
    fiber.announced.push_back(announced);
    if (eager) copies_arrive(fiber);
}

void wait_barrier(const void* pointer, unsigned parity) {
    const InShared& barrier = barrier_at(pointer);
    // The phase named by its parity is over when the barrier is in one of the other parity.
    while (barrier.phase % 2 == parity) wait_for_change(barrier.phase);
    moved = true;
}

void meet(int number, unsigned count, bool waits) {
    if (number < 1 || number >= static_cast<int>(BARRIERS)) fail("there is no barrier of that number for some threads");
    together(waits ? MEET : ANNOUNCE, {});
    Numbered& barrier = numbered[number];
    if (barrier.arrived == 0) barrier.expected = count;
    if (barrier.expected != count || count % 32) fail("threads come to a barrier with different counts");
    moved = true;
    if (++barrier.arrived == count) {
        barrier.arrived = 0, ++barrier.generation;
    } else if (waits) {
        wait_for_change(barrier.generation);
    } else {
        hold_back();
    }
}

void set_registers() { together(REGISTERS, {}); }

}  // namespace emulated
