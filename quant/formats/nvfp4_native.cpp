// NVFP4 fake quantisation on the CPU in one pass over the data: the arithmetic of quant/nvfp4.py, bit for bit; and FP8
// with one scale a tensor, for checkpoints that mix the two.
//
// Compiled by quant/nvfp4_native.py when it is first needed. Written so that the compiler vectorises every inner loop:
// no branches, no tables, no library calls. Must be built without -ffast-math and with -ffp-contract=off, for a
// fused multiply-add rounds once where torch rounds twice.

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

constexpr int BLOCK = 16;  // elements that share a scale
constexpr int STRIP = 32;  // blocks handled together: 2 KiB of float32, which stays in the L1 cache
constexpr int64_t PARALLEL = 1 << 15;  // elements below which waking a thread costs more than it saves
constexpr int LARGEST_CODE = 126;  // E4M3's code of 448
constexpr float E2M1_MAX = 6.0f, E4M3_MAX = 448.0f, E4M3_MIN = 0x1p-9f, SMALLEST = 0x1p-149f;

inline uint32_t bits(float f) {
    uint32_t u;
    std::memcpy(&u, &f, sizeof u);
    return u;
}

inline float real(uint32_t u) {
    float f;
    std::memcpy(&f, &u, sizeof f);
    return f;
}

inline float load(float x) { return x; }
inline void store(float& out, float f) { out = f; }

// bfloat16 is the upper half of a float32, rounded to nearest even.
inline float load(uint16_t x) { return real(uint32_t(x) << 16); }
inline void store(uint16_t& out, float f) {
    const uint32_t u = bits(f);
    out = f != f ? 0x7FC0 : uint16_t((u + 0x7FFF + ((u >> 16) & 1)) >> 16);
}

// A NaN passes, as it does through torch.clamp.
inline float clamp(float y, float low, float high) {
    y = y < low ? low : y;
    return y > high ? high : y;
}

// Round to a float of MANTISSA bits whose smallest normal exponent is EXPONENT, ties to even. Adding and subtracting
// 1.5 * 2^23 * step rounds to a multiple of step.
template <int EXPONENT, int MANTISSA>
inline float round_to(float y) {
    const uint32_t exponent = std::max(bits(y) & 0x7F800000u, uint32_t(127 + EXPONENT) << 23);
    const float magic = real(exponent + ((uint32_t(23 - MANTISSA) << 23) | 0x400000u));
    return (y + magic) - magic;
}

inline float round_e2m1(float y) { return round_to<0, 1>(y); }
inline float round_e4m3(float y) { return round_to<-6, 3>(y); }

// Each arithmetic turns a block's amax into what its elements are scaled by before and after rounding.

// ModelOpt's packing: divide by the scale.
struct Export {
    float global_scale, six_global_scale;
    explicit Export(float scale) : global_scale(scale), six_global_scale(E2M1_MAX * scale) {}
    void scales(float amax, float& before, float& after) const {
        float scale = amax / six_global_scale;
        scale = scale == 0.0f ? 1.0f : scale;
        after = round_e4m3(clamp(scale, E4M3_MIN, E4M3_MAX)) * global_scale;
        before = after < SMALLEST ? SMALLEST : after;
    }
    static float scaled(float x, float before) { return x / before; }
};

// vLLM's emulation of a W4A4 layer (ref_nvfp4_quant in nvfp4_emulation_utils.py): multiply by the reciprocal.
struct Emulation {
    float inverse_scale, scale;
    explicit Emulation(float inverse) : inverse_scale(inverse), scale(1.0f / inverse) {}
    void scales(float amax, float& before, float& after) const {
        const float rounded = round_e4m3(clamp(inverse_scale * (amax * (1.0f / E2M1_MAX)), -E4M3_MAX, E4M3_MAX));
        const float product = rounded * scale;
        before = 1.0f / (product == 0.0f ? 1e8f : product);
        after = rounded / inverse_scale;
    }
    static float scaled(float x, float before) { return x * before; }
};

template <class Arithmetic, class T>
void fake_quantize(const T* __restrict x, T* __restrict out, int64_t elements, Arithmetic arithmetic) {
    const int64_t blocks = elements / BLOCK;
#pragma omp parallel for schedule(static) if (elements > PARALLEL)
    for (int64_t first = 0; first < blocks; first += STRIP) {
        const int count = int(std::min<int64_t>(STRIP, blocks - first));
        const T* in_strip = x + first * BLOCK;
        T* out_strip = out + first * BLOCK;
        float values[STRIP * BLOCK], amax[STRIP], before[STRIP], after[STRIP];
        for (int i = 0; i < count * BLOCK; ++i) values[i] = load(in_strip[i]);
        for (int b = 0; b < count; ++b) {
            uint32_t largest = 0;  // magnitudes compare as integers, and a NaN is the largest
            for (int i = 0; i < BLOCK; ++i) largest = std::max(largest, bits(values[b * BLOCK + i]) & 0x7FFFFFFFu);
            amax[b] = real(largest);
        }
        for (int b = 0; b < count; ++b) arithmetic.scales(amax[b], before[b], after[b]);
        for (int b = 0; b < count; ++b)
            for (int i = b * BLOCK; i < (b + 1) * BLOCK; ++i) {
                const float y = clamp(Arithmetic::scaled(values[i], before[b]), -E2M1_MAX, E2M1_MAX);
                store(out_strip[i], round_e2m1(y) * after[b]);
            }
    }
}

