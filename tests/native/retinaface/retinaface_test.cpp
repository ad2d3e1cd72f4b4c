// RetinaFace's decoding on random and extreme maps.
#include <cmath>
#include <limits>
#include <vector>

#include "random_input.hpp"
#include "retinaface/decode.hpp"

using namespace ferengine::retinaface;
using ferengine::tests::RandomInput;
using ferengine::tests::require;

int main() {
    RandomInput input(5);
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
    return 0;
}
