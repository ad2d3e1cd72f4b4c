// The kernelised correlation filter that follows faces.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "image/face_crop.hpp"
#include "kcf/fft.hpp"
#include "kcf/hog_features.hpp"

namespace ferengine::kcf {

// Left, top, width and height in pixels; pixel (row i, column j) covers [j, j + 1) x [i, i + 1).
struct Box {
    double x, y, w, h;
};

struct KcfUpdate {
    Box box;
    float confidence;  // in [0, 1]
};

// Half spectra: of one map, and of the maps of a patch, by channel group.
constexpr int kSpectrum = kCells * kHalfColumns<kCells>;
using Spectrum = std::array<Complex<float>, kSpectrum>;
using FeatureSpectra = std::array<Complex<Float8>, kChannelGroups * kSpectrum>;
using ResponseMap = std::array<float, kMapSize>;
using Patch = std::array<float, kPatch * kPatch>;

// The object fills the middle third of its patch.
constexpr int kTemplateSide = kPatch / 3;
using Template = std::array<float, kTemplateSide * kTemplateSide>;

// The highest response: its place relative to the centre, in cells, between cells by a parabola, its value, and the
// peak-to-sidelobe ratio, how many standard deviations it stands above the mean of the rest without the 5 x 5 cells
// around it (D. Bolme et al., "Visual Object Tracking using Adaptive Correlation Filters", CVPR 2010); 0
// where all is flat.
struct Peak {
    double dx, dy;
    float value, sidelobe_ratio;
};

// Working memory of all trackers of a thread, kept between calls.
struct KcfScratch {
    image::CropScratch crop;
    Patch patch;
    FeatureMaps maps;
    FeatureSpectra spectra;
    Spectrum product;
    ResponseMap response;
    hog::Scratch hog;
};

// What the filter has learnt: the spectra of the object and of the filter's coefficients.
struct KcfModel {
    FeatureSpectra object;
    Spectrum filter;
};

// Follows one object: J. F. Henriques et al., "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015,
// with the linear kernel, on a square of three times the box's (geometric mean) side, sampled straight from the frame
// into a patch of fixed size. The size follows the responses at three scales. The caller keeps boxes finite, w and h
// above 0.
class Kcf {
  public:
    void init(const image::FrameView& frame, const Box& box, KcfScratch& scratch);
    // After init(). Confidence 0 when the box's centre has left the frame, or the frame is not of init()'s size.
    KcfUpdate update(const image::FrameView& frame, KcfScratch& scratch);

  private:
    double patch_side() const;  // in the frame

    double cx_ = 0, cy_ = 0, w_ = 0, h_ = 0;
    double scale_ = 1;  // since init()
    int frame_height_ = 0, frame_width_ = 0;
    KcfModel model_;
    Template template_;  // the object at init(), grey, of mean 0 and length 1
};

// The steps on their own, for tests: scratch.patch to scratch.maps; the response to a patch of a filter learnt from
// another alone, into scratch.response; and its peak.
void compute_features(KcfScratch& scratch);
void compute_response(const Patch& learnt, const Patch& patch, KcfScratch& scratch);
Peak find_peak(std::span<const float, kMapSize> response);

}  // namespace ferengine::kcf
