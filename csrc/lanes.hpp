// Several floats in one value: GCC's and Clang's vector extension, which becomes AVX, SSE, NEON or plain code.
#pragma once

// Compiled into each of its callers, for their instruction sets.
#define FERENGINE_INLINE __attribute__((always_inline)) inline

namespace ferengine {

// Four floats in one register (SSE, NEON).
using Float4 = float __attribute__((vector_size(16), aligned(4), may_alias));

// Eight floats: one register of AVX, else two of four.
using Float8 = float __attribute__((vector_size(32)));

inline Float4 load4(const float* from) { return *reinterpret_cast<const Float4*>(from); }

FERENGINE_INLINE Float8 load8(const float* from) {
    using Loose = float __attribute__((vector_size(32), aligned(4), may_alias));
    return *reinterpret_cast<const Loose*>(from);
}

FERENGINE_INLINE Float8 least_of(const Float8& a, const Float8& b) { return a < b ? a : b; }

template <int... Lanes>
inline Float4 pick(const Float4& a, const Float4& b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, Lanes...);
#else
    using Int4 = int __attribute__((vector_size(16)));
    return __builtin_shuffle(a, b, Int4{Lanes...});
#endif
}

// {sum of a, sum of b, sum of c, sum of d}
inline Float4 sums_of(const Float4& a, const Float4& b, const Float4& c, const Float4& d) {
    const Float4 ab = pick<0, 4, 1, 5>(a, b) + pick<2, 6, 3, 7>(a, b);
    const Float4 cd = pick<0, 4, 1, 5>(c, d) + pick<2, 6, 3, 7>(c, d);
    return pick<0, 1, 4, 5>(ab, cd) + pick<2, 3, 6, 7>(ab, cd);
}

FERENGINE_INLINE float sum_of(const Float8& a) {
    return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

}  // namespace ferengine
