// The images that R-Net and O-Net look at: boxes of a frame, RGB, (value - 127.5) / 128.
#pragma once

#include <vector>

#include "image/frame_view.hpp"
#include "mtcnn/boxes.hpp"
#include "mtcnn/kernels.hpp"

namespace ferengine::mtcnn {

// Cuts boxes out of one BGR frame, bilinearly: the first and last sample lie on the box's edges, beyond the frame all
// is 127. Coordinates shrink by (H - 1) / H and (W - 1) / W as in TensorFlow's crop_and_resize over boxes in units of
// the frame, which the mtcnn package uses: without it landmarks lie up to a pixel beside the package's.
class BoxCropper {
  public:
    explicit BoxCropper(const image::FrameView& frame) : frame_(frame) {}

    // (size, size, 3) and kSlack floats without a meaning. The box must be finite.
    void crop(const BoxCorners& box, int size, float* out);

  private:
    void sample_border(int y, const LinearSample& column, float fraction, float* out) const;

    image::FrameView frame_;
    std::vector<LinearSample> columns_;
};

}  // namespace ferengine::mtcnn
