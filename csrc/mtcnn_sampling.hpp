// From a frame to MTCNN's networks: the levels of the image pyramid and the crops, RGB, (level - 127.5) / 128.
#pragma once

#include <vector>

#include "face_crop.hpp"
#include "row_kernels.hpp"

namespace ferengine {

// Corners x1, y1, x2, y2 in pixels.
struct Corners {
    float x1, y1, x2, y2;
};

// A level of the pyramid: the frame times `scale`.
struct LevelSize {
    double scale;
    int height, width;
};

// The levels of a frame of `height` x `width` from `scale` on, each `factor` times the last, while no side is shorter
// than `window`.
std::vector<LevelSize> pyramid_levels(int height, int width, double scale, double factor, int window);

// Makes the levels of one BGR frame, from large to small. Each is the area average of the frame, rounded to a level;
// or, for small ones, of the frame halved so often that it is still four times the level's size: half the time for the
// same boxes. Levels made each from the last are faster still, but blur, and lose faces.
class Pyramid {
  public:
    explicit Pyramid(const FrameView& frame) : source_(frame) {}

    // (height, width, 3), and kSlack floats that mean nothing. Valid until the next call.
    const float* level(int height, int width);

  private:
    void halve();

    FrameView source_;
    std::vector<uint8_t> halved_[2];
    std::vector<AreaSpan> columns_, rows_;
    std::vector<float> column_weights_, row_weights_, sums_, level_;
    std::vector<const uint8_t*> row_pointers_;
};

// Cuts boxes out of one BGR frame, bilinearly: the first and last sample lie on the box's edges, beyond the frame lies
// level 127. Coordinates shrink by (H - 1) / H and (W - 1) / W as in TensorFlow's crop_and_resize over boxes in units
// of the frame, which the mtcnn package uses: without it landmarks lie up to a pixel beside the package's.
class BoxCropper {
  public:
    explicit BoxCropper(const FrameView& frame) : frame_(frame) {}

    // (size, size, 3) and kSlack floats that mean nothing. The box must be finite.
    void crop(const Corners& box, int size, float* out);

  private:
    void sample_border(int y, const Sample& column, float share, float* out) const;

    FrameView frame_;
    std::vector<Sample> columns_;
};

}  // namespace ferengine
