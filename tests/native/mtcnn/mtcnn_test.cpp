// MTCNN's steps and its whole cascade, with random weights, on random and extreme frames and boxes.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <vector>

#include "mtcnn/box_cropper.hpp"
#include "mtcnn/cascade.hpp"
#include "random_input.hpp"

namespace simd = ferengine::simd;
using namespace ferengine::mtcnn;
using ferengine::tests::Frame;
using ferengine::tests::RandomInput;
using ferengine::tests::require;
using ferengine::tests::use_instructions_in_turn;

namespace {

RandomInput input(11);

Frame random_frame(int max) { return input.frame(1 + input.up_to(max), 1 + input.up_to(max), 3); }

BoxCorners random_box() {
    constexpr float kExtreme[] = {0.0f,  -0.0f, 0.5f,    65536.0f, -1e9f,  2147483648.0f,
                                  1e17f, 1e30f, FLT_MAX, -FLT_MAX, FLT_MIN};
    const auto any = [&] { return input.one_in(6) ? input.any_of(kExtreme) : input.between(-80.0f, 150.0f); };
    const float x = any(), y = any();
    if (input.one_in(2)) return {.x1 = x, .y1 = y, .x2 = any(), .y2 = any()};
    const float side = input.between(0.0f, 120.0f);
    return {.x1 = x, .y1 = y, .x2 = x + side, .y2 = y + side};
}

// Every normalised value of a byte image is in this range.
void check_values(const float* values, int count) {
    for (int i = 0; i < count; ++i) require(values[i] >= -1.0f && values[i] <= 1.0f, "values are normalised");
}

// Random weights of the given shapes.
class Weights {
  public:
    Weights(std::initializer_list<std::vector<int>> shapes) {
        for (const std::vector<int>& shape : shapes) {
            size_t count = 1;
            for (const int length : shape) count *= static_cast<size_t>(length);
            arrays_.emplace_back(count);
            std::ranges::generate(arrays_.back(), [] { return input.between(-0.2f, 0.2f); });
            tensors_.push_back({.shape = shape, .data = {}});
        }
        for (size_t i = 0; i < arrays_.size(); ++i) tensors_[i].data = arrays_[i];
    }

    const std::vector<Tensor>& tensors() const { return tensors_; }

