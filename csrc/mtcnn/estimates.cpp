#include "mtcnn/estimates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace ferengine::mtcnn {
namespace {

constexpr float kMaxWeight = 127, kMaxByte = 255;
constexpr float kMinRange = 1e-6f, kMaxRange = 1e6f;  // of what a channel shows

// The bytes of images: (value - 127.5) / 128.
constexpr std::array<ByteScale, 3> kPixels{{{.scale = 1 / 128.0f, .zero = 127.5f},
                                            {.scale = 1 / 128.0f, .zero = 127.5f},
                                            {.scale = 1 / 128.0f, .zero = 127.5f}}};

// A feature map, without padding but for kSlack floats at its end.
struct Map {
    int side, channels;
    std::vector<float> values;
};

Map empty_map(int side, int channels) {
    return {.side = side,
            .channels = channels,
            .values = std::vector<float>(static_cast<size_t>(side) * static_cast<size_t>(side * channels) + kSlack)};
}

// Squares of one to eight pixels, black or white, or of the colours between with their channels black or white.
Map texture(int number, int side) {
    constexpr std::array<int, 6> kSquares{1, 2, 3, 4, 6, 8};
    std::mt19937 random(static_cast<unsigned>(number));
    const int square = kSquares[static_cast<size_t>(number) % kSquares.size()], squares = (side + square - 1) / square;
    std::vector<std::array<float, 3>> colours(static_cast<size_t>(squares) * static_cast<size_t>(squares));
    for (std::array<float, 3>& colour : colours) {
        const auto drawn = static_cast<unsigned>(random());
        const unsigned bits = number % 2 == 0 ? drawn >> 29 : (drawn >> 31) * 7;
        for (size_t c = 0; c < 3; ++c) colour[c] = (bits >> c & 1) != 0 ? 127.5f / 128 : -127.5f / 128;
    }
    Map image = empty_map(side, 3);
    float* out = image.values.data();
    for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x)
            out = std::ranges::copy(colours[static_cast<size_t>(y / square * squares + x / square)], out).out;
    return image;
}

// A convolution, and the maxima of `pool` x `pool` windows in steps of 2 (1 for none) on a map of `side`.
Map run_stage(const Convolution& layer, int pool, int side, const Map& in) {
    const int convolved = in.side - layer.kernel() + 1;
    RowBuffer<float> rows(std::max(pool, 1), convolved, layer.pitch());
    Map out = empty_map(side, layer.channels());
    int done = 0;
    for (int y = 0; y < side; ++y) {
        const int first = pool > 1 ? 2 * y : y, last = std::min(first + pool, convolved);
        for (; done < last; ++done) {
            std::array<const float*, 3> inputs{};
            for (int i = 0; i < layer.kernel(); ++i)
                inputs[static_cast<size_t>(i)] = in.values.data() + ptrdiff_t{done + i} * in.side * in.channels;
            layer.row(inputs.data(), convolved, rows.row(done));
        }
        float* const target = out.values.data() + ptrdiff_t{y} * side * layer.channels();
        if (pool == 1) {
            for (int x = 0; x < side; ++x)
                std::copy_n(rows.row(y) + ptrdiff_t{x} * layer.pitch(), layer.channels(),
                            target + ptrdiff_t{x} * layer.channels());
            continue;
        }
        std::array<const float*, 3> above{};
        for (int row = first; row < last; ++row) above[static_cast<size_t>(row - first)] = rows.row(row);
        const MapRows maps{
            .rows = {above.data(), static_cast<size_t>(last - first)}, .width = convolved, .pitch = layer.pitch()};
        max_pool_row(maps, pool, layer.channels(), side, target);
    }
    return out;
}

