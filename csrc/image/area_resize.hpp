// Exact area averages of one channel of a frame: what crops and trackers shrink with.
#pragma once

#include <span>
#include <vector>

#include "image/frame_view.hpp"

namespace ferengine::image {

// Working memory of resize_area, kept between calls.
struct AreaScratch {
    std::vector<int> first_columns;
    std::vector<float> weights, row, sums;
};

// An upright square, its centre and side (above 0) in the coordinates in which pixel (row i, column j) covers
// [j, j + 1) x [i, i + 1).
struct UprightSquare {
    double cx, cy, side;
};

// One channel of `square` as `size` x `size` means over each destination pixel's rectangle, source pixels being
// constant squares. Beyond the frame its border pixels are repeated. Where more than `max_rows` source rows lie under a
// destination row, and `max_rows` is not 0, the mean is taken of that many of them, evenly spread.
void resize_area(const FrameView& frame, Channel channel, const UprightSquare& square, int size, int max_rows,
                 std::span<float> out, AreaScratch& scratch);

}  // namespace ferengine::image
