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
#pragma GCC diagnostic ignored "-Wuninitialized"        // there, too, where the linker does not optimise
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")
#endif

namespace ferengine::mtcnn::vnni {
namespace {

constexpr int kMaxPixels = 12;  // neighbours whose sums are made together

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
#pragma GCC unroll 12
    for (int p = 0; p < Pixels; ++p) sums[p] = _mm512_setzero_si512();
    for (int ky = 0; ky < layer.kernel; ++ky) {
        const uint8_t* inputs = rows[ky] + x * step;
        for (int quad = 0; quad < layer.quads; ++quad, inputs += 4, weights += 64) {
            const __m512i weight = _mm512_loadu_si512(weights);
#pragma GCC unroll 12
            for (int p = 0; p < Pixels; ++p)
                sums[p] = _mm512_dpbusd_epi32(sums[p], four_bytes(inputs + p * step), weight);
        }
    }
    const __m512 scale = _mm512_loadu_ps(layer.scales + ptrdiff_t{kGroup} * group),
                 bias = _mm512_loadu_ps(layer.biases + ptrdiff_t{kGroup} * group),
                 slope = _mm512_loadu_ps(layer.slopes + ptrdiff_t{kGroup} * group);
#pragma GCC unroll 12
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
#pragma GCC unroll 12
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
#pragma GCC unroll 12
    for (int p = 0; p < Pixels; ++p) totals[p] = _mm512_setzero_ps();
    for (int group = 0; group < layer.groups; ++group) {
        __m512 values[Pixels];
        convolve_block<Pixels>(layer, rows, x, group, values);
        const __m512 weight = _mm512_loadu_ps(head + ptrdiff_t{kGroup} * group);
#pragma GCC unroll 12
        for (int p = 0; p < Pixels; ++p) totals[p] = _mm512_fmadd_ps(values[p], weight, totals[p]);
    }
#pragma GCC unroll 12
    for (int p = 0; p < Pixels; ++p) out[ptrdiff_t{out_step} * (x + p)] = _mm512_reduce_add_ps(totals[p]) + bias;
}

// Calls block.operator()<pixels>(x).
template <int Pixels, typename Block>
FERENGINE_INLINE void run_block(const Block& block, int x, int pixels) {
    if constexpr (Pixels > 1) {
        if (pixels < Pixels) return run_block<Pixels - 1>(block, x, pixels);
    }
    block.template operator()<Pixels>(x);
}

// Calls block.operator()<Pixels>(x) for all of `count` pixels, in blocks of equal size, give or take one pixel.
template <typename Block>
FERENGINE_INLINE void in_blocks(int count, const Block& block) {
    const int blocks = (count + kMaxPixels - 1) / kMaxPixels;
    for (int i = 0, x = 0; i < blocks; ++i) {
        const int pixels = (count - x) / (blocks - i);
        run_block<kMaxPixels>(block, x, pixels);
        x += pixels;
    }
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

// What a channel is after the PReLU, as bytes in 32 bits.
FERENGINE_INLINE __m512i activated(const FirstConvolutionView& layer, int channel, __m512i sums) {
    const __m512 value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(layer.scales[channel]),
                                         _mm512_set1_ps(layer.biases[channel]));
    const __m512 sloped = _mm512_mask_mul_ps(value, _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_LT_OQ), value,
                                             _mm512_set1_ps(layer.slopes[channel]));
    const __m512i rounded = _mm512_cvtps_epi32(_mm512_add_ps(sloped, _mm512_set1_ps(layer.zeros[channel])));
    return _mm512_min_epi32(_mm512_max_epi32(rounded, _mm512_setzero_si512()), _mm512_set1_epi32(255));
}

// The even and the odd ones of 32 pixels.
FERENGINE_INLINE __m512i every_other(const uint8_t* pixels, int first) {
    const __m512i twos = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_epi32(_mm512_loadu_si512(pixels), _mm512_add_epi32(twos, _mm512_set1_epi32(first)),
                                     _mm512_loadu_si512(pixels + 64));
}

// One channel of 16 neighbouring maxima from x on, as bytes in 32 bits. A lane is a maximum: of its window the sums of
// the left and of the right pixels stand in registers of their own. The maximum of the sums gives that of the bytes,
// since both grow together; with a negative slope it may be that of the smallest sum.
template <int Rows>
FERENGINE_INLINE __m512i maxima_of(const FirstConvolutionView& layer, int channel, const __m512i (&pixels)[Rows + 2][4],
                                   __mmask16 right) {
    const int8_t* const weights = layer.weights + ptrdiff_t{9} * kLevelPitch * channel;
    __m512i sums[Rows][2];
#pragma GCC unroll 2
    for (int row = 0; row < Rows; ++row) {
        sums[row][0] = _mm512_setzero_si512();
        sums[row][1] = _mm512_setzero_si512();
    }
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
#pragma GCC unroll 3
        for (int kx = 0; kx < 3; ++kx) {
            int four;
            __builtin_memcpy(&four, weights + ptrdiff_t{kLevelPitch} * (3 * ky + kx), sizeof(four));
            const __m512i weight = _mm512_set1_epi32(four);
#pragma GCC unroll 2
            for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 2
                for (int column = 0; column < 2; ++column)
                    sums[row][column] = _mm512_dpbusd_epi32(sums[row][column], pixels[row + ky][column + kx], weight);
            }
        }
    }
    __m512i high = _mm512_mask_max_epi32(sums[0][0], right, sums[0][0], sums[0][1]);
    if (Rows == 2)
        high = _mm512_max_epi32(high,
                                _mm512_mask_max_epi32(sums[Rows - 1][0], right, sums[Rows - 1][0], sums[Rows - 1][1]));
    const __m512i bytes = activated(layer, channel, high);
    if (layer.slopes[channel] >= 0.0f) return bytes;
    __m512i low = _mm512_mask_min_epi32(sums[0][0], right, sums[0][0], sums[0][1]);
    if (Rows == 2)
        low = _mm512_min_epi32(low,
                               _mm512_mask_min_epi32(sums[Rows - 1][0], right, sums[Rows - 1][0], sums[Rows - 1][1]));
    return _mm512_max_epi32(bytes, activated(layer, channel, low));
}