// Scales of bytes for the values of each channel of all maps.
std::vector<ByteScale> scales_of(std::span<const Map> maps) {
    const auto channels = static_cast<size_t>(maps[0].channels);
    std::vector<float> low(channels, 0.0f), high(channels, 0.0f);
    for (const Map& map : maps)
        for (size_t i = 0; i + kSlack < map.values.size(); ++i) {
            low[i % channels] = std::min(low[i % channels], map.values[i]);
            high[i % channels] = std::max(high[i % channels], map.values[i]);
        }
    std::vector<ByteScale> scales;
    for (size_t c = 0; c < channels; ++c) {
        const float range = std::clamp(high[c], 0.0f, kMaxRange) - std::clamp(low[c], -kMaxRange, 0.0f);
        const float scale = std::max(range, kMinRange) / kMaxByte;
        scales.push_back({.scale = scale, .zero = std::nearbyint(std::max(low[c], -kMaxRange) / -scale)});
    }
    return scales;
}

// One stage of a network, on all maps.
std::vector<ByteScale> advance(const Convolution& layer, int pool, int side, std::vector<Map>& maps) {
    for (Map& map : maps) map = run_stage(layer, pool, side, map);
    return scales_of(maps);
}

std::array<std::vector<ByteScale>, 2> scales_of(const ProposalNetwork& network) {
    constexpr int kTextures = 24, kSide = 72, kPooled = (kSide - 1) / 2;
    std::vector<Map> maps;
    maps.reserve(kTextures);
    for (int number = 0; number < kTextures; ++number) maps.push_back(texture(number, kSide));
    std::vector<ByteScale> first = advance(network.first(), 2, kPooled, maps);
    return {std::move(first), advance(network.second(), 1, kPooled - 2, maps)};
}

std::vector<std::vector<ByteScale>> scales_of(const CropNetwork& network) {
    constexpr int kTextures = 96;
    std::vector<Map> maps;
    maps.reserve(kTextures);
    for (int number = 0; number < kTextures; ++number) maps.push_back(texture(number, network.side()));
    std::vector<std::vector<ByteScale>> scales;
    for (const CropNetwork::Stage& stage : network.stages())
        scales.push_back(advance(stage.convolution, stage.pool, stage.side, maps));
    return scales;
}

}  // namespace

// --- layers

ByteConvolution::ByteConvolution(const Convolution& layer, std::span<const ByteScale> in)
    : in_(layer.in()),
      channels_(layer.channels()),
      kernel_(layer.kernel()),
      groups_(layer.pitch() / kGroup),
      quads_((layer.kernel() * layer.in() + 3) / 4) {
    const auto padded = static_cast<size_t>(layer.pitch());
    weights_.assign(padded * static_cast<size_t>(kernel_ * quads_) * 4, 0);
    scales_.assign(padded, 0.0f), biases_.assign(padded, 0.0f), zeros_.assign(padded, 0.0f);
    slopes_.assign(padded, 1.0f);
    const auto each_tap = [&](int channel, const auto& use) {
        for (int y = 0; y < kernel_; ++y)
            for (int x = 0; x < kernel_; ++x)
                for (int c = 0; c < in_; ++c) {
                    const ByteScale& input = in[static_cast<size_t>(c) % in.size()];
                    use(y, x * in_ + c, layer.weight(y, x, c, channel) * input.scale, input.zero);
                }
    };
    for (int channel = 0; channel < channels_; ++channel) {
        float largest = 0.0f;
        each_tap(channel, [&](int, int, float weight, float) { largest = std::max(largest, std::abs(weight)); });
        const float scale = std::max(largest, std::numeric_limits<float>::min()) / kMaxWeight;
        double bias = layer.bias(channel);
        each_tap(channel, [&](int y, int tap, float weight, float zero) {
            const float rounded = std::nearbyint(weight / scale);
            const int quad = (channel / kGroup * kernel_ + y) * quads_ + tap / 4;
            weights_[(static_cast<size_t>(quad) * kGroup + static_cast<size_t>(channel % kGroup)) * 4 +
                     static_cast<size_t>(tap % 4)] = static_cast<int8_t>(rounded);
            bias -= static_cast<double>(scale) * rounded * zero;
        });
        const auto index = static_cast<size_t>(channel);
        scales_[index] = scale, biases_[index] = static_cast<float>(bias), slopes_[index] = layer.slope(channel);
    }
}

