#include "mtcnn_networks.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine {
namespace {

// Kernel (or bias, with `rows` 1) of all heads side by side: classes (2), boxes (4), landmarks (10 or none).
std::vector<float> join_heads(int rows, const float* classes, const float* boxes, const float* landmarks) {
    const int columns = landmarks ? kLandmarks + 10 : kLandmarks;
    std::vector<float> joined(static_cast<size_t>(rows) * columns);
    for (int row = 0; row < rows; ++row) {
        float* const target = joined.data() + static_cast<size_t>(row) * columns;
        target[0] = classes[2 * row + 1] - classes[2 * row];
        std::copy_n(boxes + 4 * row, 4, target + kOffsets);
        if (landmarks) std::copy_n(landmarks + 10 * row, 10, target + kLandmarks);
    }
    return joined;
}

// The heads of a network whose last features are `in`; `shape` is what precedes the channels in the kernels' shape.
Convolution read_heads(WeightReader& reader, std::vector<int> shape, int in, bool landmarks) {
    const auto next = [&](int out) {
        std::vector<int> whole = shape;
        whole.insert(whole.end(), {in, out});
        return reader.next(whole);
    };
    const float *boxes = next(4), *box_bias = reader.next({4});
    const float* points = landmarks ? next(10) : nullptr;
    const float* point_bias = landmarks ? reader.next({10}) : nullptr;
    const float *classes = next(2), *class_bias = reader.next({2});
    const std::vector<float> kernel = join_heads(in, classes, boxes, points);
    const std::vector<float> bias = join_heads(1, class_bias, box_bias, point_bias);
    return Convolution(1, in, static_cast<int>(bias.size()), kernel.data(), bias.data(), nullptr);
}

Convolution read_convolution(WeightReader& reader, int kernel, int in, int out) {
    const float* weights = reader.next({kernel, kernel, in, out});
    const float* bias = reader.next({out});
    return Convolution(kernel, in, out, weights, bias, reader.next({1, 1, out}));
}

// The dense kernel counts its inputs by x, y, channel; features lie by y, x, channel.
Convolution read_dense(WeightReader& reader, int side, int channels, int out) {
    const int in = side * side * channels;
    const float* weights = reader.next({in, out});
    const float* bias = reader.next({out});
    std::vector<float> ordered(static_cast<size_t>(in) * out);
    for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x)
            std::copy_n(weights + static_cast<ptrdiff_t>(x * side + y) * channels * out, channels * out,
                        ordered.data() + static_cast<ptrdiff_t>(y * side + x) * channels * out);
    return Convolution(1, in, out, ordered.data(), bias, reader.next({out}));
}

}  // namespace

float probability(float logits) { return 1.0f / (1.0f + std::exp(-logits)); }

ProposalNetwork::ProposalNetwork(const std::vector<Tensor>& weights) : ProposalNetwork(WeightReader(weights)) {}

ProposalNetwork::ProposalNetwork(WeightReader reader)
    : first_(read_convolution(reader, 3, 3, 10)),
      second_(read_convolution(reader, 3, 10, 16)),
      third_(read_convolution(reader, 3, 16, 32)),
      heads_(read_heads(reader, {1, 1}, 32, false)) {
    reader.finish();
}

void ProposalNetwork::run(const float* level, int height, int width,
                          const std::function<void(int, Verdict)>& take) const {
    const RowKernels& kernels = row_kernels();
    const int convolved_width = width - 2, convolved_height = height - 2;
    const int pooled_width = (convolved_width + 1) / 2, columns = cells(width), rows = cells(height);
    RowBuffer convolved(2, convolved_width, first_.pitch()), pooled(3, pooled_width, first_.channels());
    RowBuffer second(3, columns + 2, second_.pitch()), third(1, columns, third_.pitch());
    RowBuffer verdicts(1, columns, heads_.pitch());

    const auto make_pooled = [&](int y) {
        const float* above[2];
        int count = 0;
        for (int row = 2 * y; row < std::min(2 * y + 2, convolved_height); ++row) {
            const float* inputs[3];
            for (int i = 0; i < 3; ++i) inputs[i] = level + static_cast<ptrdiff_t>(row + i) * width * 3;
            first_.row(inputs, convolved_width, convolved.row(row));
            above[count++] = convolved.row(row);
        }
        kernels.pool(above, count, convolved_width, first_.pitch(), 2, first_.channels(), pooled_width, pooled.row(y));
    };
    const auto three_of = [](RowBuffer& buffer, int y, const float** inputs) {
        for (int i = 0; i < 3; ++i) inputs[i] = buffer.row(y + i);
    };

    int pooled_count = 0, second_count = 0;
    const float* inputs[3];
    for (int y = 0; y < rows; ++y) {
        for (; second_count < y + 3; ++second_count) {
            for (; pooled_count < second_count + 3; ++pooled_count) make_pooled(pooled_count);
            three_of(pooled, second_count, inputs);
            second_.row(inputs, columns + 2, second.row(second_count));
        }
        three_of(second, y, inputs);
        third_.row(inputs, columns, third.row(0));
        inputs[0] = third.row(0);
        heads_.row(inputs, columns, verdicts.row(0));
        take(y, verdicts.row(0));
    }
}

