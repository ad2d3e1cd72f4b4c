#include "mtcnn_sampling.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ferengine {
namespace {

constexpr int kFineness = 4;          // an image stands in for the frame while it is this many times the level's size
constexpr uint8_t kPadding = 127;     // beyond the frame: about 0 to the networks
constexpr double kFractions = 32;     // of a pixel that samples lie on, as in OpenCV's warpAffine
constexpr double kMinShare = 1e-3;  // of a pixel; less is rounding

// The source pixels under each of `count` destination pixels, and their shares, which add up to 1.
void area_spans(int length, int count, std::vector<AreaSpan>& spans, std::vector<float>& weights) {
    const double step = static_cast<double>(length) / count;
    spans.clear();
    weights.clear();
    for (int i = 0; i < count; ++i) {
        const double low = i * step, high = std::min((i + 1) * step, static_cast<double>(length));
        int first = static_cast<int>(low), last = std::min(static_cast<int>(std::ceil(high)), length) - 1;
        if (first + 1 - low < kMinShare && first < last) ++first;
        if (high - last < kMinShare && first < last) --last;
        const double from = std::max(low, static_cast<double>(first)), to = std::min(high, last + 1.0);
        spans.push_back({first, last - first + 1, weights.size()});
        for (int pixel = first; pixel <= last; ++pixel)
            weights.push_back(static_cast<float>(
                (std::min(to, pixel + 1.0) - std::max(from, static_cast<double>(pixel))) / (to - from)));
    }
}

// The sample at `position` along an axis of `length` pixels; far outside they are all the same.
Sample sample_at(double position, int length) {
    const double inside = std::floor(std::clamp(position, -2.0, length + 1.0) * kFractions + 0.5) / kFractions;
    const double first = std::floor(inside);
    return {static_cast<int>(first), static_cast<float>(inside - first)};
}

}  // namespace

std::vector<LevelSize> pyramid_levels(int height, int width, double scale, double factor, int window) {
    std::vector<LevelSize> levels;
    for (; std::min(height, width) * scale >= window; scale *= factor)
        levels.push_back({scale, static_cast<int>(height * scale), static_cast<int>(width * scale)});
    return levels;
}

const float* Pyramid::level(int height, int width) {
    while (source_.height % 2 == 0 && source_.width % 2 == 0 && source_.width >= 2 * kFineness * width &&
           source_.height >= 2 * kFineness * height)
        halve();
    area_spans(source_.width, width, columns_, column_weights_);
    area_spans(source_.height, height, rows_, row_weights_);
    const size_t row = static_cast<size_t>(width) * 3;
    sums_.resize(static_cast<size_t>(source_.width) * 3 + kSlack);
    level_.resize(row * static_cast<size_t>(height) + kSlack);
    for (int y = 0; y < height; ++y) {
        const AreaSpan& span = rows_[static_cast<size_t>(y)];
        row_pointers_.clear();
        for (int source = span.first; source < span.first + span.count; ++source)
            row_pointers_.push_back(source_.data + source * source_.stride);
        row_kernels().weigh_rows(row_pointers_.data(), row_weights_.data() + span.first_weight, span.count,
                                 3 * source_.width, sums_.data());
        row_kernels().weigh_columns(sums_.data(), columns_.data(), column_weights_.data(), width,
                                    level_.data() + row * static_cast<size_t>(y));
    }
    return level_.data();
}

void Pyramid::halve() {
    const int height = source_.height / 2, width = source_.width / 2;
    std::vector<uint8_t>& target = halved_[source_.data == halved_[0].data() ? 1 : 0];
    const size_t row = static_cast<size_t>(width) * 3;
    target.resize(row * static_cast<size_t>(height));
    for (int y = 0; y < height; ++y) {
        const uint8_t* upper = source_.data + 2 * y * source_.stride;
        row_kernels().halve(upper, upper + source_.stride, width, target.data() + row * static_cast<size_t>(y));
    }
    source_ = {target.data(), height, width, 3, static_cast<ptrdiff_t>(row)};
}

void BoxCropper::crop(const Corners& box, int size, float* out) {
    const double width_ratio = (frame_.width - 1.0) / frame_.width, x1 = box.x1 * width_ratio;
    const double height_ratio = (frame_.height - 1.0) / frame_.height, y1 = box.y1 * height_ratio;
    const double step_x = (box.x2 * width_ratio - x1) / (size - 1), step_y = (box.y2 * height_ratio - y1) / (size - 1);
    columns_.clear();
    for (int x = 0; x < size; ++x) columns_.push_back(sample_at(x1 + x * step_x, frame_.width));
    // the columns that the kernel may read, one pixel to the right included
    const auto in_row = [&](const Sample& column) { return column.first >= 0 && column.first + 2 < frame_.width; };
    const auto first = std::find_if(columns_.begin(), columns_.end(), in_row);
    const auto last = std::find_if_not(first, columns_.end(), in_row);
    const int start = static_cast<int>(first - columns_.begin()), end = static_cast<int>(last - columns_.begin());
    for (int y = 0; y < size; ++y, out += 3 * size) {
        const Sample row = sample_at(y1 + y * step_y, frame_.height);
        const bool inside = row.first >= 0 && row.first + 1 < frame_.height;
        for (int x = 0; x < size; ++x) {
            if (inside && x == start && x < end) {
                const uint8_t* upper = frame_.data + row.first * frame_.stride;
                row_kernels().sample(upper, upper + frame_.stride, row.share, columns_.data() + x, end - x,
                                     out + 3 * x);
                x = end - 1;
            } else {
                sample_border(row.first, columns_[static_cast<size_t>(x)], row.share, out + 3 * x);
            }
        }
    }
}

// One sample some of whose four pixels lie outside, or at the end of the frame's memory.
void BoxCropper::sample_border(int y, const Sample& column, float share, float* out) const {
    uint8_t pixels[2][8];
    std::memset(pixels, kPadding, sizeof pixels);
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
            const int row = y + i, x = column.first + j;
            if (row >= 0 && row < frame_.height && x >= 0 && x < frame_.width)
                std::memcpy(pixels[i] + 3 * j, frame_.data + row * frame_.stride + ptrdiff_t{x} * 3, 3);
        }
    const Sample sample{0, column.share};
    row_kernels().sample(pixels[0], pixels[1], share, &sample, 1, out);
}

}  // namespace ferengine
