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
