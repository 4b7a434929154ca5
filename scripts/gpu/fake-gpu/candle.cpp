// Candle's kernels, by what they compute: element by element, in f32 where they are in a narrower float.
#include "fake.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace fake {
namespace {

// A dtype by the end of a kernel's name.
struct Type {
    std::string name;
    size_t size;

    double load(const char* at) const {
        if (name == "f32") return *reinterpret_cast<const float*>(at);
        if (name == "f64") return *reinterpret_cast<const double*>(at);
        if (name == "bf16") return from_bf16(*reinterpret_cast<const uint16_t*>(at));
        if (name == "f16") return from_f16(*reinterpret_cast<const uint16_t*>(at));
        if (name == "u8") return *reinterpret_cast<const uint8_t*>(at);
        if (name == "u32") return *reinterpret_cast<const uint32_t*>(at);
        return static_cast<double>(*reinterpret_cast<const int64_t*>(at));
    }
    void store(char* at, double x) const {
        if (name == "f32") *reinterpret_cast<float*>(at) = static_cast<float>(x);
        else if (name == "f64") *reinterpret_cast<double*>(at) = x;
        else if (name == "bf16") *reinterpret_cast<uint16_t*>(at) = to_bf16(static_cast<float>(x));
        else if (name == "f16") *reinterpret_cast<uint16_t*>(at) = to_f16(static_cast<float>(x));
        else if (name == "u8") *reinterpret_cast<uint8_t*>(at) = static_cast<uint8_t>(x);
        else if (name == "u32") *reinterpret_cast<uint32_t*>(at) = static_cast<uint32_t>(x);
        else *reinterpret_cast<int64_t*>(at) = static_cast<int64_t>(x);
    }
    double constant(const Launch& launch, size_t i) const {
        const uint64_t bits = launch.whole(i);
        return load(reinterpret_cast<const char*>(&bits));
    }
};

Type type_of(const std::string& name) {
    for (const auto& [known, size] : {std::pair{"bf16", 2}, {"f16", 2}, {"f32", 4}, {"f64", 8}, {"u8", 1}, {"u32", 4}, {"i64", 8}})
        if (name == known) return {name, static_cast<size_t>(size)};
    fail("no dtype " + name);
}

// Where element `i` of a strided tensor lies; without sizes it is contiguous.
struct Strided {
    size_t rank;
    const size_t *dims, *strides;

