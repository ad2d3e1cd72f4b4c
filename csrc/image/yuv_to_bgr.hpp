// Decoded video to BGR.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ferengine::image {

// One plane of a decoded frame, rows `stride` bytes apart.
struct Plane {
    const uint8_t* data;
    ptrdiff_t stride;

    const uint8_t* row(int y) const { return data + y * stride; }
};

// 8-bit luma, and chroma of half its width (rounded up) and, with `halved_rows`, half its height.
struct YuvFrame {
    Plane y, u, v;
    int height, width;
    bool halved_rows;
};

// How Y'CbCr was made of RGB (ITU-T H.273, section 8.3): the weights of red and blue in luma, and whether the values
// fill 0 to 255 or luma 16 to 235 and chroma 16 to 240.
struct YuvColors {
    float red_weight, blue_weight;
    bool full_range;
};

// Writes BGR, rows `out_stride` bytes apart. Each chroma sample holds for all its pixels, as in OpenCV and swscale.
// Within 1 of the exact value, and the same on every machine.
void yuv_to_bgr(const YuvFrame& frame, const YuvColors& colors, uint8_t* out, ptrdiff_t out_stride);

}  // namespace ferengine::image
