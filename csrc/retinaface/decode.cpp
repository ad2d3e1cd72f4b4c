#include "retinaface/decode.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ferengine::retinaface {
namespace {

constexpr float kMiddleVariance = 0.1f, kSideVariance = 0.2f;
constexpr float kMaxLogSide = 10.0f;  // a box of e^10 times its prior covers any image; beyond, floats overflow

Face decode_prior(const Level& level, size_t cell, size_t prior, float score) {
    const auto width = static_cast<size_t>(level.width), cells = width * static_cast<size_t>(level.height);
    const float* const value = level.values.data() + prior * kPriorChannels * cells + cell;
    const auto at = [&](size_t channel) { return value[channel * cells]; };
    const float side = level.sides[prior], stride = static_cast<float>(level.stride);
    const size_t column = cell % width, row = cell / width;
    const float x = (static_cast<float>(column) + 0.5f) * stride, y = (static_cast<float>(row) + 0.5f) * stride;
    const float middle_x = x + at(1) * kMiddleVariance * side, middle_y = y + at(2) * kMiddleVariance * side;
    const float half_width = side * std::exp(std::min(at(3) * kSideVariance, kMaxLogSide)) / 2;
    const float half_height = side * std::exp(std::min(at(4) * kSideVariance, kMaxLogSide)) / 2;
    Face face{.candidate = {.box = {.x1 = middle_x - half_width,
                                    .y1 = middle_y - half_height,
                                    .x2 = middle_x + half_width,
                                    .y2 = middle_y + half_height},
                            .score = score},
              .landmarks = {}};
    for (size_t point = 0; point < 5; ++point) {
        face.landmarks[2 * point] = x + at(5 + 2 * point) * kMiddleVariance * side;
        face.landmarks[2 * point + 1] = y + at(6 + 2 * point) * kMiddleVariance * side;
    }
    return face;
}

}  // namespace

std::vector<Face> decode(std::span<const Level> levels, float threshold, float overlap, int max_candidates) {
    const float odds = threshold / (1.0f - threshold);
    const float bound = odds > 0.0f ? std::log(odds) : -std::numeric_limits<float>::infinity();
    std::vector<Face> found;
    for (const Level& level : levels) {
        const size_t cells = static_cast<size_t>(level.height) * static_cast<size_t>(level.width);
        for (size_t prior = 0; prior < kPriors; ++prior) {
            const std::span<const float> logits = level.values.subspan(prior * kPriorChannels * cells, cells);
            for (size_t cell = 0; cell < cells; ++cell)
                if (logits[cell] > bound)
                    found.push_back(decode_prior(level, cell, prior, 1.0f / (1.0f + std::exp(-logits[cell]))));
        }
    }
    std::ranges::stable_sort(found, [](const Face& a, const Face& b) { return a.candidate.score > b.candidate.score; });
    if (found.size() > static_cast<size_t>(max_candidates)) found.resize(static_cast<size_t>(max_candidates));
    std::vector<boxes::Candidate> candidates;
    candidates.reserve(found.size());
    for (const Face& face : found) candidates.push_back(face.candidate);
    std::vector<Face> faces;
    for (const int kept : boxes::non_maximum_suppression(candidates, overlap, boxes::Overlap::of_union))
        faces.push_back(found[static_cast<size_t>(kept)]);
    return faces;
}

}  // namespace ferengine::retinaface
