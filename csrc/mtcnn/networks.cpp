#include "mtcnn/networks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace ferengine::mtcnn {
namespace {

// Kernel (or bias, with `rows` 1) of all heads side by side, in Prediction's order: classes (2), boxes (4), landmarks
// (10 or none).
std::vector<float> join_heads(size_t rows, std::span<const float> classes, std::span<const float> boxes,
                              std::span<const float> landmarks) {
    std::vector<float> joined;
    for (size_t row = 0; row < rows; ++row) {
        joined.push_back(classes[2 * row + 1] - classes[2 * row]);
        for (const float value : boxes.subspan(4 * row, 4)) joined.push_back(value);
        if (landmarks.empty()) continue;
        for (const float value : landmarks.subspan(10 * row, 10)) joined.push_back(value);
    }
    return joined;
}

// The heads of a network whose last features are `in`; `shape` is what precedes the channels in the kernels' shape.
Convolution read_heads(WeightReader& reader, const std::vector<int>& shape, int in, bool landmarks) {
    const auto next = [&](int out) {
        std::vector<int> whole = shape;
        whole.insert(whole.end(), {in, out});
        return reader.next(whole);
    };
    const std::span<const float> boxes = next(4), box_bias = reader.next({4});
    std::span<const float> points, point_bias;
    if (landmarks) {
        points = next(10);
        point_bias = reader.next({10});
    }
    const std::span<const float> classes = next(2), class_bias = reader.next({2});
    const std::vector<float> kernel = join_heads(static_cast<size_t>(in), classes, boxes, points);
    const std::vector<float> bias = join_heads(1, class_bias, box_bias, point_bias);
    return {1, in, static_cast<int>(bias.size()), kernel, bias, {}};
}

Convolution read_convolution(WeightReader& reader, int kernel, int in, int out) {
    const std::span<const float> weights = reader.next({kernel, kernel, in, out});
    const std::span<const float> bias = reader.next({out});
    return {kernel, in, out, weights, bias, reader.next({1, 1, out})};
}

// The dense kernel counts its inputs by x, y, channel; features lie by y, x, channel.
Convolution read_dense(WeightReader& reader, int side, int channels, int out) {
    const int in = side * side * channels;
    const std::span<const float> weights = reader.next({in, out});
    const std::span<const float> bias = reader.next({out});
    std::vector<float> ordered;
    ordered.reserve(weights.size());
    const auto pixel = static_cast<size_t>(channels) * static_cast<size_t>(out);
    for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x) {
            const std::span<const float> part = weights.subspan(static_cast<size_t>(x * side + y) * pixel, pixel);
            ordered.insert(ordered.end(), part.begin(), part.end());
        }
    return {1, in, out, ordered, bias, reader.next({out})};
}

}  // namespace

float Prediction::probability() const { return 1.0f / (1.0f + std::exp(-logit())); }

// --- P-Net

ProposalNetwork::ProposalNetwork(std::span<const Tensor> weights) : ProposalNetwork(WeightReader(weights)) {}

ProposalNetwork::ProposalNetwork(WeightReader reader)
    : first_(read_convolution(reader, 3, 3, 10)),
      second_(read_convolution(reader, 3, 10, 16)),
      third_(read_convolution(reader, 3, 16, 32)),
      heads_(read_heads(reader, {1, 1}, 32, false)) {
    reader.finish();
}

ProposalNetwork::Scan::Scan(const ProposalNetwork& network, const float* level, int height, int width, float skim)
    : Skimming(cells(height), cells(width), network.heads_.pitch(), skim),
      network_(network),
      level_(level),
      width_(width),
      convolved_width_(width - 2),
      convolved_height_(height - 2),
      pooled_width_((convolved_width_ + 1) / 2),
      convolved_(2, convolved_width_, network.first_.pitch()),
      pooled_(3, pooled_width_, network.first_.channels()),
      second_(4, columns() + 2, network.second_.pitch()),
      third_(1, columns(), network.third_.pitch()) {}

