// The building blocks of MTCNN's networks: convolutions in the kernels' layout, and buffers of a few rows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "mtcnn/kernels.hpp"

namespace ferengine::mtcnn {

// An array of weights in Keras layout, C-contiguous.
struct Tensor {
    std::vector<int> shape;
    std::span<const float> data;
};

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

    // Of one output channel: of the input `channel_in` below row `y` and column `x` of the kernel, and what follows.
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
        const ConvolutionView view{.in = in_,
                                   .groups = groups_,
                                   .kernel = kernel_,
                                   .step = ptrdiff_t{step} * in_,
                                   .pitch = ptrdiff_t{out_step} * pitch(),
                                   .weights = weights_.data(),
                                   .bias = bias_.data(),
                                   .slopes = slopes_.data()};
        convolve_row(view, rows, count, out);
    }

  private:
    int in_, out_, kernel_, groups_;
    std::vector<float> weights_, bias_, slopes_;
};

// The last `depth` rows of a map, with `slack` values behind each.
template <typename Value, size_t slack = kSlack>
class RowBuffer {
  public:
    RowBuffer(int depth, int width, int pitch)
        : depth_(depth),
          length_(static_cast<size_t>(width) * static_cast<size_t>(pitch) + slack),
          data_(length_ * static_cast<size_t>(depth)) {}

    Value* row(int y) { return data_.data() + static_cast<size_t>(y % depth_) * length_; }

  private:
    int depth_;
    size_t length_;
    std::vector<Value> data_;
};

// The rows y to y + 2.
template <typename Value, size_t slack>
std::array<const Value*, 3> three_rows(RowBuffer<Value, slack>& buffer, int y) {
    return {buffer.row(y), buffer.row(y + 1), buffer.row(y + 2)};
}

// Hands out the arrays of a network one after another, as long as their shapes are the expected ones.
class WeightReader {
  public:
    explicit WeightReader(std::span<const Tensor> tensors) : tensors_(tensors) {}

    std::span<const float> next(const std::vector<int>& shape) {
        if (index_ == tensors_.size()) throw std::invalid_argument("too few arrays of weights");
        const Tensor& tensor = tensors_[index_++];
        if (tensor.shape != shape)
            throw std::invalid_argument("array " + std::to_string(index_ - 1) + " of the weights must have the shape " +
                                        text(shape) + ", not " + text(tensor.shape));
        return tensor.data;
    }

    void finish() const {
        if (index_ != tensors_.size()) throw std::invalid_argument("too many arrays of weights");
    }

  private:
    static std::string text(const std::vector<int>& shape) {
        std::string result = "(";
        for (const int length : shape) result += (result.size() > 1 ? ", " : "") + std::to_string(length);
        return result + ")";
    }

    std::span<const Tensor> tensors_;
    size_t index_ = 0;
};

}  // namespace ferengine::mtcnn