    size_t operator()(size_t i) const {
        if (dims == nullptr) return i;
        size_t at = 0;
        for (size_t d = rank; d-- > 0; i /= dims[d]) at += i % dims[d] * strides[d];
        return at;
    }
};

bool starts(const std::string& text, const char* with) { return text.rfind(with, 0) == 0; }

double unary(const std::string& name, double x) {
    const float f = static_cast<float>(x);
    if (name == "ucopy") return x;
    if (name == "uneg") return -x;
    if (name == "uabs") return std::fabs(x);
    if (name == "usqr") return f * f;
    if (name == "usqrt") return std::sqrt(f);
    if (name == "urecip") return 1.f / f;
    if (name == "uexp") return std::exp(f);
    if (name == "ulog") return std::log(f);
    if (name == "ucos") return std::cos(f);
    if (name == "usin") return std::sin(f);
    if (name == "utanh") return std::tanh(f);
    if (name == "urelu") return std::max(f, 0.f);
    if (name == "uround") return std::round(f);
    if (name == "ufloor") return std::floor(f);
    if (name == "uceil") return std::ceil(f);
    if (name == "usilu") return f / (1.f + std::exp(-f));
    if (name == "usigmoid") return 1.f / (1.f + std::exp(-f));
    if (name == "ugelu") return 0.5f * f * (1.f + std::tanh(0.7978845608f * (f + 0.044715f * f * f * f)));
    fail("no operation " + name);
}

double binary(const std::string& name, double x, double y) {
    const float a = static_cast<float>(x), b = static_cast<float>(y);
    if (name == "badd") return a + b;
    if (name == "bsub") return a - b;
    if (name == "bmul") return a * b;
    if (name == "bdiv") return a / b;
    if (name == "bmaximum") return std::fmax(x, y);
    if (name == "bminimum") return std::fmin(x, y);
    if (name == "eq") return x == y;
    if (name == "ne") return x != y;
    if (name == "lt") return x < y;
    if (name == "le") return x <= y;
    if (name == "gt") return x > y;
    if (name == "ge") return x >= y;
    fail("no operation " + name);
}

void reduce(const Launch& launch, const std::string& name, const Type& type, bool small) {
    // For small sums the first number is that of the results.
    const size_t first = launch.whole(0), each = launch.whole(1), results = small ? first : first / each;
    const size_t* info = launch.pointer<const size_t>(3);
    const Strided at{launch.whole(2), info, info + launch.whole(2)};
    const char* in = launch.pointer<const char>(4);
    char* out = launch.pointer<char>(5);
    for (size_t i = 0; i < results; ++i) {
        float sum = 0, most = -INFINITY, least = INFINITY;
        for (size_t j = 0; j < each; ++j) {
            const float x = static_cast<float>(type.load(in + at(i * each + j) * type.size));
            sum += x, most = std::fmax(most, x), least = std::fmin(least, x);
        }
        type.store(out + i * type.size, starts(name, "fast_sum") ? sum : starts(name, "fast_max") ? most : least);
    }
}

void softmax(const Launch& launch, const Type& type) {
    const size_t columns = static_cast<uint32_t>(launch.whole(2)), rows = launch.grid[0];
    for (size_t row = 0; row < rows; ++row) {
        const char* in = launch.pointer<const char>(0) + row * columns * type.size;
        char* out = launch.pointer<char>(1) + row * columns * type.size;
        float most = -INFINITY, sum = 0;
        for (size_t i = 0; i < columns; ++i) most = std::fmax(most, static_cast<float>(type.load(in + i * type.size)));
        for (size_t i = 0; i < columns; ++i) sum += std::exp(static_cast<float>(type.load(in + i * type.size)) - most);
        for (size_t i = 0; i < columns; ++i)
            type.store(out + i * type.size, std::exp(static_cast<float>(type.load(in + i * type.size)) - most) / sum);
    }
}

void unfold_columns(const Launch& launch, const Type& type) {
    const size_t count = launch.whole(0), h_out = launch.whole(1), w_out = launch.whole(2), h_k = launch.whole(3), w_k = launch.whole(4);
    const size_t stride = launch.whole(5), padding = launch.whole(6), dilation = launch.whole(7);
    const size_t *dims = launch.pointer<const size_t>(8), *strides = dims + 4;
    for (size_t i = 0; i < count; ++i) {
        size_t rest = i;
        const size_t wk = rest % w_k, hk = (rest /= w_k) % h_k, c = (rest /= h_k) % dims[1], w = (rest /= dims[1]) % w_out;
        const size_t h = (rest /= w_out) % h_out, b = rest / h_out;
        const size_t y = h * stride + hk * dilation, x = w * stride + wk * dilation;
        const bool inside = y >= padding && y < dims[2] + padding && x >= padding && x < dims[3] + padding;
        const size_t at = b * strides[0] + c * strides[1] + (y - padding) * strides[2] + (x - padding) * strides[3];
        type.store(launch.pointer<char>(10) + i * type.size, inside ? type.load(launch.pointer<const char>(9) + at * type.size) : 0);
    }
}

}  // namespace

