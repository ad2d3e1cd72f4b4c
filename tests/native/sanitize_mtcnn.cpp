// MTCNN's steps and its whole cascade, with random weights, on random and extreme frames and boxes under
// AddressSanitizer and UndefinedBehaviorSanitizer. Frames lie in heap blocks without a byte to spare, so that any read
// beside them is found.
#include <algorithm>
#include <cfloat>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "mtcnn_cascade.hpp"

using namespace ferengine;

namespace {

std::mt19937 random_numbers(11);

int up_to(int most) { return std::uniform_int_distribution<int>(0, most)(random_numbers); }

float between(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random_numbers); }

struct Frame {
    std::unique_ptr<uint8_t[]> pixels;
    FrameView view;
};

Frame random_frame(int most) {
    const int height = 1 + up_to(most), width = 1 + up_to(most), stride = 3 * width + up_to(4);
    const int bytes = (height - 1) * stride + 3 * width;
    Frame frame{std::unique_ptr<uint8_t[]>(new uint8_t[static_cast<size_t>(bytes)]), {}};
    std::generate_n(frame.pixels.get(), bytes, [] { return static_cast<uint8_t>(up_to(255)); });
    frame.view = {frame.pixels.get(), height, width, 3, stride};
    return frame;
}

Corners random_box() {
    const float extreme[] = {0.0f,  -0.0f, 0.5f,    65536.0f, -1e9f,  2147483648.0f,
                             1e17f, 1e30f, FLT_MAX, -FLT_MAX, FLT_MIN};
    const auto any = [&] { return up_to(5) == 0 ? extreme[up_to(10)] : between(-80, 150); };
    const float x = any(), y = any();
    if (up_to(1)) return {x, y, any(), any()};
    const float side = between(0, 120);
    return {x, y, x + side, y + side};
}

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::exit(EXIT_FAILURE);
}

// Every level and sample of a byte image is in this range.
void check_levels(const float* levels, size_t count) {
    for (size_t i = 0; i < count; ++i) require(levels[i] >= -1.0f && levels[i] <= 1.0f, "a level outside its range");
}

// Random weights of the given shapes.
class Weights {
  public:
    Weights(std::initializer_list<std::vector<int>> shapes) {
        for (const std::vector<int>& shape : shapes) {
            size_t count = 1;
            for (const int length : shape) count *= static_cast<size_t>(length);
            arrays_.emplace_back(count);
            std::generate(arrays_.back().begin(), arrays_.back().end(), [] { return between(-0.2f, 0.2f); });
            tensors_.push_back({shape, nullptr});
        }
        for (size_t i = 0; i < arrays_.size(); ++i) tensors_[i].data = arrays_[i].data();
    }

    const std::vector<Tensor>& tensors() const { return tensors_; }

  private:
    std::vector<std::vector<float>> arrays_;
    std::vector<Tensor> tensors_;
};

MtcnnNetworks random_networks() {
    const Weights pnet{{3, 3, 3, 10}, {10},          {1, 1, 10}, {3, 3, 10, 16}, {16}, {1, 1, 16}, {3, 3, 16, 32}, {32},
                       {1, 1, 32},    {1, 1, 32, 4}, {4},        {1, 1, 32, 2},  {2}};
    const Weights rnet{{3, 3, 3, 28}, {28},       {1, 1, 28}, {3, 3, 28, 48}, {48},  {1, 1, 48}, {2, 2, 48, 64},
                       {64},          {1, 1, 64}, {576, 128}, {128},          {128}, {128, 4},   {4},
                       {128, 2},      {2}};
    const Weights onet{{3, 3, 3, 32},  {32},     {1, 1, 32}, {3, 3, 32, 64},  {64},  {1, 1, 64},
                       {3, 3, 64, 64}, {64},     {1, 1, 64}, {2, 2, 64, 128}, {128}, {1, 1, 128},
                       {1152, 256},    {256},    {256},      {256, 4},        {4},   {256, 10},
                       {10},           {256, 2}, {2}};
    return {ProposalNetwork(pnet.tensors()), RefinementNetwork::refine(rnet.tensors()),
            RefinementNetwork::decide(onet.tensors())};
}

void check_sampling() {
    for (int round = 0; round < 2000; ++round) {
        const Frame frame = random_frame(round % 10 ? 40 : 150);
        Pyramid pyramid(frame.view);
        for (const LevelSize& size : pyramid_levels(frame.view.height, frame.view.width, between(0.1f, 1.0f), 0.7, 12))
            check_levels(pyramid.level(size.height, size.width), 3u * static_cast<size_t>(size.height * size.width));
        const int side = up_to(1) ? 24 : 48;
        const size_t floats = 3u * static_cast<size_t>(side * side);
        const std::unique_ptr<float[]> crop(new float[floats + kSlack]);
        BoxCropper cropper(frame.view);
        for (int i = 0; i < 3; ++i) {
            cropper.crop(random_box(), side, crop.get());
            check_levels(crop.get(), floats);
        }
    }
}

void check_cascade() {
    const MtcnnNetworks networks = random_networks();
    for (int round = 0; round < 40; ++round) {
        const Cascade cascade(networks, {between(12, 30), between(0.4f, 0.8f), {0.4f, 0.3f, 0.3f}, 1 + up_to(20)});
        std::vector<Frame> frames;
        std::vector<SearchTask> tasks;
        for (int i = up_to(3); i >= 0; --i) {
            frames.push_back(random_frame(90));
            tasks.push_back({frames.back().view, up_to(1) == 0, {}});
            for (int boxes = up_to(3); boxes > 0; --boxes) tasks.back().near.push_back(random_box());
        }
        const auto found = cascade.detect(tasks);
        require(found.size() == tasks.size(), "not one list of faces a frame");
        for (const auto& faces : found)
            for (const DetectedFace& face : faces) require(face.score > 0.3f, "a face below the threshold");
    }
}

}  // namespace

int main() {
    check_sampling();
    check_cascade();
    return EXIT_SUCCESS;
}
