// Exact area means of a frame's grey levels: what crops and trackers shrink with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "face_crop.hpp"
#include "grey.hpp"
#include "lanes.hpp"

namespace ferengine {

// The pixels first .. last of `length` on which [low, high) falls, borders repeated: all that lies before pixel 0
// falls on pixel 0, all that lies after the last one on the last one.
struct Range {
    int first, last;
};

inline Range pixels_under(double low, double high, int length) {
    const int first = static_cast<int>(std::clamp(low, 0.0, length - 1.0));
    const int last = static_cast<int>(std::clamp(std::ceil(high) - 1.0, static_cast<double>(first), length - 1.0));
    return {first, last};
}

// The share of each of these pixels in [low, high). One pixel takes it all, also where low == high in floating point
// (far outside the frame).
inline void weigh(double low, double high, int length, Range range, float* weights) {
    if (range.first == range.last) {
        *weights = 1.0f;
        return;
    }
    const double scale = 1.0 / (high - low);
    for (int pixel = range.first; pixel <= range.last; ++pixel) {
        const double from = pixel == 0 ? low : std::max(low, static_cast<double>(pixel));
        const double to = pixel == length - 1 ? high : std::min(high, pixel + 1.0);
        *weights++ = static_cast<float>((to - from) * scale);
    }
}

template <typename Level>
FERENGINE_INLINE void grey_columns(const FrameView& frame, int y, int x0, int count, Level* out) {
    const uint8_t* pixels = frame.data + y * frame.stride + ptrdiff_t{x0} * frame.channels;
    if (frame.channels == 3) return grey_row(pixels, count, out);
    for (int i = 0; i < count; ++i) out[i] = pixels[i];
}

// Grey levels of the square of `side` (> 0) around (cx, cy), as `size` x `size` means over each destination pixel's
// rectangle, source pixels being constant squares; beyond the frame its border pixels are repeated. With `most_rows`
// above 0 and more source rows than that under a destination row, the mean is taken of so many of them, evenly spread.
//
// Separable: source rows are made grey and summed, weighted, into one row for each destination row, which is then
// summed into `size` columns.
FERENGINE_INLINE void area_means(const FrameView& frame, double cx, double cy, double side, int size, int most_rows,
                                 float* out, CropScratch& scratch) {
    const double step = side / size;
    const double left = cx - 0.5 * side, top = cy - 0.5 * side;

    scratch.spans.clear();
    scratch.weights.clear();
    int x0 = 0, x1 = 0;
    for (int x = 0; x < size; ++x) {
        const double low = left + x * step, high = left + (x + 1) * step;
        const Range range = pixels_under(low, high, frame.width);
        const int blocks = (range.last - range.first) / 4 + 1;
        const size_t start = scratch.weights.size();
        scratch.weights.resize(start + 4 * static_cast<size_t>(blocks), 0.0f);
        weigh(low, high, frame.width, range, scratch.weights.data() + start);
        if (x == 0) x0 = range.first;
        x1 = range.last + 1;
        scratch.spans.push_back({range.first - x0, blocks, start});
    }
    while (scratch.spans.size() % 4 != 0) scratch.spans.push_back(scratch.spans.back());
    const int width = x1 - x0;
    // blocks read up to three columns past the last one, with weight 0
    scratch.row.assign(static_cast<size_t>(width), 0.0f);
    scratch.sums.assign(static_cast<size_t>(width) + 3, 0.0f);
    float* const row = scratch.row.data();
    float* const sums = scratch.sums.data();

    const auto columns_of = [&](size_t x) {
        const Span& span = scratch.spans[x];
        const float* weights = scratch.weights.data() + span.weights;
        Float4 sum = load4(sums + span.first) * load4(weights);
        for (int block = 1; block < span.blocks; ++block)
            sum += load4(sums + span.first + 4 * block) * load4(weights + 4 * block);
        return sum;
    };

    int held = -1;  // the source row that `row` holds: neighbours share one
    const auto add_row = [&](int source, float weight, bool first) {
        if (source != held) grey_columns(frame, source, x0, width, row);
        held = source;
        if (first)
            for (int x = 0; x < width; ++x) sums[x] = weight * row[x];
        else
            for (int x = 0; x < width; ++x) sums[x] += weight * row[x];
    };
    for (int y = 0; y < size; ++y) {
        const double low = top + y * step, high = top + (y + 1) * step;
        const Range range = pixels_under(low, high, frame.height);
        if (most_rows > 0 && range.last - range.first >= most_rows) {
            for (int i = 0; i < most_rows; ++i) {
                const double at = std::clamp(low + (i + 0.5) * step / most_rows, 0.0, frame.height - 1.0);
                add_row(static_cast<int>(at), 1.0f / static_cast<float>(most_rows), i == 0);
            }
        } else {
            scratch.row_weights.resize(static_cast<size_t>(range.last - range.first + 1));
            weigh(low, high, frame.height, range, scratch.row_weights.data());
            for (int source = range.first; source <= range.last; ++source)
                add_row(source, scratch.row_weights[static_cast<size_t>(source - range.first)], source == range.first);
        }
        float* const target = out + static_cast<size_t>(y) * static_cast<size_t>(size);
        for (size_t x = 0; x < scratch.spans.size(); x += 4) {
            const Float4 four = sums_of(columns_of(x), columns_of(x + 1), columns_of(x + 2), columns_of(x + 3));
            for (size_t i = 0; i < 4 && x + i < static_cast<size_t>(size); ++i) target[x + i] = four[i];
        }
    }
}

}  // namespace ferengine
