// The inner loops of MTCNN. For foreach_target.hpp.

namespace ferengine::mtcnn::FERENGINE_TARGET {
namespace {

namespace v = simd::FERENGINE_TARGET;
using v::Float4;
using v::Floats;
using v::kLanes;

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
    for (; x + kLanes <= count; x += kLanes) {
        Floats sum = {};
        for (int r = 0; r < row_count; ++r) sum += weights[r] * v::load_bytes(rows[r] + x);
        v::store(out + x, sum);
    }
    for (; x < count; ++x) {
        float sum = 0.0f;
        for (int r = 0; r < row_count; ++r) sum += weights[r] * static_cast<float>(rows[r][x]);
        out[x] = sum;
    }
}

constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23: floats of this size have no fraction

// BGR values of 0 to 255 -> RGB, rounded to an integer (half to even), as the networks take it; the fourth lane has no
// meaning.
FERENGINE_INLINE Float4 normalised(const Float4& values) {
    const Float4 bgr = (values + kRounding) - kRounding;
#if defined(__clang__)
    const Float4 rgb = __builtin_shufflevector(bgr, bgr, 2, 1, 0, 3);
#else
    using Int4 = int __attribute__((vector_size(16)));
    const Float4 rgb = __builtin_shuffle(bgr, Int4{2, 1, 0, 3});
#endif
    return (rgb - 127.5f) * (1.0f / 128.0f);
}

// The sum of a span's BGR pixels; the fourth lane has no meaning.
FERENGINE_INLINE Float4 sum_of(const float* sums, const AreaSpan& span, const float* weights) {
    const float* pixel = sums + 3 * static_cast<ptrdiff_t>(span.first);
    const float* weight = weights + span.first_weight;
    Float4 sum = *weight * v::load_float4(pixel);
    for (int i = 1; i < span.count; ++i) sum += weight[i] * v::load_float4(pixel + 3 * static_cast<ptrdiff_t>(i));
    return sum;
}

void blend_columns(const float* sums, const AreaSpan* spans, const float* weights, int count, float* out) {
    for (int x = 0; x < count; ++x, out += 3) v::store(out, normalised(sum_of(sums, spans[x], weights)));
}

void blend_columns_to_bytes(const float* sums, const AreaSpan* spans, const float* weights, int count, uint8_t* out) {
    for (int x = 0; x < count; ++x, out += 4) {
        const Float4 sum = sum_of(sums, spans[x], weights);
#if FERENGINE_TARGET_AVX2
        const __m128i rgb = _mm_setr_epi8(8, 4, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
        const int pixel = _mm_cvtsi128_si32(_mm_shuffle_epi8(_mm_cvtps_epi32(sum), rgb));
        std::memcpy(out, &pixel, sizeof(pixel));
#else
        const Float4 rounded = (sum + kRounding) - kRounding;
        for (int c = 0; c < 3; ++c) out[c] = static_cast<uint8_t>(rounded[2 - c]);
#endif
    }
}

void floats_of(const uint8_t* pixels, int count, float* out) {
    for (int x = 0; x < count; ++x, pixels += 4, out += 3)
        v::store(out, (v::load_4_bytes(pixels) - 127.5f) * (1.0f / 128.0f));
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
