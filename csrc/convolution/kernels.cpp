#include "convolution/kernels.hpp"

#define FERENGINE_TARGET_WIDE
#define FERENGINE_TARGET_INCLUDE "convolution/kernels-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::convolution {

void convolve_row(const ConvolutionView& layer, const float* const* rows, int count, float* out) {
    FERENGINE_DISPATCH_WIDE(convolve_row)(layer, rows, count, out);
}

void convolve_depthwise_row(const DepthwiseView& layer, const float* const* rows, int count, float* out) {
    FERENGINE_DISPATCH_WIDE(convolve_depthwise_row)(layer, rows, count, out);
}

}  // namespace ferengine::convolution
