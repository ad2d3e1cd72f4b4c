#include "image/face_crop.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace ferengine::image {
namespace {

constexpr int kMaxSamples = 8;         // on each side of a destination pixel
constexpr double kMaxQuads = 1 << 26;  // 256 MiB of scratch; their index is an int, which vectorises

// `count` x `count` samples for each of `size` x `size` destination pixels of a square in an image of `width` x
// `height`; c and s are the angle's cosine and sine.
struct SampleGrid {
    double cx, cy, side, c, s;
    int size, count, width, height;
};

}  // namespace
}  // namespace ferengine::image

#define FERENGINE_TARGET_INCLUDE "image/sampled_crop-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::image {
namespace {

void crop_sampled(const FrameView& frame, Channel channel, const CropRegion& region, int size, float* out,
                  CropScratch& scratch) {
    const double side = region.side, angle = region.angle, c = std::cos(angle), s = std::sin(angle);
    const int count = static_cast<int>(std::clamp(std::ceil(side / size), 1.0, static_cast<double>(kMaxSamples)));
    // the part of the frame that the samples can touch
    const double reach = 0.5 * side * (std::abs(c) + std::abs(s)) + 1.0;
    const int x0 = static_cast<int>(std::clamp(std::floor(region.cx - reach), 0.0, frame.width - 1.0));
    const int y0 = static_cast<int>(std::clamp(std::floor(region.cy - reach), 0.0, frame.height - 1.0));
    const int x1 = static_cast<int>(std::clamp<double>(std::ceil(region.cx + reach), x0 + 1, frame.width));
    const int y1 = static_cast<int>(std::clamp<double>(std::ceil(region.cy + reach), y0 + 1, frame.height));
    const FrameView part = frame.part(y0, x0, y1 - y0, x1 - x0);
    const SampleGrid grid{.cx = static_cast<double>(region.cx) - x0,
                          .cy = static_cast<double>(region.cy) - y0,
                          .side = side,
                          .c = c,
                          .s = s,
                          .size = size,
                          .count = count,
                          .width = part.width,
                          .height = part.height};
    FERENGINE_DISPATCH(sample_grid)(part, channel, grid, out, scratch);
}

}  // namespace

std::span<const Channel> channels_of(Planes planes) {
    static constexpr std::array kGray{Channel::gray};
    static constexpr std::array kRgb{Channel::red, Channel::green, Channel::blue};
    static constexpr std::array kBgr{Channel::blue, Channel::green, Channel::red};
    if (planes == Planes::gray) return kGray;
    return planes == Planes::rgb ? kRgb : kBgr;
}

void crop_channel(const FrameView& frame, Channel channel, const CropRegion& region, int size, std::span<float> out,
                  CropScratch& scratch) {
    if (region.angle == 0.0f && region.side >= static_cast<float>(size))
        resize_area(frame, channel, {.cx = region.cx, .cy = region.cy, .side = region.side}, size, 0, out,
                    scratch.area);
    else
        crop_sampled(frame, channel, region, size, out.data(), scratch);
}

void crop_rounded(const FrameView& frame, Planes planes, const CropRegion& region, int size, std::span<uint8_t> out,
                  CropScratch& scratch) {
    const size_t pixels = static_cast<size_t>(size) * static_cast<size_t>(size);
    scratch.values.resize(pixels);
    uint8_t* __restrict target = out.data();  // bytes alias everything unless said otherwise
    for (const Channel channel : channels_of(planes)) {
        crop_channel(frame, channel, region, size, scratch.values, scratch);
        const float* const values = scratch.values.data();
        // sums of many thousand weights may come out a little above 255
        for (size_t i = 0; i < pixels; ++i)
            target[i] = static_cast<uint8_t>(static_cast<int>(std::min(values[i] + 0.5f, 255.0f)));
        target += pixels;
    }
}

}  // namespace ferengine::image
