// BGR to grey, the inner loop of every crop.
#pragma once

#include <cstdint>

// The sanitizer tests define FERENGINE_PORTABLE to test the code of other machines on this one.
#if defined(__x86_64__) && !defined(FERENGINE_PORTABLE)
#define FERENGINE_AVX2
#include <immintrin.h>
#endif

namespace ferengine {

// (1868 B + 9617 G + 4899 R + 8192) >> 14: ITU-R BT.601 luma in 14 bits, within one level of cv2.cvtColor.
inline int grey_level(const uint8_t* bgr) { return (bgr[0] * 1868 + bgr[1] * 9617 + bgr[2] * 4899 + 8192) >> 14; }

template <typename Level>
void grey_row_portable(const uint8_t* bgr, int count, Level* out) {
    for (int i = 0; i < count; ++i) out[i] = static_cast<Level>(grey_level(bgr + 3 * i));
}

#if defined(FERENGINE_AVX2)
// Eight pixels a step: two shuffles spread 12 bytes of each half into (B, G) and (R, 1) pairs of 16 bits, which
// multiply-add against the weights (the 1 carries the rounding).
__attribute__((target("avx2"))) inline __m256i grey_levels_avx2(const uint8_t* bgr) {
    const __m256i blue_green = _mm256_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1,  //
                                                0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1);
    const __m256i red = _mm256_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1,  //
                                         2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1);
    const __m256i pixels =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr))),
                                _mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr + 12)), 1);
    const __m256i rounded_red = _mm256_or_si256(_mm256_shuffle_epi8(pixels, red), _mm256_set1_epi32(1 << 16));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(pixels, blue_green),
                                                                _mm256_set1_epi32(9617 << 16 | 1868)),
                                              _mm256_madd_epi16(rounded_red, _mm256_set1_epi32(8192 << 16 | 4899))),
                             14);
}

// The loads read 4 bytes past the eighth pixel, so the last two pixels are left to the portable loop.
__attribute__((target("avx2"))) inline void grey_row_avx2(const uint8_t* bgr, int count, float* out) {
    int i = 0;
    for (; i + 10 <= count; i += 8) _mm256_storeu_ps(out + i, _mm256_cvtepi32_ps(grey_levels_avx2(bgr + 3 * i)));
    grey_row_portable(bgr + 3 * i, count - i, out + i);
}

__attribute__((target("avx2"))) inline void grey_row_avx2(const uint8_t* bgr, int count, uint8_t* out) {
    int i = 0;
    for (; i + 10 <= count; i += 8) {
        const __m256i levels = grey_levels_avx2(bgr + 3 * i);
        const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(levels), _mm256_extracti128_si256(levels, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm_packus_epi16(words, words));
    }
    grey_row_portable(bgr + 3 * i, count - i, out + i);
}
#endif

// Grey levels of `count` BGR pixels; float or uint8_t.
template <typename Level>
void grey_row(const uint8_t* bgr, int count, Level* out) {
#if defined(FERENGINE_AVX2)
    static const bool avx2 = __builtin_cpu_supports("avx2");
    if (avx2) return grey_row_avx2(bgr, count, out);
#endif
    grey_row_portable(bgr, count, out);
}

}  // namespace ferengine
