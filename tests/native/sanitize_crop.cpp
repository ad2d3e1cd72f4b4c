// Crops of random and extreme squares under AddressSanitizer and UndefinedBehaviorSanitizer. Frames lie in heap blocks
// without a byte to spare, so that any read beside them is found.
#include <algorithm>
#include <cfloat>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "face_crop.hpp"

using namespace ferengine;

int main() {
    std::mt19937 random(7);
    const auto up_to = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
    const auto between = [&](float low, float high) {
        return std::uniform_real_distribution<float>(low, high)(random);
    };
    const float extreme[] = {0.0f,  -0.0f, 0.5f,   65536.0f, 1e9f,     -1e9f,   2147483648.0f,
                             1e17f, 1e30f, -1e30f, FLT_MAX,  -FLT_MAX, FLT_MIN, -FLT_TRUE_MIN};
    const float sides[] = {FLT_TRUE_MIN, FLT_MIN, 1e-9f, 0.5f, 1.0f, 48.0f, 65536.0f, 1e9f, 1e17f, 1e30f, FLT_MAX};
    const float angles[] = {0.0f, -0.0f, 1e-30f, 0.3f, 1.5707964f, -3.0f, 1e9f, FLT_MAX};
    const auto any_of = [&](const auto& values) { return values[up_to(static_cast<int>(std::size(values)) - 1)]; };

    CropScratch scratch;
    for (int round = 0; round < 8000; ++round) {
        const int height = 1 + up_to(39), width = 1 + up_to(39), channels = up_to(1) == 0 ? 1 : 3;
        const int stride = width * channels + up_to(4), size = 1 + up_to(27);
        const int bytes = (height - 1) * stride + width * channels;
        const std::unique_ptr<uint8_t[]> pixels(new uint8_t[static_cast<size_t>(bytes)]);
        const int least = up_to(255), most = least + up_to(255 - least);
        std::generate_n(pixels.get(), bytes, [&] { return static_cast<uint8_t>(least + up_to(most - least)); });

        Square square{between(-80, 120), between(-80, 120), between(0.01f, 150), up_to(1) ? 0.0f : between(-4, 4)};
        if (up_to(2) == 0) square.cx = any_of(extreme);
        if (up_to(2) == 0) square.cy = any_of(extreme);
        if (up_to(2) == 0) square.side = any_of(sides);
        if (up_to(3) == 0) square.angle = any_of(angles);

        const std::unique_ptr<float[]> out(new float[static_cast<size_t>(size * size)]);
        crop_grey({pixels.get(), height, width, channels, stride}, square, size, out.get(), scratch);
        for (int i = 0; i < size * size; ++i)
            if (!(out[i] >= static_cast<float>(least) - 0.01f && out[i] <= static_cast<float>(most) + 0.01f)) {
                std::fprintf(stderr, "level %g outside [%d, %d]: frame %dx%dx%d, square %g %g %g %g, size %d\n", out[i],
                             least, most, height, width, channels, square.cx, square.cy, square.side, square.angle,
                             size);
                return EXIT_FAILURE;
            }
    }
    return EXIT_SUCCESS;
}
