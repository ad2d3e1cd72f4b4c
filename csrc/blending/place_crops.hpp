// The last grey crops of one square in the frames of a camera, and whether one has blended into another.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "image/area_resize.hpp"
#include "image/frame_view.hpp"

namespace ferengine::blending {

// When the first of some crops has blended into the last: all between are weighted sums of the two.
struct BlendLimits {
    float unlike;           // correlation of the first and the last below which one may have blended into the other
    float residual;         // what no weighted sum explains, as a fraction of what sets the last apart
    float lowest, highest;  // one between has a weight of the last crop within these
    size_t least_between;   // crops between the two
};

// Not thread-safe.
class PlaceCrops {
  public:
    // Crops of `side` x `side` pixels, at most `capacity` at a time; one whose norm without its mean is below `flat` is
    // none.
    PlaceCrops(size_t side, size_t capacity, float flat);

    size_t count() const { return count_; }
    bool is_full() const { return count_ == capacity_; }

    // Adds what a frame shows in a square, with mean 0 and norm 1: its correlation with the crop before (0 if there is
    // none), or nothing where it is flat, and not added. Of large squares `max_rows` rows are read for each of the
    // crop, all if it is 0. There must be fewer than `capacity`.
    std::optional<float> add(const image::FrameView& frame, const image::UprightSquare& square, int max_rows);

    // Forgets the oldest crops, at most all.
    void drop(size_t gone);

    // The last crop; there must be one.
    std::span<const float> last() const { return {crop(count_ - 1), pixels_}; }

    // Whether one of the crops has blended into the last.
    bool blends(const BlendLimits& limits) const;

  private:
    size_t slot(size_t index) const { return (first_ + index) % capacity_; }
    const float* crop(size_t index) const { return crops_.data() + slot(index) * pixels_; }
    float& correlation(size_t a, size_t b) { return correlations_[slot(a) * capacity_ + slot(b)]; }
    float correlation(size_t a, size_t b) const { return correlations_[slot(a) * capacity_ + slot(b)]; }
    bool blends(size_t start, const BlendLimits& limits) const;

    size_t side_, pixels_, capacity_;
    float flat_;
    size_t first_ = 0, count_ = 0;     // a ring, as one is forgotten for each that comes
    std::vector<float> crops_;         // one a slot
    std::vector<float> correlations_;  // of each slot's crop (row) with those before it (columns)
    image::AreaScratch scratch_;
};

}  // namespace ferengine::blending
