// cuBLAS, cuBLASLt and cuRAND, as far as ltxd and candle call them.
#include "fake.h"

#include <cmath>
#include <cstring>
#include <vector>

namespace fake {

float from_bf16(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float x;
    return memcpy(&x, &wide, 4), x;
}
uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
float from_f16(uint16_t bits) { _Float16 x; return memcpy(&x, &bits, 2), static_cast<float>(x); }
uint16_t to_f16(float x) { const auto half = static_cast<_Float16>(x); uint16_t bits; return memcpy(&bits, &half, 2), bits; }
float from_e4m3(uint8_t bits) {
    const int exponent = bits >> 3 & 15, mantissa = bits & 7;
    const float size = exponent == 15 && mantissa == 7 ? NAN : exponent == 0 ? mantissa / 512.f : std::ldexp(1 + mantissa / 8.f, exponent - 7);
    return bits & 0x80 ? -size : size;
}

namespace {

enum { R_32F = 0, R_16F = 2, R_16BF = 14, R_8F_E4M3 = 28 };

size_t size_of(int type) { return type == R_32F ? 4 : type == R_8F_E4M3 ? 1 : 2; }
float value(const void* at, int type) {
    switch (type) {
        case R_32F: return *static_cast<const float*>(at);
        case R_16F: return from_f16(*static_cast<const uint16_t*>(at));
        case R_16BF: return from_bf16(*static_cast<const uint16_t*>(at));
        case R_8F_E4M3: return from_e4m3(*static_cast<const uint8_t*>(at));
        default: fail("a product of a type that the fake GPU does not know");
    }
}
void put(void* at, int type, float x) {
    if (type == R_32F) *static_cast<float*>(at) = x;
    else if (type == R_16BF) *static_cast<uint16_t*>(at) = to_bf16(x);
    else *static_cast<uint16_t*>(at) = to_f16(x);
}

// A matrix as columns of floats: element (row, column) of op(A).
std::vector<float> matrix(const char* from, int type, bool transposed, long rows, long columns, long leading) {
    std::vector<float> wide(rows * columns);
    for (long c = 0; c < columns; ++c)
        for (long r = 0; r < rows; ++r) wide[r * columns + c] = value(from + (transposed ? r * leading + c : c * leading + r) * size_of(type), type);
    return wide;
}

struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t leading;
};
struct Description {
    bool transposed_a = false;
    int epilogue = 1;
    const void* bias = nullptr;
    const float *scale_a = nullptr, *scale_b = nullptr;
    // Whether every row of op(A) and every column of op(B) has its own.
    bool vector_a = false, vector_b = false;
};

float gelu(float x) { return 0.5f * x * (1.f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x))); }

void* blas_stream;

}  // namespace
}  // namespace fake

using namespace fake;

extern "C" {

int cublasCreate_v2(void** handle) { return *handle = &blas_stream, 0; }
int cublasDestroy_v2(void*) { return 0; }
int cublasSetStream_v2(void*, void* stream) { return blas_stream = stream, 0; }
int cublasSetWorkspace_v2(void*, void*, size_t) { return 0; }
int cublasSetMathMode(void*, int) { return 0; }
int cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int type_a, int lda, long long stride_a,
                               const void* b, int type_b, int ldb, long long stride_b, const void* beta, void* c, int type_c, int ldc,
                               long long stride_c, int batch, int, int) {
    const float by = *static_cast<const float*>(alpha);
    if (*static_cast<const float*>(beta) != 0) fail("cuBLAS: adds to nothing here");
    enqueue(blas_stream, "kernel", [=] {
        for (int i = 0; i < batch; ++i) {
            const auto left = matrix(static_cast<const char*>(a) + i * stride_a * size_of(type_a), type_a, ta, m, k, lda);
            const auto right = matrix(static_cast<const char*>(b) + i * stride_b * size_of(type_b), type_b, !tb, n, k, ldb);
            for (int column = 0; column < n; ++column)
                for (int row = 0; row < m; ++row) {
                    float sum = 0;
                    for (int j = 0; j < k; ++j) sum += left[row * k + j] * right[column * k + j];
                    put(static_cast<char*>(c) + (i * stride_c + column * ldc + row) * size_of(type_c), type_c, by * sum);
                }
        }
    });
    return 0;
}

