// What emulate.cpp and emulate_hopper.cpp share: a block's threads as fibers, and copies to its shared memory.
#pragma once
#include "tile.cuh"

#include <cstddef>
#include <deque>
#include <csetjmp>
#include <ucontext.h>
#include <vector>

namespace emulated {

struct Copy {
    bf16* target;
    const bf16* source;
    bool valid;
};
// Copies that arrive at a barrier when they are done.
struct Announced {
    std::vector<Copy> copies;
    unsigned barrier;
};
struct Fiber {
    ucontext_t context;  // Where it begins,
    jmp_buf place;       // and where it goes on, once it has begun: a jump costs less than a change of context.
    bool begun, done;
    bool held;                // Until nothing else happens.
    const unsigned* watched;  // A number it waits for to change, and what that number was.
    unsigned seen;
    std::vector<std::vector<Copy>> groups;  // The last one is open.
    std::deque<Announced> announced;
};

extern std::vector<Fiber> fibers;
extern unsigned current;
extern size_t shared_size;
// Whether anything happened since the scheduler last looked.
extern bool moved;
// What is asynchronous happens as early as it may, or else as late as it may.
extern bool eager;

[[noreturn]] void fail(const char* why);
// Lets the other threads run until the number has changed.
void wait_for_change(const unsigned& number);
// Lets them run until none of them gets any further, if what may be late is late.
void hold_back();
void perform(const Copy& copy);

// A block begins, a thread of it ends, it ends.
void start_hopper(unsigned threads);
void end_hopper();
void finish_hopper();
// Shared memory was written to, at an address from its beginning on.
void note_copied(size_t offset);
// Lets the oldest announced copies of every thread arrive; whether there were any.
bool arrive_late();
// Lets all of the current thread's arrive.
void arrive_all();

}  // namespace emulated
