// The building blocks of MTCNN's networks: arrays of weights, and buffers of a few rows.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "convolution/convolution.hpp"
#include "mtcnn/kernels.hpp"

namespace ferengine::mtcnn {

using convolution::Convolution;

// An array of weights in Keras layout, C-contiguous.
struct Tensor {
    std::vector<int> shape;
    std::span<const float> data;
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