int cublasLtCreate(void** handle) { return *handle = &blas_stream, 0; }
int cublasLtDestroy(void*) { return 0; }
int cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    return *layout = new fake::Layout{type, rows, columns, leading}, 0;
}
int cublasLtMatrixLayoutDestroy(void* layout) { return delete static_cast<fake::Layout*>(layout), 0; }
int cublasLtMatrixLayoutSetAttribute(void*, int, const void*, size_t) { return 0; }
int cublasLtMatmulDescCreate(void** description, int, int) { return *description = new fake::Description, 0; }
int cublasLtMatmulDescDestroy(void* description) { return delete static_cast<fake::Description*>(description), 0; }
int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* from, size_t bytes) {
    auto& description = *static_cast<fake::Description*>(handle);
    auto address = [&] { return bytes == 8 ? *static_cast<const void* const*>(from) : (fail("cuBLASLt: an address has 8 bytes"), nullptr); };
    switch (attribute) {
        case 3: description.transposed_a = bytes == 4 && *static_cast<const int*>(from) == 1; return 0;
        case 7: description.epilogue = *static_cast<const int*>(from); return bytes == 4 ? 0 : 7;
        case 8: description.bias = address(); return 0;
        case 17: description.scale_a = static_cast<const float*>(address()); return 0;
        case 18: description.scale_b = static_cast<const float*>(address()); return 0;
        case 25: return bytes == 1 ? 0 : 7;
        case 31: description.vector_a = *static_cast<const int*>(from) == 3; return bytes == 4 ? 0 : 7;
        case 32: description.vector_b = *static_cast<const int*>(from) == 3; return bytes == 4 ? 0 : 7;
        default: return 7;
    }
}
int cublasLtMatmulPreferenceCreate(void** preference) { return *preference = &blas_stream, 0; }
int cublasLtMatmulPreferenceDestroy(void*) { return 0; }
int cublasLtMatmulPreferenceSetAttribute(void*, int, const void*, size_t) { return 0; }
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void* a, void* b, void*, void*, void*, int, void* results, int* found) {
    // As the real one: 8-bit operands need inner and outer sizes that are multiples of 16.
    const auto &left = *static_cast<fake::Layout*>(a), &right = *static_cast<fake::Layout*>(b);
    const bool fits = left.type != R_8F_E4M3 || (left.rows % 16 == 0 && left.columns % 16 == 0);
    memset(results, 0, 8 * 8 + 8 + 4 + 4 + 16);
    *found = fits && left.rows == right.rows ? 1 : 0;
    return fits ? 0 : 15;
}
int cublasLtMatmul(void*, void* how, const void* alpha, const void* a, void* layout_a, const void* b, void* layout_b, const void* beta, const void*,
                   void*, void* d, void* layout_d, const void*, void*, size_t, void* stream) {
    const auto description = *static_cast<fake::Description*>(how);
    const auto la = *static_cast<fake::Layout*>(layout_a), lb = *static_cast<fake::Layout*>(layout_b), ld = *static_cast<fake::Layout*>(layout_d);
    if (!description.transposed_a || *static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0) fail("cuBLASLt: another product than ltxd's");
    if (la.rows != lb.rows || ld.rows != la.columns || ld.columns != lb.columns || la.type != lb.type) return 7;
    if ((la.type == R_8F_E4M3) != (description.scale_a != nullptr) || description.vector_a != description.vector_b) return 7;
    enqueue(stream, "kernel", [=] {
        const long inner = la.rows, outputs = la.columns, rows = lb.columns;
        const auto weight = matrix(static_cast<const char*>(a), la.type, true, outputs, inner, la.leading);
        const auto x = matrix(static_cast<const char*>(b), lb.type, true, rows, inner, lb.leading);
        const bool scaled = description.scale_a != nullptr;
        const bool has_bias = description.epilogue & 4, has_gelu = description.epilogue & 32;
        for (long row = 0; row < rows; ++row)
            for (long output = 0; output < outputs; ++output) {
                float sum = 0;
                for (long i = 0; i < inner; ++i) sum += weight[output * inner + i] * x[row * inner + i];
                if (scaled) sum *= description.scale_a[description.vector_a ? output : 0] * description.scale_b[description.vector_b ? row : 0];
                if (has_bias) sum += value(static_cast<const char*>(description.bias) + output * 2, R_16BF);
                put(static_cast<char*>(d) + (row * ld.leading + output) * 2, ld.type, has_gelu ? gelu(sum) : sum);
            }
    });
    return 0;
}

struct Generator {
    void* stream;
    uint64_t state;
};
int curandCreateGenerator(void** generator, int) { return *generator = new Generator{nullptr, 1}, 0; }
int curandDestroyGenerator(void*) { return 0; }
int curandSetStream(void* generator, void* stream) { return static_cast<Generator*>(generator)->stream = stream, 0; }
int curandSetPseudoRandomGeneratorSeed(void* generator, unsigned long long seed) { return static_cast<Generator*>(generator)->state = seed, 0; }
int curandGenerateUniform(void* handle, float* out, size_t count) {
    auto generator = static_cast<Generator*>(handle);
    enqueue(generator->stream, "kernel", [=] {
        for (size_t i = 0; i < count; ++i) {
            generator->state = generator->state * 6364136223846793005u + 1442695040888963407u;
            out[i] = static_cast<float>((generator->state >> 40) + 1) / (1 << 24);
        }
    });
    return 0;
}
int curandGenerateNormal(void* handle, float* out, size_t count, float mean, float deviation) {
    curandGenerateUniform(handle, out, count);
    enqueue(static_cast<Generator*>(handle)->stream, "kernel", [=] {
        for (size_t i = 0; i + 1 < count; i += 2) {
            const float size = std::sqrt(-2 * std::log(out[i])), angle = 6.2831853f * out[i + 1];
            out[i] = mean + deviation * size * std::cos(angle), out[i + 1] = mean + deviation * size * std::sin(angle);
        }
    });
    return 0;
}

}  // extern "C"
