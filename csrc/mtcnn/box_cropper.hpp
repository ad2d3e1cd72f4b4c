// The images that R-Net and O-Net look at: boxes of a frame, RGB, (value - 127.5) / 128.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "image/frame_view.hpp"
#include "mtcnn/boxes.hpp"
#include "mtcnn/kernels.hpp"

namespace ferengine::mtcnn {

// Cuts boxes out of one BGR frame, bilinearly: the first and last sample lie on the box's edges, beyond the frame all
// is 127. Coordinates shrink by (H - 1) / H and (W - 1) / W as in TensorFlow's crop_and_resize over boxes in units of
// the frame, which the mtcnn package uses: without it landmarks lie up to a pixel beside the package's.
//
// Where samples lie two pixels or more apart they are taken from the frame halved once or more: samples of single
// pixels would see the noise and the dots of large faces in prints and scans, which the networks then miss.
class BoxCropper {
  public:
    // For these boxes of the frame, or others within their bounds.
    BoxCropper(const image::FrameView& frame, std::span<const BoxCorners> boxes);

    // (size, size, 3) and kSlack floats without a meaning. The box must be finite.
    void crop(const BoxCorners& box, int size, float* out);

  private:
    // The surroundings of the boxes, halved so often.
    const image::FrameView& halved(size_t times);

    image::FrameView frame_;
    int x_ = 0, y_ = 0;  // where halved(0) begins in the frame
    std::vector<image::FrameView> levels_;
    std::vector<std::vector<uint8_t>> memory_;
    std::vector<LinearSample> columns_;
};

}  // namespace ferengine::mtcnn