  private:
    std::vector<std::vector<float>> arrays_;
    std::vector<Tensor> tensors_;
};

Networks random_networks() {
    const Weights pnet{{3, 3, 3, 10}, {10},          {1, 1, 10}, {3, 3, 10, 16}, {16}, {1, 1, 16}, {3, 3, 16, 32}, {32},
                       {1, 1, 32},    {1, 1, 32, 4}, {4},        {1, 1, 32, 2},  {2}};
    const Weights rnet{{3, 3, 3, 28}, {28},       {1, 1, 28}, {3, 3, 28, 48}, {48},  {1, 1, 48}, {2, 2, 48, 64},
                       {64},          {1, 1, 64}, {576, 128}, {128},          {128}, {128, 4},   {4},
                       {128, 2},      {2}};
    const Weights onet{{3, 3, 3, 32},  {32},     {1, 1, 32}, {3, 3, 32, 64},  {64},  {1, 1, 64},
                       {3, 3, 64, 64}, {64},     {1, 1, 64}, {2, 2, 64, 128}, {128}, {1, 1, 128},
                       {1152, 256},    {256},    {256},      {256, 4},        {4},   {256, 10},
                       {10},           {256, 2}, {2}};
    return {.proposal = ProposalNetwork(pnet.tensors()),
            .refinement = CropNetwork::refinement(rnet.tensors()),
            .output = CropNetwork::output(onet.tensors())};
}

void check_sampling() {
    for (int round = 0; round < 2000; ++round) {
        use_instructions_in_turn(round);
        const Frame frame = random_frame(round % 10 != 0 ? 40 : 150);
        const std::vector<LevelSize> levels =
            pyramid_levels(frame.view.height, frame.view.width, input.between(0.1, 1.0), 0.7, 12);
        HalvedFrame halved(frame.view);
        Pyramid as_floats(halved, levels), as_bytes(halved, levels);
        for (const LevelSize& size : levels) {
            const int pixels = size.height * size.width;
            const float* const level = as_floats.next_floats();
            check_values(level, 3 * pixels);
            std::vector<float> same(static_cast<size_t>(3 * pixels + kSlack));
            floats_of(as_bytes.next_bytes(), pixels, same.data());
            require(std::equal(level, level + 3 * pixels, same.data()), "a level is the same in floats and in bytes");
        }
        const int side = input.one_in(2) ? 24 : 48, floats = 3 * side * side;
        std::vector<float> crop(static_cast<size_t>(floats + kSlack));
        for (int i = 0; i < 3; ++i) {
            const BoxCorners box = random_box();
            BoxCropper(frame.view, halved).crop(box, side, crop.data());
            check_values(crop.data(), floats);
            const Surroundings part = surroundings_of(frame.view, {&box, 1});
            HalvedFrame halved_part(frame.view.part(part.y, part.x, part.height, part.width));
            std::vector<float> same(crop.size());
            BoxCropper(frame.view, halved_part, part.x, part.y).crop(box, side, same.data());
            const bool precise = std::ranges::max({std::abs(box.x1), std::abs(box.y1), std::abs(box.x2),
                                                   std::abs(box.y2)}) < 1e6f;  // that positions are exact to a pixel
            require(!precise || std::equal(crop.data(), crop.data() + floats, same.data()),
                    "crops of a part are the frame's");
        }
    }
}

// Levels that are made together, in several bands of the frame, are those that are made alone.
void check_levels_made_together() {
    for (int round = 0; round < 30; ++round) {
        use_instructions_in_turn(round);
        const Frame frame = input.frame(12 + input.up_to(150), 900 + input.up_to(1500), 3);
        const std::vector<LevelSize> levels =
            pyramid_levels(frame.view.height, frame.view.width, input.between(0.1, 1.0), input.between(0.5, 0.95), 12);
        HalvedFrame halved(frame.view);
        Pyramid together(halved, levels);
        for (const LevelSize& size : levels) {
            const uint8_t* const level = together.next_bytes();
            HalvedFrame own(frame.view);
            Pyramid alone(own, {&size, 1});
            const uint8_t* const same = alone.next_bytes();
            for (int pixel = 0; pixel < size.height * size.width; ++pixel)
                require(std::equal(level + ptrdiff_t{kLevelPitch} * pixel, level + ptrdiff_t{kLevelPitch} * pixel + 3,
                                   same + ptrdiff_t{kLevelPitch} * pixel),
                        "a level made with others is that made alone");
        }
    }
}

// The first convolution with its maxima, of whole levels, is that of the layers one after another.
void check_first_convolution() {
    std::vector<float> weights(270), bias(10), slopes(10);
    for (std::vector<float>* values : {&weights, &bias, &slopes})
        std::ranges::generate(*values, [] { return input.between(-0.5f, 0.5f); });
    const Convolution layer(3, 3, 10, weights, bias, slopes);
    const std::vector<ByteScale> in(3, {.scale = 1 / 128.0f, .zero = 127.5f});
    std::vector<ByteScale> out(10);
    for (ByteScale& scale : out)
        scale = {.scale = input.between(0.002f, 0.02f), .zero = static_cast<float>(input.up_to(255))};
    const ByteConvolution apart(layer, in, out);
    const FirstByteConvolution together(layer, in, out);
    for (int round = 0; round < 300; ++round) {
        use_instructions_in_turn(round);
        const int width = 3 + input.up_to(90), convolved = width - 2, count = (width - 1) / 2;
        const int rows = 3 + input.up_to(1);
        std::vector<uint8_t> level(static_cast<size_t>(rows * width * kLevelPitch + kLevelSlack));
        std::ranges::generate(level, [] { return static_cast<uint8_t>(input.up_to(255)); });
        std::vector<std::vector<uint8_t>> pixels, maps;
        std::vector<const uint8_t*> level_rows, pixel_rows, map_rows;
        for (int y = 0; y < rows; ++y) {
            level_rows.push_back(level.data() + ptrdiff_t{y} * width * kLevelPitch);
            std::vector<uint8_t>& row = pixels.emplace_back(static_cast<size_t>(3 * width + kByteSlack));
            for (int i = 0; i < 3 * width; ++i)
                row[static_cast<size_t>(i)] = level_rows.back()[i / 3 * kLevelPitch + i % 3];
            pixel_rows.push_back(row.data());
        }
        for (int y = 0; y < rows - 2; ++y) {
            maps.emplace_back(static_cast<size_t>(10 * convolved + kByteSlack));
            apart.row(pixel_rows.data() + y, convolved, maps.back().data());
            map_rows.push_back(maps.back().data());
        }
        std::vector<uint8_t> expected(static_cast<size_t>(10 * count + kByteSlack)), made(expected.size());
        max_pool_bytes(map_rows, convolved, 10, 2, count, expected.data());
        together.maxima(level_rows, convolved, count, made.data());
        require(std::equal(made.data(), made.data() + ptrdiff_t{10} * count, expected.data()),
                "the maxima are those of the layers one after another");
    }
}

// Calls run() with the kernels of each instruction set.
template <typename Run>
void with_each_instruction_set(const Run& run) {
    for (const simd::InstructionSet set : simd::machine_instructions()) {
        simd::use_instructions(set);
        run();
    }
}

// A row of a convolution of floats: AVX-512 adds the same products in the same order as AVX2, and the baseline differs
// by rounding alone.
void check_convolutions_agree() {
    for (int round = 0; round < 300; ++round) {
        const int kernel = 1 + input.up_to(2), in = 1 + input.up_to(40), out = 1 + input.up_to(40);
        std::vector<float> weights(static_cast<size_t>(kernel * kernel * in * out)), bias(static_cast<size_t>(out)),
            slopes(bias.size());
        for (std::vector<float>* values : {&weights, &bias, &slopes})
            std::ranges::generate(*values, [] { return input.between(-1.0f, 1.0f); });
        const Convolution layer(kernel, in, out, weights, bias, slopes);
        const int count = 1 + input.up_to(40), width = count + kernel - 1;
        std::vector<float> pixels(static_cast<size_t>(kernel * width * in));
        std::ranges::generate(pixels, [] { return input.between(-1.0f, 1.0f); });
        std::vector<const float*> rows;
        rows.reserve(static_cast<size_t>(kernel));
        for (int y = 0; y < kernel; ++y) rows.push_back(pixels.data() + ptrdiff_t{y} * width * in);
        std::vector<std::vector<float>> made;
        with_each_instruction_set([&] {
            layer.row(rows.data(), count, made.emplace_back(static_cast<size_t>(count * layer.pitch())).data());
        });
        for (const std::vector<float>& each : made)
            for (size_t i = 0; i < each.size(); ++i)
                require(std::abs(each[i] - made[0][i]) < 1e-4f, "a convolution is the same in all instruction sets");
        if (made.size() == 3) require(made[1] == made[2], "AVX-512 adds as AVX2 does");
    }
}

// The same in bytes: a sum at the border of two bytes may be rounded to either.
void check_byte_convolutions_agree() {
    for (int round = 0; round < 100; ++round) {
        const int kernel = 1 + input.up_to(2), in = 1 + input.up_to(40), out = 1 + input.up_to(40);
        std::vector<float> weights(static_cast<size_t>(kernel * kernel * in * out)), bias(static_cast<size_t>(out)),
            slopes(bias.size());
        for (std::vector<float>* values : {&weights, &bias, &slopes})
            std::ranges::generate(*values, [] { return input.between(-0.5f, 0.5f); });
        const Convolution floats(kernel, in, out, weights, bias, slopes);
        const ByteConvolution layer(floats,
                                    std::vector<ByteScale>(static_cast<size_t>(in), {.scale = 0.01f, .zero = 100.0f}),
                                    std::vector<ByteScale>(static_cast<size_t>(out), {.scale = 0.05f, .zero = 120.0f}));
        const int count = 1 + input.up_to(40), width = count + kernel - 1;
        std::vector<uint8_t> pixels(static_cast<size_t>(kernel * width * in + kByteSlack));
        std::ranges::generate(pixels, [] { return static_cast<uint8_t>(input.up_to(255)); });
        std::vector<const uint8_t*> rows;
        rows.reserve(static_cast<size_t>(kernel));
        for (int y = 0; y < kernel; ++y) rows.push_back(pixels.data() + ptrdiff_t{y} * width * in);
        std::vector<std::vector<uint8_t>> made;
        with_each_instruction_set([&] {
            layer.row(rows.data(), count, made.emplace_back(static_cast<size_t>(count * out + kByteSlack)).data());
        });
        for (const std::vector<uint8_t>& each : made)
            for (size_t i = 0; i < static_cast<size_t>(count * out); ++i)
                require(std::abs(each[i] - made[0][i]) <= 1, "bytes are the same in all instruction sets");
    }
}

void check_cascade() {
    const Networks networks = random_networks();
    for (int round = 0; round < 40; ++round) {
        use_instructions_in_turn(round);
        const Cascade cascade(networks, {.min_face = input.between(12.0, 30.0),
                                         .factor = input.between(0.4, 0.8),
                                         .thresholds = {0.4f, 0.3f, 0.3f},
                                         .max_candidates = 1 + input.up_to(20),
                                         .estimates = input.one_in(2)});
        std::vector<Frame> frames;
        std::vector<SearchTask> tasks;
        for (int i = input.up_to(3); i >= 0; --i) {
            frames.push_back(random_frame(90));
            tasks.push_back({.frame = frames.back().view, .everywhere = input.one_in(2), .near = {}});
            for (int boxes = input.up_to(3); boxes > 0; --boxes) tasks.back().near.push_back(random_box());
        }
        const auto found = cascade.detect(tasks);
        require(found.size() == tasks.size(), "one list of faces for each frame");
        for (const auto& faces : found)
            for (const DetectedFace& face : faces) require(face.score > 0.3f, "scores lie above the threshold");
    }
}

}  // namespace

int main() {
    check_sampling();
    check_levels_made_together();
    check_first_convolution();
    check_convolutions_agree();
    check_byte_convolutions_agree();
    check_cascade();
    return EXIT_SUCCESS;
}
