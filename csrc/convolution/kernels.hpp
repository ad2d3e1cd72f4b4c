// The inner loops of convolutions, each over one row, for the instruction set of this machine; the loops are in
// kernels-inl.hpp. Feature maps are float with channels last, a pixel's channels side by side.
#pragma once

#include <cstddef>

namespace ferengine::convolution {

constexpr int kGroup = 16;  // output channels computed together; a convolution's output pixels are padded to these

// A convolution as its kernel reads it. `weights`: (groups, kernel, kernel * in, kGroup), zero beyond the last channel;
// `bias` and `slopes` (of the PReLU that follows; 1 for none): (groups * kGroup). Floats from one output pixel to the
// next, in the inputs (`step`) and in the outputs (`pitch`).
struct ConvolutionView {
    int in, groups, kernel;
    ptrdiff_t step, pitch;
    const float *weights, *bias, *slopes;
};

// A depthwise convolution of 3 x 3 pixels: each channel for itself. `weights`: (3, 3, pitch); `bias` and `slopes`, as
// above: (pitch). `pitch` floats from one pixel to the next, in inputs and outputs, a multiple of kGroup; `step` in the
// inputs from one output pixel to the next.
struct DepthwiseView {
    int channels;
    ptrdiff_t step, pitch;
    const float *weights, *bias, *slopes;
};

// `count` output pixels from the layer.kernel rows below each other in `rows`.
void convolve_row(const ConvolutionView& layer, const float* const* rows, int count, float* out);

// The same for the three rows of a depthwise convolution, which begin at the first output pixel's left neighbour.
void convolve_depthwise_row(const DepthwiseView& layer, const float* const* rows, int count, float* out);

}  // namespace ferengine::convolution
