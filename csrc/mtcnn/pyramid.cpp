#include "mtcnn/pyramid.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine::mtcnn {
namespace {

constexpr int kMinReduction = 4;     // a halved image stands in for the frame while it is this many times the level
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

// --- halving

HalvedFrame::HalvedFrame(const image::FrameView& frame) {
    views_[0] = frame;
    made_rows_[0] = frame.height;
}

const image::FrameView& HalvedFrame::halved(size_t times) {
    for (size_t i = 1; i <= times; ++i) make_rows(i, views_[i - 1].height / 2);
    return views_[times];
}

void HalvedFrame::make_rows(size_t times, int rows) {
    const image::FrameView& from = views_[times - 1];
    image::FrameView& to = views_[times];
    if (memory_[times] == nullptr) {
        const int width = from.width / 2, height = from.height / 2;
        memory_[times] = std::make_unique_for_overwrite<uint8_t[]>(
            std::max(size_t{1}, static_cast<size_t>(width) * static_cast<size_t>(height) * 3));
        to = {.data = memory_[times].get(),
              .height = height,
              .width = width,
              .channels = 3,
              .stride = ptrdiff_t{3} * width};
    }
    for (int& y = made_rows_[times]; y < std::min(rows, to.height); ++y)
        halve_row(from.row(2 * y), from.row(2 * y + 1), to.width, memory_[times].get() + y * to.stride);
}

// --- levels

// How often the frame is halved before this level is made of it.
size_t Pyramid::halvings_for(const LevelSize& level) {
    size_t times = 0;
    for (int height = frame_.halved(0).height, width = frame_.halved(0).width;
         times < HalvedFrame::kMaxHalvings && height % 2 == 0 && width % 2 == 0 &&
         width >= 2 * kMinReduction * level.width && height >= 2 * kMinReduction * level.height;
         height /= 2, width /= 2)
        ++times;
    return times;
}

template <typename Row>
void Pyramid::make_next(const Row& row) {
    const LevelSize& level = levels_.front();
    levels_ = levels_.subspan(1);
    const size_t halvings = halvings_for(level);
    const bool halve = !levels_.empty() && halvings_for(levels_.front()) > halvings;
    const image::FrameView source = frame_.halved(halvings);
    area_spans(source.width, level.width, columns_, column_weights_);
    area_spans(source.height, level.height, rows_, row_weights_);
    sums_.resize(static_cast<size_t>(source.width) * 3 + kSlack);
    for (int y = 0; y < level.height; ++y) {
        const AreaSpan& span = rows_[static_cast<size_t>(y)];
        row_pointers_.clear();
        for (int from = span.first; from < span.first + span.count; ++from) row_pointers_.push_back(source.row(from));
        blend_rows(row_pointers_, row_weights_.data() + span.first_weight, 3 * source.width, sums_.data());
        row(y);
        if (halve) frame_.make_rows(halvings + 1, (span.first + span.count) / 2);
    }
}

const float* Pyramid::next_floats() {
    const LevelSize level = levels_.front();
    const size_t row = static_cast<size_t>(level.width) * 3;
    floats_.resize(row * static_cast<size_t>(level.height) + kSlack);
    make_next([&](int y) {
        blend_columns(sums_.data(), columns_, column_weights_.data(), floats_.data() + row * static_cast<size_t>(y));
    });
    return floats_.data();
}

const uint8_t* Pyramid::next_bytes() {
    const LevelSize level = levels_.front();
    const size_t row = static_cast<size_t>(level.width) * kLevelPitch;
    bytes_.resize(row * static_cast<size_t>(level.height) + kLevelSlack);
    make_next([&](int y) {
        blend_columns_to_bytes(sums_.data(), columns_, column_weights_.data(),
                               bytes_.data() + row * static_cast<size_t>(y));
    });
    return bytes_.data();
}

}  // namespace ferengine::mtcnn
