// Vectors of floats for one instruction set: the vector extension of GCC and Clang, and intrinsics where it has no word
// for what a machine can do. Included by foreach_target.hpp.

namespace ferengine::simd::FERENGINE_TARGET {

// The floats of one register.
constexpr int kLanes = FERENGINE_TARGET_AVX512 ? 16 : FERENGINE_TARGET_AVX2 ? 8 : 4;
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Float4 = float __attribute__((vector_size(16)));

// The same at any address, for loads and stores. Clang ignores `aligned` in an alias declaration, hence the typedefs.
// NOLINTBEGIN(modernize-use-using)
typedef float UnalignedFloats __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef float UnalignedFloat4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float UnalignedFloat8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint8_t UnalignedByte4 __attribute__((vector_size(4), aligned(1), may_alias));
// NOLINTEND(modernize-use-using)

FERENGINE_INLINE Floats load_floats(const float* from) { return *reinterpret_cast<const UnalignedFloats*>(from); }
FERENGINE_INLINE Float4 load_float4(const float* from) { return *reinterpret_cast<const UnalignedFloat4*>(from); }
FERENGINE_INLINE Float8 load_float8(const float* from) { return *reinterpret_cast<const UnalignedFloat8*>(from); }
#if FERENGINE_TARGET_AVX512
FERENGINE_INLINE void store(float* to, const Floats& values) { *reinterpret_cast<UnalignedFloats*>(to) = values; }
#endif
FERENGINE_INLINE void store(float* to, const Float8& values) { *reinterpret_cast<UnalignedFloat8*>(to) = values; }
FERENGINE_INLINE void store(float* to, const Float4& values) { *reinterpret_cast<UnalignedFloat4*>(to) = values; }

// Bytes as floats.
#if FERENGINE_TARGET_AVX512
FERENGINE_INLINE Floats load_bytes(const uint8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
#elif FERENGINE_TARGET_AVX2
FERENGINE_INLINE Floats load_bytes(const uint8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
#endif
#if FERENGINE_TARGET_AVX2
FERENGINE_INLINE Float4 load_4_bytes(const uint8_t* from) {
    int bytes;  // not _mm_loadu_si32, which GCC has since 11.3
    std::memcpy(&bytes, from, sizeof(bytes));
    return _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes)));
}
#else
FERENGINE_INLINE Float4 load_4_bytes(const uint8_t* from) {
    return __builtin_convertvector(*reinterpret_cast<const UnalignedByte4*>(from), Float4);
}
FERENGINE_INLINE Floats load_bytes(const uint8_t* from) { return load_4_bytes(from); }
#endif

FERENGINE_INLINE Float8 min(const Float8& a, const Float8& b) { return a < b ? a : b; }

// The lanes of a (0 to 7) and b (8 to 15) with these indices.
template <int... Indices>
FERENGINE_INLINE Float8 shuffle(const Float8& a, const Float8& b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, Indices...);
#else
    using Int8 = int __attribute__((vector_size(32)));
    return __builtin_shuffle(a, b, Int8{Indices...});
#endif
}

// The sums of the lower and of the upper halves, {a, b, c, d, a', b', c', d'}. No lane crosses the middle, which would
// cost AVX more.
FERENGINE_INLINE Float8 half_sums(const Float8& a, const Float8& b, const Float8& c, const Float8& d) {
    const Float8 ab = shuffle<0, 8, 1, 9, 4, 12, 5, 13>(a, b) + shuffle<2, 10, 3, 11, 6, 14, 7, 15>(a, b);
    const Float8 cd = shuffle<0, 8, 1, 9, 4, 12, 5, 13>(c, d) + shuffle<2, 10, 3, 11, 6, 14, 7, 15>(c, d);
    return shuffle<0, 1, 8, 9, 4, 5, 12, 13>(ab, cd) + shuffle<2, 3, 10, 11, 6, 7, 14, 15>(ab, cd);
}

// The sums of eight vectors, one in each lane, from the half_sums of the first and of the last four.
FERENGINE_INLINE Float8 merge_half_sums(const Float8& abcd, const Float8& efgh) {
    return shuffle<0, 1, 2, 3, 8, 9, 10, 11>(abcd, efgh) + shuffle<4, 5, 6, 7, 12, 13, 14, 15>(abcd, efgh);
}

FERENGINE_INLINE float sum(const Float8& a) {
    return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

}  // namespace ferengine::simd::FERENGINE_TARGET
