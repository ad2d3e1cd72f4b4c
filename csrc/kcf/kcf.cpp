#include "kcf/kcf.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "image/area_resize.hpp"

namespace ferengine::kcf {
namespace {

using image::FrameView;

constexpr double kPadding = 3.0;          // sides of the patch in boxes
constexpr float kRegularisation = 2e-4f;  // Henriques' lambda
constexpr double kTargetWidth = 0.12;     // standard deviation of the desired response, in boxes
constexpr float kLearningRate = 0.05f;    // weight of the newest frame in the model
constexpr double kScaleStep = 1.05;       // between the three sizes that are compared
constexpr double kScaleRate = 0.3;        // fraction of a change of size that is followed at once
constexpr double kMaxScale = 4.0;         // either way, since init()
constexpr double kMaxShift = 0.15;        // boxes; an object that moved further is located again from its new place
constexpr double kMaxCoordinate = 1e9;    // pixels
constexpr int kMaxRows = 3;               // source rows read for each row of a patch
constexpr float kNoPeak = 5.0f, kClearPeak = 20.0f;  // sidelobe ratio where confidence begins, and where it is full
static_assert(kPadding == 3.0 && kPatch % 3 == 0, "the object fills the middle third of its patch");

}  // namespace
}  // namespace ferengine::kcf

#define FERENGINE_TARGET_INCLUDE "kcf/filter-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::kcf {
namespace {

// The spectrum of the desired response, a Gaussian around the first cell.
const Spectrum& desired_response() {
    static const Spectrum spectrum = [] {
        const double deviation = kTargetWidth * kCells / kPadding;
        ResponseMap wanted;
        for (int y = 0; y < kCells; ++y)
            for (int x = 0; x < kCells; ++x) {
                const int dy = std::min(y, kCells - y), dx = std::min(x, kCells - x);
                wanted[static_cast<size_t>(y * kCells + x)] =
                    static_cast<float>(std::exp(-0.5 * (dx * dx + dy * dy) / (deviation * deviation)));
            }
        Spectrum result;
        baseline::rfft2<kCells>(wanted.data(), result.data());
        return result;
    }();
    return spectrum;
}

void learn(float rate, KcfModel& model, KcfScratch& scratch) {
    FERENGINE_DISPATCH(learn)(rate, desired_response(), model, scratch);
}

// Where the parabola through three values one apart, the middle one the highest, has its top.
double parabola_top(double before, double at, double after) {
    const double bend = before - 2.0 * at + after;
    return bend < 0.0 ? std::clamp(0.5 * (before - after) / bend, -0.5, 0.5) : 0.0;
}

// The square of the frame around (cx, cy) into scratch.patch.
void sample_patch(const FrameView& frame, double cx, double cy, double side, KcfScratch& scratch) {
    // what floats and whole pixels can hold
    const double x = std::clamp(cx, -kMaxCoordinate, kMaxCoordinate);
    const double y = std::clamp(cy, -kMaxCoordinate, kMaxCoordinate);
    if (side >= kPatch)
        return image::resize_area(frame, image::Channel::gray,
                                  {.cx = x, .cy = y, .side = std::min(side, 4.0 * kMaxCoordinate)}, kPatch, kMaxRows,
                                  scratch.patch, scratch.crop.area);
    const image::CropRegion region{.cx = static_cast<float>(x),
                                   .cy = static_cast<float>(y),
                                   .side = static_cast<float>(std::max(side, 1e-3)),
                                   .angle = 0.0f};
    image::crop_channel(frame, image::Channel::gray, region, kPatch, scratch.patch, scratch.crop);
}

// The object in its patch: mean 0, length 1; zeros where it is flat.
void extract_template(const Patch& patch, Template& out) {
    double sum = 0.0, squares = 0.0;
    for (int y = 0; y < kTemplateSide; ++y)
        for (int x = 0; x < kTemplateSide; ++x) {
            const float value = patch[static_cast<size_t>((y + kTemplateSide) * kPatch + x + kTemplateSide)];
            out[static_cast<size_t>(y * kTemplateSide + x)] = value;
            sum += value;
            squares += static_cast<double>(value) * value;
        }
    constexpr int pixels = kTemplateSide * kTemplateSide;
    const double mean = sum / pixels, length = std::sqrt(std::max(0.0, squares - sum * mean));
    constexpr double flat = 2.0 * kTemplateSide;  // a standard deviation of 2: nothing to recognise
    for (float& value : out) value = length > flat ? static_cast<float>((value - mean) / length) : 0.0f;
}

// The square of the frame around (cx, cy): its spectra into scratch.
void look_at(const FrameView& frame, double cx, double cy, double side, KcfScratch& scratch) {
    sample_patch(frame, cx, cy, side, scratch);
    FERENGINE_DISPATCH(compute_spectra)(scratch);
}

struct Location {
    double cx, cy;
    Peak peak;
};

// Where the object is, sought around (cx, cy) at one side of the patch.
Location locate(const FrameView& frame, double cx, double cy, double side, const KcfModel& model, KcfScratch& scratch) {
    look_at(frame, cx, cy, side, scratch);
    FERENGINE_DISPATCH(respond)(model, scratch);
    const Peak peak = find_peak(scratch.response);
    return {.cx = cx + peak.dx * side / kCells, .cy = cy + peak.dy * side / kCells, .peak = peak};
}

// The object's place, and its growth in steps of kScaleStep, at most one either way.
struct ScaledLocation {
    Location location;
    double growth;
};

ScaledLocation locate_with_scale(const FrameView& frame, double cx, double cy, double side, const KcfModel& model,
                                 KcfScratch& scratch) {
    Location same = locate(frame, cx, cy, side, model, scratch);
    const double moved = std::hypot(same.peak.dx, same.peak.dy) * kPadding / kCells;
    if (moved > kMaxShift) {  // the window dims what is near its edge
        const Location again = locate(frame, same.cx, same.cy, side, model, scratch);
        if (again.peak.value > 0.8f * same.peak.value) same = again;
    }
    const Location smaller = locate(frame, same.cx, same.cy, side / kScaleStep, model, scratch);
    const Location larger = locate(frame, same.cx, same.cy, side * kScaleStep, model, scratch);
    const double low = smaller.peak.value, mid = same.peak.value, high = larger.peak.value;
    const double bend = low - 2.0 * mid + high;
    const double growth = bend < 0.0 ? std::clamp(0.5 * (low - high) / bend, -1.0, 1.0) : low > high ? -1.0 : 1.0;
    return {.location = growth <= -0.5 ? smaller : growth >= 0.5 ? larger : same, .growth = growth};
}

}  // namespace