void perform_of_candle(const Launch& launch) {
    const std::string& kernel = launch.kernel;
    const size_t cut = kernel.rfind('_');
    const std::string name = kernel.substr(0, cut), dtype = kernel.substr(cut + 1);
    if (starts(kernel, "cast_")) {
        const Type from = type_of(name.substr(5)), to = type_of(dtype);
        const size_t* info = launch.pointer<const size_t>(2);
        const Strided at{launch.whole(1), info, info + launch.whole(1)};
        for (size_t i = 0; i < launch.whole(0); ++i)
            to.store(launch.pointer<char>(4) + i * to.size, from.load(launch.pointer<const char>(3) + at(i) * from.size));
        return;
    }
    const Type type = type_of(dtype);
    const size_t count = launch.whole(0);
    if (name == "softmax") return softmax(launch, type);
    if (name == "im2col") return unfold_columns(launch, type);
    if (starts(name, "fast_")) return reduce(launch, name, type, name == "fast_sum_small");
    if (name == "copy2d") {
        const size_t d1 = launch.whole(2), d2 = launch.whole(3), from = launch.whole(4), to = launch.whole(5);
        for (size_t i = 0; i < d1; ++i)
            memcpy(launch.pointer<char>(1) + i * to * type.size, launch.pointer<const char>(0) + i * from * type.size, d2 * type.size);
        return;
    }
    if (name == "fill") {
        for (size_t i = 0; i < launch.whole(2); ++i) type.store(launch.pointer<char>(0) + i * type.size, type.constant(launch, 1));
        return;
    }
    const size_t rank = launch.whole(1), *info = launch.pointer<const size_t>(2);
    const Strided at{rank, info, info + rank};
    if (name == "const_set") {
        for (size_t i = 0; i < count; ++i) type.store(launch.pointer<char>(4) + at(i) * type.size, type.constant(launch, 3));
    } else if (name == "affine") {
        const float mul = static_cast<float>(type.constant(launch, 5)), add = static_cast<float>(type.constant(launch, 6));
        const char* in = launch.pointer<const char>(3);
        for (size_t i = 0; i < count; ++i) {
            char* out = launch.pointer<char>(4) + i * type.size;
            type.store(out, static_cast<float>(type.load(in ? in + at(i) * type.size : out)) * mul + add);
        }
    } else if (name == "upowf") {
        for (size_t i = 0; i < count; ++i)
            type.store(launch.pointer<char>(5) + i * type.size, std::pow(static_cast<float>(type.load(launch.pointer<const char>(4) + at(i) * type.size)), static_cast<float>(type.constant(launch, 3))));
    } else if (starts(name, "is_u32")) {
        // The index before the dtype: is_u32_f32.
        const size_t dim = launch.whole(7), ids = launch.whole(8), right = launch.whole(9);
        for (size_t i = 0; i < count; ++i) {
            const size_t left = i / (ids * right), id = launch.pointer<const uint32_t>(3)[i / right % ids];
            if (id >= dim) fail("an index of index_select is outside");
            // The strides are the ids', which are contiguous.
            memcpy(launch.pointer<char>(5) + i * type.size, launch.pointer<const char>(4) + ((left * dim + id) * right + i % right) * type.size, type.size);
        }
    } else if (starts(name, "where_")) {
        const Strided yes{rank, info, info + 2 * rank}, no{rank, info, info + 3 * rank};
        const Type asked = type_of(name.substr(6));
        for (size_t i = 0; i < count; ++i) {
            const bool which = asked.load(launch.pointer<const char>(3) + at(i) * asked.size) != 0;
            const char* from = which ? launch.pointer<const char>(4) + yes(i) * type.size : launch.pointer<const char>(5) + no(i) * type.size;
            memcpy(launch.pointer<char>(6) + i * type.size, from, type.size);
        }
    } else if (name[0] == 'u') {
        for (size_t i = 0; i < count; ++i) {
            const char* in = launch.pointer<const char>(3);
            char* out = launch.pointer<char>(4) + i * type.size;
            type.store(out, unary(name, type.load(in ? in + at(i) * type.size : out)));
        }
    } else {
        const Strided left{rank, info, info + rank}, right{rank, info, info + 2 * rank};
        const bool compares = name.size() == 2;
        const Type to = compares ? type_of("u8") : type;
        for (size_t i = 0; i < count; ++i) {
            const double x = type.load(launch.pointer<const char>(3) + (info ? left(i) : i) * type.size);
            const double y = type.load(launch.pointer<const char>(4) + (info ? right(i) : i) * type.size);
            to.store(launch.pointer<char>(5) + i * to.size, binary(name, x, y));
        }
    }
}

}  // namespace fake
