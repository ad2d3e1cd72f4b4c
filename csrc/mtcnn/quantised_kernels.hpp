// The inner loops of the networks in bytes (estimates.hpp), for machines with VNNI in AVX-512: 64 products at a time,
// where floats of AVX2 are 16.
//
// Maps are bytes with channels last, without padding. Rows that are read and written have kByteSlack bytes behind their
// last pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ferengine::mtcnn {

constexpr int kByteSlack = 64;
constexpr int kMaxByteGroups = 8;  // of kGroup output channels
constexpr int kLevelPitch = 4;     // bytes of a pixel of a pyramid level: RGB and one without a meaning
constexpr int kLevelSlack = 256;   // bytes behind a level that are read

// Whether there is more than plain code for these loops.
bool has_byte_kernels();

// A convolution with its PReLU, over bytes. A row of the kernel is `quads` times four bytes, zero beyond its last tap;
// `weights`: (groups, kernel, quads, kGroup, 4). For each of the groups * kGroup channels, sum * scale + bias is what
// the PReLU of `slopes` takes.
struct ByteConvolutionView {
    int groups, kernel, quads, channels;
    ptrdiff_t step;  // bytes from one output pixel to the next in the inputs
    const int8_t* weights;
    const float *scales, *biases, *slopes;
};

// `count` output pixels from the layer.kernel rows below each other in `rows`, each channel plus its zero point,
// rounded and limited to a byte.
void convolve_bytes(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* zeros,
                    uint8_t* out);

// The same pixels, each as the sum of its channels times `head`, into every `out_step`th float of `out`.
void convolve_to_logits(const ByteConvolutionView& layer, const uint8_t* const* rows, int count, const float* head,
                        float bias, float* out, int out_step);

// P-Net's first convolution, of 3 x 3 RGB pixels, with its PReLU and the maxima of 2 x 2 windows. `weights`:
// (channels, 3, 3, kLevelPitch), the last of each four 0; at most kGroup channels.
struct FirstConvolutionView {
    int channels;
    const int8_t* weights;
    const float *scales, *biases, *slopes, *zeros;
};

// `count` maxima of the convolution's rows, one or two, that the three or four rows of a level below each other in
// `rows` give. Its rows are `width` pixels, where the last window may end.
void convolve_to_maxima(const FirstConvolutionView& layer, std::span<const uint8_t* const> rows, int width, int count,
                        uint8_t* out);

// As max_pool_row.
void max_pool_bytes(std::span<const uint8_t* const> rows, int width, int channels, int size, int count, uint8_t* out);

// The bytes of `count` normalised values: value * 128 + 127.5, exact where it came of a byte.
void bytes_of(const float* values, int count, uint8_t* out);

}  // namespace ferengine::mtcnn
