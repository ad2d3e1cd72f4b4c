// RetinaFace's decoding on random and extreme maps, and its stem on random frames.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "random_input.hpp"
#include "retinaface/decode.hpp"
#include "retinaface/stem.hpp"

using namespace ferengine::retinaface;
using ferengine::convolution::Convolution;
using ferengine::convolution::Depthwise;
using ferengine::tests::RandomInput;
using ferengine::tests::require;
using ferengine::tests::use_instructions_in_turn;

namespace {

RandomInput input(5);

void check_decoding() {
    for (int round = 0; round < 500; ++round) {
        std::vector<std::vector<float>> maps;
        std::vector<Level> levels;
        for (const int stride : {8, 16, 32}) {
            const int height = input.up_to(12), width = input.up_to(12);
            std::vector<float>& map = maps.emplace_back(static_cast<size_t>(kChannels * height * width));
            for (float& value : map)
                value = input.one_in(20) ? input.between(-1e30f, 1e30f) : input.between(-6.0f, 6.0f);
            const auto side = static_cast<float>(2 * stride);
            levels.push_back(
                {.values = {}, .height = height, .width = width, .stride = stride, .sides = {side, 2 * side}});
        }
        for (size_t i = 0; i < levels.size(); ++i) levels[i].values = maps[i];
        const int max = 1 + input.up_to(100);
        const std::vector<Face> faces = decode(levels, input.between(0.0f, 0.99f), input.between(0.0f, 1.0f), max);
        require(faces.size() <= static_cast<size_t>(max), "no more faces than candidates");
        float last = 1.0f;
        for (const Face& face : faces) {
            require(face.candidate.score <= last, "best first");
            last = face.candidate.score;
            require(face.candidate.box.x2 >= face.candidate.box.x1, "sides are not negative");
        }
    }
}

std::vector<float> random_values(size_t count) {
    std::vector<float> values(count);
    std::ranges::generate(values, [] { return input.between(-0.3f, 0.3f); });
    return values;
}

Convolution random_convolution(int kernel, int in, int out) {
    const std::vector<float> weights = random_values(static_cast<size_t>(kernel * kernel * in * out)),
                             bias = random_values(static_cast<size_t>(out)), slopes(bias.size(), kSlope);
    return {kernel, in, out, weights, bias, slopes};
}

void check_stem() {
    for (int round = 0; round < 200; ++round) {
        use_instructions_in_turn(round);
        int channels = 1 + input.up_to(20);
        const Convolution first = random_convolution(3, 3, input.one_in(9) ? 16 : channels);
        channels = first.channels();
        std::vector<Stem::Block> blocks;
        for (int count = channels == 16 ? input.up_to(2) : 1 + input.up_to(2); count > 0; --count) {
            const int made = count == 1 ? 16 * (1 + input.up_to(2)) : 1 + input.up_to(40);
            blocks.push_back({.depthwise = Depthwise(random_values(static_cast<size_t>(9 * channels)),
                                                     random_values(static_cast<size_t>(channels)), kSlope),
                              .pointwise = random_convolution(1, channels, made),
                              .stride = 1 + input.up_to(1)});
            channels = made;
        }
        const Stem stem({104.0f, 117.0f, 127.0f}, first, blocks);
        const ferengine::tests::Frame frame = input.frame(1 + input.up_to(60), 1 + input.up_to(60), 3);
        const int height = 1 + input.up_to(60), width = 1 + input.up_to(60);
        const int cells = stem.cells(height) * stem.cells(width);
        std::vector<float> out(static_cast<size_t>(cells) * static_cast<size_t>(stem.channels()), std::nanf(""));
        stem.run(frame.view, height, width, out.data());
        require(std::ranges::all_of(out, [](float value) { return std::isfinite(value); }), "all is written");
    }
}

}  // namespace

int main() {
    check_decoding();
    check_stem();
    return EXIT_SUCCESS;
}
