// Where to look for faces that are known from before: parts of the frame, at the scales of their sizes.
#pragma once

#include <vector>

#include "mtcnn_sampling.hpp"

namespace ferengine {

// A part of a frame, and its size in a level of the pyramid.
struct Region {
    int x, y, width, height;
    LevelSize size;
};

// The parts of a frame of `height` x `width` in which P-Net should look at levels[index] for the faces in `near`, whose
// sides are 0.7 to 1.4 times its window at that level, or to which no level comes nearer. Boxes without an area are
// passed over; the others must be finite.
std::vector<Region> regions_near(const std::vector<Corners>& near, int height, int width,
                                 const std::vector<LevelSize>& levels, size_t index, int window);

}  // namespace ferengine
