// Convolutions in the kernels' layout.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "convolution/kernels.hpp"

namespace ferengine::convolution {

// A convolution with its PReLU; empty slopes mean none. `weights`: (kernel, kernel, in, out), C-contiguous.
class Convolution {
  public:
    Convolution(int kernel, int in, int out, std::span<const float> weights, std::span<const float> bias,
                std::span<const float> slopes)
        : in_(in), out_(out), kernel_(kernel), groups_((out + kGroup - 1) / kGroup) {
        const size_t taps = static_cast<size_t>(kernel) * static_cast<size_t>(kernel * in);
        const auto channels = static_cast<size_t>(out), padded = static_cast<size_t>(pitch());
        weights_.assign(taps * padded, 0.0f);
        for (size_t channel = 0; channel < channels; ++channel) {
            const size_t group = channel / kGroup, lane = channel % kGroup;
            for (size_t tap = 0; tap < taps; ++tap)
                weights_[(group * taps + tap) * kGroup + lane] = weights[tap * channels + channel];
        }
        bias_.assign(padded, 0.0f);
        std::ranges::copy(bias, bias_.begin());
        slopes_.assign(padded, 1.0f);
        std::ranges::copy(slopes, slopes_.begin());
    }

    int in() const { return in_; }
    int kernel() const { return kernel_; }
    int channels() const { return out_; }

    // Floats from one output pixel to the next.
    int pitch() const { return groups_ * kGroup; }

    // The weight of an output channel for input channel `channel_in` at row `y`, column `x` of the kernel; below, its
    // bias and slope.
    float weight(int y, int x, int channel_in, int channel) const {
        const size_t taps = static_cast<size_t>(kernel_) * static_cast<size_t>(kernel_ * in_);
        const auto tap = static_cast<size_t>((y * kernel_ + x) * in_ + channel_in);
        const auto group = static_cast<size_t>(channel / kGroup), lane = static_cast<size_t>(channel % kGroup);
        return weights_[(group * taps + tap) * kGroup + lane];
    }
    float bias(int channel) const { return bias_[static_cast<size_t>(channel)]; }
    float slope(int channel) const { return slopes_[static_cast<size_t>(channel)]; }

    // `count` output pixels from the kernel() rows below each other in `rows`.
    void row(const float* const* rows, int count, float* out) const { sparse_row(rows, 1, count, out, 1); }

    // The same for every `step`th pixel of the input, into every `out_step`th of the output.
    void sparse_row(const float* const* rows, int step, int count, float* out, int out_step) const {
        spaced_row(rows, ptrdiff_t{step} * in_, count, out, ptrdiff_t{out_step} * pitch());
    }

    // The same with so many floats from one output pixel to the next in the inputs, `step`, and in the outputs.
    void spaced_row(const float* const* rows, ptrdiff_t step, int count, float* out, ptrdiff_t out_pitch) const {
        const ConvolutionView view{.in = in_,
                                   .groups = groups_,
                                   .kernel = kernel_,
                                   .step = step,
                                   .pitch = out_pitch,
                                   .weights = weights_.data(),
                                   .bias = bias_.data(),
                                   .slopes = slopes_.data()};
        convolve_row(view, rows, count, out);
    }

  private:
    int in_, out_, kernel_, groups_;
    std::vector<float> weights_, bias_, slopes_;
};

// A depthwise convolution of 3 x 3 pixels with its activation. `weights`: (3, 3, channels), C-contiguous.
class Depthwise {
  public:
    Depthwise(std::span<const float> weights, std::span<const float> bias, float slope)
        : channels_(static_cast<int>(bias.size())) {
        const auto channels = bias.size(), padded = static_cast<size_t>(pitch());
        weights_.assign(9 * padded, 0.0f);
        for (size_t tap = 0; tap < 9; ++tap)
            std::copy_n(weights.data() + tap * channels, channels, weights_.data() + tap * padded);
        bias_.assign(padded, 0.0f);
        std::ranges::copy(bias, bias_.begin());
        slopes_.assign(padded, slope);
    }

    int channels() const { return channels_; }

    // Floats from one pixel to the next, in inputs and outputs.
    int pitch() const { return (channels_ + kGroup - 1) / kGroup * kGroup; }

    // `count` output pixels, `stride` pixels of the input apart, from three rows that begin left of the first.
    void row(const float* const* rows, int stride, int count, float* out) const {
        const DepthwiseView view{.channels = channels_,
                                 .step = ptrdiff_t{stride} * pitch(),
                                 .pitch = pitch(),
                                 .weights = weights_.data(),
                                 .bias = bias_.data(),
                                 .slopes = slopes_.data()};
        convolve_depthwise_row(view, rows, count, out);
    }

  private:
    int channels_;
    std::vector<float> weights_, bias_, slopes_;
};

}  // namespace ferengine::convolution
