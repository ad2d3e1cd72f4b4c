// The loop of yuv_to_bgr. For foreach_target.hpp.

namespace ferengine::image::FERENGINE_TARGET {
namespace {

// As _mm256_mulhrs_epi16, so that all machines agree to the last bit.
FERENGINE_INLINE int scaled(int value, int gain) { return (value * gain + (1 << 14)) >> 15; }

FERENGINE_INLINE uint8_t intensity(int sum) { return static_cast<uint8_t>(std::clamp((sum + 16) >> 5, 0, 255)); }

FERENGINE_INLINE void yuv_pixel_to_bgr(int y, int u, int v, const YuvGains& gains, uint8_t* bgr) {
    const int luma = scaled((y - gains.black) * 128, gains.luma);
    const int blue = (u - 128) * 256, red = (v - 128) * 256;
    bgr[0] = intensity(luma + scaled(blue, gains.blue_u));
    bgr[1] = intensity(luma - scaled(blue, gains.green_u) - scaled(red, gains.green_v));
    bgr[2] = intensity(luma + scaled(red, gains.red_v));
}

#if FERENGINE_TARGET_AVX2
// 16 bytes of chroma as (C - 128) << 8.
FERENGINE_INLINE __m256i load_chroma(const uint8_t* from) {
    const __m256i words = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    return _mm256_slli_epi16(_mm256_sub_epi16(words, _mm256_set1_epi16(128)), 8);
}

// The intensities of one colour: in each half of the register 8 even pixels, then the 8 odd ones between them.
FERENGINE_INLINE __m256i intensities(const __m256i& even, const __m256i& odd, const __m256i& color) {
    return _mm256_packus_epi16(_mm256_srai_epi16(_mm256_add_epi16(even, color), 5),
                               _mm256_srai_epi16(_mm256_add_epi16(odd, color), 5));
}

// 32 pixels. Even and odd ones have the same chroma, so that they are computed apart and come together when the three
// colours do: each third of the output is picked from all three by a shuffle.
FERENGINE_INLINE void yuv_32_to_bgr(const uint8_t* y, const uint8_t* u, const uint8_t* v, const YuvGains& gains,
                                    uint8_t* out) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y));
    const __m256i black = _mm256_set1_epi16(gains.black), gain = _mm256_set1_epi16(gains.luma);
    const __m256i half = _mm256_set1_epi16(16);
    const auto luma = [&](const __m256i& words) {
        return _mm256_add_epi16(_mm256_mulhrs_epi16(_mm256_slli_epi16(_mm256_sub_epi16(words, black), 7), gain), half);
    };
    const __m256i even = luma(_mm256_and_si256(bytes, _mm256_set1_epi16(255))), odd = luma(_mm256_srli_epi16(bytes, 8));
    const __m256i blue = load_chroma(u), red = load_chroma(v);
    const auto times = [](const __m256i& chroma, int16_t by) {
        return _mm256_mulhrs_epi16(chroma, _mm256_set1_epi16(by));
    };
    const __m256i to_green = _mm256_sub_epi16(_mm256_setzero_si256(),
                                              _mm256_add_epi16(times(blue, gains.green_u), times(red, gains.green_v)));
    const __m256i b = intensities(even, odd, times(blue, gains.blue_u));
    const __m256i g = intensities(even, odd, to_green);
    const __m256i r = intensities(even, odd, times(red, gains.red_v));

    // The byte of a colour's register for each byte of a third; pixel 2i lies at i, pixel 2i + 1 at 8 + i.
    const auto third = [&](const __m128i& from_b, const __m128i& from_g, const __m128i& from_r) {
        return _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(b, _mm256_broadcastsi128_si256(from_b)),
                                               _mm256_shuffle_epi8(g, _mm256_broadcastsi128_si256(from_g))),
                               _mm256_shuffle_epi8(r, _mm256_broadcastsi128_si256(from_r)));
    };
    const __m256i first = third(_mm_setr_epi8(0, -1, -1, 8, -1, -1, 1, -1, -1, 9, -1, -1, 2, -1, -1, 10),
                                _mm_setr_epi8(-1, 0, -1, -1, 8, -1, -1, 1, -1, -1, 9, -1, -1, 2, -1, -1),
                                _mm_setr_epi8(-1, -1, 0, -1, -1, 8, -1, -1, 1, -1, -1, 9, -1, -1, 2, -1));
    const __m256i second = third(_mm_setr_epi8(-1, -1, 3, -1, -1, 11, -1, -1, 4, -1, -1, 12, -1, -1, 5, -1),
                                 _mm_setr_epi8(10, -1, -1, 3, -1, -1, 11, -1, -1, 4, -1, -1, 12, -1, -1, 5),
                                 _mm_setr_epi8(-1, 10, -1, -1, 3, -1, -1, 11, -1, -1, 4, -1, -1, 12, -1, -1));
    const __m256i last = third(_mm_setr_epi8(-1, 13, -1, -1, 6, -1, -1, 14, -1, -1, 7, -1, -1, 15, -1, -1),
                               _mm_setr_epi8(-1, -1, 13, -1, -1, 6, -1, -1, 14, -1, -1, 7, -1, -1, 15, -1),
                               _mm_setr_epi8(5, -1, -1, 13, -1, -1, 6, -1, -1, 14, -1, -1, 7, -1, -1, 15));
    const auto store = [out](int at, const __m128i& part) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + at), part);
    };
    store(0, _mm256_castsi256_si128(first));
    store(16, _mm256_castsi256_si128(second));
    store(32, _mm256_castsi256_si128(last));
    store(48, _mm256_extracti128_si256(first, 1));
    store(64, _mm256_extracti128_si256(second, 1));
    store(80, _mm256_extracti128_si256(last, 1));
}
#endif

void yuv_row_to_bgr(const uint8_t* y, const uint8_t* u, const uint8_t* v, int width, const YuvGains& gains,
                    uint8_t* out) {
    int x = 0;
#if FERENGINE_TARGET_AVX2
    for (; x + 32 <= width; x += 32) yuv_32_to_bgr(y + x, u + x / 2, v + x / 2, gains, out + 3 * x);
    if (x > 0 && x + 1 < width) {  // what is left, together with some pixels once more
        const int from = (width - 32) & ~1;
        yuv_32_to_bgr(y + from, u + from / 2, v + from / 2, gains, out + 3 * from);
        x = from + 32;
    }
#endif
    for (; x < width; ++x) yuv_pixel_to_bgr(y[x], u[x / 2], v[x / 2], gains, out + 3 * x);
}

}  // namespace
}  // namespace ferengine::image::FERENGINE_TARGET
