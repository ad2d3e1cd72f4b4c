#include "kcf.hpp"

#include <algorithm>
#include <cmath>

#include "area_mean.hpp"

namespace ferengine {
namespace {

constexpr double kPadding = 3.0;          // sides of the patch in boxes
constexpr float kRegularisation = 2e-4f;  // Henriques' lambda
constexpr double kTargetWidth = 0.12;     // standard deviation of the response to learn, in boxes
constexpr float kLearning = 0.05f;        // share of the newest frame in the model
constexpr double kScaleStep = 1.05;       // between the three sizes that are compared
constexpr double kScaleFollowing = 0.3;   // share of the change of size that is followed at once
constexpr double kMaxScale = 4.0;        // either way, since init()
constexpr double kNear = 0.15;            // boxes; what moved further is looked for once more where it was found
constexpr double kMaxCoordinate = 1e9;         // pixels
constexpr int kMaxRows = 3;              // source rows read for each row of a patch
constexpr float kNoPeak = 5.0f, kClearPeak = 20.0f;  // peak to sidelobe: confidence begins, is full
constexpr int kLook = kPatch / 3;                    // pixels on each side of the object in its patch
static_assert(kPadding == 3.0 && kPatch % 3 == 0, "the object fills the middle third of its patch");

// The spectrum of the wanted response, a Gaussian around the first cell.
const Spectrum& target() {
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
        forward<kCells>(wanted.data(), result.data());
        return result;
    }();
    return spectrum;
}

FERENGINE_INLINE void describe(KcfScratch& scratch) {
    extract_features(scratch.patch.data(), scratch.maps, scratch.hog);
    for (size_t group = 0; group < kGroups; ++group)
        forward<kCells>(scratch.maps.data() + group * kMapSize, scratch.spectra.data() + group * kSpectrum);
}

// The linear kernel of a with every shift of b, as a spectrum: the cross-correlation over all channels.
FERENGINE_INLINE void correlate(const FeatureSpectra& a, const FeatureSpectra& b, Spectrum& kernel) {
    constexpr float scale = 1.0f / (kMapSize * kFeatures);
    for (size_t i = 0; i < kSpectrum; ++i) {
        Float8 re = {}, im = {};
        for (size_t group = 0; group < kGroups; ++group) {
            const Complex<Float8>&u = a[group * kSpectrum + i], &v = b[group * kSpectrum + i];
            re += u.re * v.re + u.im * v.im;
            im += u.re * v.im - u.im * v.re;
        }
        kernel[i] = {scale * sum_of(re), scale * sum_of(im)};
    }
}

FERENGINE_INLINE void learn(float share, KcfModel& model, KcfScratch& scratch) {
    const FeatureSpectra& spectra = scratch.spectra;
    Spectrum& kernel = scratch.product;
    correlate(spectra, spectra, kernel);
    const Spectrum& wanted = target();
    for (size_t i = 0; i < kSpectrum; ++i) {
        const float over = 1.0f / (kernel[i].re + kRegularisation);  // real: the correlation of a map with itself
        const Complex<float> filter{wanted[i].re * over, wanted[i].im * over};
        Complex<float>& old = model.filter[i];
        old.re += share * (filter.re - old.re);
        old.im += share * (filter.im - old.im);
    }
    for (size_t i = 0; i < spectra.size(); ++i) {
        Complex<Float8>& old = model.object[i];
        old.re += share * (spectra[i].re - old.re);
        old.im += share * (spectra[i].im - old.im);
    }
}

FERENGINE_INLINE void respond(const KcfModel& model, KcfScratch& scratch) {
    Spectrum& product = scratch.product;
    correlate(model.object, scratch.spectra, product);
    for (size_t i = 0; i < kSpectrum; ++i) {
        const Complex<float> a = model.filter[i], k = product[i];
        product[i] = {a.re * k.re - a.im * k.im, a.re * k.im + a.im * k.re};
    }
    inverse<kCells>(product.data(), scratch.response.data());
}

// Where the parabola through three values one apart, the middle one the highest, has its top.
double parabola_top(double before, double at, double after) {
    const double bend = before - 2.0 * at + after;
    return bend < 0.0 ? std::clamp(0.5 * (before - after) / bend, -0.5, 0.5) : 0.0;
}

// The square of the frame around (cx, cy) as a patch.
FERENGINE_INLINE void sample(const FrameView& frame, double cx, double cy, double side, KcfScratch& scratch) {
    // what floats and whole pixels can hold
    const double x = std::clamp(cx, -kMaxCoordinate, kMaxCoordinate), y = std::clamp(cy, -kMaxCoordinate, kMaxCoordinate);
    if (side >= kPatch)
        return area_means(frame, x, y, std::min(side, 4.0 * kMaxCoordinate), kPatch, kMaxRows, scratch.patch.data(),
                          scratch.crop);
    const auto least = static_cast<float>(std::max(side, 1e-3));
    crop_grey(frame, {static_cast<float>(x), static_cast<float>(y), least, 0.0f}, kPatch, scratch.patch.data(),
              scratch.crop);
}

// The object in its patch: mean 0, length 1; zeros where it is flat.
void look_of(const Patch& patch, float* look) {
    double sum = 0.0, squares = 0.0;
    for (int y = 0; y < kLook; ++y)
        for (int x = 0; x < kLook; ++x) {
            const float level = patch[static_cast<size_t>((y + kLook) * kPatch + x + kLook)];
            look[y * kLook + x] = level;
            sum += level;
            squares += static_cast<double>(level) * level;
        }
    constexpr int pixels = kLook * kLook;
    const double mean = sum / pixels, length = std::sqrt(std::max(0.0, squares - sum * mean));
    constexpr double flat = 2.0 * kLook;  // deviations of two grey levels: nothing to recognise
    for (int i = 0; i < pixels; ++i) look[i] = length > flat ? static_cast<float>((look[i] - mean) / length) : 0.0f;
}

// The heavy steps, compiled for this machine's instruction sets.
struct Steps {
    // The square of the frame around (cx, cy) into scratch.patch.
    void (*sample)(const FrameView& frame, double cx, double cy, double side, KcfScratch& scratch);
    // The features of scratch.patch into scratch.maps, their spectra into scratch.spectra.
    void (*describe)(KcfScratch& scratch);
    // The model's response to scratch.spectra into scratch.response.
    void (*respond)(const KcfModel& model, KcfScratch& scratch);
    // A share of scratch.spectra into the model.
    void (*learn)(float share, KcfModel& model, KcfScratch& scratch);
};

#define FERENGINE_KCF_STEPS(name, attributes)                                                                         \
    attributes void sample_##name(const FrameView& frame, double cx, double cy, double side, KcfScratch& scratch) {   \
        sample(frame, cx, cy, side, scratch);                                                                         \
    }                                                                                                                 \
    attributes void describe_##name(KcfScratch& scratch) { describe(scratch); }                                       \
    attributes void respond_##name(const KcfModel& model, KcfScratch& scratch) { respond(model, scratch); }           \
    attributes void learn_##name(float share, KcfModel& model, KcfScratch& scratch) { learn(share, model, scratch); } \
    constexpr Steps name##_steps{&sample_##name, &describe_##name, &respond_##name, &learn_##name};

