// The images that R-Net and O-Net look at: boxes of a frame, RGB, (value - 127.5) / 128.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "image/frame_view.hpp"
#include "mtcnn/boxes.hpp"
#include "mtcnn/kernels.hpp"
#include "mtcnn/pyramid.hpp"

namespace ferengine::mtcnn {

// Cuts boxes out of one BGR frame, bilinearly: the first and last sample lie on the box's edges, beyond the frame all
// is 127. Coordinates shrink by (H - 1) / H and (W - 1) / W as in TensorFlow's crop_and_resize over boxes in units of
// the frame, which the mtcnn package uses: without it landmarks lie up to a pixel beside the package's.
//
// Where samples lie two pixels or more apart they are taken from the frame halved once or more: samples of single
// pixels would see the noise and the dots of large faces in prints and scans, which the networks then miss.
class BoxCropper {
  public:
    // Of a part of `frame` whose halved frame is `halved`; `x` and `y` are where it begins, multiples of kGrid. Both
    // outlive it.
    BoxCropper(const image::FrameView& frame, HalvedFrame& halved, int x = 0, int y = 0)
        : frame_(frame), halved_(halved), x_(x), y_(y) {}

    // (size, size, 3) and kSlack floats without a meaning. The box must be finite.
    void crop(const BoxCorners& box, int size, float* out);

  private:
    image::FrameView frame_;
    HalvedFrame& halved_;
    int x_, y_;
    std::vector<LinearSample> columns_;
};

// The part of a frame that crops of these boxes are made from, on a grid such that its halved pixels are the frame's.
struct Surroundings {
    int x, y, width, height;
};
Surroundings surroundings_of(const image::FrameView& frame, std::span<const BoxCorners> boxes);

}  // namespace ferengine::mtcnn
