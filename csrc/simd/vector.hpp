// What code for vectors shares whatever the instruction set.
#pragma once

#include <cstdint>

// Compiled into each of its callers, for their instruction set.
#define FERENGINE_INLINE __attribute__((always_inline)) inline

namespace ferengine::simd {

// Eight floats (the vector extension of GCC and Clang): one register of AVX, else two of four.
using Float8 = float __attribute__((vector_size(32)));

}  // namespace ferengine::simd
