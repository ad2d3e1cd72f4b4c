// The kernelised correlation filter that follows faces.
#pragma once

#include <array>
#include <vector>

#include "face_crop.hpp"
#include "fft.hpp"
#include "kcf_features.hpp"

namespace ferengine {

// Left, top, width and height in pixels; pixel (row i, column j) covers [j, j+1) x [i, i+1).
struct Box {
    double x, y, w, h;
};

struct KcfUpdate {
    Box box;
    float confidence;  // in [0, 1]
};

// Half spectra: of one map, and of the maps of a patch, by group.
constexpr int kSpectrum = kCells * half_columns<kCells>;
using Spectrum = std::array<Complex<float>, kSpectrum>;
using FeatureSpectra = std::array<Complex<Float8>, kGroups * kSpectrum>;
using ResponseMap = std::array<float, kMapSize>;
using Patch = std::array<float, kPatch * kPatch>;

// The highest response: its place relative to the middle, in cells, between cells by a parabola, its value, and how
// many standard deviations it stands above the mean of the rest without the 5 x 5 cells around it (D. Bolme et al.,
// "Visual Object Tracking using Adaptive Correlation Filters", CVPR 2010); 0 where all is flat.
struct Peak {
    double dx, dy;
    float value, to_sidelobe;
};

// Working memory of all trackers of a thread, kept between calls.
struct KcfScratch {
    CropScratch crop;
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
    void init(const FrameView& frame, const Box& box, KcfScratch& scratch);
    // After init(). Confidence 0 when the middle of the box has left the frame, or the frame is not of init()'s size.
    KcfUpdate update(const FrameView& frame, KcfScratch& scratch);

  private:
    double side() const;  // of the patch, in the frame

    double cx_ = 0, cy_ = 0, w_ = 0, h_ = 0;
    double scale_ = 1;  // now to init()
    int frame_height_ = 0, frame_width_ = 0;
    KcfModel model_;
    std::array<float, kPatch * kPatch / 9> look_;  // the object at init(), grey, of mean 0 and length 1
};

// The steps on their own, for tests: scratch.patch to scratch.maps; the response to a patch of a filter learnt from
// another alone, into scratch.response; and its peak.
void kcf_features(KcfScratch& scratch);
void kcf_response(const Patch& learnt, const Patch& patch, KcfScratch& scratch);
Peak kcf_peak(const float* response);

}  // namespace ferengine
