// Includes the file FERENGINE_TARGET_INCLUDE once for each instruction set; see dispatch.hpp. Headers that it needs are
// included before this one. Where FERENGINE_TARGET_WIDE is defined, AVX-512 is one of them.
#include "simd/dispatch.hpp"
#include "simd/vector.hpp"

#if FERENGINE_HAS_AVX2_TARGET
#include <immintrin.h>

#include <cstring>
#endif

// Any machine: SSE2, NEON, or plain code.
#define FERENGINE_TARGET baseline
#define FERENGINE_TARGET_AVX2 0
#define FERENGINE_TARGET_AVX512 0
#include "simd/vector-inl.hpp"
#include FERENGINE_TARGET_INCLUDE
#undef FERENGINE_TARGET
#undef FERENGINE_TARGET_AVX2
#undef FERENGINE_TARGET_AVX512

#if FERENGINE_HAS_AVX2_TARGET
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define FERENGINE_TARGET avx2
#define FERENGINE_TARGET_AVX2 1
#define FERENGINE_TARGET_AVX512 0
#include "simd/vector-inl.hpp"
#include FERENGINE_TARGET_INCLUDE
#undef FERENGINE_TARGET
#undef FERENGINE_TARGET_AVX2
#undef FERENGINE_TARGET_AVX512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#ifdef FERENGINE_TARGET_WIDE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // in GCC 12's own header, falsely
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512vl")
#endif
#define FERENGINE_TARGET avx512
#define FERENGINE_TARGET_AVX2 1
#define FERENGINE_TARGET_AVX512 1
#include "simd/vector-inl.hpp"
#include FERENGINE_TARGET_INCLUDE
#undef FERENGINE_TARGET
#undef FERENGINE_TARGET_AVX2
#undef FERENGINE_TARGET_AVX512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC diagnostic pop
#pragma GCC pop_options
#endif
#endif
#endif

#undef FERENGINE_TARGET_WIDE
#undef FERENGINE_TARGET_INCLUDE
