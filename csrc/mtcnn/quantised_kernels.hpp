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

// Whether these loops run on this machine.
bool machine_has_vnni();

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

// As max_pool_row.
void max_pool_bytes(std::span<const uint8_t* const> rows, int width, int channels, int size, int count, uint8_t* out);

// The bytes of `count` normalised values: value * 128 + 127.5, exact where it came of a byte.
void bytes_of(const float* values, int count, uint8_t* out);

}  // namespace ferengine::mtcnn