void Kcf::init(const FrameView& frame, const Box& box, KcfScratch& scratch) {
    w_ = box.w;
    h_ = box.h;
    cx_ = box.x + 0.5 * w_;
    cy_ = box.y + 0.5 * h_;
    scale_ = 1.0;
    frame_height_ = frame.height;
    frame_width_ = frame.width;
    model_ = {};
    look_at(frame, cx_, cy_, patch_side(), scratch);
    learn(1.0f, model_, scratch);
    extract_template(scratch.patch, template_);
}

KcfUpdate Kcf::update(const FrameView& frame, KcfScratch& scratch) {
    if (frame.height != frame_height_ || frame.width != frame_width_)
        return {.box = {.x = cx_ - 0.5 * w_, .y = cy_ - 0.5 * h_, .w = w_, .h = h_}, .confidence = 0.0f};
    const auto [location, growth] = locate_with_scale(frame, cx_, cy_, patch_side(), model_, scratch);
    const double scale = std::clamp(scale_ * std::pow(kScaleStep, kScaleRate * growth), 1.0 / kMaxScale, kMaxScale);
    w_ *= scale / scale_;
    h_ *= scale / scale_;
    scale_ = scale;
    cx_ = location.cx;
    cy_ = location.cy;
    const Box box{.x = cx_ - 0.5 * w_, .y = cy_ - 0.5 * h_, .w = w_, .h = h_};
    if (!(cx_ >= 0.0 && cy_ >= 0.0 && cx_ <= frame.width && cy_ <= frame.height))
        return {.box = box, .confidence = 0.0f};

    look_at(frame, cx_, cy_, patch_side(), scratch);
    learn(kLearningRate, model_, scratch);
    Template now;
    extract_template(scratch.patch, now);
    float similarity = 0.0f;
    for (size_t i = 0; i < now.size(); ++i) similarity += now[i] * template_[i];
    const float clarity = std::clamp((location.peak.sidelobe_ratio - kNoPeak) / (kClearPeak - kNoPeak), 0.0f, 1.0f);
    return {.box = box, .confidence = clarity * std::clamp(similarity, 0.0f, 1.0f)};
}

double Kcf::patch_side() const { return kPadding * std::sqrt(w_) * std::sqrt(h_); }

Peak find_peak(std::span<const float, kMapSize> response) {
    const int best = static_cast<int>(std::ranges::max_element(response) - response.begin());
    const int y = best / kCells, x = best % kCells;
    const auto at = [&](int row, int column) {
        const int cell = (row + kCells) % kCells * kCells + (column + kCells) % kCells;
        return static_cast<double>(response[static_cast<size_t>(cell)]);
    };
    double sum = 0.0, squares = 0.0;
    for (const float value : response) {
        sum += value;
        squares += static_cast<double>(value) * value;
    }
    int rest = kMapSize;
    for (int dy = -2; dy <= 2; ++dy)
        for (int dx = -2; dx <= 2; ++dx, --rest) {
            sum -= at(y + dy, x + dx);
            squares -= at(y + dy, x + dx) * at(y + dy, x + dx);
        }
    const double mean = sum / rest, variance = squares / rest - mean * mean, top = at(y, x);
    return {.dx = (x <= kCells / 2 ? x : x - kCells) + parabola_top(at(y, x - 1), top, at(y, x + 1)),
            .dy = (y <= kCells / 2 ? y : y - kCells) + parabola_top(at(y - 1, x), top, at(y + 1, x)),
            .value = static_cast<float>(top),
            .sidelobe_ratio = variance > 1e-12 ? static_cast<float>((top - mean) / std::sqrt(variance)) : 0.0f};
}

void compute_features(KcfScratch& scratch) { FERENGINE_DISPATCH(compute_spectra)(scratch); }

void compute_response(const Patch& learnt, const Patch& patch, KcfScratch& scratch) {
    KcfModel model = {};
    scratch.patch = learnt;
    FERENGINE_DISPATCH(compute_spectra)(scratch);
    learn(1.0f, model, scratch);
    scratch.patch = patch;
    FERENGINE_DISPATCH(compute_spectra)(scratch);
    FERENGINE_DISPATCH(respond)(model, scratch);
}

}  // namespace ferengine::kcf
