// The driver: devices, memory, streams, events, graphs and modules.
#include "fake.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <regex>
#include <set>

#include <sys/mman.h>

namespace fake {
namespace {

// An error of the driver, said where FAKE_GPU_REPORT is set.
int refuse(int error, const std::string& why) {
    if (getenv("FAKE_GPU_REPORT")) fprintf(stderr, "fake-gpu: error %d: %s\n", error, why.c_str());
    return error;
}

enum Result { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, CAPTURE_UNSUPPORTED = 900 };
constexpr size_t PAGE = 4096, ALIGNMENT = 256;

std::recursive_mutex lock_all;
#define LOCKED std::lock_guard<std::recursive_mutex> locked(lock_all)

size_t setting(const char* name, size_t usual) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : usual;
}

struct Stream;
// A record of an event, which waits look at.
struct Record {
    Stream* stream;
    bool done = false;
};
struct Node {
    std::string kind;
    Work work;
    std::shared_ptr<Record> awaited = {};
};
struct Graph {
    std::vector<Node> nodes;
    std::vector<uint64_t> allocated;
    bool broken = false;
};
struct Stream {
    std::deque<Node> queue;
    bool running = false;
    Graph* capturing = nullptr;
};
struct Event {
    std::shared_ptr<Record> latest;
};

std::set<Stream*> streams;

// Memory of the device: pages of its own, with a forbidden one behind; addresses are never used again.
struct Block {
    size_t bytes, pages;
    char* pages_at;
    Stream* freed_in;  // Between the call that frees it and its turn.
    bool graph;
};
std::map<uint64_t, Block> blocks;
std::map<uint64_t, size_t> pinned;
size_t live, peak, launches, replays;

size_t total() { return setting("FAKE_GPU_BYTES", size_t(2) << 30); }

uint64_t reserve(size_t bytes, bool graph) {
    const size_t size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, pages = (size + PAGE - 1) / PAGE * PAGE;
    char* memory = static_cast<char*>(mmap(nullptr, pages + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (memory == MAP_FAILED) fail("no address space");
    const uint64_t address = reinterpret_cast<uint64_t>(memory + pages - size);
    blocks[address] = {bytes, pages, memory, nullptr, graph};
    return address;
}
void back(uint64_t address) {
    const Block& block = blocks.at(address);
    mprotect(block.pages_at, block.pages, PROT_READ | PROT_WRITE);
    memset(block.pages_at, 0xff, block.pages);
}
void forbid(uint64_t address) {
    const Block& block = blocks.at(address);
    madvise(block.pages_at, block.pages, MADV_DONTNEED);
    mprotect(block.pages_at, block.pages, PROT_NONE);
}

// Runs a stream's queue, up to a record if one is given. It stops early where it waits for a stream that is being run already.
void run(Stream* stream, const Record* until = nullptr) {
    if (stream->running) return;
    const bool eager = setting("FAKE_GPU_EAGER", 0) != 0;
    while (!stream->queue.empty() && !(until && until->done)) {
        Node node = stream->queue.front();
        if (const Record* awaited = node.awaited.get()) {
            stream->running = true;
            if (!awaited->done) run(awaited->stream, awaited);
            stream->running = false;
            if (!awaited->done) return;
        }
        stream->queue.pop_front();
        stream->running = true;
        if (node.work) node.work();
        // What nobody orders may be early as well as late.
        if (eager)
            for (Stream* other : streams) run(other);
        stream->running = false;
    }
}

// Runs all of a stream's queue.
void finish(Stream* stream) {
    run(stream);
    if (!stream->queue.empty()) fail("a stream waits for what never comes");
}

void run_all() {
    for (Stream* stream : streams) finish(stream);
}

struct Module {
    std::map<std::string, std::vector<Parameter>> entries;
};
struct Function {
    std::string name;
    std::vector<Parameter> parameters;
};

Module* parse(const std::string& ptx) {
    auto module = new Module;
    static const std::regex entry(R"(\.entry\s+(\w+)\s*\(([^)]*)\))"), parameter(R"(\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)([^,\[]*)(?:\[(\d+)\])?)");
    for (std::sregex_iterator it(ptx.begin(), ptx.end(), entry), end; it != end; ++it) {
        std::vector<Parameter>& list = module->entries[(*it)[1]];
        const std::string text = (*it)[2];
        for (std::sregex_iterator p(text.begin(), text.end(), parameter); p != end; ++p) {
            const std::string type = (*p)[1], rest = (*p)[2];
            size_t size = std::stoul(type.substr(1)) / 8;
            if ((*p)[3].matched) size = std::stoul((*p)[3]);
            const char kind = rest.find(".ptr") != std::string::npos ? 'p' : type[0] == 'f' ? 'f' : 'i';
            list.push_back({kind, size});
        }
    }
    return module;
}

void report() {
    if (!getenv("FAKE_GPU_REPORT")) return;
    fprintf(stderr, "fake-gpu: %zu launches, %zu replays, peak %zu bytes, %zu live at the end\n", launches, replays, peak, live);
}

}  // namespace

double Launch::real(size_t i) const {
    const uint64_t bits = values.at(i);
    float single;
    double wide;
    memcpy(&single, &bits, 4), memcpy(&wide, &bits, 8);
    switch (parameters.at(i).size) {
        case 2: return kernel.find("bf16") != std::string::npos ? from_bf16(bits) : from_f16(bits);
        case 4: return single;
        default: return wide;
    }
}

void fail(const std::string& why) {
    fprintf(stderr, "fake-gpu: %s\n", why.c_str());
    abort();
}

void enqueue(void* handle, const char* kind, Work work) {
    auto stream = static_cast<Stream*>(handle);
    if (stream == nullptr) fail("the default stream is not used by ltxd");
    if (stream->capturing) {
        stream->capturing->nodes.push_back({kind, std::move(work)});
    } else {
        stream->queue.push_back({kind, std::move(work)});
    }
}

}  // namespace fake

using namespace fake;

extern "C" {

int cuInit(unsigned) { return atexit(report), SUCCESS; }
int cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : 101; }
int cuDeviceGetName(char* name, int length, int) { return snprintf(name, length, "fake GPU"), SUCCESS; }
int cuDeviceGetUuid(char* uuid, int) { return memset(uuid, 7, 16), SUCCESS; }
int cuDeviceGetUuid_v2(char* uuid, int) { return memset(uuid, 7, 16), SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = total(), SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    const int capability = static_cast<int>(setting("FAKE_GPU_CAPABILITY", 90));
    static const std::map<int, int> others = {{1, 1024}, {2, 1024}, {8, 48 << 10}, {10, 32}, {16, 132}, {41, 1}, {97, 227 << 10}, {115, 1}};
    const auto found = others.find(attribute);
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : found == others.end() ? 0 : found->second;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &lock_all, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuDevicePrimaryCtxRelease(int) { return SUCCESS; }
int cuCtxSetCurrent(void*) { return SUCCESS; }
int cuCtxGetCurrent(void** context) { return *context = &lock_all, SUCCESS; }
int cuCtxSynchronize() { LOCKED; return run_all(), SUCCESS; }
int cuCtxGetDevice(int* device) { return *device = 0, SUCCESS; }
int cuGetErrorName(int error, const char** name) {
    *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : error == CAPTURE_UNSUPPORTED ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" : "CUDA_ERROR";
    return SUCCESS;
}
int cuGetErrorString(int error, const char** text) { return *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the fake GPU", SUCCESS; }

int cuStreamCreate(void** stream, unsigned) {
    LOCKED;
    auto made = new Stream;
    streams.insert(made);
    return *stream = made, SUCCESS;
}
int cuStreamCreateWithPriority(void** stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
int cuStreamSynchronize(void* stream) {
    LOCKED;
    if (stream == nullptr) return run_all(), SUCCESS;
    if (static_cast<Stream*>(stream)->capturing) return static_cast<Stream*>(stream)->capturing->broken = true, CAPTURE_UNSUPPORTED;
    return finish(static_cast<Stream*>(stream)), SUCCESS;
}
int cuStreamDestroy_v2(void* stream) {
    LOCKED;
    finish(static_cast<Stream*>(stream));
    streams.erase(static_cast<Stream*>(stream));
    return SUCCESS;
}
int cuStreamQuery(void* stream) { return cuStreamSynchronize(stream); }
int cuStreamWaitEvent(void* handle, void* event, unsigned) {
    LOCKED;
    auto stream = static_cast<Stream*>(handle);
    // A later record of the same event is another one.
    const auto& latest = static_cast<Event*>(event)->latest;
    if (stream->capturing) return stream->capturing->broken = true, CAPTURE_UNSUPPORTED;
    // To see that a forgotten wait is seen.
    if (setting("FAKE_GPU_FORGET_WAITS", 0)) return SUCCESS;
    if (latest) stream->queue.push_back({"wait", {}, latest});
    return SUCCESS;
}
int cuEventCreate(void** event, unsigned) { return *event = new Event, SUCCESS; }
int cuEventRecord(void* event, void* handle) {
    LOCKED;
    auto stream = static_cast<Stream*>(handle);
    if (stream->capturing) return stream->capturing->broken = true, CAPTURE_UNSUPPORTED;
    auto record = static_cast<Event*>(event)->latest = std::make_shared<Record>(Record{stream});
    return enqueue(stream, "record", [record] { record->done = true; }), SUCCESS;
}
int cuEventRecordWithFlags(void* event, void* stream, unsigned) { return cuEventRecord(event, stream); }
int cuEventSynchronize(void* event) {
    LOCKED;
    const auto latest = static_cast<Event*>(event)->latest;
    if (latest && !latest->done) run(latest->stream, latest.get());
    return SUCCESS;
}
int cuEventQuery(void* event) {
    LOCKED;
    const auto& latest = static_cast<Event*>(event)->latest;
    return !latest || latest->done ? SUCCESS : 600;
}
int cuEventDestroy_v2(void*) { return SUCCESS; }  // Whoever still waits for it may.
int cuEventElapsedTime_v2(float* milliseconds, void*, void*) { return *milliseconds = 1, SUCCESS; }

int cuMemGetInfo_v2(size_t* available, size_t* all) {
    LOCKED;
    return *all = total(), *available = *all - std::min(*all, live), SUCCESS;
}
int cuMemAllocAsync(uint64_t* address, size_t bytes, void* handle) {
    LOCKED;
    auto stream = static_cast<Stream*>(handle);
    if (bytes == 0) return refuse(INVALID_VALUE, "memory of no bytes");
    if (stream->capturing) {
        const uint64_t place = *address = reserve(bytes, true);
        stream->capturing->allocated.push_back(place);
        enqueue(stream, "alloc", [place, bytes] { back(place), live += bytes, peak = std::max(peak, live); });
        return SUCCESS;
    }
    // What other streams have still to give back is not there yet.
    size_t waiting = 0;
    for (const auto& [_, block] : blocks) waiting += block.freed_in && block.freed_in != stream ? block.bytes : 0;
    if (live + waiting + bytes > total()) {
        run_all();
        if (live + bytes > total()) return OUT_OF_MEMORY;
    }
    const uint64_t place = *address = reserve(bytes, false);
    live += bytes, peak = std::max(peak, live);
    enqueue(stream, "alloc", [place] { back(place); });
    return SUCCESS;
}
int cuMemFreeAsync(uint64_t address, void* handle) {
    LOCKED;
    auto stream = static_cast<Stream*>(handle);
    const auto found = blocks.find(address);
    if (found == blocks.end() || found->second.freed_in) fail("memory is freed that is none");
    const size_t bytes = found->second.bytes;
    if (stream->capturing) {
        if (!found->second.graph) return stream->capturing->broken = true, CAPTURE_UNSUPPORTED;
        auto& own = stream->capturing->allocated;
        own.erase(std::remove(own.begin(), own.end(), address), own.end());
        enqueue(stream, "free", [address, bytes] { forbid(address), live -= bytes; });
        return SUCCESS;
    }
    live -= bytes;
    found->second.freed_in = stream;
    enqueue(stream, "free", [address] { forbid(address), blocks.erase(address); });
    return SUCCESS;
}
int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    LOCKED;
    if (live + bytes > total()) return OUT_OF_MEMORY;
    *address = reserve(bytes, false);
    live += bytes, peak = std::max(peak, live);
    return back(*address), SUCCESS;
}
int cuMemFree_v2(uint64_t address) {
    LOCKED;
    run_all();
    live -= blocks.at(address).bytes;
    return forbid(address), blocks.erase(address), SUCCESS;
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    LOCKED;
    *memory = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);
    return pinned[reinterpret_cast<uint64_t>(*memory)] = bytes, SUCCESS;
}
int cuMemAllocHost_v2(void** memory, size_t bytes) { return cuMemHostAlloc(memory, bytes, 0); }
int cuMemFreeHost(void* memory) {
    LOCKED;
    // Whatever is under way reads and writes it until it is done; freeing it does not wait, so neither does this.
    memset(memory, 0xff, pinned.at(reinterpret_cast<uint64_t>(memory)));
    pinned.erase(reinterpret_cast<uint64_t>(memory));
    return SUCCESS;  // Kept, so that a late reader finds garbage instead of a fault far away.
}
static bool is_pinned(const void* memory, size_t bytes) {
    const uint64_t at = reinterpret_cast<uint64_t>(memory);
    auto found = pinned.upper_bound(at);
    if (found == pinned.begin()) return false;
    --found;
    return at + bytes <= found->first + found->second;
}
int cuMemcpyHtoDAsync_v2(uint64_t target, const void* source, size_t bytes, void* stream) {
    LOCKED;
    auto to = reinterpret_cast<void*>(target);
    if (is_pinned(source, bytes)) return enqueue(stream, "copy from the host", [=] { memcpy(to, source, bytes); }), SUCCESS;
    if (static_cast<Stream*>(stream)->capturing) {
        // Read when it is replayed, from wherever it was.
        return enqueue(stream, "copy from the host", [=] { memset(to, 0xff, bytes); }), SUCCESS;
    }
    auto copy = std::make_shared<std::vector<char>>(static_cast<const char*>(source), static_cast<const char*>(source) + bytes);
    return enqueue(stream, "copy from the host", [=] { memcpy(to, copy->data(), bytes); }), SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void* target, uint64_t source, size_t bytes, void* handle) {
    LOCKED;
    auto stream = static_cast<Stream*>(handle);
    auto from = reinterpret_cast<const void*>(source);
    if (stream->capturing) return stream->capturing->broken = true, CAPTURE_UNSUPPORTED;
    enqueue(stream, "copy to the host", [=] { memcpy(target, from, bytes); });
    if (!is_pinned(target, bytes)) finish(stream);
    return SUCCESS;
}
int cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source, size_t bytes, void* stream) {
    LOCKED;
    auto to = reinterpret_cast<void*>(target);
    auto from = reinterpret_cast<const void*>(source);
    return enqueue(stream, "copy", [=] { memcpy(to, from, bytes); }), SUCCESS;
}
int cuMemsetD8Async(uint64_t target, unsigned char value, size_t bytes, void* stream) {
    LOCKED;
    auto to = reinterpret_cast<void*>(target);
    return enqueue(stream, "set", [=] { memset(to, value, bytes); }), SUCCESS;
}
int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = &blocks, SUCCESS; }
int cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
int cuMemPoolTrimTo(void*, size_t) { return SUCCESS; }
int cuDeviceGraphMemTrim(int) { return SUCCESS; }

