// The tracker on random and extreme boxes under AddressSanitizer and UndefinedBehaviorSanitizer. Frames lie in heap
// blocks without a byte to spare, so that any read beside them is found.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "kcf.hpp"

using namespace ferengine;

int main() {
    std::mt19937 random(11);
    const auto up_to = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
    const auto between = [&](double low, double high) {
        return std::uniform_real_distribution<double>(low, high)(random);
    };
    const double places[] = {0.0, -0.0, 0.5, 65536.0, -65536.0, 1e9, -1e9};
    const double sizes[] = {1e-300, 1e-9, 0.5, 1.0, 16.0, 48.0, 65536.0, 1e9};
    const auto any_of = [&](const auto& values) { return values[up_to(static_cast<int>(std::size(values)) - 1)]; };

    const auto scratch = std::make_unique<KcfScratch>();
    const auto tracker = std::make_unique<Kcf>();
    for (int round = 0; round < 400; ++round) {
        Box box{between(-80, 120), between(-80, 120), between(0.01, 90), between(0.01, 90)};
        if (up_to(2) == 0) box.x = any_of(places);
        if (up_to(2) == 0) box.y = any_of(places);
        if (up_to(2) == 0) box.w = any_of(sizes);
        if (up_to(2) == 0) box.h = any_of(sizes);
        int height = 1 + up_to(59), width = 1 + up_to(59);
        for (int index = 0; index < 4; ++index) {
            if (up_to(19) == 0) height = 1 + up_to(59);  // a frame of another size
            const int channels = up_to(1) == 0 ? 1 : 3, stride = width * channels + up_to(4);
            const int bytes = (height - 1) * stride + width * channels;
            const std::unique_ptr<uint8_t[]> pixels(new uint8_t[static_cast<size_t>(bytes)]);
            const int most = up_to(255);  // 0: flat
            std::generate_n(pixels.get(), bytes, [&] { return static_cast<uint8_t>(up_to(most)); });
            const FrameView frame{pixels.get(), height, width, channels, stride};
            if (index == 0) {
                tracker->init(frame, box, *scratch);
                continue;
            }
            const KcfUpdate now = tracker->update(frame, *scratch);
            const bool sound = std::isfinite(now.box.x) && std::isfinite(now.box.y) && now.box.w > 0 && now.box.h > 0 &&
                               now.confidence >= 0.0f && now.confidence <= 1.0f;
            if (!sound) {
                std::fprintf(stderr, "box %g %g %g %g became %g %g %g %g, confidence %g\n", box.x, box.y, box.w, box.h,
                             now.box.x, now.box.y, now.box.w, now.box.h, static_cast<double>(now.confidence));
                return EXIT_FAILURE;
            }
        }
    }
    return EXIT_SUCCESS;
}
