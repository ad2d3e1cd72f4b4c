// The image pyramid that P-Net scans: levels of a frame, RGB, (value - 127.5) / 128.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "image/frame_view.hpp"
#include "mtcnn/kernels.hpp"

namespace ferengine::mtcnn {

// A level of the pyramid: the frame times `scale`.
struct LevelSize {
    double scale;
    int height, width;
};

// The levels of a frame of `height` x `width` from `scale` on, each `factor` times the last, while no side is shorter
// than `window`.
std::vector<LevelSize> pyramid_levels(int height, int width, double scale, double factor, int window);

// The means of 2 x 2 pixels of a BGR frame, in `memory`; an odd last row or column is left out.
image::FrameView halve(const image::FrameView& frame, std::vector<uint8_t>& memory);

// Makes the levels of one BGR frame, from large to small. Each is the area average of the frame, rounded to integers;
// or, for small ones, of the frame halved so often that it is still twice the level's size: half the time, and one face
// more in 467. Levels made each from the last are faster still, but blur, and lose faces.
class Pyramid {
  public:
    explicit Pyramid(const image::FrameView& frame) : source_(frame) {}

    // (height, width, 3), and kSlack floats without a meaning. Valid until the next call.
    const float* level(int height, int width);

  private:
    image::FrameView source_;
    std::array<std::vector<uint8_t>, 2> halved_;
    std::vector<AreaSpan> columns_, rows_;
    std::vector<float> column_weights_, row_weights_, sums_, level_;
    std::vector<const uint8_t*> row_pointers_;
};

}  // namespace ferengine::mtcnn