// The first convolution and its maxima, one row on.
void ProposalNetwork::Scan::make_pooled_row() {
    const Convolution& first = network_.first_;
    const int y = pooled_count_++;
    std::array<const float*, 2> above{};
    size_t count = 0;
    for (int row = 2 * y; row < std::min(2 * y + 2, convolved_height_); ++row) {
        std::array<const float*, 3> inputs{};
        for (int i = 0; i < 3; ++i)
            inputs[static_cast<size_t>(i)] = level_ + static_cast<ptrdiff_t>(row + i) * width_ * 3;
        first.row(inputs.data(), convolved_width_, convolved_.row(row));
        above[count++] = convolved_.row(row);
    }
    const MapRows maps{.rows = {above.data(), count}, .width = convolved_width_, .pitch = first.pitch()};
    max_pool_row(maps, 2, first.channels(), pooled_width_, pooled_.row(y));
}

void ProposalNetwork::Scan::prepare(int y) {
    for (; second_count_ < y + 3; ++second_count_) {
        while (pooled_count_ < second_count_ + 3) make_pooled_row();
        network_.second_.row(three_rows(pooled_, second_count_).data(), columns() + 2, second_.row(second_count_));
    }
}

void ProposalNetwork::Scan::look(int y, int x, int step, int count) {
    const Convolution& third = network_.third_;
    std::array<const float*, 3> inputs = three_rows(second_, y);
    for (const float*& input : inputs) input += ptrdiff_t{x} * third.in();
    third.sparse_row(inputs.data(), step, count, third_.row(0), 1);
    const float* const features = third_.row(0);
    network_.heads_.sparse_row(&features, 1, count, cell(y, x), step);
}

namespace {

// Where a map of `rows` x `columns` is needed in windows of 3 x 3, the map below it is needed: (rows + 2) x (columns +
// 2).
std::vector<uint8_t> inputs_of(const std::vector<uint8_t>& needed, int rows, int columns) {
    const auto width = static_cast<size_t>(columns), wider = width + 2;
    std::vector<uint8_t> inputs((static_cast<size_t>(rows) + 2) * wider);
    for (size_t y = 0; y < static_cast<size_t>(rows); ++y) {
        const uint8_t* const from = needed.data() + y * width;
        if (std::memchr(from, 1, width) == nullptr) continue;
        for (size_t below = 0; below < 3; ++below)
            for (size_t right = 0; right < 3; ++right) {
                uint8_t* const to = inputs.data() + (y + below) * wider + right;
                for (size_t x = 0; x < width; ++x) to[x] |= from[x];
            }
    }
    return inputs;
}

// Calls use(x, count) for the runs of ones in row y of `cells`.
template <typename Use>
void for_each_run(const std::vector<uint8_t>& cells, int y, int columns, const Use& use) {
    const uint8_t* const row = cells.data() + static_cast<ptrdiff_t>(y) * columns;
    for (int x = 0; x < columns;) {
        const void* const found = std::memchr(row + x, 1, static_cast<size_t>(columns - x));
        if (found == nullptr) return;
        x = static_cast<int>(static_cast<const uint8_t*>(found) - row);
        int end = x;
        while (end < columns && row[end] != 0) ++end;
        use(x, end - x);
        x = end;
    }
}

}  // namespace

ProposalNetwork::CellScan::CellScan(const ProposalNetwork& network, const uint8_t* level, int height, int width,
                                    std::vector<uint8_t> cells)
    : network_(network),
      level_(level),
      height_(height),
      width_(width),
      columns_(ProposalNetwork::cells(width)),
      cells_(std::move(cells)),
      second_cells_(inputs_of(cells_, ProposalNetwork::cells(height), columns_)),
      pooled_cells_(inputs_of(second_cells_, ProposalNetwork::cells(height) + 2, columns_ + 2)),
      pixels_(4, width, 3),
      convolved_(2, width - 2, network.first_.pitch()),
      pooled_(3, (width - 1) / 2, network.first_.channels()),
      second_(3, columns_ + 2, network.second_.pitch()),
      third_(1, columns_, network.third_.pitch()),
      predictions_(1, columns_, network.heads_.pitch()) {}

