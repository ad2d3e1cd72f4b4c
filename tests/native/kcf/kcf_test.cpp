// The tracker on random and extreme boxes and frames: what it answers stays finite.
#include "kcf/kcf.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "random_input.hpp"

namespace kcf = ferengine::kcf;

int main() {
    constexpr double kPlaces[] = {0.0, -0.0, 0.5, 65536.0, -65536.0, 1e9, -1e9};
    constexpr double kSizes[] = {1e-300, 1e-9, 0.5, 1.0, 16.0, 48.0, 65536.0, 1e9};

    ferengine::tests::RandomInput random(11);
    const auto scratch = std::make_unique<kcf::KcfScratch>();
    const auto tracker = std::make_unique<kcf::Kcf>();
    for (int round = 0; round < 400; ++round) {
        ferengine::tests::use_instructions_in_turn(round);
        kcf::Box box{.x = random.between(-80.0, 120.0),
                     .y = random.between(-80.0, 120.0),
                     .w = random.between(0.01, 90.0),
                     .h = random.between(0.01, 90.0)};
        if (random.one_in(3)) box.x = random.any_of(kPlaces);
        if (random.one_in(3)) box.y = random.any_of(kPlaces);
        if (random.one_in(3)) box.w = random.any_of(kSizes);
        if (random.one_in(3)) box.h = random.any_of(kSizes);
        int height = 1 + random.up_to(59);
        const int width = 1 + random.up_to(59);
        for (int index = 0; index < 4; ++index) {
            if (random.one_in(20)) height = 1 + random.up_to(59);  // a frame of another size
            const int high = random.up_to(255);                    // 0: flat
            const auto frame = random.frame(height, width, random.one_in(2) ? 1 : 3, 0, high);
            if (index == 0) {
                tracker->init(frame.view, box, *scratch);
                continue;
            }
            const auto [found, confidence] = tracker->update(frame.view, *scratch);
            if (!(std::isfinite(found.x) && std::isfinite(found.y) && found.w > 0 && found.h > 0 &&
                  confidence >= 0.0f && confidence <= 1.0f)) {
                std::fprintf(stderr, "box %g %g %g %g became %g %g %g %g, confidence %g\n", box.x, box.y, box.w, box.h,
                             found.x, found.y, found.w, found.h, static_cast<double>(confidence));
                return EXIT_FAILURE;
            }
        }
    }
    return EXIT_SUCCESS;
}