RefinementNetwork RefinementNetwork::refine(const std::vector<Tensor>& weights) {
    return RefinementNetwork(weights, 24, {{3, 28, 3, true}, {3, 48, 3, false}, {2, 64, 1, false}}, 128, false);
}

RefinementNetwork RefinementNetwork::decide(const std::vector<Tensor>& weights) {
    return RefinementNetwork(weights, 48, {{3, 32, 3, true}, {3, 64, 3, false}, {3, 64, 2, true}, {2, 128, 1, false}},
                             256, true);
}

RefinementNetwork::RefinementNetwork(const std::vector<Tensor>& weights, int side, const std::vector<Layout>& layouts,
                                     int hidden, bool landmarks)
    : side_(side) {
    WeightReader reader(weights);
    int channels = 3;
    for (const Layout& layout : layouts) {
        const int convolved = side - layout.kernel + 1;
        if (layout.pool > 1)
            side = (convolved - layout.pool + (layout.beyond ? 1 : 0)) / 2 + 1;
        else
            side = convolved;
        stages_.push_back(
            {read_convolution(reader, layout.kernel, channels, layout.channels), layout.pool, convolved, side});
        channels = layout.channels;
    }
    features_ = side * side * channels;
    dense_ = read_dense(reader, side, channels, hidden);
    heads_ = read_heads(reader, {}, hidden, landmarks);
    reader.finish();
}

void RefinementNetwork::run_stage(const Stage& stage, const float* in, float* out) const {
    const int kernel = stage.convolution.kernel(), channels = stage.convolution.channels();
    const int pitch = stage.convolution.pitch(), width = stage.convolved + kernel - 1;
    const int in_channels = stage.convolution.in();
    const auto convolve = [&](int y, float* row) {
        const float* inputs[3];
        for (int i = 0; i < kernel; ++i) inputs[i] = in + static_cast<ptrdiff_t>(y + i) * width * in_channels;
        stage.convolution.row(inputs, stage.convolved, row);
    };
    if (stage.pool == 1) {
        for (int y = 0; y < stage.side; ++y) convolve(y, out + static_cast<ptrdiff_t>(y) * stage.side * pitch);
        return;
    }
    RowBuffer convolved(stage.pool, stage.convolved, pitch);
    int done = 0;
    for (int y = 0; y < stage.side; ++y) {
        const int first = 2 * y, last = std::min(first + stage.pool, stage.convolved);
        const float* rows[3];
        for (; done < last; ++done) convolve(done, convolved.row(done));
        for (int row = first; row < last; ++row) rows[row - first] = convolved.row(row);
        row_kernels().pool(rows, last - first, stage.convolved, pitch, stage.pool, channels, stage.side,
                           out + static_cast<ptrdiff_t>(y) * stage.side * channels);
    }
}

void RefinementNetwork::describe(const float* image, float* out) const {
    std::vector<float> maps[2];
    const float* in = image;
    for (size_t index = 0; index < stages_.size(); ++index) {
        const Stage& stage = stages_[index];
        float* target = out;
        if (index + 1 < stages_.size()) {
            std::vector<float>& map = maps[index % 2];
            map.resize(static_cast<size_t>(stage.side) * stage.side * stage.convolution.channels() + kSlack);
            target = map.data();
        }
        run_stage(stage, in, target);
        in = target;
    }
}

void RefinementNetwork::judge(const float* features, int count, float* verdicts) const {
    std::vector<float> hidden(static_cast<size_t>(count) * dense_->pitch());
    dense_->row(&features, count, hidden.data());
    const float* inputs = hidden.data();
    heads_->row(&inputs, count, verdicts);
}

}  // namespace ferengine