template <int Rows>
FERENGINE_INLINE void maxima_block(const FirstConvolutionView& layer, const uint8_t* const* rows, int width, int x,
                                   int count, uint8_t* out) {
    __m512i pixels[Rows + 2][4];
#pragma GCC unroll 4
    for (int row = 0; row < Rows + 2; ++row) {
        const uint8_t* const from = rows[row] + ptrdiff_t{2} * kLevelPitch * x;
        pixels[row][0] = every_other(from, 0);
        pixels[row][1] = every_other(from, 1);
        pixels[row][2] = every_other(from + ptrdiff_t{2} * kLevelPitch, 0);
        pixels[row][3] = every_other(from + ptrdiff_t{2} * kLevelPitch, 1);
    }
    const int whole = std::min(width / 2 - x, kGroup);  // windows with a right column
    const auto right = static_cast<__mmask16>((1u << whole) - 1);
    __m512i fours[4];  // of each maximum four channels
    for (__m512i& four : fours) four = _mm512_setzero_si512();
    for (int channel = 0; channel < layer.channels; ++channel) {
        const __m512i bytes = maxima_of<Rows>(layer, channel, pixels, right);
        const __m512i shifted = _mm512_sllv_epi32(bytes, _mm512_set1_epi32(8 * (channel % 4)));
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
            if (channel / 4 == i) fours[i] = _mm512_or_si512(fours[i], shifted);
    }
    const __m512i a = _mm512_unpacklo_epi32(fours[0], fours[1]), b = _mm512_unpackhi_epi32(fours[0], fours[1]);
    const __m512i c = _mm512_unpacklo_epi32(fours[2], fours[3]), d = _mm512_unpackhi_epi32(fours[2], fours[3]);
    alignas(64) uint8_t maxima[4][4][kGroup];  // of the maximum 4 * i + j in [j][i]
    _mm512_store_si512(maxima[0], _mm512_unpacklo_epi64(a, c));
    _mm512_store_si512(maxima[1], _mm512_unpackhi_epi64(a, c));
    _mm512_store_si512(maxima[2], _mm512_unpacklo_epi64(b, d));
    _mm512_store_si512(maxima[3], _mm512_unpackhi_epi64(b, d));
    // in ascending order: what is stored beyond a pixel's last channel is the next one's
    for (int i = 0; i < std::min(count - x, kGroup); ++i)
        __builtin_memcpy(out + ptrdiff_t{layer.channels} * (x + i), maxima[i % 4][i / 4], kGroup);
}

void convolve_to_maxima(const FirstConvolutionView& layer, const uint8_t* const* rows, int row_count, int width,
                        int count, uint8_t* out) {
    for (int x = 0; x < count; x += kGroup) {
        if (row_count == 4)
            maxima_block<2>(layer, rows, width, x, count, out);
        else
            maxima_block<1>(layer, rows, width, x, count, out);
    }
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

void convolve_to_maxima(const FirstConvolutionView& layer, const uint8_t* const* rows, int row_count, int width,
                        int count, uint8_t* out) {
    const auto value_at = [&](int y, int x, int channel) {
        const int8_t* weight = layer.weights + ptrdiff_t{9} * kLevelPitch * channel;
        int sum = 0;
        for (int ky = 0; ky < 3; ++ky)
            for (int tap = 0; tap < 3 * kLevelPitch; ++tap) sum += rows[y + ky][kLevelPitch * x + tap] * *weight++;
        const float value = static_cast<float>(sum) * layer.scales[channel] + layer.biases[channel];
        const float sloped = value < 0.0f ? value * layer.slopes[channel] : value;
        return static_cast<uint8_t>(std::clamp(std::nearbyint(sloped + layer.zeros[channel]), 0.0f, 255.0f));
    };
    for (int x = 0; x < count; ++x)
        for (int channel = 0; channel < layer.channels; ++channel) {
            uint8_t maximum = 0;
            for (int y = 0; y < row_count - 2; ++y)
                for (int column = 2 * x; column < std::min(2 * x + 2, width); ++column)
                    maximum = std::max(maximum, value_at(y, column, channel));
            out[ptrdiff_t{x} * layer.channels + channel] = maximum;
        }
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

bool has_byte_kernels() { return simd::instructions() == simd::InstructionSet::avx512; }

#if FERENGINE_HAS_AVX2_TARGET
#define FERENGINE_VNNI(function) (has_byte_kernels() ? &vnni::function : &plain::function)
#else
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

void convolve_to_maxima(const FirstConvolutionView& layer, std::span<const uint8_t* const> rows, int width, int count,
                        uint8_t* out) {
    FERENGINE_VNNI(convolve_to_maxima)(layer, rows.data(), static_cast<int>(rows.size()), width, count, out);
}

void max_pool_bytes(std::span<const uint8_t* const> rows, int width, int channels, int size, int count, uint8_t* out) {
    FERENGINE_VNNI(max_pool_bytes)(rows.data(), static_cast<int>(rows.size()), width, channels, size, count, out);
}

void bytes_of(const float* values, int count, uint8_t* out) { FERENGINE_VNNI(bytes_of)(values, count, out); }

}  // namespace ferengine::mtcnn
