// The three networks of MTCNN: K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
// Convolutional Networks", IEEE Signal Processing Letters 23(10), 2016, figure 2, in the widths of the published Caffe
// models.
//
// Weights come as the arrays of the Keras models, in the order of the layers: kernels, biases, slopes of the PReLU;
// then the heads: boxes, landmarks (O-Net alone), classes. Rows flow through the layers: each layer keeps only the rows
// that the next one needs, so that all stays in the nearest cache.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "mtcnn_layers.hpp"

namespace ferengine {

// What a network says of one window, kGroup floats: the logit of "face" less that of "no face", then the offsets of
// x1, y1, x2, y2 in units of the window, then, from O-Net, five x and five y in units of the window.
using Verdict = const float*;
constexpr int kOffsets = 1, kLandmarks = 5;

// The probability that a logit difference stands for.
float probability(float logits);

// P-Net: a verdict for each window of 12 x 12 pixels, in steps of 2.
class ProposalNetwork {
  public:
    static constexpr int kWindow = 12, kStep = 2;

    // Throws std::invalid_argument when the weights do not fit.
    explicit ProposalNetwork(const std::vector<Tensor>& weights);

    // Verdicts along one axis of a level of `length` pixels, at least kWindow.
    static int cells(int length) { return (length - 1) / 2 - 4; }

    // `level`: RGB, (level - 127.5) / 128. `take(y, verdicts)` is called for each row of verdicts, in order.
    void run(const float* level, int height, int width, const std::function<void(int, Verdict)>& take) const;

  private:
    explicit ProposalNetwork(WeightReader reader);

    Convolution first_, second_, third_, heads_;
};

// R-Net and O-Net: one verdict for an image of side() x side() pixels.
class RefinementNetwork {
  public:
    // Throw std::invalid_argument when the weights do not fit.
    static RefinementNetwork refine(const std::vector<Tensor>& weights);
    static RefinementNetwork decide(const std::vector<Tensor>& weights);

    int side() const { return side_; }
    int features() const { return features_; }

    // The convolutions: `image` RGB, (level - 127.5) / 128 -> `out`, features() floats and kSlack more.
    void describe(const float* image, float* out) const;

    // The dense layers, for `count` images at once -> `count` verdicts.
    void judge(const float* features, int count, float* verdicts) const;

  private:
    // A convolution and the maxima of `pool` x `pool` windows in steps of 2; 1 for none. A window may reach beyond the
    // edge where `beyond`.
    struct Stage {
        Convolution convolution;
        int pool, convolved, side;
    };
    struct Layout {
        int kernel, channels, pool;
        bool beyond;
    };

    RefinementNetwork(const std::vector<Tensor>& weights, int side, const std::vector<Layout>& layouts, int hidden,
                      bool landmarks);
    void run_stage(const Stage& stage, const float* in, float* out) const;

    int side_, features_;
    std::vector<Stage> stages_;
    std::optional<Convolution> dense_, heads_;
};

}  // namespace ferengine
