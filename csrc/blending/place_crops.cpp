#include "blending/place_crops.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace ferengine::blending {
namespace {

// The sum of term(0) to term(count - 1): several side by side, which vectorise.
template <typename Term>
float sum_of(size_t count, const Term& term) {
    std::array<float, 16> sums{};
    size_t i = 0;
    for (; i + sums.size() <= count; i += sums.size())
        for (size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += term(i + lane);
    float sum = std::accumulate(sums.begin(), sums.end(), 0.0f);
    for (; i < count; ++i) sum += term(i);
    return sum;
}

float product(const float* a, const float* b, size_t count) {
    return sum_of(count, [=](size_t i) { return a[i] * b[i]; });
}

}  // namespace

PlaceCrops::PlaceCrops(size_t side, size_t capacity, float flat)
    : side_(side),
      pixels_(side * side),
      capacity_(capacity),
      flat_(flat),
      crops_(pixels_ * capacity),
      correlations_(capacity * capacity) {}

std::optional<float> PlaceCrops::add(const image::FrameView& frame, const image::UprightSquare& square, int max_rows) {
    const std::span<float> added(crops_.data() + slot(count_) * pixels_, pixels_);
    image::resize_area(frame, image::Channel::gray, square, static_cast<int>(side_), max_rows, added, scratch_);
    const float mean = sum_of(pixels_, [=](size_t i) { return added[i]; }) / static_cast<float>(pixels_);
    for (float& value : added) value -= mean;
    const float norm = std::sqrt(product(added.data(), added.data(), pixels_));
    if (norm < flat_ || norm == 0.0f) return std::nullopt;
    const float scale = 1 / norm;
    for (float& value : added) value *= scale;
    for (size_t index = 0; index < count_; ++index)
        correlation(count_, index) = product(crop(index), added.data(), pixels_);
    ++count_;
    return count_ > 1 ? correlation(count_ - 1, count_ - 2) : 0.0f;
}

void PlaceCrops::drop(size_t gone) {
    gone = std::min(gone, count_);
    first_ = slot(gone);
    count_ -= gone;
}

bool PlaceCrops::blends(const BlendLimits& limits) const {
    for (size_t start = 0; start + limits.least_between + 1 < count_; ++start)
        if (correlation(count_ - 1, start) < limits.unlike && blends(start, limits)) return true;
    return false;
}

bool PlaceCrops::blends(size_t start, const BlendLimits& limits) const {
    const size_t last = count_ - 1;
    const float of_last = correlation(last, start);
    const float apart = 1 - of_last * of_last;  // of the last crop without the first one
    bool mixed = false;
    for (size_t between = last - 1; between > start; --between) {  // of faces that move the first one settles it
        const float shared = correlation(between, start);
        const float weight = (correlation(last, between) - shared * of_last) / apart;
        const float left = (1 - shared * shared) / apart - weight * weight;
        if (!(left < limits.residual * limits.residual)) return false;
        mixed |= weight > limits.lowest && weight < limits.highest;
    }
    return mixed;
}

}  // namespace ferengine::blending
