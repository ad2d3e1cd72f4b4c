// What RetinaFace's network takes: a frame scaled to its input, each pixel the mean over the area that it covers.
#pragma once

#include <array>

#include "image/frame_view.hpp"

namespace ferengine::retinaface {

// Three planes of height x width, one behind another: blue, green and red less `means`.
void make_input(const image::FrameView& frame, int height, int width, const std::array<float, 3>& means, float* out);

}  // namespace ferengine::retinaface
