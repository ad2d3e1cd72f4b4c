// Box algebra of MTCNN's cascade.
#pragma once

#include <array>
#include <vector>

#include "mtcnn_networks.hpp"
#include "mtcnn_sampling.hpp"

namespace ferengine {

struct Candidate {
    Corners box;
    float score;
};

// What overlap is measured by: intersection over union, or over the smaller of both areas.
enum class Overlap { of_union, of_smaller };

// Indices of the boxes kept, best score first (the earlier one of equals): greedily, each drops the later ones that it
// overlaps by more than `threshold`. Boxes and scores must be finite.
std::vector<int> non_maximum_suppression(const std::vector<Candidate>& candidates, float threshold, Overlap overlap);

// The box with each corner moved by its offset, in units of the box's width and height in inclusive pixels
// (x2 - x1 + 1), as the networks were trained.
Corners regress(const Corners& box, const float* offsets);

// O-Net's five x, then five y in units of the box -> five x, y in pixels.
std::array<float, 10> place_landmarks(const Corners& box, const float* points);

// The square of the same centre with the longer side.
Corners square(const Corners& box);

// Appends the windows of one row of P-Net's verdicts with a probability above `threshold`, in frame pixels. Cell (x, y)
// stands for the pixels 2x + 1 to 2x + 12 and 2y + 1 to 2y + 12 of the level, which is `scale` times the frame.
void decode_row(Verdict verdicts, int columns, int y, float threshold, double scale, std::vector<Candidate>& out);

}  // namespace ferengine
