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

// The share of `pixel`, one of `range`, in [low, high), which is 1 / scale long. One pixel takes it all, also where
// low == high in floating point (far outside the frame).
FERENGINE_INLINE float share(double low, double high, double scale, int pixel, int length, Range range) {
    if (range.first == range.last) return 1.0f;
    if (pixel != range.first && pixel != range.last) return static_cast<float>(scale);
    const double from = pixel == 0 ? low : std::max(low, static_cast<double>(pixel));
    const double to = pixel == length - 1 ? high : std::min(high, pixel + 1.0);
    return static_cast<float>((to - from) * scale);
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
    const double step = side / size, scale = 1.0 / step;
    const double left = cx - 0.5 * side, top = cy - 0.5 * side;

    // the columns of each destination pixel, in `blocks` times eight from its first on, weight 0 where they are not its
    const int most = static_cast<int>(std::min(std::ceil(step) + 2.0, static_cast<double>(frame.width)));
    const int blocks = (most + 7) / 8, columns = (size + 7) / 8 * 8;
    scratch.firsts.assign(static_cast<size_t>(columns), 0);
    scratch.weights.assign(static_cast<size_t>(columns) * static_cast<size_t>(blocks) * 8, 0.0f);
    const int x0 = pixels_under(left, left + step, frame.width).first;
    int x1 = x0 + 1;
    for (int x = 0; x < size; ++x) {
        const double low = left + x * step, high = left + (x + 1) * step;
        const Range range = pixels_under(low, high, frame.width);
        float* weight = scratch.weights.data() + ptrdiff_t{8} * blocks * x;
        for (int pixel = range.first; pixel <= range.last; ++pixel)
            *weight++ = share(low, high, scale, pixel, frame.width, range);
        scratch.firsts[static_cast<size_t>(x)] = range.first - x0;
        x1 = range.last + 1;
    }
    const int width = x1 - x0;
    scratch.row.assign(static_cast<size_t>(width), 0.0f);
    scratch.sums.assign(static_cast<size_t>(width) + static_cast<size_t>(blocks) * 8, 0.0f);
    float* const row = scratch.row.data();
    float* const sums = scratch.sums.data();
    const int* const firsts = scratch.firsts.data();
    const float* const weights = scratch.weights.data();

    const auto columns_of = [=](int x) {
        const float* const from = sums + firsts[x];
        const float* const weight = weights + ptrdiff_t{8} * blocks * x;
        Float8 sum = load8(from) * load8(weight);
        for (int i = 8; i < 8 * blocks; i += 8) sum += load8(from + i) * load8(weight + i);
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
            for (int source = range.first; source <= range.last; ++source)
                add_row(source, share(low, high, scale, source, frame.height, range), source == range.first);
        }
        float* const target = out + static_cast<size_t>(y) * static_cast<size_t>(size);
        for (int x = 0; x < size; x += 8) {
            const Float8 eight =
                sums_of(sums_of(columns_of(x), columns_of(x + 1), columns_of(x + 2), columns_of(x + 3)),
                        sums_of(columns_of(x + 4), columns_of(x + 5), columns_of(x + 6), columns_of(x + 7)));
            if (x + 8 <= size)
                store8(target + x, eight);
            else
                for (int i = 0; x + i < size; ++i) target[x + i] = eight[i];
        }
    }
}

}  // namespace ferengine