FERENGINE_KCF_STEPS(portable, )
#if defined(FERENGINE_AVX2)
// The same code once more for eight floats a register.
FERENGINE_KCF_STEPS(avx2, __attribute__((target("avx2,fma"))))
#endif

const Steps& steps() {
#if defined(FERENGINE_AVX2)
    static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) return avx2_steps;
#endif
    return portable_steps;
}

void look_at(const FrameView& frame, double cx, double cy, double side, KcfScratch& scratch) {
    steps().sample(frame, cx, cy, side, scratch);
    steps().describe(scratch);
}

struct Found {
    double cx, cy;
    Peak peak;
};

// Looks for the object around (cx, cy) at a side of the patch.
Found find(const FrameView& frame, double cx, double cy, double side, const KcfModel& model, KcfScratch& scratch) {
    look_at(frame, cx, cy, side, scratch);
    steps().respond(model, scratch);
    const Peak peak = kcf_peak(scratch.response.data());
    return {cx + peak.dx * side / kCells, cy + peak.dy * side / kCells, peak};
}

// The object's place, and its growth in steps of kScaleStep, at most one either way.
struct Sized {
    Found found;
    double growth;
};

Sized find_with_size(const FrameView& frame, double cx, double cy, double side, const KcfModel& model,
                     KcfScratch& scratch) {
    Found same = find(frame, cx, cy, side, model, scratch);
    const double moved = std::hypot(same.peak.dx, same.peak.dy) * kPadding / kCells;
    if (moved > kNear) {  // the window dims what is near its edge
        const Found again = find(frame, same.cx, same.cy, side, model, scratch);
        if (again.peak.value > 0.8f * same.peak.value) same = again;
    }
    const Found smaller = find(frame, same.cx, same.cy, side / kScaleStep, model, scratch);
    const Found larger = find(frame, same.cx, same.cy, side * kScaleStep, model, scratch);
    const double low = smaller.peak.value, mid = same.peak.value, high = larger.peak.value;
    const double bend = low - 2.0 * mid + high;
    const double growth = bend < 0.0 ? std::clamp(0.5 * (low - high) / bend, -1.0, 1.0) : low > high ? -1.0 : 1.0;
    return {growth <= -0.5 ? smaller : growth >= 0.5 ? larger : same, growth};
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
    look_at(frame, cx_, cy_, side(), scratch);
    steps().learn(1.0f, model_, scratch);
    look_of(scratch.patch, look_.data());
}

