// Grey, square, area-averaged crops of faces, straight from a frame's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ferengine {

// A frame in place: rows `stride` bytes apart, 1 (grey) or 3 (BGR) channels.
struct FrameView {
    const uint8_t* data;
    int height, width, channels;
    ptrdiff_t stride;
};

// Centre, side and angle in the coordinates in which pixel (i, j) covers [j, j+1) x [i, i+1). The crop's x axis is
// (cos angle, sin angle) in the frame, its y axis (-sin angle, cos angle).
struct Square {
    float cx, cy, side, angle;
};

// Working memory of `crop_grey`, kept between calls.
struct CropScratch {
    std::vector<float> row, weights;
    std::vector<int> first, count;
};

// One crop of `size` x `size` grey levels in [0, 255] into `out`.
//   angle 0, side >= size: exact mean over each destination pixel's rectangle, pixels taken as constant squares;
//   angle 0, side < size: bilinear at the destination pixels' centres;
//   else: the mean of k x k bilinear samples a destination pixel, k = ceil(side / size), at most 8.
// Grey is (1868 B + 9617 G + 4899 R + 8192) >> 14, OpenCV's integer formula (ITU-R BT.601), for each source pixel.
// Outside the frame its border pixels are repeated. The square must be finite with side > 0.
void crop_grey(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch);

}  // namespace ferengine
