#include "retinaface/input.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ferengine::retinaface {
namespace {

// The source pixels under one pixel of the input: weights[first_weight ...] for first, first + 1, ...
struct Span {
    int first, count;
    size_t first_weight;
};

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

#define FERENGINE_TARGET_INCLUDE "retinaface/input-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::retinaface {

void make_input(const image::FrameView& frame, int height, int width, const std::array<float, 3>& means, float* out) {
    std::vector<float> row_weights, column_weights;
    const std::vector<Span> rows = make_spans(frame.height, height, row_weights);
    const std::vector<Span> columns = make_spans(frame.width, width, column_weights);
    const int values = 3 * frame.width;
    std::vector<float> sums(static_cast<size_t>(values) + 1);  // the last pixel's load reads one more
    std::vector<const uint8_t*> pointers;
    const size_t plane = static_cast<size_t>(height) * static_cast<size_t>(width);
    for (int y = 0; y < height; ++y) {
        const Span& span = rows[static_cast<size_t>(y)];
        pointers.clear();
        for (int row = span.first; row < span.first + span.count; ++row) pointers.push_back(frame.row(row));
        FERENGINE_DISPATCH(blend_rows)
        (pointers.data(), row_weights.data() + span.first_weight, span.count, values, sums.data());
        float* const target = out + static_cast<size_t>(y) * static_cast<size_t>(width);
        const std::array<float*, 3> planes{target, target + plane, target + 2 * plane};
        FERENGINE_DISPATCH(blend_columns)
        (sums.data(), columns.data(), column_weights.data(), width, means.data(), planes.data());
    }
}

}  // namespace ferengine::retinaface
