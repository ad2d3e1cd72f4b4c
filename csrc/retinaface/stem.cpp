#include "retinaface/stem.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "retinaface/input.hpp"

namespace ferengine::retinaface {
namespace {

using convolution::Convolution;
using convolution::kGroup;

constexpr int kChannels = 3;       // of a frame
constexpr int kFirstStride = 2;    // of the first layer
constexpr size_t kAlignment = 16;  // floats of a line of the cache, which no load should cross

int halved(int length, int stride) { return (length + stride - 1) / stride; }

// Three rows of a map of `width` pixels, with a pixel of zeros at both ends, and a row of zeros.
class MapRows {
  public:
    MapRows(int height, int width, int pitch)
        : height_(height),
          width_(width),
          pitch_(pitch),
          length_(((static_cast<size_t>(width) + 2) * static_cast<size_t>(pitch) + kAlignment - 1) / kAlignment *
                  kAlignment),
          data_(4 * length_ + kAlignment) {}

    int height() const { return height_; }
    int width() const { return width_; }
    int made() const { return made_; }

    // The next row, to be written.
    float* next() { return start(static_cast<size_t>(made_++ % 3)) + pitch_; }

    // Rows y - 1 to y + 1, from the pixel left of the first on.
    std::array<const float*, 3> around(int y) { return {from(y - 1), from(y), from(y + 1)}; }

  private:
    const float* from(int y) { return start(y < 0 || y >= height_ ? 3 : static_cast<size_t>(y % 3)); }

    float* start(size_t row) {
        const auto address = reinterpret_cast<uintptr_t>(data_.data()) / sizeof(float);
        return data_.data() + (kAlignment - address % kAlignment) % kAlignment + row * length_;
    }

    int height_, width_, pitch_, made_ = 0;
    size_t length_;
    std::vector<float> data_;
};

}  // namespace

// The maps of one frame: its scaled pixels, what the first layer gives, and what each block gives. The last is not
// kept.
class Stem::Pass {
  public:
    Pass(const Stem& stem, const image::FrameView& frame, int height, int width)
        : stem_(stem), input_(frame, height, width, stem.means_) {
        maps_.emplace_back(height, width, kChannels);
        add_map(kFirstStride, stem.first_.pitch());
        for (const Block& block : stem.blocks_) {
            add_map(block.stride, block.pointwise.pitch());
            const size_t floats =
                static_cast<size_t>(maps_.back().width()) * static_cast<size_t>(block.depthwise.pitch());
            depthwise_.resize(std::max(depthwise_.size(), floats));
        }
    }

    void run(float* out) {
        const size_t last = maps_.size() - 1;
        const ptrdiff_t row = ptrdiff_t{maps_[last].width()} * stem_.channels();
        for (int y = 0; y < maps_[last].height(); ++y) make_row(last, y, out + y * row);
    }

  private:
    void add_map(int stride, int pitch) {
        const int height = halved(maps_.back().height(), stride), width = halved(maps_.back().width(), stride);
        maps_.emplace_back(height, width, pitch);
    }

    // Makes the rows up to y of a map that are not made yet, as far as it reaches.
    void advance(size_t map, int y) {
        MapRows& rows = maps_[map];
        while (rows.made() <= std::min(y, rows.height() - 1)) {
            const int next = rows.made();
            make_row(map, next, rows.next());
        }
    }

    void make_row(size_t map, int y, float* out) {
        if (map == 0) return input_.row(y, out);
        const int width = maps_[map].width(), stride = map == 1 ? kFirstStride : stem_.blocks_[map - 2].stride;
        advance(map - 1, stride * y + 1);
        const std::array<const float*, 3> above = maps_[map - 1].around(stride * y);
        if (map == 1) {
            const Convolution& first = stem_.first_;
            return first.spaced_row(above.data(), kFirstStride * kChannels, width, out, first.pitch());
        }
        const Block& block = stem_.blocks_[map - 2];
        block.depthwise.row(above.data(), stride, width, depthwise_.data());
        const float* const inputs = depthwise_.data();
        block.pointwise.spaced_row(&inputs, block.depthwise.pitch(), width, out, block.pointwise.pitch());
    }

    const Stem& stem_;
    ScaledFrame input_;
    std::vector<MapRows> maps_;
    std::vector<float> depthwise_;  // a row between the two layers of a block
};

Stem::Stem(const std::array<float, 3>& means, Convolution first, std::vector<Block> blocks)
    : means_(means), first_(std::move(first)), blocks_(std::move(blocks)) {
    if (first_.in() != kChannels || first_.kernel() != 3)
        throw std::invalid_argument("the first layer must take 3 x 3 pixels of three channels");
    int channels = first_.channels();
    for (const Block& block : blocks_) {
        if (block.depthwise.channels() != channels || block.pointwise.in() != channels || block.pointwise.kernel() != 1)
            throw std::invalid_argument("a block must take the channels of the layer before it");
        if (block.stride != 1 && block.stride != 2) throw std::invalid_argument("strides must be 1 or 2");
        channels = block.pointwise.channels();
    }
    if (channels % kGroup != 0)
        throw std::invalid_argument("the channels of the last layer must be a multiple of " + std::to_string(kGroup));
}

int Stem::cells(int length) const {
    int cells = halved(length, kFirstStride);
    for (const Block& block : blocks_) cells = halved(cells, block.stride);
    return cells;
}

void Stem::run(const image::FrameView& frame, int height, int width, float* out) const {
    Pass(*this, frame, height, width).run(out);
}

}  // namespace ferengine::retinaface
