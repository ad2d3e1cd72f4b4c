#include "boxes/suppression.hpp"

#include <algorithm>
#include <numeric>

namespace ferengine::boxes {

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
        area[i] = std::max(box.x2 - box.x1, 0.0f) * std::max(box.y2 - box.y1, 0.0f);
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

}  // namespace ferengine::boxes
