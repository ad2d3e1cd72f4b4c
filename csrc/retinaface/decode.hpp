// What RetinaFace predicts, as faces: J. Deng et al., "RetinaFace: Single-Shot Multi-Level Face Localisation in the
// Wild", CVPR 2020, over the priors and variances of SSD (W. Liu et al., ECCV 2016).
#pragma once

#include <array>
#include <span>
#include <vector>

#include "boxes/suppression.hpp"

namespace ferengine::retinaface {

constexpr int kPriors = 2;          // squares around the middle of each cell
constexpr int kPriorChannels = 15;  // of a prior: a logit, four of the box, ten of the landmarks
constexpr int kChannels = kPriors * kPriorChannels;

// The network's map of one stride: `values` is (kChannels, height, width). Of each prior in turn: the logit of "face"
// less that of "no face"; the box's middle and the logarithms of its sides, and x, y of five points, all relative to
// the prior.
struct Level {
    std::span<const float> values;
    int height, width, stride;
    std::array<float, kPriors> sides;  // of the priors, pixels
};

struct Face {
    boxes::Candidate candidate;
    std::array<float, 10> landmarks;  // x, y of five points
};

// The faces with a probability above `threshold`, in pixels of the network's input, best first; of those that overlap
// by more than `overlap` (intersection over union) the best. At most `max_candidates` enter the suppression.
std::vector<Face> decode(std::span<const Level> levels, float threshold, float overlap, int max_candidates);

}  // namespace ferengine::retinaface
