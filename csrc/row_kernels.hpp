// The inner loops of MTCNN, each over one row, in the forms that machines have: the table below is filled once for
// every instruction set from the same source, row_kernels.inc, and the best one is chosen at run time.
//
// Images and feature maps are float with channels last, a pixel's channels side by side. Rows that are written have
// kSlack floats behind their last pixel, which a kernel may overwrite.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ferengine {

constexpr int kGroup = 16;  // output channels computed together; a convolution's output pixels are padded to these
constexpr int kSlack = 16;

// A convolution as its kernel reads it. `weights`: (groups, kernel, kernel * in, kGroup), zero beyond the last channel;
// `bias` and `slopes` (of the PReLU that follows; 1 for none): (groups * kGroup).
struct ConvolutionView {
    int in, groups, kernel;
    const float *weights, *bias, *slopes;
};

// The source pixels of one destination pixel: weights[first_weight ...] for the pixels first, first + 1, ...
struct AreaSpan {
    int first, count;
    size_t first_weight;
};

// One sample of a bilinear crop along an axis: (1 - share) of pixel `first` and `share` of pixel `first` + 1.
struct Sample {
    int first;
    float share;
};

struct RowKernels {
    // `count` output pixels from the `kernel` rows below each other in `rows`.
    void (*convolve)(const ConvolutionView& layer, const float* const* rows, int count, float* out);

    // Maxima of windows of `size` columns in steps of 2, over `row_count` rows of `width` pixels of `pitch` floats; the
    // windows end at the row's end. `channels` of each pixel are written, without padding.
    void (*pool)(const float* const* rows, int row_count, int width, int pitch, int size, int channels, int count,
                 float* out);

    // out[i] = sum over r of weights[r] * rows[r][i], for `count` bytes.
    void (*weigh_rows)(const uint8_t* const* rows, const float* weights, int row_count, int count, float* out);

    // Sums of BGR pixels over spans, rounded to a level (half to even) -> RGB, (level - 127.5) / 128.
    void (*weigh_columns)(const float* sums, const AreaSpan* spans, const float* weights, int count, float* out);

    // Means of 2 x 2 pixels of `channels` 3, rounded half up: `count` output pixels.
    void (*halve)(const uint8_t* upper, const uint8_t* lower, int count, uint8_t* out);

    // Bilinear samples of two BGR rows, (1 - share) of `upper` and `share` of `lower` -> RGB, (level - 127.5) / 128.
    // Each sample reads 7 bytes from its first pixel on.
    void (*sample)(const uint8_t* upper, const uint8_t* lower, float share, const Sample* samples, int count,
                   float* out);
};

// The best for this machine.
const RowKernels& row_kernels();

}  // namespace ferengine
