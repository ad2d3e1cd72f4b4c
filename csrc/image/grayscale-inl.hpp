// One channel of a frame's pixels, or BGR to grey: the inner loop of every crop. For foreach_target.hpp.

namespace ferengine::image::FERENGINE_TARGET {
namespace {

// (1868 B + 9617 G + 4899 R + 8192) >> 14: ITU-R BT.601 luma in 14 bits, within 1 of cv2.cvtColor.
FERENGINE_INLINE int gray_of(const uint8_t* bgr) {
    return (bgr[0] * 1868 + bgr[1] * 9617 + bgr[2] * 4899 + 8192) >> 14;
}

#if FERENGINE_TARGET_AVX2
// Eight pixels: two shuffles spread 12 bytes of each half into (B, G) and (R, 1) pairs of 16 bits, which multiply-add
// with the weights (the 1 carries the rounding). The loads read 4 bytes past the eighth pixel.
FERENGINE_INLINE __m256i gray_of_8(const uint8_t* bgr) {
    const __m256i blue_green = _mm256_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1,  //
                                                0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1);
    const __m256i red = _mm256_setr_epi8(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1,  //
                                         2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1);
    const __m256i pixels =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr))),
                                _mm_loadu_si128(reinterpret_cast<const __m128i*>(bgr + 12)), 1);
    const __m256i red_one = _mm256_or_si256(_mm256_shuffle_epi8(pixels, red), _mm256_set1_epi32(1 << 16));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(pixels, blue_green),
                                                                _mm256_set1_epi32(9617 << 16 | 1868)),
                                              _mm256_madd_epi16(red_one, _mm256_set1_epi32(8192 << 16 | 4899))),
                             14);
}

FERENGINE_INLINE void store_gray(const __m256i& gray, float* out) { _mm256_storeu_ps(out, _mm256_cvtepi32_ps(gray)); }

FERENGINE_INLINE void store_gray(const __m256i& gray, uint8_t* out) {
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(gray), _mm256_extracti128_si256(gray, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(words, words));
}
#endif

// The grey values of `count` BGR pixels; Gray is float or uint8_t.
template <typename Gray>
void gray_row(const uint8_t* bgr, int count, Gray* out) {
    int i = 0;
#if FERENGINE_TARGET_AVX2
    for (; i + 10 <= count; i += 8) store_gray(gray_of_8(bgr + 3 * i), out + i);  // the last two are not read past
#endif
    for (; i < count; ++i) out[i] = static_cast<Gray>(gray_of(bgr + 3 * i));
}

// One channel of a pixel.
FERENGINE_INLINE int channel_of(const FrameView& frame, Channel channel, const uint8_t* pixel) {
    if (frame.channels == 1) return *pixel;
    return channel == Channel::gray ? gray_of(pixel) : pixel[static_cast<int>(channel)];
}

// One channel of `count` pixels from row y and column x on.
template <typename Value>
FERENGINE_INLINE void channel_pixels(const FrameView& frame, Channel channel, int y, int x, int count, Value* out) {
    const uint8_t* pixels = frame.pixel(y, x);
    if (frame.channels == 3 && channel == Channel::gray) return gray_row(pixels, count, out);
    if (frame.channels == 3) {
        pixels += static_cast<int>(channel);
        for (int i = 0; i < count; ++i) out[i] = pixels[ptrdiff_t{3} * i];
        return;
    }
    for (int i = 0; i < count; ++i) out[i] = pixels[i];
}

}  // namespace
}  // namespace ferengine::image::FERENGINE_TARGET
