// Square crops of faces, grey or in colour, straight from a frame's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "image/area_resize.hpp"
#include "image/frame_view.hpp"

namespace ferengine::image {

// Centre, side and angle in the coordinates in which pixel (row i, column j) covers [j, j + 1) x [i, i + 1). The crop's
// x axis is (cos angle, sin angle) in the frame, its y axis (-sin angle, cos angle).
struct CropRegion {
    float cx, cy, side, angle;
};

// Working memory of the crops, kept between calls.
struct CropScratch {
    AreaScratch area;
    std::vector<float> samples, values;
    std::vector<uint8_t> rows;
    std::vector<uint32_t> quads;
};

// What a crop's planes show, one after the other: grey alone, or the three colours.
enum class Planes : uint32_t { gray = 0, rgb = 1, bgr = 2 };  // NOLINT(performance-enum-size): as rings keep it

std::span<const Channel> channels_of(Planes planes);

// One channel of a crop, `size` x `size` values in [0, 255], into `out`.
// - Upright (angle 0) with side >= size: the exact mean over each destination pixel's rectangle, source pixels being
//   constant squares.
// - Upright with side < size: bilinear at the destination pixels' centres.
// - Rotated: the mean of k x k bilinear samples a destination pixel, evenly spread, k = ceil(side / size), at most 8
//   (beyond that the samples lie further apart).
// Grey is (1868 B + 9617 G + 4899 R + 8192) >> 14 for each source pixel (ITU-R BT.601 luma, within 1 of cv2.cvtColor).
// Beyond the frame its border pixels are repeated. The region must be finite with side > 0.
void crop_channel(const FrameView& frame, Channel channel, const CropRegion& region, int size, std::span<float> out,
                  CropScratch& scratch);

// All planes of a crop, rounded half up.
void crop_rounded(const FrameView& frame, Planes planes, const CropRegion& region, int size, std::span<uint8_t> out,
                  CropScratch& scratch);

// (value - mean) / deviation, as many as `out` holds; in place where both begin at the same address.
template <typename Value>
void normalise(const Value* values, float mean, float deviation, std::span<float> out) {
    const float scale = 1.0f / deviation;
    for (size_t i = 0; i < out.size(); ++i) out[i] = (static_cast<float>(values[i]) - mean) * scale;
}

}  // namespace ferengine::image
