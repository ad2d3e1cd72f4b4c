// The row kernels for any machine (SSE, NEON), and the choice between the forms.
#include "row_kernels.hpp"

namespace ferengine {
namespace {
constexpr int kLanes = 4;
#include "row_kernels.inc"
}  // namespace

// The sanitizer tests define FERENGINE_PORTABLE to test the code of other machines on this one.
#if defined(__x86_64__) && !defined(FERENGINE_PORTABLE)
extern const RowKernels kAvx2RowKernels;

const RowKernels& row_kernels() {
    static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx2 ? kAvx2RowKernels : kKernels;
}
#else
const RowKernels& row_kernels() { return kKernels; }
#endif

}  // namespace ferengine
