// A frame where it lies in memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ferengine::image {

// What is read of each pixel: one of the colours, or their grey. Those of a grey frame are all the same.
enum class Channel : uint8_t { blue = 0, green = 1, red = 2, gray };

// Rows `stride` bytes apart, of 1 (grey) or 3 (BGR) bytes a pixel.
struct FrameView {
    const uint8_t* data;
    int height, width, channels;
    ptrdiff_t stride;

    const uint8_t* row(int y) const { return data + y * stride; }
    const uint8_t* pixel(int y, int x) const { return row(y) + ptrdiff_t{x} * channels; }

    // The part of `part_height` x `part_width` pixels from row y and column x on, in place.
    FrameView part(int y, int x, int part_height, int part_width) const {
        return {
            .data = pixel(y, x), .height = part_height, .width = part_width, .channels = channels, .stride = stride};
    }
};

}  // namespace ferengine::image
