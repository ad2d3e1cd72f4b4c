// Several floats in one value: GCC's and Clang's vector extension, which becomes AVX, SSE, NEON or plain code.
#pragma once

// Compiled into each of its callers, for their instruction sets.
#define FERENGINE_INLINE __attribute__((always_inline)) inline

namespace ferengine {

// Eight floats: one register of AVX, else two of four.
using Float8 = float __attribute__((vector_size(32)));

FERENGINE_INLINE Float8 load8(const float* from) {
    using Loose = float __attribute__((vector_size(32), aligned(4), may_alias));
    return *reinterpret_cast<const Loose*>(from);
}

FERENGINE_INLINE Float8 least_of(const Float8& a, const Float8& b) { return a < b ? a : b; }

FERENGINE_INLINE void store8(float* to, const Float8& values) {
    using Loose = float __attribute__((vector_size(32), aligned(4), may_alias));
    *reinterpret_cast<Loose*>(to) = values;
}

template <int... Lanes>
FERENGINE_INLINE Float8 pick(const Float8& a, const Float8& b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, Lanes...);
#else
    using Int8 = int __attribute__((vector_size(32)));
    return __builtin_shuffle(a, b, Int8{Lanes...});
#endif
}

// Of each the sums of its two halves: {a, b, c, d, a', b', c', d'}; no lane crosses the middle before the last step.
FERENGINE_INLINE Float8 sums_of(const Float8& a, const Float8& b, const Float8& c, const Float8& d) {
    const Float8 ab = pick<0, 8, 1, 9, 4, 12, 5, 13>(a, b) + pick<2, 10, 3, 11, 6, 14, 7, 15>(a, b);
    const Float8 cd = pick<0, 8, 1, 9, 4, 12, 5, 13>(c, d) + pick<2, 10, 3, 11, 6, 14, 7, 15>(c, d);
    return pick<0, 1, 8, 9, 4, 5, 12, 13>(ab, cd) + pick<2, 3, 10, 11, 6, 7, 14, 15>(ab, cd);
}

// {a + a', b + b', c + c', d + d', e + e', ...} of two such.
FERENGINE_INLINE Float8 sums_of(const Float8& abcd, const Float8& efgh) {
    return pick<0, 1, 2, 3, 8, 9, 10, 11>(abcd, efgh) + pick<4, 5, 6, 7, 12, 13, 14, 15>(abcd, efgh);
}

FERENGINE_INLINE float sum_of(const Float8& a) {
    return ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
}

}  // namespace ferengine
