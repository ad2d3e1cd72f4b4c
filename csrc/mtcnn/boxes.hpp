// Box algebra of MTCNN's cascade.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mtcnn/networks.hpp"

namespace ferengine::mtcnn {

// In pixels.
struct BoxCorners {
    float x1, y1, x2, y2;
};

struct Candidate {
    BoxCorners box;
    float score;
};

// Five points x, y in pixels, one after another.
using Landmarks = std::array<float, 10>;

// What overlap is measured by: intersection over union, or over the smaller of both areas.
enum class Overlap : uint8_t { of_union, of_smaller };

// Indices of the boxes kept, best score first (the earlier one of equals): greedily, each drops the later ones that it
// overlaps by more than `threshold`. Boxes and scores must be finite.
std::vector<int> non_maximum_suppression(std::span<const Candidate> candidates, float threshold, Overlap overlap);

// The box with each corner moved by its offset, in units of the box's width and height in inclusive pixels
// (x2 - x1 + 1), as the networks were trained.
BoxCorners regress(const BoxCorners& box, const Prediction& prediction);

// O-Net's landmarks in pixels.
Landmarks place_landmarks(const BoxCorners& box, const Prediction& prediction);

// The square of the same centre with the longer side.
BoxCorners make_square(const BoxCorners& box);

// Appends the windows of one row of P-Net's predictions with a probability above `threshold`, in frame pixels. Cell
// (x, y) stands for the pixels 2x + 1 to 2x + 12 and 2y + 1 to 2y + 12 of the level, which is `scale` times the frame.
void decode_row(const Predictions& predictions, int y, float threshold, double scale, std::vector<Candidate>& out);

}  // namespace ferengine::mtcnn
