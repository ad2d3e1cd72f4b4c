#include "mtcnn/boxes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ferengine::mtcnn {

BoxCorners regress(const BoxCorners& box, const Prediction& prediction) {
    const float width = box.x2 - box.x1 + 1, height = box.y2 - box.y1 + 1;
    const auto offsets = prediction.offsets();
    return {.x1 = box.x1 + offsets[0] * width,
            .y1 = box.y1 + offsets[1] * height,
            .x2 = box.x2 + offsets[2] * width,
            .y2 = box.y2 + offsets[3] * height};
}

Landmarks place_landmarks(const BoxCorners& box, const Prediction& prediction) {
    const float width = box.x2 - box.x1 + 1, height = box.y2 - box.y1 + 1;
    const auto points = prediction.landmarks();
    Landmarks placed;
    for (size_t i = 0; i < 5; ++i) {
        placed[2 * i] = box.x1 + points[i] * width - 1;
        placed[2 * i + 1] = box.y1 + points[5 + i] * height - 1;
    }
    return placed;
}

BoxCorners make_square(const BoxCorners& box) {
    const float x = (box.x1 + box.x2) / 2, y = (box.y1 + box.y2) / 2;
    const float half = std::max(box.x2 - box.x1, box.y2 - box.y1) / 2;
    return {.x1 = x - half, .y1 = y - half, .x2 = x + half, .y2 = y + half};
}

void Proposals::append(const BoxCorners& window, float score, const BoxCorners& box) {
    windows.push_back({.box = window, .score = score});
    boxes.push_back(box);
}

Proposals Proposals::select(std::span<const int> indices) const {
    Proposals selected;
    for (const int index : indices) {
        const auto i = static_cast<size_t>(index);
        selected.append(windows[i].box, windows[i].score, boxes[i]);
    }
    return selected;
}

void decode_row(const Predictions& predictions, int y, float threshold, double scale, Proposals& out) {
    // a bound below which no logit reaches the threshold spares most of the exponentials
    const float odds = threshold / (1.0f - threshold);
    const float bound = odds > 0.0f ? std::log(odds) - 0.01f : -std::numeric_limits<float>::infinity();
    for (size_t x = 0; x < predictions.size(); ++x) {
        const Prediction prediction = predictions[x];
        if (prediction.logit() < bound) continue;
        const float score = prediction.probability();
        if (score <= threshold) continue;
        const auto offsets = prediction.offsets();
        const double left = 2.0 * static_cast<double>(x) + 1, top = 2.0 * y + 1, length = ProposalNetwork::kWindow - 1;
        const auto corners = [&](double x1, double y1, double x2, double y2) -> BoxCorners {
            return {.x1 = static_cast<float>((left + length * x1) / scale),
                    .y1 = static_cast<float>((top + length * y1) / scale),
                    .x2 = static_cast<float>((left + length + length * x2) / scale),
                    .y2 = static_cast<float>((top + length + length * y2) / scale)};
        };
        out.append(corners(0, 0, 0, 0), score, corners(offsets[0], offsets[1], offsets[2], offsets[3]));
    }
}

}  // namespace ferengine::mtcnn
