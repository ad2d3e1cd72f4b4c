// Crops by bilinear samples: the rotated ones, and those that are enlarged. For foreach_target.hpp.
#include "image/grayscale-inl.hpp"

namespace ferengine::image::FERENGINE_TARGET {
namespace {

// A pixel with its right, lower and lower right neighbour, one byte each: all that one bilinear sample reads.
FERENGINE_INLINE uint32_t quad(uint32_t pixel, uint32_t right, uint32_t below, uint32_t below_right) {
    return pixel | right << 8 | below << 16 | below_right << 24;
}

// One channel of an image as quads, borders repeated.
void pack_quads(const FrameView& image, Channel channel, CropScratch& scratch) {
    const auto width = static_cast<size_t>(image.width);
    scratch.quads.resize(width * static_cast<size_t>(image.height));
    scratch.rows.resize(2 * (width + 1));
    uint8_t* upper = scratch.rows.data();
    uint8_t* lower = upper + width + 1;
    const auto fill = [&](int y, uint8_t* row) {
        channel_pixels(image, channel, y, 0, image.width, row);
        row[width] = row[width - 1];
    };
    fill(0, upper);
    for (int y = 0; y < image.height; ++y) {
        fill(std::min(y + 1, image.height - 1), lower);
        uint32_t* quads = scratch.quads.data() + static_cast<size_t>(y) * width;
        for (size_t x = 0; x < width; ++x) quads[x] = quad(upper[x], upper[x + 1], lower[x], lower[x + 1]);
        std::swap(upper, lower);
    }
}

// The mean of each destination pixel's samples; `quad_at(x, y)` looks a source pixel up.
template <typename QuadAt>
FERENGINE_INLINE void mean_of_samples(const SampleGrid& grid, const QuadAt& quad_at, float* out, CropScratch& scratch) {
    const int columns = grid.size * grid.count;
    const double step = grid.side / columns, max_x = grid.width - 1.0, max_y = grid.height - 1.0;
    const float scale = 1.0f / static_cast<float>(grid.count * grid.count);
    scratch.samples.resize(static_cast<size_t>(columns));
    float* const row = scratch.samples.data();
    std::fill(out, out + static_cast<ptrdiff_t>(grid.size) * grid.size, 0.0f);
    for (int j = 0; j < columns; ++j) {
        const double v = (j + 0.5) * step - 0.5 * grid.side;
        const double x_row = grid.cx - v * grid.s - 0.5, y_row = grid.cy + v * grid.c - 0.5;
        for (int i = 0; i < columns; ++i) {
            const double u = (i + 0.5) * step - 0.5 * grid.side;
            const double x = std::min(std::max(x_row + u * grid.c, 0.0), max_x);
            const double y = std::min(std::max(y_row + u * grid.s, 0.0), max_y);
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

void sample_grid(const FrameView& image, Channel channel, const SampleGrid& grid, float* out, CropScratch& scratch) {
    const double samples = static_cast<double>(grid.size) * grid.size * grid.count * grid.count;
    if (static_cast<double>(image.width) * image.height <= std::min(4.0 * samples, kMaxQuads)) {
        pack_quads(image, channel, scratch);
        const uint32_t* const quads = scratch.quads.data();
        const int width = image.width;
        return mean_of_samples(grid, [=](int x, int y) { return quads[y * width + x]; }, out, scratch);
    }
    // the samples lie so far apart that packing would read much more than they do
    const auto value_at = [&](int x, int y) {
        return static_cast<uint32_t>(channel_of(image, channel, image.pixel(y, x)));
    };
    const auto quad_at = [&](int x, int y) {
        const int right = std::min(x + 1, image.width - 1), below = std::min(y + 1, image.height - 1);
        return quad(value_at(x, y), value_at(right, y), value_at(x, below), value_at(right, below));
    };
    mean_of_samples(grid, quad_at, out, scratch);
}

}  // namespace
}  // namespace ferengine::image::FERENGINE_TARGET
