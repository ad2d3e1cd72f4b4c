// The inner loops of MTCNN. For foreach_target.hpp.

namespace ferengine::mtcnn::FERENGINE_TARGET {
namespace {

namespace v = simd::FERENGINE_TARGET;
using v::Float4;
using v::Floats;
using v::kLanes;

constexpr int kVectors = kGroup / kLanes;  // registers that a pixel's group takes
constexpr int kMaxPixels = 12 / kVectors;  // 12 sums leave room for weights and inputs among 16 registers

// The terms of a sum of products, of floats or of pairs of integers: one of each output channel.
struct FloatTerms {
    using Input = float;
    using Sums = Floats;
    static Sums weights(const float* from) { return v::load_floats(from); }
    static Sums input(const float* from) { return *from - Floats{}; }
    static void add(Sums& sums, const Sums& input, const Sums& weights) { sums += input * weights; }
    static Floats to_floats(const Sums& sums) { return sums; }
};

#if defined(__SSE2__)
struct PairTerms {
    using Input = int16_t;
    using Sums = v::Ints;
    static Sums weights(const int16_t* from) { return v::load_shorts(from); }
    static Sums input(const int16_t* from) { return v::spread_pair(from); }
    static void add(Sums& sums, const Sums& input, const Sums& weights) { sums += v::multiply_pairs(input, weights); }
    static Floats to_floats(const Sums& sums) { return __builtin_convertvector(sums, Floats); }
};
#endif

// One group of output channels for `Pixels` neighbours. Kernel columns and input channels lie side by side in a row, so
// a row of the kernel is one dot product.
template <class Terms, int Pixels>
FERENGINE_INLINE void convolve_block(const ConvolutionView<typename Terms::Input>& layer,
                                     const typename Terms::Input* const* rows, int x,
                                     const typename Terms::Input* weights, int channel, float* out) {
    using Sums = Terms::Sums;
    constexpr int kTerm = kTogether<typename Terms::Input>;
    const ptrdiff_t step = layer.step;
    Sums sums[Pixels][kVectors] = {};
    for (int ky = 0; ky < layer.kernel; ++ky) {
        const typename Terms::Input* inputs = rows[ky] + x * step;
        for (int term = 0; term < layer.terms; ++term, inputs += kTerm, weights += kGroup * kTerm) {
            Sums weight[kVectors];
#pragma GCC unroll 16
            for (int i = 0; i < kVectors; ++i) weight[i] = Terms::weights(weights + i * kLanes * kTerm);
#pragma GCC unroll 16
            for (int p = 0; p < Pixels; ++p) {
                const Sums input = Terms::input(inputs + p * step);
#pragma GCC unroll 16
                for (int i = 0; i < kVectors; ++i) Terms::add(sums[p][i], input, weight[i]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) {
        const int first = channel + i * kLanes;
        const Floats scale = layer.scale * v::load_floats(layer.scales + first);
        const Floats bias = v::load_floats(layer.bias + first), slope = v::load_floats(layer.slopes + first);
#pragma GCC unroll 16
        for (int p = 0; p < Pixels; ++p) {
            const Floats sum = Terms::to_floats(sums[p][i]) * scale + bias;
            v::store(out + p * layer.pitch + first, sum > 0.0f ? sum : sum * slope);
        }
    }
}

template <class Terms>
FERENGINE_INLINE void convolve(const ConvolutionView<typename Terms::Input>& layer,
                               const typename Terms::Input* const* rows, int count, float* out) {
    const ptrdiff_t length = ptrdiff_t{layer.kernel} * layer.terms * kGroup * kTogether<typename Terms::Input>;
    const int blocks = (count + kMaxPixels - 1) / kMaxPixels;  // of equal size, give or take one pixel
    for (int group = 0; group < layer.groups; ++group) {
        const typename Terms::Input* const weights = layer.weights + group * length;
        const int channel = group * kGroup;
        int x = 0;
        for (int block = 0; block < blocks; ++block) {
            const int pixels = (count - x) / (blocks - block);
            float* const target = out + x * layer.pitch;
            switch (pixels) {
                case 1:
                    convolve_block<Terms, 1>(layer, rows, x, weights, channel, target);
                    break;
                case 2:
                    convolve_block<Terms, 2>(layer, rows, x, weights, channel, target);
                    break;
                case 3:
                    convolve_block<Terms, 3>(layer, rows, x, weights, channel, target);
                    break;
                case 4:
                    convolve_block<Terms, 4>(layer, rows, x, weights, channel, target);
                    break;
                case 5:
                    convolve_block<Terms, 5>(layer, rows, x, weights, channel, target);
                    break;
                default:
                    convolve_block<Terms, 6>(layer, rows, x, weights, channel, target);
                    break;
            }
            x += pixels;
        }
    }
}

void convolve_floats(const ConvolutionView<float>& layer, const float* const* rows, int count, float* out) {
    convolve<FloatTerms>(layer, rows, count, out);
}

void scale_floats(const float* in, float factor, int count, float* out) {
    for (int i = 0; i < count; i += kLanes) v::store(out + i, factor * v::load_floats(in + i));
}

#if defined(__SSE2__)
void convolve_shorts(const ConvolutionView<int16_t>& layer, const int16_t* const* rows, int count, float* out) {
    convolve<PairTerms>(layer, rows, count, out);
}

void to_shorts(const float* in, float factor, int count, int16_t* out) {
    for (int i = 0; i < count; i += 2 * kLanes)
        v::store_shorts(out + i, factor * v::load_floats(in + i), factor * v::load_floats(in + i + kLanes));
}
#endif

float max_magnitude(const float* in, int count) {
    Floats maxima = {};
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Floats values = v::load_floats(in + i), magnitudes = values < 0.0f ? -values : values;
        maxima = magnitudes > maxima ? magnitudes : maxima;
    }
    float maximum = 0.0f;
    for (int lane = 0; lane < kLanes; ++lane) maximum = maxima[lane] > maximum ? maxima[lane] : maximum;
    for (; i < count; ++i) {
        const float magnitude = in[i] < 0.0f ? -in[i] : in[i];
        maximum = magnitude > maximum ? magnitude : maximum;
    }
    return maximum;
}

void max_pool_row(const MapRows& maps, int size, int channels, int count, float* out) {
    const float* const* const rows = maps.rows.data();
    const int row_count = static_cast<int>(maps.rows.size()), pitch = maps.pitch;
    for (int x = 0; x < count; ++x, out += channels) {
        const int first = 2 * x, columns = first + size <= maps.width ? size : maps.width - first;
        for (int c = 0; c < channels; c += kLanes) {
            const ptrdiff_t start = static_cast<ptrdiff_t>(first) * pitch + c;
            Floats maximum = v::load_floats(rows[0] + start);
            for (int r = 0; r < row_count; ++r)
                for (int column = 0; column < columns; ++column) {
                    const Floats value = v::load_floats(rows[r] + start + column * pitch);
                    maximum = value > maximum ? value : maximum;
                }
            v::store(out + c, maximum);
        }
    }
}

void blend_rows(const uint8_t* const* rows, const float* weights, int row_count, int count, float* out) {
    int x = 0;
    for (; x + 4 * kLanes <= count; x += 4 * kLanes) {
        Floats sums[4] = {};
        for (int r = 0; r < row_count; ++r) {
            const float weight = weights[r];
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) sums[i] += weight * v::load_bytes(rows[r] + x + i * kLanes);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) v::store(out + x + i * kLanes, sums[i]);
    }
    for (; x < count; ++x) {
        float sum = 0.0f;
        for (int r = 0; r < row_count; ++r) sum += weights[r] * static_cast<float>(rows[r][x]);
        out[x] = sum;
    }
}

// BGR values of 0 to 255 -> RGB, rounded to an integer (half to even), as the networks take it; the fourth lane has no
// meaning.
FERENGINE_INLINE Float4 normalised(const Float4& values) {
    constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23: floats of this size have no fraction
    const Float4 bgr = (values + kRounding) - kRounding;
#if defined(__clang__)
    const Float4 rgb = __builtin_shufflevector(bgr, bgr, 2, 1, 0, 3);
#else
    using Int4 = int __attribute__((vector_size(16)));
    const Float4 rgb = __builtin_shuffle(bgr, Int4{2, 1, 0, 3});
#endif
    return (rgb - 127.5f) * (1.0f / 128.0f);
}

void blend_columns(const float* sums, const AreaSpan* spans, const float* weights, int count, float* out) {
    for (int x = 0; x < count; ++x, out += 3) {
        const float* pixel = sums + 3 * static_cast<ptrdiff_t>(spans[x].first);
        const float* weight = weights + spans[x].first_weight;
        Float4 sum = *weight * v::load_float4(pixel);
        for (int i = 1; i < spans[x].count; ++i)
            sum += weight[i] * v::load_float4(pixel + 3 * static_cast<ptrdiff_t>(i));
        v::store(out, normalised(sum));
    }
}

void halve_row(const uint8_t* upper, const uint8_t* lower, int count, uint8_t* out) {
    int x = 0;
#if FERENGINE_TARGET_AVX2
    // Twelve bytes of each half hold four pixels; pairs of one channel are brought side by side and added.
    const __m256i pairs = _mm256_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1,  //
                                           0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1);
    const auto sums = [&](const uint8_t* bgr) {
        const __m256i pixels =
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr))),
                                    _mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr + 12)), 1);
        return _mm256_maddubs_epi16(_mm256_shuffle_epi8(pixels, pairs), _mm256_set1_epi8(1));
    };
    for (; x + 7 <= count; x += 4) {  // the loads read 4 bytes, the second store writes 10 bytes too far
        const ptrdiff_t from = ptrdiff_t{6} * x;
        const __m256i four = _mm256_add_epi16(sums(upper + from), sums(lower + from));
        const __m256i means = _mm256_srli_epi16(_mm256_add_epi16(four, _mm256_set1_epi16(2)), 2);
        const __m256i bytes = _mm256_packus_epi16(means, means);
        uint8_t* const target = out + ptrdiff_t{3} * x;
        _mm_storel_epi64(reinterpret_cast<__m128i*>(target), _mm256_castsi256_si128(bytes));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(target + 6), _mm256_extracti128_si256(bytes, 1));
    }
#endif
    for (; x < count; ++x)
        for (int c = 0; c < 3; ++c) {
            const int i = 6 * x + c;
            out[3 * x + c] = static_cast<uint8_t>((upper[i] + upper[i + 3] + lower[i] + lower[i + 3] + 2) >> 2);
        }
}

void sample_row(const uint8_t* upper, const uint8_t* lower, float fraction, const LinearSample* samples, int count,
                float* out) {
    for (int x = 0; x < count; ++x, out += 3) {
        const ptrdiff_t first = 3 * static_cast<ptrdiff_t>(samples[x].first);
        const Float4 upper_left = v::load_4_bytes(upper + first), upper_right = v::load_4_bytes(upper + first + 3);
        const Float4 left = upper_left + fraction * (v::load_4_bytes(lower + first) - upper_left);
        const Float4 right = upper_right + fraction * (v::load_4_bytes(lower + first + 3) - upper_right);
        v::store(out, normalised(left + samples[x].fraction * (right - left)));
    }
}

}  // namespace
}  // namespace ferengine::mtcnn::FERENGINE_TARGET
