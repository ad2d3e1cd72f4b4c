// Grey, square crops of faces, straight from a frame's memory.
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

// Centre, side and angle in the coordinates in which pixel (row i, column j) covers [j, j+1) x [i, i+1). The crop's
// x axis is (cos angle, sin angle) in the frame, its y axis (-sin angle, cos angle).
struct Square {
    float cx, cy, side, angle;
};

// Working memory of the crops, kept between calls.
struct CropScratch {
    std::vector<int> firsts;
    std::vector<float> weights, row, sums, levels;
    std::vector<uint8_t> greys;
    std::vector<uint32_t> quads;
};

// One crop of `size` x `size` grey levels in [0, 255] into `out`.
//   angle 0, side >= size: exact mean over each destination pixel's rectangle, source pixels being constant squares;
//   angle 0, side < size: bilinear at the destination pixels' centres;
//   else: the mean of k x k bilinear samples a destination pixel, evenly spread, k = ceil(side / size), at most 8
//   (beyond that the samples lie further apart).
// Grey is (1868 B + 9617 G + 4899 R + 8192) >> 14 for each source pixel (ITU-R BT.601 luma, within one level of
// cv2.cvtColor).
// Outside the frame its border pixels are repeated. The square must be finite with side > 0.
void crop_grey(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch);

// The same, rounded half up.
void crop_rounded(const FrameView& frame, const Square& square, int size, uint8_t* out, CropScratch& scratch);

// (level - mean) / deviation; in place where out == levels.
template <typename Level>
void normalise(const Level* levels, size_t count, float mean, float deviation, float* out) {
    const float scale = 1.0f / deviation;
    for (size_t i = 0; i < count; ++i) out[i] = (static_cast<float>(levels[i]) - mean) * scale;
}

}  // namespace ferengine
