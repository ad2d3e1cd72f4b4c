#include "image/area_resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace ferengine::image {
namespace {

// The pixels first to last of `length` that [low, high) touches, borders repeated: all that lies before pixel 0 falls
// on pixel 0, all that lies after the last one on the last one.
struct PixelRange {
    int first, last;
};

PixelRange pixels_under(double low, double high, int length) {
    const int first = static_cast<int>(std::clamp(low, 0.0, length - 1.0));
    const int last = static_cast<int>(std::clamp(std::ceil(high) - 1.0, static_cast<double>(first), length - 1.0));
    return {.first = first, .last = last};
}

}  // namespace
}  // namespace ferengine::image

#define FERENGINE_TARGET_INCLUDE "image/area_resize-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::image {

void resize_area(const FrameView& frame, Channel channel, const UprightSquare& square, int size, int max_rows,
                 std::span<float> out, AreaScratch& scratch) {
    FERENGINE_DISPATCH(resize_area)(frame, channel, square, size, max_rows, out.data(), scratch);
}

}  // namespace ferengine::image
