// Random and extreme squares over small frames with padded rows, for AddressSanitizer and UBSan.
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "face_crop.hpp"

using namespace ferengine;

int main() {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> unit(0.0f, 1.0f);
    CropScratch scratch;
    for (int round = 0; round < 20000; ++round) {
        const int width = 1 + static_cast<int>(random() % 40), height = 1 + static_cast<int>(random() % 40);
        const int channels = random() % 2 ? 3 : 1, padding = static_cast<int>(random() % 5);
        const int stride = width * channels + padding;
        // exactly as long as a frame may be: the last row has no padding
        const size_t bytes = static_cast<size_t>(stride) * static_cast<size_t>(height - 1) +
                             static_cast<size_t>(width) * static_cast<size_t>(channels);
        std::unique_ptr<uint8_t[]> pixels(new uint8_t[bytes]);
        for (size_t i = 0; i < bytes; ++i) pixels[i] = static_cast<uint8_t>(random());
        const int size = 1 + static_cast<int>(random() % 16);
        const float reach = round % 10 == 0 ? 1e9f : 100.0f;
        const float side = round % 7 == 0 ? 1e9f * unit(random) + 1e-6f : 60.0f * unit(random) + 1e-3f;
        const float angle = round % 3 == 0 ? 0.0f : 6.0f * unit(random) - 3.0f;
        const Square square{reach * (unit(random) - 0.5f), reach * (unit(random) - 0.5f), side, angle};
        std::vector<float> out(static_cast<size_t>(size) * static_cast<size_t>(size));
        crop_grey({pixels.get(), height, width, channels, stride}, square, size, out.data(), scratch);
        for (float value : out)
            if (!(value >= -0.01f && value <= 255.5f)) {
                std::printf("round %d: grey %g (cx %g cy %g side %g angle %g)\n", round, static_cast<double>(value),
                            static_cast<double>(square.cx), static_cast<double>(square.cy),
                            static_cast<double>(square.side), static_cast<double>(square.angle));
                return 1;
            }
    }
    std::puts("crops: no finding");
    return 0;
}
