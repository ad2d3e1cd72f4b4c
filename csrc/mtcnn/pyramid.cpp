#include "mtcnn/pyramid.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine::mtcnn {
namespace {

constexpr int kMinReduction = 4;     // a halved image stands in for the frame while it is this many times the level
constexpr double kMinWeight = 1e-3;  // of a pixel; less is rounding
constexpr int kBandBytes = 1 << 17;  // of the source that are read for all levels before the next

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
void Pyramid::make_levels(const Row& row) {
    const size_t halvings = halvings_for(levels_.front());
    const image::FrameView source = frame_.halved(halvings);
    made_.clear();
    for (; !levels_.empty() && halvings_for(levels_.front()) == halvings; levels_ = levels_.subspan(1)) {
        Level& level = made_.emplace_back();
        level.size = levels_.front();
        area_spans(source.width, level.size.width, level.columns, level.column_weights);
        area_spans(source.height, level.size.height, level.rows, level.row_weights);
    }
    sums_.resize(static_cast<size_t>(source.width) * 3 + kSlack);
    const int band = std::max(1, kBandBytes / (3 * source.width));
    for (int end = 0; end < source.height;) {
        end = std::min(end + band, source.height);
        for (Level& level : made_)
            for (int& y = level.made_rows; y < level.size.height; ++y) {
                const AreaSpan& span = level.rows[static_cast<size_t>(y)];
                if (span.first + span.count > end) break;
                row_pointers_.clear();
                for (int from = 0; from < span.count; ++from) row_pointers_.push_back(source.row(span.first + from));
                blend_rows(row_pointers_, level.row_weights.data() + span.first_weight, 3 * source.width, sums_.data());
                row(level, static_cast<size_t>(y));
            }
        if (!levels_.empty()) frame_.make_rows(halvings + 1, end / 2);
    }
}

template <typename Row>
const Pyramid::Level& Pyramid::next(const Row& row) {
    if (taken_ == made_.size()) {
        make_levels(row);
        taken_ = 0;
    }
    return made_[taken_++];
}

const float* Pyramid::next_floats() {
    const Level& made = next([&](Level& level, size_t y) {
        const size_t row = static_cast<size_t>(level.size.width) * 3;
        level.floats.resize(row * static_cast<size_t>(level.size.height) + kSlack);
        blend_columns(sums_.data(), level.columns, level.column_weights.data(), level.floats.data() + row * y);
    });
    return made.floats.data();
}

const uint8_t* Pyramid::next_bytes() {
    const Level& made = next([&](Level& level, size_t y) {
        const size_t row = static_cast<size_t>(level.size.width) * kLevelPitch;
        level.bytes.resize(row * static_cast<size_t>(level.size.height) + kLevelSlack);
        blend_columns_to_bytes(sums_.data(), level.columns, level.column_weights.data(), level.bytes.data() + row * y);
    });
    return made.bytes.data();
}

}  // namespace ferengine::mtcnn
