#include "retinaface/input.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ferengine::retinaface {
namespace {

constexpr double kMinWeight = 1e-6;  // of a pixel; less is rounding

// Along an axis of `length` pixels, of which `count` are made. The weights of each add up to 1.
std::vector<Span> make_spans(int length, int count, std::vector<float>& weights) {
    const double step = static_cast<double>(length) / count;
    std::vector<Span> spans;
    for (int i = 0; i < count; ++i) {
        const double low = i * step, high = (i + 1) * step;
        const int first = std::min(static_cast<int>(low + kMinWeight), length - 1);
        const int last = std::clamp(static_cast<int>(std::ceil(high - kMinWeight)) - 1, first, length - 1);
        spans.push_back({.first = first, .count = last - first + 1, .first_weight = weights.size()});
        for (int pixel = first; pixel <= last; ++pixel) {
            const double from = std::max(low, static_cast<double>(pixel)), to = std::min(high, pixel + 1.0);
            weights.push_back(first == last ? 1.0f : static_cast<float>((to - from) / step));
        }
    }
    return spans;
}

}  // namespace
}  // namespace ferengine::retinaface

#define FERENGINE_TARGET_WIDE
#define FERENGINE_TARGET_INCLUDE "retinaface/input-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::retinaface {

ScaledFrame::ScaledFrame(const image::FrameView& frame, int height, int width, const std::array<float, 3>& means)
    : frame_(frame),
      means_(means),
      rows_(make_spans(frame.height, height, row_weights_)),
      columns_(make_spans(frame.width, width, column_weights_)),
      sums_(static_cast<size_t>(frame.width) * 3 + 1) {}  // the last pixel's load reads one more

void ScaledFrame::row(int y, float* out) {
    const Span& span = rows_[static_cast<size_t>(y)];
    source_.clear();
    for (int row = span.first; row < span.first + span.count; ++row) source_.push_back(frame_.row(row));
    FERENGINE_DISPATCH_WIDE(blend_rows)
    (source_.data(), row_weights_.data() + span.first_weight, span.count, 3 * frame_.width, sums_.data());
    FERENGINE_DISPATCH_WIDE(blend_columns)
    (sums_.data(), columns_.data(), column_weights_.data(), static_cast<int>(columns_.size()), means_.data(), out);
}

}  // namespace ferengine::retinaface
