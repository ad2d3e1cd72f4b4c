#include "mtcnn/pyramid.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine::mtcnn {
namespace {

constexpr int kMinReduction = 2;     // a halved image stands in for the frame while it is this many times the level
constexpr double kMinWeight = 1e-3;  // of a pixel; less is rounding

// The source pixels under each of `count` destination pixels, and their weights, which add up to 1.
void area_spans(int length, int count, std::vector<AreaSpan>& spans, std::vector<float>& weights) {
    const double step = static_cast<double>(length) / count;
    spans.clear();
    weights.clear();
    for (int i = 0; i < count; ++i) {
        const double low = i * step, high = std::min((i + 1) * step, static_cast<double>(length));
        int first = static_cast<int>(low), last = std::min(static_cast<int>(std::ceil(high)), length) - 1;
        if (first + 1 - low < kMinWeight && first < last) ++first;
        if (high - last < kMinWeight && first < last) --last;
        const double from = std::max(low, static_cast<double>(first)), to = std::min(high, last + 1.0);
        spans.push_back({.first = first, .count = last - first + 1, .first_weight = weights.size()});
        for (int pixel = first; pixel <= last; ++pixel)
            weights.push_back(static_cast<float>(
                (std::min(to, pixel + 1.0) - std::max(from, static_cast<double>(pixel))) / (to - from)));
    }
}

}  // namespace

std::vector<LevelSize> pyramid_levels(int height, int width, double scale, double factor, int window) {
    std::vector<LevelSize> levels;
    while (std::min(height, width) * scale >= window) {
        levels.push_back(
            {.scale = scale, .height = static_cast<int>(height * scale), .width = static_cast<int>(width * scale)});
        scale *= factor;
    }
    return levels;
}

const float* Pyramid::level(int height, int width) {
    while (source_.height % 2 == 0 && source_.width % 2 == 0 && source_.width >= 2 * kMinReduction * width &&
           source_.height >= 2 * kMinReduction * height)
        source_ = halve(source_, halved_[source_.data == halved_[0].data() ? 1 : 0]);
    area_spans(source_.width, width, columns_, column_weights_);
    area_spans(source_.height, height, rows_, row_weights_);
    const size_t row = static_cast<size_t>(width) * 3;
    sums_.resize(static_cast<size_t>(source_.width) * 3 + kSlack);
    level_.resize(row * static_cast<size_t>(height) + kSlack);
    for (int y = 0; y < height; ++y) {
        const AreaSpan& span = rows_[static_cast<size_t>(y)];
        row_pointers_.clear();
        for (int source = span.first; source < span.first + span.count; ++source)
            row_pointers_.push_back(source_.row(source));
        blend_rows(row_pointers_, row_weights_.data() + span.first_weight, 3 * source_.width, sums_.data());
        blend_columns(sums_.data(), columns_, column_weights_.data(), level_.data() + row * static_cast<size_t>(y));
    }
    return level_.data();
}

image::FrameView halve(const image::FrameView& frame, std::vector<uint8_t>& memory) {
    const int height = frame.height / 2, width = frame.width / 2;
    const size_t row = static_cast<size_t>(width) * 3;
    memory.resize(row * static_cast<size_t>(height));
    for (int y = 0; y < height; ++y)
        halve_row(frame.row(2 * y), frame.row(2 * y + 1), width, memory.data() + row * static_cast<size_t>(y));
    return {
        .data = memory.data(), .height = height, .width = width, .channels = 3, .stride = static_cast<ptrdiff_t>(row)};
}

}  // namespace ferengine::mtcnn
