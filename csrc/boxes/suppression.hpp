// Boxes with scores, and non-maximum suppression: what the detectors share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ferengine::boxes {

// In pixels.
struct BoxCorners {
    float x1, y1, x2, y2;
};

struct Candidate {
    BoxCorners box;
    float score;
};

// What overlap is measured by: intersection over union, or over the smaller of both areas.
enum class Overlap : uint8_t { of_union, of_smaller };

// Indices of the boxes kept, best score first (the earlier one of equals): greedily, each drops the later ones that it
// overlaps by more than `threshold`. Boxes and scores must be finite.
std::vector<int> non_maximum_suppression(std::span<const Candidate> candidates, float threshold, Overlap overlap);

}  // namespace ferengine::boxes