// The values of the E4M3 codes 0 to 127, but for the NaN.
struct E4M3Values {
    float of[128];
    E4M3Values() {
        for (int code = 0; code < 128; ++code) {
            const int exponent = code >> 3, mantissa = code & 7;
            of[code] = exponent == 0 ? mantissa * 0x1p-9f : (8 + mantissa) * real(uint32_t(127 + exponent - 10) << 23);
        }
    }
};
const E4M3Values E4M3;

// Export's arithmetic under block scales that are given.
template <class T>
void fake_quantize_scaled(
    const T* __restrict x, const uint8_t* __restrict codes, T* __restrict out, int64_t blocks, float scale) {
#pragma omp parallel for schedule(static) if (blocks * BLOCK > PARALLEL)
    for (int64_t b = 0; b < blocks; ++b) {
        const float after = E4M3.of[codes[b] & 127] * scale, before = after < SMALLEST ? SMALLEST : after;
        for (int i = 0; i < BLOCK; ++i)
            store(out[b * BLOCK + i], round_e2m1(clamp(load(x[b * BLOCK + i]) / before, -E2M1_MAX, E2M1_MAX)) * after);
    }
}

// Squared error of a block under a block scale. The order of the sum is part of the definition (nvfp4_search.py).
inline float squared_error(const float* __restrict x, float scale) {
    float error[BLOCK];
    for (int i = 0; i < BLOCK; ++i) {
        const float apart = round_e2m1(clamp(x[i] / scale, -E2M1_MAX, E2M1_MAX)) * scale - x[i];
        error[i] = apart * apart;
    }
    for (int half = BLOCK / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) error[i] += error[i + half];
    return error[0];
}

// The sweep of nvfp4_search.py: `codes` holds the scales of max and becomes the best ones.
template <class T>
void sweep(const T* __restrict x, uint8_t* __restrict codes, int64_t blocks, float scale) {
#pragma omp parallel for schedule(static) if (blocks * BLOCK > PARALLEL)
    for (int64_t b = 0; b < blocks; ++b) {
        float block[BLOCK];
        uint32_t largest = 0;
        for (int i = 0; i < BLOCK; ++i) block[i] = load(x[b * BLOCK + i]) / scale;
        for (int i = 0; i < BLOCK; ++i) largest = std::max(largest, bits(block[i]) & 0x7FFFFFFFu);
        const float amax = real(largest);
        if (!(amax > 0.0f)) continue;
        const int start = codes[b];
        int best = start;
        float error = squared_error(block, E4M3.of[start]);
        const auto attempt = [&](int code) {
            const float found = squared_error(block, E4M3.of[code]);
            if (found < error) error = found, best = code;
        };
        for (int code = start + 1; code <= std::min(std::max(start + 8, 16), LARGEST_CODE); ++code) attempt(code);
        for (int code = start - 1; code >= 1; --code) {
            const float cut = amax - E2M1_MAX * E4M3.of[code];
            if (!(cut * cut < error)) break;
            attempt(code);
        }
        codes[b] = uint8_t(best);
    }
}

// vLLM's static per-tensor FP8 activation (QuantFP8.forward_native in input_quant_fp8.py), expanded again.
template <class T>
void fake_quantize_fp8(const T* __restrict x, T* __restrict out, int64_t elements, float scale) {
    const float inverse = 1.0f / scale;
#pragma omp parallel for schedule(static) if (elements > PARALLEL)
    for (int64_t i = 0; i < elements; ++i)
        store(out[i], round_e4m3(clamp(load(x[i]) * inverse, -E4M3_MAX, E4M3_MAX)) * scale);
}

}  // namespace

// x, out: contiguous, not overlapping; `elements` a multiple of 16 for NVFP4.
#define FAKE_QUANTIZE(NAME, TYPE, CALL) \
    extern "C" void NAME(const TYPE* x, TYPE* out, int64_t elements, float scale) { CALL; }

FAKE_QUANTIZE(export_bfloat16, uint16_t, fake_quantize(x, out, elements, Export(scale)))
FAKE_QUANTIZE(export_float32, float, fake_quantize(x, out, elements, Export(scale)))
FAKE_QUANTIZE(emulation_bfloat16, uint16_t, fake_quantize(x, out, elements, Emulation(scale)))
FAKE_QUANTIZE(emulation_float32, float, fake_quantize(x, out, elements, Emulation(scale)))
FAKE_QUANTIZE(fp8_bfloat16, uint16_t, fake_quantize_fp8(x, out, elements, scale))
FAKE_QUANTIZE(fp8_float32, float, fake_quantize_fp8(x, out, elements, scale))

// codes: a block's E4M3 scale, one byte each; `blocks` of 16 elements.
#define WITH_BLOCK_SCALES(SUFFIX, TYPE) \
    extern "C" void scaled_##SUFFIX(const TYPE* x, const uint8_t* codes, TYPE* out, int64_t blocks, float scale) { \
        fake_quantize_scaled(x, codes, out, blocks, scale); \
    } \
    extern "C" void sweep_##SUFFIX(const TYPE* x, uint8_t* codes, int64_t blocks, float scale) { \
        sweep(x, codes, blocks, scale); \
    }

WITH_BLOCK_SCALES(bfloat16, uint16_t)
WITH_BLOCK_SCALES(float32, float)
