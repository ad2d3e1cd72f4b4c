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

// The sample at `position` along an axis of `length` pixels; far outside they are all the same.
LinearSample sample_at(double position, int length) {
    const double inside = std::floor(std::clamp(position, -2.0, length + 1.0) * kFractions + 0.5) / kFractions;
    const double first = std::floor(inside);
    return {.first = static_cast<int>(first), .fraction = static_cast<float>(inside - first)};
}

}  // namespace

void BoxCropper::crop(const BoxCorners& box, int size, float* out) {
    const double width_ratio = (frame_.width - 1.0) / frame_.width, x1 = box.x1 * width_ratio;
    const double height_ratio = (frame_.height - 1.0) / frame_.height, y1 = box.y1 * height_ratio;
    const double step_x = (box.x2 * width_ratio - x1) / (size - 1), step_y = (box.y2 * height_ratio - y1) / (size - 1);
    columns_.clear();
    for (int x = 0; x < size; ++x) columns_.push_back(sample_at(x1 + x * step_x, frame_.width));
    // the columns that the kernel may read, one pixel to the right included
    const auto in_row = [&](const LinearSample& column) {
        return column.first >= 0 && column.first + 2 < frame_.width;
    };
    const auto first = std::ranges::find_if(columns_, in_row);
    const auto last = std::find_if_not(first, columns_.end(), in_row);
    const int start = static_cast<int>(first - columns_.begin()), end = static_cast<int>(last - columns_.begin());
    for (int y = 0; y < size; ++y, out += ptrdiff_t{3} * size) {
        const LinearSample row = sample_at(y1 + y * step_y, frame_.height);
        const bool inside = row.first >= 0 && row.first + 1 < frame_.height;
        for (int x = 0; x < size; ++x) {
            float* const target = out + ptrdiff_t{3} * x;
            if (inside && x == start && x < end) {
                sample_row(frame_.row(row.first), frame_.row(row.first + 1), row.fraction, {first, last}, target);
                x = end - 1;
            } else {
                sample_border(row.first, columns_[static_cast<size_t>(x)], row.fraction, target);
            }
        }
    }
}

// One sample some of whose four pixels lie outside, or at the end of the frame's memory.
void BoxCropper::sample_border(int y, const LinearSample& column, float fraction, float* out) const {
    std::array<std::array<uint8_t, 8>, 2> pixels;
    int row = y;
    for (std::array<uint8_t, 8>& pair : pixels) {
        pair.fill(kPadding);
        for (const int right : {0, 1}) {
            const int x = column.first + right;
            if (row >= 0 && row < frame_.height && x >= 0 && x < frame_.width)
                std::memcpy(&pair[right == 0 ? 0 : 3], frame_.pixel(row, x), 3);
        }
        ++row;
    }
    const LinearSample sample{.first = 0, .fraction = column.fraction};
    sample_row(pixels[0].data(), pixels[1].data(), fraction, {&sample, 1}, out);
}

}  // namespace ferengine::mtcnn
