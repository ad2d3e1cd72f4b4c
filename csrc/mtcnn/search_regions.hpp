// Where to look for faces that are known from before: parts of the frame, at the scales of their sizes.
#pragma once

#include <span>
#include <vector>

#include "mtcnn/boxes.hpp"
#include "mtcnn/pyramid.hpp"

namespace ferengine::mtcnn {

// A part of a frame, and its size in a level of the pyramid.
struct SearchRegion {
    int x, y, width, height;
    LevelSize size;
};

// The parts of a frame of `height` x `width` in which P-Net should look at levels[index] for the faces in `near`, whose
// sides are 0.7 to 1.4 times its window at that level, or to which no level comes nearer. Boxes without an area are
// ignored; the others must be finite.
std::vector<SearchRegion> regions_near(std::span<const BoxCorners> near, int height, int width,
                                       std::span<const LevelSize> levels, size_t index, int window);

}  // namespace ferengine::mtcnn