void ProposalNetwork::CellScan::make_pooled_row(int y) {
    const Convolution& first = network_.first_;
    for_each_run(pooled_cells_, y, columns_ + 4, [&](int x, int count) {
        const int width = std::min(2 * count, width_ - 2 - 2 * x);
        for (int row = 2 * y; row < std::min(2 * y + 4, height_); ++row)
            floats_of(level_ + (ptrdiff_t{row} * width_ + ptrdiff_t{2} * x) * kLevelPitch, width + 2, pixels_.row(row));
        std::array<const float*, 2> above{};
        size_t rows = 0;
        for (int row = 2 * y; row < std::min(2 * y + 2, height_ - 2); ++row) {
            first.row(three_rows(pixels_, row).data(), width, convolved_.row(row));
            above[rows++] = convolved_.row(row);
        }
        const MapRows maps{.rows = {above.data(), rows}, .width = width, .pitch = first.pitch()};
        max_pool_row(maps, 2, first.channels(), count, pooled_.row(y) + ptrdiff_t{x} * first.channels());
    });
}

void ProposalNetwork::CellScan::make_second_row(int y) {
    const Convolution& second = network_.second_;
    for (pooled_count_ = std::max(pooled_count_, y); pooled_count_ < y + 3; ++pooled_count_)
        make_pooled_row(pooled_count_);
    for_each_run(second_cells_, y, columns_ + 2, [&](int x, int count) {
        std::array<const float*, 3> inputs = three_rows(pooled_, y);
        for (const float*& input : inputs) input += ptrdiff_t{x} * second.in();
        second.row(inputs.data(), count, second_.row(y) + ptrdiff_t{x} * second.pitch());
    });
}

Predictions ProposalNetwork::CellScan::row(int y) {
    if (std::memchr(cells_.data() + ptrdiff_t{y} * columns_, 1, static_cast<size_t>(columns_)) == nullptr)
        return Predictions({});
    for (second_count_ = std::max(second_count_, y); second_count_ < y + 3; ++second_count_)
        make_second_row(second_count_);
    const Convolution &third = network_.third_, &heads = network_.heads_;
    float* const predictions = predictions_.row(0);
    for (int x = 0; x < columns_; ++x) predictions[ptrdiff_t{x} * kGroup] = -std::numeric_limits<float>::infinity();
    for_each_run(cells_, y, columns_, [&](int x, int count) {
        std::array<const float*, 3> inputs = three_rows(second_, y);
        for (const float*& input : inputs) input += ptrdiff_t{x} * third.in();
        third.row(inputs.data(), count, third_.row(0));
        const float* const features = third_.row(0);
        heads.row(&features, count, predictions + ptrdiff_t{x} * kGroup);
    });
    return Predictions({predictions, static_cast<size_t>(columns_) * kGroup});
}

// --- R-Net and O-Net

CropNetwork CropNetwork::refinement(std::span<const Tensor> weights) {
    constexpr std::array<Layout, 3> layouts{{{.kernel = 3, .channels = 28, .pool = 3, .pool_beyond_edge = true},
                                             {.kernel = 3, .channels = 48, .pool = 3, .pool_beyond_edge = false},
                                             {.kernel = 2, .channels = 64, .pool = 1, .pool_beyond_edge = false}}};
    return read(weights, 24, layouts, 128, false);
}

CropNetwork CropNetwork::output(std::span<const Tensor> weights) {
    constexpr std::array<Layout, 4> layouts{{{.kernel = 3, .channels = 32, .pool = 3, .pool_beyond_edge = true},
                                             {.kernel = 3, .channels = 64, .pool = 3, .pool_beyond_edge = false},
                                             {.kernel = 3, .channels = 64, .pool = 2, .pool_beyond_edge = true},
                                             {.kernel = 2, .channels = 128, .pool = 1, .pool_beyond_edge = false}}};
    return read(weights, 48, layouts, 256, true);
}

