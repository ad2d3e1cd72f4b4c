#include "image/yuv_to_bgr.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace ferengine::image {
namespace {

// The gains as 16-bit integers. Luma is multiplied as (Y - black) << 7, chroma as (C - 128) << 8, both give 32 to a
// intensity.
struct YuvGains {
    int16_t black, luma, red_v, green_u, green_v, blue_u;
};

YuvGains gains_of(const YuvColors& colors) {
    const float red = colors.red_weight, blue = colors.blue_weight, green = 1.0f - red - blue;
    const float luma = colors.full_range ? 1.0f : 255.0f / 219.0f;
    const float chroma = (colors.full_range ? 1.0f : 255.0f / 224.0f) * 4096.0f;
    const auto rounded = [](float value) { return static_cast<int16_t>(std::lround(value)); };
    return {
        .black = static_cast<int16_t>(colors.full_range ? 0 : 16),
        .luma = rounded(luma * 8192.0f),
        .red_v = rounded(chroma * 2.0f * (1.0f - red)),
        .green_u = rounded(chroma * 2.0f * (1.0f - blue) * blue / green),
        .green_v = rounded(chroma * 2.0f * (1.0f - red) * red / green),
        .blue_u = rounded(chroma * 2.0f * (1.0f - blue)),
    };
}

}  // namespace
}  // namespace ferengine::image

#define FERENGINE_TARGET_INCLUDE "image/yuv_to_bgr-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::image {

void yuv_to_bgr(const YuvFrame& frame, const YuvColors& colors, uint8_t* out, ptrdiff_t out_stride) {
    const YuvGains gains = gains_of(colors);
    const auto convert_row = FERENGINE_DISPATCH(yuv_row_to_bgr);
    for (int y = 0; y < frame.height; ++y) {
        const int chroma = frame.halved_rows ? y / 2 : y;
        convert_row(frame.y.row(y), frame.u.row(chroma), frame.v.row(chroma), frame.width, gains, out + y * out_stride);
    }
}

}  // namespace ferengine::image