ByteConvolution::ByteConvolution(const Convolution& layer, std::span<const ByteScale> in,
                                 std::span<const ByteScale> out)
    : ByteConvolution(layer, in) {
    for (size_t channel = 0; channel < out.size(); ++channel) {
        scales_[channel] /= out[channel].scale, biases_[channel] /= out[channel].scale;
        zeros_[channel] = out[channel].zero;
    }
}

ByteConvolutionView ByteConvolution::view(ptrdiff_t step) const {
    return {.groups = groups_,
            .kernel = kernel_,
            .quads = quads_,
            .channels = channels_,
            .step = step,
            .weights = weights_.data(),
            .scales = scales_.data(),
            .biases = biases_.data(),
            .slopes = slopes_.data()};
}

int8_t ByteConvolution::weight(int y, int tap, int channel) const {
    const int quad = (channel / kGroup * kernel_ + y) * quads_ + tap / 4;
    return weights_[(static_cast<size_t>(quad) * kGroup + static_cast<size_t>(channel % kGroup)) * 4 +
                    static_cast<size_t>(tap % 4)];
}

FirstByteConvolution::FirstByteConvolution(const Convolution& layer, std::span<const ByteScale> in,
                                           std::span<const ByteScale> out)
    : ByteConvolution(layer, in, out) {
    for (int channel = 0; channel < layer.channels(); ++channel)
        for (int y = 0; y < 3; ++y)
            for (int x = 0; x < 3; ++x)
                for (int c = 0; c < kLevelPitch; ++c)
                    ordered_.push_back(c < 3 ? weight(y, 3 * x + c, channel) : int8_t{0});
}

void FirstByteConvolution::maxima(std::span<const uint8_t* const> rows, int width, int count, uint8_t* out) const {
    const ByteConvolutionView all = view(0);
    convolve_to_maxima({.channels = all.channels,
                        .weights = ordered_.data(),
                        .scales = all.scales,
                        .biases = all.biases,
                        .slopes = all.slopes,
                        .zeros = zeros().data()},
                       rows, width, count, out);
}

ByteLogits::ByteLogits(const Convolution& layer, std::span<const ByteScale> in, const Convolution& heads)
    : ByteConvolution(layer, in), head_(static_cast<size_t>(layer.pitch())), bias_(heads.bias(0)) {
    for (int channel = 0; channel < layer.channels(); ++channel)
        head_[static_cast<size_t>(channel)] = heads.weight(0, 0, channel, 0);
}

// --- P-Net

ProposalEstimate::ProposalEstimate(const ProposalNetwork& network) : ProposalEstimate(network, scales_of(network)) {}

ProposalEstimate::ProposalEstimate(const ProposalNetwork& network, const std::array<std::vector<ByteScale>, 2>& scales)
    : first_(network.first(), kPixels, scales[0]),
      second_(network.second(), scales[0], scales[1]),
      third_(network.third(), scales[1], network.heads()) {}

ProposalEstimate::Scan::Scan(const ProposalEstimate& network, const uint8_t* level, int height, int width, float skim)
    : Skimming(ProposalNetwork::cells(height), ProposalNetwork::cells(width), 1, skim),
      network_(network),
      level_(level),
      width_(width),
      height_(height),
      pooled_(3, (width - 1) / 2, network.first_.channels()),
      second_(4, columns() + 2, network.second_.channels()) {}

// The first convolution and its maxima, one row on.
void ProposalEstimate::Scan::make_pooled_row() {
    const int y = pooled_count_++;
    std::array<const uint8_t*, 4> rows{};
    size_t count = 0;
    for (int row = 2 * y; row < std::min(2 * y + 4, height_); ++row)
        rows[count++] = level_ + ptrdiff_t{row} * width_ * kLevelPitch;
    network_.first_.maxima({rows.data(), count}, width_ - 2, (width_ - 1) / 2, pooled_.row(y));
}

