// Crops of random and extreme regions: every value lies between the frame's smallest and largest.
#include "image/face_crop.hpp"

#include <cfloat>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "random_input.hpp"

using ferengine::image::CropRegion;

int main() {
    constexpr float kPlaces[] = {0.0f,  -0.0f, 0.5f,   65536.0f, 1e9f,     -1e9f,   2147483648.0f,
                                 1e17f, 1e30f, -1e30f, FLT_MAX,  -FLT_MAX, FLT_MIN, -FLT_TRUE_MIN};
    constexpr float kSides[] = {FLT_TRUE_MIN, FLT_MIN, 1e-9f, 0.5f, 1.0f, 48.0f, 65536.0f, 1e9f, 1e17f, 1e30f, FLT_MAX};
    constexpr float kAngles[] = {0.0f, -0.0f, 1e-30f, 0.3f, 1.5707964f, -3.0f, 1e9f, FLT_MAX};

    ferengine::tests::RandomInput random(7);
    ferengine::image::CropScratch scratch;
    for (int round = 0; round < 8000; ++round) {
        ferengine::tests::use_instructions_in_turn(round);
        const int low = random.up_to(255), high = low + random.up_to(255 - low);
        const auto frame =
            random.frame(1 + random.up_to(39), 1 + random.up_to(39), random.one_in(2) ? 1 : 3, low, high);
        CropRegion region{.cx = random.between(-80.0f, 120.0f),
                          .cy = random.between(-80.0f, 120.0f),
                          .side = random.between(0.01f, 150.0f),
                          .angle = random.one_in(2) ? 0.0f : random.between(-4.0f, 4.0f)};
        if (random.one_in(3)) region.cx = random.any_of(kPlaces);
        if (random.one_in(3)) region.cy = random.any_of(kPlaces);
        if (random.one_in(3)) region.side = random.any_of(kSides);
        if (random.one_in(4)) region.angle = random.any_of(kAngles);

        const int size = 1 + random.up_to(27);
        std::vector<float> out(static_cast<size_t>(size * size));
        const auto channel = static_cast<ferengine::image::Channel>(random.up_to(3));
        ferengine::image::crop_channel(frame.view, channel, region, size, out, scratch);
        for (const float value : out)
            if (!(value >= static_cast<float>(low) - 0.01f && value <= static_cast<float>(high) + 0.01f)) {
                std::fprintf(stderr, "value %g outside [%d, %d]: frame %dx%dx%d, region %g %g %g %g, size %d\n",
                             static_cast<double>(value), low, high, frame.view.height, frame.view.width,
                             frame.view.channels, static_cast<double>(region.cx), static_cast<double>(region.cy),
                             static_cast<double>(region.side), static_cast<double>(region.angle), size);
                return EXIT_FAILURE;
            }
    }
    return EXIT_SUCCESS;
}
