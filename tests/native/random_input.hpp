// Random input for the test programs, the same in every run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

#include "image/frame_view.hpp"
#include "simd/dispatch.hpp"

namespace ferengine::tests {

// Ends the program with a message unless `holds`.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::_Exit(EXIT_FAILURE);
}

// A frame in a heap block without a byte to spare, so that a sanitizer finds any read beside it.
struct Frame {
    std::unique_ptr<uint8_t[]> pixels;
    image::FrameView view;
};

class RandomInput {
  public:
    explicit RandomInput(unsigned seed) : generator_(seed) {}

    // 0 to max.
    int up_to(int max) { return std::uniform_int_distribution<int>(0, max)(generator_); }
    // 0 to end - 1.
    uint32_t below(uint32_t end) { return std::uniform_int_distribution<uint32_t>(0, end - 1)(generator_); }
    bool one_in(int count) { return up_to(count - 1) == 0; }

    template <typename Real>
    Real between(Real low, Real high) {
        return std::uniform_real_distribution<Real>(low, high)(generator_);
    }

    template <typename Values>
    auto any_of(const Values& values) {
        return values[static_cast<size_t>(up_to(static_cast<int>(std::size(values)) - 1))];
    }

    // Values from `low` to `high`, rows padded by up to 4 bytes.
    Frame frame(int height, int width, int channels, int low = 0, int high = 255) {
        const int stride = width * channels + up_to(4), bytes = (height - 1) * stride + width * channels;
        Frame frame{.pixels = std::unique_ptr<uint8_t[]>(new uint8_t[static_cast<size_t>(bytes)]), .view = {}};
        std::generate_n(frame.pixels.get(), bytes, [&] { return static_cast<uint8_t>(low + up_to(high - low)); });
        frame.view = {
            .data = frame.pixels.get(), .height = height, .width = width, .channels = channels, .stride = stride};
        return frame;
    }

  private:
    std::mt19937 generator_;
};

// The rounds of a test run the kernels of all instruction sets that this machine has, in turn.
inline void use_instructions_in_turn(int round) {
    static const std::vector<simd::InstructionSet> sets = simd::machine_instructions();
    simd::use_instructions(sets[static_cast<size_t>(round) % sets.size()]);
}

}  // namespace ferengine::tests
