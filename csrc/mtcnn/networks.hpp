// The three networks of MTCNN: K. Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
// Convolutional Networks", IEEE Signal Processing Letters 23(10), 2016, figure 2, in the widths of the published Caffe
// models.
//
// Weights come as the arrays of the Keras models, in the order of the layers: kernels, biases, slopes of the PReLU;
// then the heads: boxes, landmarks (O-Net only), classes. Rows flow through the layers: each layer keeps only the rows
// that the next one needs, so that all stays in the nearest cache.
//
// Why not ONNX Runtime: a frame of 640 x 480 with one face takes 2.3 ms here, and 12 ms with OpenCV and ONNX Runtime
// (docs/pages/reference/performance.md).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "mtcnn/convolution.hpp"
#include "mtcnn/quantised_kernels.hpp"
#include "mtcnn/skimming.hpp"

namespace ferengine::mtcnn {

// A view of what a network predicts for one window: kGroup floats.
struct Prediction {
    const float* values;

    float logit() const { return values[0]; }  // of "face" less that of "no face"
    // What to add to x1, y1, x2, y2, in units of the window.
    std::span<const float, 4> offsets() const { return std::span<const float, 4>(values + 1, 4); }
    // From O-Net only: five x, then five y, in units of the window.
    std::span<const float, 10> landmarks() const { return std::span<const float, 10>(values + 5, 10); }
    float probability() const;  // of a face
};

// The predictions for windows side by side.
class Predictions {
  public:
    explicit Predictions(std::span<const float> values) : values_(values) {}

    size_t size() const { return values_.size() / kGroup; }
    Prediction operator[](size_t index) const { return {values_.data() + index * kGroup}; }

  private:
    std::span<const float> values_;
};

// P-Net, the proposal network: a prediction for each window of 12 x 12 pixels, in steps of 2.
class ProposalNetwork {
  public:
    static constexpr int kWindow = 12;

    // Throws std::invalid_argument when the weights do not fit.
    explicit ProposalNetwork(std::span<const Tensor> weights);

    // Predictions along one axis of a level of `length` pixels, at least kWindow.
    static int cells(int length) { return (length - 1) / 2 - 4; }

    // One pass over a level of the image pyramid, RGB, (value - 127.5) / 128; network and level outlive it.
    class Scan : public Skimming {
      public:
        Scan(const ProposalNetwork& network, const float* level, int height, int width, float skim);

        // As next_cells().
        Predictions next_row() { return Predictions({next_cells(), static_cast<size_t>(columns()) * kGroup}); }

      private:
        void make_pooled_row();
        void prepare(int y) override;
        void look(int y, int x, int step, int count) override;

        const ProposalNetwork& network_;
        const float* level_;
        int width_, convolved_width_, convolved_height_, pooled_width_;
        RowBuffer<float> convolved_, pooled_, second_, third_;
        int pooled_count_ = 0, second_count_ = 0;
    };

    // The same for some cells only.
    class CellScan {
      public:
        // `level`: RGB and a byte without a meaning, kLevelPitch bytes a pixel. `cells`: rows() times columns(), 0 for
        // those that are not looked at.
        CellScan(const ProposalNetwork& network, const uint8_t* level, int height, int width,
                 std::vector<uint8_t> cells);

        // The predictions of row y, which never decreases; valid until the next call. Where it did not look, the logit
        // is minus infinity. Empty where no cell is looked at.
        Predictions row(int y);

      private:
        void make_pooled_row(int y);
        void make_second_row(int y);

        const ProposalNetwork& network_;
        const uint8_t* level_;
        int height_, width_, columns_;
        std::vector<uint8_t> cells_, second_cells_, pooled_cells_;  // what is needed of each map
        RowBuffer<float> pixels_, convolved_, pooled_, second_, third_, predictions_;
        int pooled_count_ = 0, second_count_ = 0;
    };

    const Convolution& first() const { return first_; }
    const Convolution& second() const { return second_; }
    const Convolution& third() const { return third_; }
    const Convolution& heads() const { return heads_; }

  private:
    explicit ProposalNetwork(WeightReader reader);

    Convolution first_, second_, third_, heads_;
};

// R-Net, the refinement network, and O-Net, the output network: one prediction for an image of side() x side() pixels.
class CropNetwork {
  public:
    // Throw std::invalid_argument when the weights do not fit.
    static CropNetwork refinement(std::span<const Tensor> weights);
    static CropNetwork output(std::span<const Tensor> weights);

    int side() const { return side_; }
    int features() const { return features_; }

    // The convolutions: `image` RGB, (value - 127.5) / 128 -> `out`, features() floats and kSlack more.
    void extract_features(const float* image, float* out) const;

    // The dense layers, for `count` images at once -> `count` times kGroup floats, for Predictions.
    std::vector<float> predict(const float* features, int count) const;

    // A convolution and the maxima of `pool` x `pool` windows in steps of 2; 1 for none. The sides of the maps after
    // the convolution and after the maxima.
    struct Stage {
        Convolution convolution;
        int pool, convolved_side, side;
    };

    std::span<const Stage> stages() const { return stages_; }
    const Convolution& dense() const { return dense_; }
    const Convolution& heads() const { return heads_; }

  private:
    // What a stage is made from. The last window may reach beyond the edge where `pool_beyond_edge`.
    struct Layout {
        int kernel, channels, pool;
        bool pool_beyond_edge;
    };

    CropNetwork(int side, int features, std::vector<Stage> stages, Convolution dense, Convolution heads)
        : side_(side),
          features_(features),
          stages_(std::move(stages)),
          dense_(std::move(dense)),
          heads_(std::move(heads)) {}
    static CropNetwork read(std::span<const Tensor> weights, int side, std::span<const Layout> layouts, int hidden,
                            bool landmarks);
    static void run_stage(const Stage& stage, const float* in, float* out);

    int side_, features_;
    std::vector<Stage> stages_;
    Convolution dense_, heads_;
};

}  // namespace ferengine::mtcnn
