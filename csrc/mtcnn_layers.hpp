// The building blocks of MTCNN's networks: convolutions in the kernels' layout, and buffers of a few rows.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "row_kernels.hpp"

namespace ferengine {

// An array of weights in Keras layout, C-contiguous.
struct Tensor {
    std::vector<int> shape;
    const float* data;
};

// A convolution with its PReLU; no slopes mean none. `weights`: (kernel, kernel, in, out), C-contiguous.
class Convolution {
  public:
    Convolution(int kernel, int in, int out, const float* weights, const float* bias, const float* slopes)
        : in_(in), out_(out), kernel_(kernel), groups_((out + kGroup - 1) / kGroup) {
        const size_t taps = static_cast<size_t>(kernel) * kernel * in, lanes = static_cast<size_t>(groups_) * kGroup;
        weights_.assign(taps * lanes, 0.0f);
        bias_.assign(lanes, 0.0f);
        slopes_.assign(lanes, 1.0f);
        for (int channel = 0; channel < out; ++channel) {
            const size_t group = static_cast<size_t>(channel / kGroup), lane = static_cast<size_t>(channel % kGroup);
            for (size_t tap = 0; tap < taps; ++tap)
                weights_[(group * taps + tap) * kGroup + lane] = weights[tap * static_cast<size_t>(out) + channel];
            bias_[channel] = bias[channel];
            if (slopes) slopes_[channel] = slopes[channel];
        }
    }

    int in() const { return in_; }
    int kernel() const { return kernel_; }
    int channels() const { return out_; }

    // Floats from one output pixel to the next.
    int pitch() const { return groups_ * kGroup; }

    void row(const float* const* rows, int count, float* out) const {
        const ConvolutionView view{in_, groups_, kernel_, weights_.data(), bias_.data(), slopes_.data()};
        row_kernels().convolve(view, rows, count, out);
    }

  private:
    int in_, out_, kernel_, groups_;
    std::vector<float> weights_, bias_, slopes_;
};

// The last `depth` rows of a map.
class RowBuffer {
  public:
    RowBuffer(int depth, int width, int pitch)
        : depth_(depth), length_(static_cast<size_t>(width) * pitch + kSlack), data_(length_ * depth) {}

    float* row(int y) { return data_.data() + static_cast<size_t>(y % depth_) * length_; }

  private:
    int depth_;
    size_t length_;
    std::vector<float> data_;
};

// Hands out the arrays of a network one after another, as long as their shapes are the expected ones.
class WeightReader {
  public:
    explicit WeightReader(const std::vector<Tensor>& tensors) : tensors_(tensors) {}

    const float* next(const std::vector<int>& shape) {
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

    const std::vector<Tensor>& tensors_;
    size_t index_ = 0;
};

}  // namespace ferengine
