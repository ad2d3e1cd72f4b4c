// The image pyramid that P-Net scans: levels of a frame, RGB, (value - 127.5) / 128.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "image/frame_view.hpp"
#include "mtcnn/kernels.hpp"
#include "mtcnn/quantised_kernels.hpp"

namespace ferengine::mtcnn {

// A level of the pyramid: the frame times `scale`.
struct LevelSize {
    double scale;
    int height, width;
};

// The levels of a frame of `height` x `width` from `scale` on, each `factor` times the last, while no side is shorter
// than `window`.
std::vector<LevelSize> pyramid_levels(int height, int width, double scale, double factor, int window);

// A BGR frame, and the same halved again and again: means of 2 x 2 pixels, without an odd last row or column.
class HalvedFrame {
  public:
    static constexpr size_t kMaxHalvings = 5;

    explicit HalvedFrame(const image::FrameView& frame);

    // Halved so often, at most kMaxHalvings times. Valid as long as this is.
    const image::FrameView& halved(size_t times);

    // Makes the first `rows` rows of what halved(times) will be, of which halved(times - 1) has been asked for. So the
    // frame is read once, where it is read for something else.
    void make_rows(size_t times, int rows);

  private:
    std::array<image::FrameView, kMaxHalvings + 1> views_{};
    std::array<std::unique_ptr<uint8_t[]>, kMaxHalvings + 1> memory_;
    std::array<int, kMaxHalvings + 1> made_rows_{};
};

// Makes the levels of one BGR frame, from large to small. Each is the area average of the frame, rounded to integers;
// or, for small ones, of the frame halved so often that it is still kMinReduction times the level's size. Levels made
// each from the last are faster still, but blur, and lose faces.
//
// Levels of the same source are made together, band by band: a large frame does not fit into the near caches, and
// reading it once for each level would take longer than the sums.
class Pyramid {
  public:
    // `frame` and `levels` outlive it.
    Pyramid(HalvedFrame& frame, std::span<const LevelSize> levels) : frame_(frame), levels_(levels) {}

    // The next of the levels: (height, width, 3), and kSlack floats without a meaning. Valid until the next call. All
    // levels of a pyramid are taken as floats, or all as bytes.
    const float* next_floats();

    // The next of the levels before they are normalised: RGB and a byte without a meaning, and kLevelSlack bytes.
    const uint8_t* next_bytes();

  private:
    struct Level {
        LevelSize size{};
        std::vector<AreaSpan> columns, rows;
        std::vector<float> column_weights, row_weights, floats;
        std::vector<uint8_t> bytes;
        int made_rows = 0;
    };

    // The next level, after those that are made with it; row(level, y) makes a row of one from sums_.
    template <typename Row>
    const Level& next(const Row& row);
    template <typename Row>
    void make_levels(const Row& row);
    size_t halvings_for(const LevelSize& level);

    HalvedFrame& frame_;
    std::span<const LevelSize> levels_;  // that are not made yet
    std::vector<Level> made_;
    size_t taken_ = 0;  // of those made
    std::vector<float> sums_;
    std::vector<const uint8_t*> row_pointers_;
};

}  // namespace ferengine::mtcnn
