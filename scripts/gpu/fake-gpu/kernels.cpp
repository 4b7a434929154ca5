// Kernels: ltx-kernels' from their own source, by the emulation that its tests use.
#define main emulate_one_launch
#include "emulate.cpp"
#undef main

#include "fake.h"

namespace fake {

void perform(const Launch& launch) {
    using namespace emulated;
    const auto found = kernels().find(launch.kernel);
    if (found == kernels().end()) return perform_of_candle(launch);
    const Kernel& own = found->second;
    if (launch.parameters.size() != own.arguments) fail(launch.kernel + " takes another number of arguments in its PTX");
    std::vector<Argument> list(own.arguments);
    for (size_t i = 0; i < list.size(); ++i) {
        const uint64_t value = launch.values[i];
        const bool is_wide = launch.parameters[i].size == 8;
        list[i].kind = '*';
        list[i].buffer = reinterpret_cast<void*>(value);
        list[i].whole = is_wide ? static_cast<int64_t>(value) : static_cast<int32_t>(value);
        memcpy(&list[i].real, &value, 4);
    }
    emulated::launch(own, {launch.grid[0], launch.grid[1], launch.grid[2]}, launch.block, launch.shared, list.data(), false);
}

}  // namespace fake
