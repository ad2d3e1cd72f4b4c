// The first layers of RetinaFace's backbone (A. Howard et al., "MobileNets", 2017), straight from a frame: its largest
// maps, of few channels. Rows flow through the layers: each map keeps only the three rows that the next layer needs, so
// that all stays in the near caches, where a framework writes whole maps to memory.
#pragma once

#include <array>
#include <vector>

#include "convolution/convolution.hpp"
#include "image/frame_view.hpp"

namespace ferengine::retinaface {

constexpr float kSlope = 0.1f;  // of the LeakyReLU that follows each layer

class Stem {
  public:
    // A depthwise convolution of 3 x 3 pixels, `stride` pixels apart, and a pointwise one.
    struct Block {
        convolution::Depthwise depthwise;
        convolution::Convolution pointwise;
        int stride;
    };

    // `first`: of 3 x 3 BGR pixels less `means`, two pixels apart. The channels of the layers must follow from each
    // other, and those of the last be a multiple of kGroup.
    Stem(const std::array<float, 3>& means, convolution::Convolution first, std::vector<Block> blocks);

    // Of the last map, and its length along an axis of `length` pixels.
    int channels() const { return blocks_.empty() ? first_.channels() : blocks_.back().pointwise.channels(); }
    int cells(int length) const;

    // `frame` scaled to `height` x `width` pixels, through the layers -> `out`: (cells(height), cells(width),
    // channels()).
    void run(const image::FrameView& frame, int height, int width, float* out) const;

  private:
    class Pass;

    std::array<float, 3> means_;
    convolution::Convolution first_;
    std::vector<Block> blocks_;
};

}  // namespace ferengine::retinaface
