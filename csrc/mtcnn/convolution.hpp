// The building blocks of MTCNN's networks: convolutions in the kernels' layout, and buffers of a few rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "mtcnn/kernels.hpp"

namespace ferengine::mtcnn {

// An array of weights in Keras layout, C-contiguous.
struct Tensor {
    std::vector<int> shape;
    std::span<const float> data;
};

// The largest magnitude of a value: of any, and of maps that are brought to it. No sum may overflow, so that the finer
// the values the coarser are the weights; at the latter both cost about as much.
constexpr float kMaxAny = 32767.0f, kMaxMap = 8192.0f;

// A convolution with its PReLU, of floats or of integers, whose outputs are floats; empty slopes mean none. `weights`:
// (kernel, kernel, in, out), C-contiguous. Of integers no input may exceed `max_value`.
template <class T>
class Convolution {
  public:
    Convolution(int kernel, int in, int out, std::span<const float> weights, std::span<const float> bias,
                std::span<const float> slopes, float max_value = kMaxAny)
        : in_(in), out_(out), kernel_(kernel), groups_((out + kGroup - 1) / kGroup), terms_(whole(kernel * in)) {
        const auto channels = static_cast<size_t>(out), padded = static_cast<size_t>(pitch());
        const auto rows = static_cast<size_t>(kernel), row = static_cast<size_t>(kernel * in);
        const auto terms = static_cast<size_t>(terms_);
        weights_.assign(rows * terms * kTerm * padded, T{0});
        scales_.assign(padded, 1.0f);
        for (size_t channel = 0; channel < channels; ++channel) {
            const size_t group = channel / kGroup, lane = channel % kGroup;
            const float steps = steps_of(weights, channel, channels, max_value);
            scales_[channel] = 1.0f / steps;
            for (size_t tap = 0; tap < rows * row; ++tap) {
                const size_t y = tap / row, x = tap % row;
                T& weight = weights_[(((group * rows + y) * terms + x / kTerm) * kGroup + lane) * kTerm + x % kTerm];
                weight = rounded(weights[tap * channels + channel] * steps);
            }
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

    // `count` output pixels from the kernel() rows below each other in `rows`, whose values are times `scale`.
    void row(const T* const* rows, int count, float* out, float scale = 1.0f) const {
        sparse_row(rows, 1, count, out, 1, scale);
    }

    // The same for every `step`th pixel of the input, into every `out_step`th of the output.
    void sparse_row(const T* const* rows, int step, int count, float* out, int out_step, float scale = 1.0f) const {
        const ConvolutionView<T> view{.groups = groups_,
                                      .kernel = kernel_,
                                      .terms = terms_,
                                      .step = ptrdiff_t{step} * in_,
                                      .pitch = ptrdiff_t{out_step} * pitch(),
                                      .weights = weights_.data(),
                                      .scales = scales_.data(),
                                      .bias = bias_.data(),
                                      .slopes = slopes_.data(),
                                      .scale = scale};
        convolve_row(view, rows, count, out);
    }

  private:
    static constexpr size_t kTerm = kTogether<T>;

    static int whole(int taps) { return (taps + kTogether<T> - 1) / kTogether<T>; }

    static T rounded(float weight) {
        if constexpr (std::is_floating_point_v<T>) return weight;
        constexpr float kMax = std::numeric_limits<T>::max();
        return static_cast<T>(std::nearbyint(std::clamp(weight, -kMax, kMax)));
    }

    // How many integers a weight of 1 is, in one output channel.
    static float steps_of(std::span<const float> weights, size_t channel, size_t channels, float max_value) {
        if constexpr (std::is_floating_point_v<T>) return 1.0f;
        constexpr double kMaxSum = std::numeric_limits<int32_t>::max(), kMaxWeight = std::numeric_limits<T>::max();
        double sum = 0.0, max = 0.0;
        const size_t taps = weights.size() / channels;
        for (size_t i = channel; i < weights.size(); i += channels) {
            const double magnitude = std::abs(weights[i]);
            sum += magnitude;
            max = std::max(max, magnitude);
        }
        const auto steps = static_cast<float>(
            std::min((kMaxSum / max_value - static_cast<double>(taps)) / sum, (kMaxWeight - 1) / max));
        return std::isnormal(steps) && std::isnormal(1.0f / steps) ? steps : 1.0f;
    }

    int in_, out_, kernel_, groups_, terms_;
    std::vector<T> weights_;
    std::vector<float> scales_, bias_, slopes_;
};

// The last `depth` rows of a map.
template <class T>
class RowBuffer {
  public:
    RowBuffer(int depth, int width, int pitch)
        : depth_(depth),
          length_(static_cast<size_t>(width) * static_cast<size_t>(pitch) + kSlack),
          data_(length_ * static_cast<size_t>(depth)) {}

    T* row(int y) { return data_.data() + static_cast<size_t>(y % depth_) * length_; }

  private:
    int depth_;
    size_t length_;
    std::vector<T> data_;
};

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
