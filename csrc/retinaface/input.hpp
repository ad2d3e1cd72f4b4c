// What RetinaFace's network takes: a frame scaled to its input, each pixel the mean over the area that it covers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/frame_view.hpp"

namespace ferengine::retinaface {

// The source pixels under one pixel of the input: weights[first_weight ...] for first, first + 1, ...
struct Span {
    int first, count;
    size_t first_weight;
};

// A frame, which must outlive this, in `height` x `width` pixels less `means`.
class ScaledFrame {
  public:
    ScaledFrame(const image::FrameView& frame, int height, int width, const std::array<float, 3>& means);

    // The pixels of row y: blue, green and red.
    void row(int y, float* out);

  private:
    image::FrameView frame_;
    std::array<float, 3> means_;
    std::vector<float> row_weights_, column_weights_;
    std::vector<Span> rows_, columns_;
    std::vector<float> sums_;             // of the source rows under one row
    std::vector<const uint8_t*> source_;  // these rows
};

}  // namespace ferengine::retinaface
