// The inner loops of MTCNN, each over one row, for the instruction set of this machine; the loops are in
// kernels-inl.hpp.
//
// Images and feature maps are float with channels last, a pixel's channels side by side. Rows that are written have
// kSlack floats behind their last pixel, which a kernel may overwrite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "convolution/kernels.hpp"

namespace ferengine::mtcnn {

using convolution::kGroup;
constexpr int kSlack = 16;

// Rows of feature maps below each other: `width` pixels, `pitch` floats from one to the next.
struct MapRows {
    std::span<const float* const> rows;
    int width, pitch;
};

// The source pixels of one destination pixel: weights[first_weight ...] for the pixels first, first + 1, ...
struct AreaSpan {
    int first, count;
    size_t first_weight;
};

// One bilinear sample along an axis: (1 - fraction) of pixel `first` and `fraction` of pixel `first` + 1.
struct LinearSample {
    int first;
    float fraction;
};

// Maxima of windows of `size` columns and all rows of `maps`, in steps of 2 columns; the windows end at the row's end.
// `channels` of each of the `count` pixels are written, without padding.
void max_pool_row(const MapRows& maps, int size, int channels, int count, float* out);

// out[i] = sum over r of weights[r] * rows[r][i], for `count` bytes.
void blend_rows(std::span<const uint8_t* const> rows, const float* weights, int count, float* out);

// Sums of BGR pixels over each of `spans`, rounded to an integer (half to even) -> RGB, (value - 127.5) / 128.
void blend_columns(const float* sums, std::span<const AreaSpan> spans, const float* weights, float* out);

// The same sums as RGB bytes, and a byte without a meaning: 4 a pixel.
void blend_columns_to_bytes(const float* sums, std::span<const AreaSpan> spans, const float* weights, uint8_t* out);

// The floats of blend_columns for `count` of the pixels of blend_columns_to_bytes.
void floats_of(const uint8_t* pixels, int count, float* out);

// Means of 2 x 2 BGR pixels, rounded half up: `count` output pixels.
void halve_row(const uint8_t* upper, const uint8_t* lower, int count, uint8_t* out);

// Bilinear samples of two BGR rows, (1 - fraction) of `upper` and `fraction` of `lower` -> RGB, rounded and normalised
// as in blend_columns. Each sample reads 7 bytes from its first pixel on.
void sample_row(const uint8_t* upper, const uint8_t* lower, float fraction, std::span<const LinearSample> samples,
                float* out);

}  // namespace ferengine::mtcnn
