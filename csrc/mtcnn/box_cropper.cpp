#include "mtcnn/box_cropper.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace ferengine::mtcnn {
namespace {

constexpr uint8_t kPadding = 127;  // beyond the frame: about 0 to the networks
constexpr double kFractions = 32;  // of a pixel that samples lie on, as in OpenCV's warpAffine
constexpr double kMaxStep = 2;     // pixels from one sample to the next; the frame is halved below it
constexpr int kGrid = 1 << HalvedFrame::kMaxHalvings;  // on which halved parts begin

// The sample at `position` along an axis of `length` pixels; far outside they are all the same.
LinearSample sample_at(double position, int length) {
    const double inside = std::floor(std::clamp(position, -2.0, length + 1.0) * kFractions + 0.5) / kFractions;
    const double first = std::floor(inside);
    return {.first = static_cast<int>(first), .fraction = static_cast<float>(inside - first)};
}

// One sample some of whose four pixels lie outside, or at the end of the frame's memory.
void sample_border(const image::FrameView& frame, int y, const LinearSample& column, float fraction, float* out) {
    std::array<std::array<uint8_t, 8>, 2> pixels;
    int row = y;
    for (std::array<uint8_t, 8>& pair : pixels) {
        pair.fill(kPadding);
        for (const int right : {0, 1}) {
            const int x = column.first + right;
            if (row >= 0 && row < frame.height && x >= 0 && x < frame.width)
                std::memcpy(&pair[right == 0 ? 0 : 3], frame.pixel(row, x), 3);
        }
        ++row;
    }
    const LinearSample sample{.first = 0, .fraction = column.fraction};
    sample_row(pixels[0].data(), pixels[1].data(), fraction, {&sample, 1}, out);
}

// From `low` to `high` along an axis of `length` pixels, on the grid and with room for the samples at its ends.
struct Interval {
    int first, length;
};

Interval interval_around(float low, float high, int length) {
    const double first = std::clamp(static_cast<double>(low) - 2 * kGrid, 0.0, static_cast<double>(length - 1));
    const double last = std::clamp(static_cast<double>(high) + 2 * kGrid, first + 1, static_cast<double>(length));
    const int start = static_cast<int>(first) / kGrid * kGrid;
    return {.first = start, .length = static_cast<int>(last) - start};
}

}  // namespace

Surroundings surroundings_of(const image::FrameView& frame, std::span<const BoxCorners> boxes) {
    BoxCorners all = boxes[0];
    for (const BoxCorners& box : boxes)  // whose corners may be exchanged
        all = {.x1 = std::min({all.x1, box.x1, box.x2}),
               .y1 = std::min({all.y1, box.y1, box.y2}),
               .x2 = std::max({all.x2, box.x1, box.x2}),
               .y2 = std::max({all.y2, box.y1, box.y2})};
    const Interval across = interval_around(all.x1, all.x2, frame.width);
    const Interval down = interval_around(all.y1, all.y2, frame.height);
    return {.x = across.first, .y = down.first, .width = across.length, .height = down.length};
}

void BoxCropper::crop(const BoxCorners& box, int size, float* out) {
    const double width_ratio = (frame_.width - 1.0) / frame_.width,
                 height_ratio = (frame_.height - 1.0) / frame_.height;
    double x1 = box.x1 * width_ratio, y1 = box.y1 * height_ratio;
    double step_x = (box.x2 * width_ratio - x1) / (size - 1), step_y = (box.y2 * height_ratio - y1) / (size - 1);
    size_t halvings = 0;
    const image::FrameView* view = &frame_;
    double step = std::min(std::abs(step_x), std::abs(step_y));
    // faces of 1500 pixels and more are sampled more coarsely
    while (step >= kMaxStep && halvings < HalvedFrame::kMaxHalvings) {
        const image::FrameView& level = halved_.halved(halvings + 1);
        if (level.width < 2 || level.height < 2) break;
        view = &level, ++halvings;
        step /= 2;
    }
    if (halvings > 0) {
        const double pixel = std::ldexp(1.0, static_cast<int>(halvings));
        x1 = (x1 - x_ + 0.5) / pixel - 0.5, y1 = (y1 - y_ + 0.5) / pixel - 0.5;
        step_x /= pixel, step_y /= pixel;
    }
    columns_.clear();
    for (int x = 0; x < size; ++x) columns_.push_back(sample_at(x1 + x * step_x, view->width));
    // the columns that the kernel may read, one pixel to the right included
    const auto in_row = [&](const LinearSample& column) { return column.first >= 0 && column.first + 2 < view->width; };
    const auto first = std::ranges::find_if(columns_, in_row);
    const auto last = std::find_if_not(first, columns_.end(), in_row);
    const int start = static_cast<int>(first - columns_.begin()), end = static_cast<int>(last - columns_.begin());
    for (int y = 0; y < size; ++y, out += ptrdiff_t{3} * size) {
        const LinearSample row = sample_at(y1 + y * step_y, view->height);
        const bool inside = row.first >= 0 && row.first + 1 < view->height;
        for (int x = 0; x < size; ++x) {
            float* const target = out + ptrdiff_t{3} * x;
            if (inside && x == start && x < end) {
                sample_row(view->row(row.first), view->row(row.first + 1), row.fraction, {first, last}, target);
                x = end - 1;
            } else {
                sample_border(*view, row.first, columns_[static_cast<size_t>(x)], row.fraction, target);
            }
        }
    }
}

}  // namespace ferengine::mtcnn