int cuModuleLoadData(void** module, const void* text) { LOCKED; return *module = parse(static_cast<const char*>(text)), SUCCESS; }
int cuModuleUnload(void*) { return SUCCESS; }
int cuModuleGetFunction(void** function, void* module, const char* name) {
    const auto& entries = static_cast<Module*>(module)->entries;
    const auto found = entries.find(name);
    if (found == entries.end()) return refuse(NOT_FOUND, std::string("no kernel ") + name);
    return *function = new Function{found->first, found->second}, SUCCESS;
}
int cuFuncSetAttribute(void*, int attribute, int value) { return attribute == 8 && value > 227 << 10 ? refuse(INVALID_VALUE, "too much shared memory") : SUCCESS; }
int cuLaunchKernel(void* handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream,
                   void** parameters, void**) {
    LOCKED;
    const auto function = static_cast<Function*>(handle);
    if (bx * by * bz > 1024 || bx * by * bz == 0 || gx == 0 || gy == 0 || gz == 0) return refuse(INVALID_VALUE, function->name + ": no such grid");
    Launch launch{function->name, function->parameters, {}, {gx, gy, gz}, bx * by * bz, shared};
    for (size_t i = 0; i < launch.parameters.size(); ++i) {
        uint64_t value = 0;
        memcpy(&value, parameters[i], std::min<size_t>(8, launch.parameters[i].size));
        launch.values.push_back(value);
    }
    enqueue(stream, "kernel", [launch] { ++launches, perform(launch); });
    return SUCCESS;
}