CropNetwork CropNetwork::read(std::span<const Tensor> weights, int side, std::span<const Layout> layouts, int hidden,
                              bool landmarks) {
    WeightReader reader(weights);
    std::vector<Stage> stages;
    int channels = 3, map_side = side;
    for (const Layout& layout : layouts) {
        const int convolved = map_side - layout.kernel + 1, beyond = layout.pool_beyond_edge ? 1 : 0;
        map_side = layout.pool > 1 ? (convolved - layout.pool + beyond) / 2 + 1 : convolved;
        stages.push_back({.convolution = read_convolution(reader, layout.kernel, channels, layout.channels),
                          .pool = layout.pool,
                          .convolved_side = convolved,
                          .side = map_side});
        channels = layout.channels;
    }
    const int features = map_side * map_side * channels;
    Convolution dense = read_dense(reader, map_side, channels, hidden);
    Convolution heads = read_heads(reader, {}, hidden, landmarks);
    reader.finish();
    return {side, features, std::move(stages), std::move(dense), std::move(heads)};
}

void CropNetwork::run_stage(const Stage& stage, const float* in, float* out) {
    const Convolution& convolution = stage.convolution;
    const int kernel = convolution.kernel(), channels = convolution.channels(), pitch = convolution.pitch();
    const int width = stage.convolved_side + kernel - 1;
    const auto convolve = [&](int y, float* row) {
        std::array<const float*, 3> inputs{};
        for (int i = 0; i < kernel; ++i)
            inputs[static_cast<size_t>(i)] = in + static_cast<ptrdiff_t>(y + i) * width * convolution.in();
        convolution.row(inputs.data(), stage.convolved_side, row);
    };
    if (stage.pool == 1) {
        for (int y = 0; y < stage.side; ++y) convolve(y, out + static_cast<ptrdiff_t>(y) * stage.side * pitch);
        return;
    }
    RowBuffer<float> convolved(stage.pool, stage.convolved_side, pitch);
    int done = 0;
    for (int y = 0; y < stage.side; ++y) {
        const int first = 2 * y, last = std::min(first + stage.pool, stage.convolved_side);
        for (; done < last; ++done) convolve(done, convolved.row(done));
        std::array<const float*, 3> rows{};
        for (int row = first; row < last; ++row) rows[static_cast<size_t>(row - first)] = convolved.row(row);
        const MapRows maps{
            .rows = {rows.data(), static_cast<size_t>(last - first)}, .width = stage.convolved_side, .pitch = pitch};
        max_pool_row(maps, stage.pool, channels, stage.side, out + static_cast<ptrdiff_t>(y) * stage.side * channels);
    }
}

void CropNetwork::extract_features(const float* image, float* out) const {
    std::array<std::vector<float>, 2> maps;
    const float* in = image;
    for (size_t index = 0; index < stages_.size(); ++index) {
        const Stage& stage = stages_[index];
        float* target = out;
        if (index + 1 < stages_.size()) {
            std::vector<float>& map = maps[index % 2];
            const int floats = stage.side * stage.side * stage.convolution.channels();
            map.resize(static_cast<size_t>(floats) + kSlack);
            target = map.data();
        }
        run_stage(stage, in, target);
        in = target;
    }
}

std::vector<float> CropNetwork::predict(const float* features, int count) const {
    std::vector<float> hidden(static_cast<size_t>(count) * static_cast<size_t>(dense_.pitch()));
    dense_.row(&features, count, hidden.data());
    std::vector<float> predictions(static_cast<size_t>(count) * kGroup);
    const float* const inputs = hidden.data();
    heads_.row(&inputs, count, predictions.data());
    return predictions;
}

}  // namespace ferengine::mtcnn
