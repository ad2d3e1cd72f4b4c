// P-Net and R-Net in bytes: what they would roughly answer, at a third of the cost. The cascade asks the networks
// themselves only about the cells and windows that may pass, so that what it delivers is theirs (cascade.hpp).
//
// Quantised as usual: weights symmetric in 8 bits for each output channel, maps in 8 bits for each channel between the
// smallest and the largest value that the network shows on made textures. Squares in black and white reach further than
// photographs do, and what lies beyond is cut off. The logits of 2030 cells and 611 windows of photographs that pass
// were off by 0.17 in the root mean square, by 1.15 at most.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "mtcnn/networks.hpp"
#include "mtcnn/quantised_kernels.hpp"

namespace ferengine::mtcnn {

// What the bytes of a channel stand for: (byte - zero) * scale.
struct ByteScale {
    float scale, zero;
};

// A convolution over bytes, into bytes.
class ByteConvolution {
  public:
    // `in` and `out`: of each channel of the inputs and outputs.
    ByteConvolution(const Convolution& layer, std::span<const ByteScale> in, std::span<const ByteScale> out);

    int channels() const { return channels_; }

    // `count` output pixels from the rows below each other in `rows`.
    void row(const uint8_t* const* rows, int count, uint8_t* out) const {
        convolve_bytes(view(in_), rows, count, zeros_.data(), out);
    }

  protected:
    // For outputs that stay floats.
    ByteConvolution(const Convolution& layer, std::span<const ByteScale> in);

    ByteConvolutionView view(ptrdiff_t step) const;

    // Of the input `tap` in row y of the kernel; taps count columns and channels.
    int8_t weight(int y, int tap, int channel) const;
    const std::vector<float>& zeros() const { return zeros_; }

    int in() const { return in_; }

  private:
    int in_, channels_, kernel_, groups_, quads_;
    std::vector<int8_t> weights_;
    std::vector<float> scales_, biases_, slopes_, zeros_;
};

// P-Net's first convolution over a level in bytes, with its maxima.
class FirstByteConvolution : private ByteConvolution {
  public:
    FirstByteConvolution(const Convolution& layer, std::span<const ByteScale> in, std::span<const ByteScale> out);

    using ByteConvolution::channels;

    // As convolve_to_maxima.
    void maxima(std::span<const uint8_t* const> rows, int width, int count, uint8_t* out) const;

  private:
    std::vector<int8_t> ordered_;
};

// The last convolution over bytes and the first of the heads: logits.
class ByteLogits : private ByteConvolution {
  public:
    ByteLogits(const Convolution& layer, std::span<const ByteScale> in, const Convolution& heads);

    // From every `step`th pixel of the inputs into every `out_step`th float.
    void row(const uint8_t* const* rows, int step, int count, float* out, int out_step) const {
        convolve_to_logits(view(ptrdiff_t{step} * in()), rows, count, head_.data(), bias_, out, out_step);
    }

  private:
    std::vector<float> head_;
    float bias_;
};

// P-Net's logits.
class ProposalEstimate {
  public:
    explicit ProposalEstimate(const ProposalNetwork& network);

    // As ProposalNetwork::Scan, a float a cell. The level is in bytes, as of Pyramid::next_bytes().
    class Scan : public Skimming {
      public:
        Scan(const ProposalEstimate& network, const uint8_t* level, int height, int width, float skim);

        std::span<const float> next_row() { return {next_cells(), static_cast<size_t>(columns())}; }

      private:
        template <typename Value>
        using Rows = RowBuffer<Value, kByteSlack>;

        void make_pooled_row();
        void prepare(int y) override;
        void look(int y, int x, int step, int count) override;

        const ProposalEstimate& network_;
        const uint8_t* level_;
        int width_, height_;
        Rows<uint8_t> pooled_, second_;
        int pooled_count_ = 0, second_count_ = 0;
    };

  private:
    ProposalEstimate(const ProposalNetwork& network, const std::array<std::vector<ByteScale>, 2>& scales);

    FirstByteConvolution first_;
    ByteConvolution second_;
    ByteLogits third_;
};

// The logits of R-Net or O-Net.
class CropEstimate {
  public:
    explicit CropEstimate(const CropNetwork& network);

    // Bytes of what describe() makes, kByteSlack more.
    int features() const { return features_; }

    // The convolutions: RGB bytes of side() x side() pixels, and kByteSlack more.
    void describe(const uint8_t* image, uint8_t* out) const;

    // Logits of `count` images, whose features lie one behind another, and kByteSlack bytes more.
    std::vector<float> logits(const uint8_t* features, int count) const;

  private:
    struct Stage {
        ByteConvolution convolution;
        int kernel, pool, in_side, convolved_side, side;
    };

    CropEstimate(const CropNetwork& network, const std::vector<std::vector<ByteScale>>& scales);

    int features_;
    std::vector<Stage> stages_;
    ByteLogits dense_;
};

}  // namespace ferengine::mtcnn
