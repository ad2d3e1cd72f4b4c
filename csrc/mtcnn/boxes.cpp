#include "mtcnn/boxes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ferengine::mtcnn {

std::vector<int> non_maximum_suppression(std::span<const Candidate> candidates, float threshold, Overlap overlap) {
    std::vector<int> order(candidates.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int a, int b) {
        return candidates[static_cast<size_t>(a)].score > candidates[static_cast<size_t>(b)].score;
    });
    // by coordinate, so that the inner loop is vectors
    const size_t count = order.size();
    std::vector<float> x1(count), y1(count), x2(count), y2(count), area(count);
    std::vector<int> dropped(count, 0);
    for (size_t i = 0; i < count; ++i) {
        const BoxCorners& box = candidates[static_cast<size_t>(order[i])].box;
        x1[i] = box.x1, y1[i] = box.y1, x2[i] = box.x2, y2[i] = box.y2;
        area[i] = (box.x2 - box.x1) * (box.y2 - box.y1);
    }
    std::vector<int> kept;
    const bool of_union = overlap == Overlap::of_union;
    for (size_t i = 0; i < count; ++i) {
        if (dropped[i] != 0) continue;
        kept.push_back(order[i]);
        for (size_t j = i + 1; j < count; ++j) {
            const float width = std::max(std::min(x2[i], x2[j]) - std::max(x1[i], x1[j]), 0.0f);
            const float height = std::max(std::min(y2[i], y2[j]) - std::max(y1[i], y1[j]), 0.0f);
            const float intersection = width * height;
            const float whole = of_union ? area[i] + area[j] - intersection : std::min(area[i], area[j]);
            dropped[j] |= intersection > threshold * whole ? 1 : 0;
        }
    }
    return kept;
}

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

void decode_row(const Predictions& predictions, int y, float threshold, double scale, std::vector<Candidate>& out) {
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
        out.push_back({.box = {.x1 = static_cast<float>((left + length * offsets[0]) / scale),
                               .y1 = static_cast<float>((top + length * offsets[1]) / scale),
                               .x2 = static_cast<float>((left + length + length * offsets[2]) / scale),
                               .y2 = static_cast<float>((top + length + length * offsets[3]) / scale)},
                       .score = score});
    }
}

}  // namespace ferengine::mtcnn