void ProposalEstimate::Scan::prepare(int y) {
    for (; second_count_ < y + 3; ++second_count_) {
        while (pooled_count_ < second_count_ + 3) make_pooled_row();
        network_.second_.row(three_rows(pooled_, second_count_).data(), columns() + 2, second_.row(second_count_));
    }
}

void ProposalEstimate::Scan::look(int y, int x, int step, int count) {
    std::array<const uint8_t*, 3> inputs = three_rows(second_, y);
    for (const uint8_t*& input : inputs) input += ptrdiff_t{x} * network_.second_.channels();
    network_.third_.row(inputs.data(), step, count, cell(y, x), step);
}

// --- R-Net and O-Net

CropEstimate::CropEstimate(const CropNetwork& network) : CropEstimate(network, scales_of(network)) {}

CropEstimate::CropEstimate(const CropNetwork& network, const std::vector<std::vector<ByteScale>>& scales)
    : features_(network.features()), dense_(network.dense(), scales.back(), network.heads()) {
    std::span<const ByteScale> in = kPixels;
    int side = network.side();
    for (size_t i = 0; i < scales.size(); ++i) {
        const CropNetwork::Stage& stage = network.stages()[i];
        stages_.push_back({.convolution = ByteConvolution(stage.convolution, in, scales[i]),
                           .kernel = stage.convolution.kernel(),
                           .pool = stage.pool,
                           .in_side = side,
                           .convolved_side = stage.convolved_side,
                           .side = stage.side});
        in = scales[i];
        side = stage.side;
    }
}

void CropEstimate::describe(const uint8_t* image, uint8_t* out) const {
    std::array<std::vector<uint8_t>, 2> maps;
    std::vector<uint8_t> convolved;
    const uint8_t* in = image;
    int in_channels = 3;
    for (size_t index = 0; index < stages_.size(); ++index) {
        const Stage& stage = stages_[index];
        const int channels = stage.convolution.channels();
        const auto bytes = [&](int side) {
            return static_cast<size_t>(side) * static_cast<size_t>(side * channels) + kByteSlack;
        };
        uint8_t* target = out;
        if (index + 1 < stages_.size()) {
            maps[index % 2].resize(bytes(stage.side));
            target = maps[index % 2].data();
        }
        if (stage.pool > 1) convolved.resize(bytes(stage.convolved_side));
        uint8_t* const map = stage.pool > 1 ? convolved.data() : target;
        const auto row_of = [&](int y) { return map + ptrdiff_t{y} * stage.convolved_side * channels; };
        for (int y = 0; y < stage.convolved_side; ++y) {
            std::array<const uint8_t*, 3> rows{};
            for (int i = 0; i < stage.kernel; ++i)
                rows[static_cast<size_t>(i)] = in + ptrdiff_t{y + i} * stage.in_side * in_channels;
            stage.convolution.row(rows.data(), stage.convolved_side, row_of(y));
        }
        for (int y = 0; stage.pool > 1 && y < stage.side; ++y) {
            std::array<const uint8_t*, 3> rows{};
            const int first = 2 * y, last = std::min(first + stage.pool, stage.convolved_side);
            for (int row = first; row < last; ++row) rows[static_cast<size_t>(row - first)] = row_of(row);
            max_pool_bytes({rows.data(), static_cast<size_t>(last - first)}, stage.convolved_side, channels, stage.pool,
                           stage.side, target + ptrdiff_t{y} * stage.side * channels);
        }
        in = target;
        in_channels = channels;
    }
}

std::vector<float> CropEstimate::logits(const uint8_t* features, int count) const {
    std::vector<float> logits(static_cast<size_t>(count));
    dense_.row(&features, 1, count, logits.data(), 1);
    return logits;
}

}  // namespace ferengine::mtcnn
