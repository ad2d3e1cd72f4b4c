#include "mtcnn/quantised_kernels.hpp"

#include <algorithm>
#include <cmath>

#include "mtcnn/kernels.hpp"
#include "simd/dispatch.hpp"
#include "simd/vector.hpp"

#if FERENGINE_HAS_AVX2_TARGET
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own header, falsely
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")
#endif

namespace ferengine::mtcnn::vnni {
namespace {

constexpr int kPixels = 8;  // neighbours whose sums are made together

FERENGINE_INLINE __m512i four_bytes(const uint8_t* from) {
    int bytes;
    __builtin_memcpy(&bytes, from, sizeof(bytes));
    return _mm512_set1_epi32(bytes);
}

// What one group of channels gives for `Pixels` neighbours from pixel x on, after the PReLU.
template <int Pixels>
FERENGINE_INLINE void convolve_block(const ByteConvolutionView& layer, const uint8_t* const* rows, int x, int group,
                                     __m512* out) {
    const ptrdiff_t step = layer.step;
    const int8_t* weights = layer.weights + ptrdiff_t{64} * group * layer.kernel * layer.quads;
    __m512i sums[Pixels];
#pragma GCC unroll 8
    for (int p = 0; p < Pixels; ++p) sums[p] = _mm512_setzero_si512();
    for (int ky = 0; ky < layer.kernel; ++ky) {
        const uint8_t* inputs = rows[ky] + x * step;
        for (int quad = 0; quad < layer.quads; ++quad, inputs += 4, weights += 64) {
            const __m512i weight = _mm512_loadu_si512(weights);
#pragma GCC unroll 8
            for (int p = 0; p < Pixels; ++p)
                sums[p] = _mm512_dpbusd_epi32(sums[p], four_bytes(inputs + p * step), weight);
        }
    }
    const __m512 scale = _mm512_loadu_ps(layer.scales + ptrdiff_t{kGroup} * group),
                 bias = _mm512_loadu_ps(layer.biases + ptrdiff_t{kGroup} * group),
                 slope = _mm512_loadu_ps(layer.slopes + ptrdiff_t{kGroup} * group);
#pragma GCC unroll 8
    for (int p = 0; p < Pixels; ++p) {
        const __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[p]), scale, bias);
        out[p] = _mm512_mask_mul_ps(sum, _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_LT_OQ), sum, slope);
    }
}

template <int Pixels>
FERENGINE_INLINE void byte_block(const ByteConvolutionView& layer, const uint8_t* const* rows, int x,
                                 const float* zeros, uint8_t* out) {
    __m128i bytes[kMaxByteGroups][Pixels];
    for (int group = 0; group < layer.groups; ++group) {
        __m512 values[Pixels];
        convolve_block<Pixels>(layer, rows, x, group, values);
        const __m512 zero = _mm512_loadu_ps(zeros + ptrdiff_t{kGroup} * group);
#pragma GCC unroll 8
        for (int p = 0; p < Pixels; ++p) {
            const __m512i rounded = _mm512_cvtps_epi32(_mm512_add_ps(values[p], zero));
            bytes[group][p] = _mm512_cvtusepi32_epi8(_mm512_max_epi32(rounded, _mm512_setzero_si512()));
        }
    }
    // in ascending order: what is stored beyond a pixel's last channel is the next one's
    for (int p = 0; p < Pixels; ++p)
        for (int group = 0; group < layer.groups; ++group)
            _mm_storeu_si128(
                reinterpret_cast<__m128i*>(out + ptrdiff_t{layer.channels} * (x + p) + ptrdiff_t{kGroup} * group),
                bytes[group][p]);
}