KcfUpdate Kcf::update(const FrameView& frame, KcfScratch& scratch) {
    if (frame.height != frame_height_ || frame.width != frame_width_)
        return {{cx_ - 0.5 * w_, cy_ - 0.5 * h_, w_, h_}, 0.0f};
    const auto [found, growth] = find_with_size(frame, cx_, cy_, side(), model_, scratch);
    const double scale =
        std::clamp(scale_ * std::pow(kScaleStep, kScaleFollowing * growth), 1.0 / kMaxScale, kMaxScale);
    w_ *= scale / scale_;
    h_ *= scale / scale_;
    scale_ = scale;
    cx_ = found.cx;
    cy_ = found.cy;
    const Box box{cx_ - 0.5 * w_, cy_ - 0.5 * h_, w_, h_};
    if (!(cx_ >= 0.0 && cy_ >= 0.0 && cx_ <= frame.width && cy_ <= frame.height)) return {box, 0.0f};

    look_at(frame, cx_, cy_, side(), scratch);
    steps().learn(kLearning, model_, scratch);
    std::array<float, kLook * kLook> look;
    look_of(scratch.patch, look.data());
    float likeness = 0.0f;
    for (size_t i = 0; i < look.size(); ++i) likeness += look[i] * look_[i];
    const float clarity = std::clamp((found.peak.to_sidelobe - kNoPeak) / (kClearPeak - kNoPeak), 0.0f, 1.0f);
    return {box, clarity * std::clamp(likeness, 0.0f, 1.0f)};
}

double Kcf::side() const { return kPadding * std::sqrt(w_) * std::sqrt(h_); }

Peak kcf_peak(const float* response) {
    const int best = static_cast<int>(std::max_element(response, response + kMapSize) - response);
    const int y = best / kCells, x = best % kCells;
    const auto at = [&](int row, int column) {
        return static_cast<double>(response[(row + kCells) % kCells * kCells + (column + kCells) % kCells]);
    };
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < kMapSize; ++i) {
        sum += response[i];
        squares += static_cast<double>(response[i]) * response[i];
    }
    int rest = kMapSize;
    for (int dy = -2; dy <= 2; ++dy)
        for (int dx = -2; dx <= 2; ++dx, --rest) {
            sum -= at(y + dy, x + dx);
            squares -= at(y + dy, x + dx) * at(y + dy, x + dx);
        }
    const double mean = sum / rest, variance = squares / rest - mean * mean, top = response[best];
    Peak peak;
    peak.dx = (x <= kCells / 2 ? x : x - kCells) + parabola_top(at(y, x - 1), top, at(y, x + 1));
    peak.dy = (y <= kCells / 2 ? y : y - kCells) + parabola_top(at(y - 1, x), top, at(y + 1, x));
    peak.value = response[best];
    peak.to_sidelobe = variance > 1e-12 ? static_cast<float>((top - mean) / std::sqrt(variance)) : 0.0f;
    return peak;
}

void kcf_features(KcfScratch& scratch) { steps().describe(scratch); }

void kcf_response(const Patch& learnt, const Patch& patch, KcfScratch& scratch) {
    KcfModel model = {};
    scratch.patch = learnt;
    steps().describe(scratch);
    steps().learn(1.0f, model, scratch);
    scratch.patch = patch;
    steps().describe(scratch);
    steps().respond(model, scratch);
}

}  // namespace ferengine