int cuStreamBeginCapture_v2(void* stream, int) { LOCKED; return static_cast<Stream*>(stream)->capturing = new Graph, SUCCESS; }
int cuStreamIsCapturing(void* stream, int* status) { return *status = static_cast<Stream*>(stream)->capturing != nullptr, SUCCESS; }
int cuStreamEndCapture(void* handle, void** graph) {
    LOCKED;
    auto stream = static_cast<Stream*>(handle);
    *graph = stream->capturing;
    stream->capturing = nullptr;
    const auto made = static_cast<Graph*>(*graph);
    return made->broken ? (*graph = nullptr, 901) : SUCCESS;
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) { return *executable = graph, SUCCESS; }
int cuGraphUpload(void* graph, void*) {
    if (!static_cast<Graph*>(graph)->allocated.empty()) fail("a graph keeps memory that it took");
    return SUCCESS;
}
int cuGraphLaunch(void* graph, void* stream) {
    LOCKED;
    auto made = static_cast<Graph*>(graph);
    enqueue(stream, "graph", [made] {
        ++replays;
        for (const Node& node : made->nodes) node.work();
    });
    return SUCCESS;
}
int cuGraphExecDestroy(void*) { return SUCCESS; }
int cuGraphDestroy(void*) { return SUCCESS; }
int cuGraphGetNodes(void* graph, void** nodes, size_t* count) {
    auto& all = static_cast<Graph*>(graph)->nodes;
    if (nodes != nullptr)
        for (size_t i = 0; i < *count && i < all.size(); ++i) nodes[i] = &all[i];
    return *count = all.size(), SUCCESS;
}
int cuGraphNodeGetType(void* node, int* type) {
    static const std::map<std::string, int> types = {{"kernel", 0}, {"copy", 1}, {"copy from the host", 1}, {"copy to the host", 1}, {"set", 2}, {"alloc", 10}, {"free", 11}};
    return *type = types.at(static_cast<Node*>(node)->kind), SUCCESS;
}

}  // extern "C"
