// The row kernels for AVX2 and FMA: this file alone is compiled with -mavx2 -mfma, and empty elsewhere.
#include "row_kernels.hpp"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace ferengine {
namespace {
constexpr int kLanes = 8;
#include "row_kernels.inc"
}  // namespace

extern const RowKernels kAvx2RowKernels;
const RowKernels kAvx2RowKernels = kKernels;

}  // namespace ferengine
#endif
