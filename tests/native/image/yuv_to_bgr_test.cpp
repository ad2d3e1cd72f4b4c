// Frames of random sizes and colours, in heap blocks without a byte to spare: nothing is read or written beside them,
// and every value is within 1 of the exact one.
#include "image/yuv_to_bgr.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "random_input.hpp"

namespace {

using ferengine::image::YuvColors;
using ferengine::tests::Frame;

// ITU-T H.273, section 8.3, in double precision.
void exact(const YuvColors& colors, int y, int u, int v, double (&bgr)[3]) {
    const double red = colors.red_weight, blue = colors.blue_weight, green = 1 - red - blue;
    const double luma = colors.full_range ? y : (y - 16) * 255.0 / 219.0;
    const double scale = colors.full_range ? 1.0 : 255.0 / 224.0;
    const double cb = (u - 128) * scale, cr = (v - 128) * scale;
    bgr[0] = luma + 2 * (1 - blue) * cb;
    bgr[1] = luma - 2 * (1 - blue) * blue / green * cb - 2 * (1 - red) * red / green * cr;
    bgr[2] = luma + 2 * (1 - red) * cr;
    for (double& value : bgr) value = std::clamp(value, 0.0, 255.0);
}

}  // namespace

int main() {
    constexpr float kWeights[][2] = {{0.299f, 0.114f}, {0.2126f, 0.0722f}, {0.2627f, 0.0593f}};
    ferengine::tests::RandomInput random(11);
    for (int round = 0; round < 2000; ++round) {
        ferengine::tests::use_instructions_in_turn(round);
        const int height = 1 + random.up_to(9), width = 1 + random.up_to(random.one_in(4) ? 300 : 40);
        const bool halved_rows = random.one_in(2);
        const int chroma_height = halved_rows ? (height + 1) / 2 : height, chroma_width = (width + 1) / 2;
        const Frame y = random.frame(height, width, 1), u = random.frame(chroma_height, chroma_width, 1),
                    v = random.frame(chroma_height, chroma_width, 1);
        const int weights = random.up_to(2);
        const YuvColors colors{
            .red_weight = kWeights[weights][0], .blue_weight = kWeights[weights][1], .full_range = random.one_in(2)};
        const int stride = width * 3 + random.up_to(5);
        std::vector<uint8_t> out(static_cast<size_t>((height - 1) * stride + width * 3), 99);
        ferengine::image::yuv_to_bgr({.y = {.data = y.pixels.get(), .stride = y.view.stride},
                                      .u = {.data = u.pixels.get(), .stride = u.view.stride},
                                      .v = {.data = v.pixels.get(), .stride = v.view.stride},
                                      .height = height,
                                      .width = width,
                                      .halved_rows = halved_rows},
                                     colors, out.data(), stride);
        for (int row = 0; row < height; ++row) {
            const int chroma_row = halved_rows ? row / 2 : row;
            for (int column = 0; column < width; ++column) {
                double bgr[3];
                exact(colors, y.pixels[static_cast<size_t>(row * y.view.stride + column)],
                      u.pixels[static_cast<size_t>(chroma_row * u.view.stride + column / 2)],
                      v.pixels[static_cast<size_t>(chroma_row * v.view.stride + column / 2)], bgr);
                const uint8_t* found = &out[static_cast<size_t>(row * stride + 3 * column)];
                for (int channel = 0; channel < 3; ++channel)
                    if (!(std::abs(found[channel] - bgr[channel]) <= 1.0)) {
                        std::fprintf(stderr, "%dx%d, row %d, column %d, channel %d: %d instead of %g\n", width, height,
                                     row, column, channel, found[channel], bgr[channel]);
                        return EXIT_FAILURE;
                    }
            }
            for (int padding = width * 3; padding < stride && row + 1 < height; ++padding)
                ferengine::tests::require(out[static_cast<size_t>(row * stride + padding)] == 99,
                                          "the padding is kept");
        }
    }
    return EXIT_SUCCESS;
}