template <int Pixels>
FERENGINE_INLINE void logit_block(const ByteConvolutionView& layer, const uint8_t* const* rows, int x,
                                  const float* head, float bias, float* out, int out_step) {
    __m512 totals[Pixels];
#pragma GCC unroll 8
    for (int p = 0; p < Pixels; ++p) totals[p] = _mm512_setzero_ps();
    for (int group = 0; group < layer.groups; ++group) {
        __m512 values[Pixels];
        convolve_block<Pixels>(layer, rows, x, group, values);
        const __m512 weight = _mm512_loadu_ps(head + ptrdiff_t{kGroup} * group);
#pragma GCC unroll 8
        for (int p = 0; p < Pixels; ++p) totals[p] = _mm512_fmadd_ps(values[p], weight, totals[p]);
    }
#pragma GCC unroll 8
    for (int p = 0; p < Pixels; ++p) out[ptrdiff_t{out_step} * (x + p)] = _mm512_reduce_add_ps(totals[p]) + bias;
}

// Calls block.operator()<Pixels>(x) for all of `count` pixels; where they are no multiple, some are made twice.
template <typename Block>
FERENGINE_INLINE void in_blocks(int count, const Block& block) {
    if (count < kPixels) {
        int x = 0;
        for (; x + 4 <= count; x += 4) block.template operator()<4>(x);
        for (; x < count; ++x) block.template operator()<1>(x);
        return;
    }
    for (int x = 0; x < count; x += kPixels) block.template operator()<kPixels>(std::min(x, count - kPixels));
}

struct ByteBlock {
    const ByteConvolutionView& layer;
    const uint8_t* const* rows;
    const float* zeros;
    uint8_t* out;

    template <int Pixels>
    FERENGINE_INLINE void operator()(int x) const {
        byte_block<Pixels>(layer, rows, x, zeros, out);
    }
};

struct LogitBlock {
    const ByteConvolutionView& layer;
    const uint8_t* const* rows;
    const float* head;
    float bias;
    float* out;
    int out_step;

    template <int Pixels>
    FERENGINE_INLINE void operator()(int x) const {
        logit_block<Pixels>(layer, rows, x, head, bias, out, out_step);
    }
};

void convolve_bytes(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* zeros,
                    uint8_t* out) {
    in_blocks(count, ByteBlock{.layer = layer, .rows = rows, .zeros = zeros, .out = out});
}

void convolve_to_logits(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* head,
                        float bias, float* out, int out_step) {
    in_blocks(count,
              LogitBlock{.layer = layer, .rows = rows, .head = head, .bias = bias, .out = out, .out_step = out_step});
}

void max_pool_bytes(const uint8_t* const* rows, int row_count, int width, int channels, int size, int count,
                    uint8_t* out) {
    for (int x = 0; x < count; ++x, out += channels) {
        const int first = 2 * x, columns = std::min(size, width - first);
        for (int c = 0; c < channels; c += kGroup) {
            const ptrdiff_t start = ptrdiff_t{first} * channels + c;
            __m128i maximum = _mm_setzero_si128();
            for (int r = 0; r < row_count; ++r)
                for (int column = 0; column < columns; ++column)
                    maximum = _mm_max_epu8(maximum, _mm_loadu_si128(reinterpret_cast<const __m128i*>(
                                                        rows[r] + start + ptrdiff_t{column} * channels)));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c), maximum);
        }
    }
}

void bytes_of(const float* values, int count, uint8_t* out) {
    int i = 0;
    for (; i + kGroup <= count; i += kGroup) {
        const __m512 value =
            _mm512_fmadd_ps(_mm512_loadu_ps(values + i), _mm512_set1_ps(128.0f), _mm512_set1_ps(127.5f));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(value)));
    }
    const auto rest = static_cast<__mmask16>((1u << (count - i)) - 1);
    const __m512 value =
        _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, values + i), _mm512_set1_ps(128.0f), _mm512_set1_ps(127.5f));
    _mm_mask_storeu_epi8(out + i, rest, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(value)));
}

}  // namespace
}  // namespace ferengine::mtcnn::vnni

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

