// Box algebra of MTCNN's cascade.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "boxes/suppression.hpp"
#include "mtcnn/networks.hpp"

namespace ferengine::mtcnn {

using boxes::BoxCorners;
using boxes::Candidate;
using boxes::non_maximum_suppression;
using boxes::Overlap;

// Five points x, y in pixels, one after another.
using Landmarks = std::array<float, 10>;

// What a network takes for faces: what suppression compares, with scores, and the boxes that go on. P-Net's are
// compared as the windows that it saw, as in the authors' own code: the boxes that it moves them to are rough, and drop
// each other where faces are close.
struct Proposals {
    std::vector<Candidate> windows;
    std::vector<BoxCorners> boxes;

    void append(const BoxCorners& window, float score, const BoxCorners& box);
    Proposals select(std::span<const int> indices) const;
};

// The box with each corner moved by its offset, in units of the box's width and height in inclusive pixels
// (x2 - x1 + 1), as the networks were trained.
BoxCorners regress(const BoxCorners& box, const Prediction& prediction);

// O-Net's landmarks in pixels.
Landmarks place_landmarks(const BoxCorners& box, const Prediction& prediction);

// The square of the same centre with the longer side.
BoxCorners make_square(const BoxCorners& box);

// Appends the windows of one row of P-Net's predictions with a probability above `threshold`, in frame pixels. Cell
// (x, y) stands for the pixels 2x + 1 to 2x + 12 and 2y + 1 to 2y + 12 of the level, which is `scale` times the frame.
void decode_row(const Predictions& predictions, int y, float threshold, double scale, Proposals& out);

}  // namespace ferengine::mtcnn
