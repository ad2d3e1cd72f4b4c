#include "face_crop.hpp"

#include <algorithm>
#include <cmath>

#include "area_mean.hpp"
#include "grey.hpp"

namespace ferengine {
namespace {

constexpr int kMaxSamples = 8;
constexpr double kMaxQuads = 1 << 26;  // 256 MiB of scratch; their index is an int, which vectorises

// A pixel with its right, lower and lower right neighbour, one byte each: all that one bilinear sample reads.
uint32_t quad(uint32_t pixel, uint32_t right, uint32_t below, uint32_t below_right) {
    return pixel | right << 8 | below << 16 | below_right << 24;
}

// A part of the frame as quads, borders repeated.
void pack_quads(const FrameView& part, CropScratch& scratch) {
    const auto width = static_cast<size_t>(part.width);
    scratch.quads.resize(width * static_cast<size_t>(part.height));
    scratch.greys.resize(2 * (width + 1));
    uint8_t* upper = scratch.greys.data();
    uint8_t* lower = upper + width + 1;
    const auto fill = [&](int y, uint8_t* row) {
        grey_columns(part, y, 0, part.width, row);
        row[width] = row[width - 1];
    };
    fill(0, upper);
    for (int y = 0; y < part.height; ++y) {
        fill(std::min(y + 1, part.height - 1), lower);
        uint32_t* quads = scratch.quads.data() + static_cast<size_t>(y) * width;
        for (size_t x = 0; x < width; ++x) quads[x] = quad(upper[x], upper[x + 1], lower[x], lower[x + 1]);
        std::swap(upper, lower);
    }
}

// `count` x `count` samples for each of `size` x `size` destination pixels, on an image of `width` x `height`.
struct Grid {
    double cx, cy, side, c, s;
    int size, count, width, height;
};

// The mean of each destination pixel's samples; `quad_at(x, y)` looks a source pixel up.
template <typename QuadAt>
FERENGINE_INLINE void sample(const Grid& grid, const QuadAt& quad_at, float* out, CropScratch& scratch) {
    const int columns = grid.size * grid.count;
    const double step = grid.side / columns, x_most = grid.width - 1.0, y_most = grid.height - 1.0;
    const float scale = 1.0f / static_cast<float>(grid.count * grid.count);
    scratch.row.resize(static_cast<size_t>(columns));
    float* const row = scratch.row.data();
    std::fill(out, out + static_cast<ptrdiff_t>(grid.size) * grid.size, 0.0f);
    for (int j = 0; j < columns; ++j) {
        const double v = (j + 0.5) * step - 0.5 * grid.side;
        const double x_row = grid.cx - v * grid.s - 0.5, y_row = grid.cy + v * grid.c - 0.5;
        for (int i = 0; i < columns; ++i) {
            const double u = (i + 0.5) * step - 0.5 * grid.side;
            const double x = std::min(std::max(x_row + u * grid.c, 0.0), x_most);
            const double y = std::min(std::max(y_row + u * grid.s, 0.0), y_most);
            const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
            const auto fx = static_cast<float>(x - x0), fy = static_cast<float>(y - y0);
            const uint32_t four = quad_at(x0, y0);
            const auto at = [four](int shift) { return static_cast<float>(static_cast<int>(four >> shift & 255)); };
            const float upper = at(0) + (at(8) - at(0)) * fx, lower = at(16) + (at(24) - at(16)) * fx;
            row[i] = upper + (lower - upper) * fy;
        }
        float* const target = out + static_cast<ptrdiff_t>(j / grid.count) * grid.size;
        for (int x = 0; x < grid.size; ++x) {
            float sum = 0.0f;
            for (int i = 0; i < grid.count; ++i) sum += row[x * grid.count + i];
            target[x] += sum * scale;
        }
    }
}

FERENGINE_INLINE void sampled_crop(const FrameView& frame, const Square& square, int size, float* out,
                                   CropScratch& scratch) {
    const double side = square.side, c = std::cos(static_cast<double>(square.angle)),
                 s = std::sin(static_cast<double>(square.angle));
    const int count = static_cast<int>(std::clamp(std::ceil(side / size), 1.0, static_cast<double>(kMaxSamples)));
    // the part of the frame that the samples can touch
    const double reach = 0.5 * side * (std::abs(c) + std::abs(s)) + 1.0;
    const int x0 = static_cast<int>(std::clamp(std::floor(square.cx - reach), 0.0, frame.width - 1.0));
    const int y0 = static_cast<int>(std::clamp(std::floor(square.cy - reach), 0.0, frame.height - 1.0));
    const int x1 = static_cast<int>(std::clamp<double>(std::ceil(square.cx + reach), x0 + 1, frame.width));
    const int y1 = static_cast<int>(std::clamp<double>(std::ceil(square.cy + reach), y0 + 1, frame.height));
    const FrameView part{frame.data + y0 * frame.stride + ptrdiff_t{x0} * frame.channels, y1 - y0, x1 - x0,
                         frame.channels, frame.stride};
    const Grid grid{static_cast<double>(square.cx) - x0,
                    static_cast<double>(square.cy) - y0,
                    side,
                    c,
                    s,
                    size,
                    count,
                    part.width,
                    part.height};
    const double samples = static_cast<double>(size) * size * count * count;
    if (static_cast<double>(part.width) * part.height <= std::min(4.0 * samples, kMaxQuads)) {
        pack_quads(part, scratch);
        const uint32_t* const quads = scratch.quads.data();
        const int width = part.width;
        sample(grid, [=](int x, int y) { return quads[y * width + x]; }, out, scratch);
        return;
    }
    // the samples lie so far apart that packing would read much more than they do
    const auto grey_at = [&](int x, int y) {
        const uint8_t* pixel = part.data + y * part.stride + ptrdiff_t{x} * part.channels;
        return static_cast<uint32_t>(part.channels == 3 ? grey_level(pixel) : *pixel);
    };
    const auto quad_at = [&](int x, int y) {
        const int right = std::min(x + 1, part.width - 1), below = std::min(y + 1, part.height - 1);
        return quad(grey_at(x, y), grey_at(right, y), grey_at(x, below), grey_at(right, below));
    };
    sample(grid, quad_at, out, scratch);
}

FERENGINE_INLINE void crop(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch) {
    if (square.angle == 0.0f && square.side >= static_cast<float>(size))
        area_means(frame, square.cx, square.cy, square.side, size, 0, out, scratch);
    else
        sampled_crop(frame, square, size, out, scratch);
}

#if defined(FERENGINE_AVX2)
// The same code once more for eight floats a register.
__attribute__((target("avx2,fma"))) void crop_avx2(const FrameView& frame, const Square& square, int size, float* out,
                                                   CropScratch& scratch) {
    crop(frame, square, size, out, scratch);
}
#endif

}  // namespace

void crop_grey(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch) {
#if defined(FERENGINE_AVX2)
    static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) return crop_avx2(frame, square, size, out, scratch);
#endif
    crop(frame, square, size, out, scratch);
}

void crop_rounded(const FrameView& frame, const Square& square, int size, uint8_t* out, CropScratch& scratch) {
    const size_t pixels = static_cast<size_t>(size) * static_cast<size_t>(size);
    scratch.levels.resize(pixels);
    const float* const levels = scratch.levels.data();
    uint8_t* __restrict const target = out;  // bytes alias everything unless said otherwise
    crop_grey(frame, square, size, scratch.levels.data(), scratch);
    // sums of many thousand weights may come out a little above 255
    for (size_t i = 0; i < pixels; ++i)
        target[i] = static_cast<uint8_t>(static_cast<int>(std::min(levels[i] + 0.5f, 255.0f)));
}

}  // namespace ferengine