namespace ferengine::mtcnn {
namespace plain {
namespace {

// Calls use(pixel, channel, value) for what each channel of each pixel is after the PReLU, channel by channel.
template <typename Use>
void convolve(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const Use& use) {
    for (int x = 0; x < count; ++x) {
        for (int channel = 0; channel < layer.groups * kGroup; ++channel) {
            int sum = 0;
            for (int ky = 0; ky < layer.kernel; ++ky)
                for (int tap = 0; tap < 4 * layer.quads; ++tap) {
                    const int quad = (channel / kGroup * layer.kernel + ky) * layer.quads + tap / 4;
                    sum += rows[ky][x * layer.step + tap] *
                           layer.weights[(ptrdiff_t{quad} * kGroup + channel % kGroup) * 4 + tap % 4];
                }
            const float value = static_cast<float>(sum) * layer.scales[channel] + layer.biases[channel];
            use(x, channel, value < 0.0f ? value * layer.slopes[channel] : value);
        }
    }
}

void convolve_bytes(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* zeros,
                    uint8_t* out) {
    convolve(layer, rows, count, [&](int x, int channel, float value) {
        if (channel < layer.channels)
            out[ptrdiff_t{layer.channels} * x + channel] =
                static_cast<uint8_t>(std::clamp(std::nearbyint(value + zeros[channel]), 0.0f, 255.0f));
    });
}

void convolve_to_logits(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* head,
                        float bias, float* out, int out_step) {
    for (int x = 0; x < count; ++x) out[ptrdiff_t{out_step} * x] = bias;
    convolve(layer, rows, count,
             [&](int x, int channel, float value) { out[ptrdiff_t{out_step} * x] += value * head[channel]; });
}

void max_pool_bytes(const uint8_t* const* rows, int row_count, int width, int channels, int size, int count,
                    uint8_t* out) {
    for (int x = 0; x < count; ++x)
        for (int c = 0; c < channels; ++c) {
            uint8_t maximum = 0;
            for (int r = 0; r < row_count; ++r)
                for (int column = 2 * x; column < std::min(2 * x + size, width); ++column)
                    maximum = std::max(maximum, rows[r][ptrdiff_t{column} * channels + c]);
            out[ptrdiff_t{x} * channels + c] = maximum;
        }
}

void bytes_of(const float* values, int count, uint8_t* out) {
    for (int i = 0; i < count; ++i)
        out[i] = static_cast<uint8_t>(std::clamp(std::nearbyint(values[i] * 128.0f + 127.5f), 0.0f, 255.0f));
}

}  // namespace
}  // namespace plain

#if FERENGINE_HAS_AVX2_TARGET

bool machine_has_vnni() {
    static const bool found = simd::machine_has_avx2() && __builtin_cpu_supports("avx512f") &&
                              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                              __builtin_cpu_supports("avx512vnni");
    return found;
}

#define FERENGINE_VNNI(function) (machine_has_vnni() ? &vnni::function : &plain::function)
#else
bool machine_has_vnni() { return false; }

#define FERENGINE_VNNI(function) (&plain::function)
#endif

void convolve_bytes(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* zeros,
                    uint8_t* out) {
    FERENGINE_VNNI(convolve_bytes)(layer, rows, count, zeros, out);
}

void convolve_to_logits(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* head,
                        float bias, float* out, int out_step) {
    FERENGINE_VNNI(convolve_to_logits)(layer, rows, count, head, bias, out, out_step);
}

void max_pool_bytes(std::span<const uint8_t* const> rows, int width, int channels, int size, int count, uint8_t* out) {
    FERENGINE_VNNI(max_pool_bytes)(rows.data(), static_cast<int>(rows.size()), width, channels, size, count, out);
}

void bytes_of(const float* values, int count, uint8_t* out) { FERENGINE_VNNI(bytes_of)(values, count, out); }

}  // namespace ferengine::mtcnn
