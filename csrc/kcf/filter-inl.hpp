// The filter: how it is learnt, and how it responds to a patch. For foreach_target.hpp.
#include "kcf/fft-inl.hpp"
#include "kcf/hog_features-inl.hpp"

namespace ferengine::kcf::FERENGINE_TARGET {
namespace {

// The features of scratch.patch into scratch.maps, their spectra into scratch.spectra.
void compute_spectra(KcfScratch& scratch) {
    extract_features(scratch.patch.data(), scratch.maps, scratch.hog);
    for (size_t group = 0; group < kChannelGroups; ++group)
        rfft2<kCells>(scratch.maps.data() + group * kMapSize, scratch.spectra.data() + group * kSpectrum);
}

// The linear kernel of a with every shift of b, as a spectrum: the cross-correlation over all channels.
FERENGINE_INLINE void correlate(const FeatureSpectra& a, const FeatureSpectra& b, Spectrum& kernel) {
    constexpr float scale = 1.0f / (kMapSize * kFeatures);
    for (size_t i = 0; i < kSpectrum; ++i) {
        Float8 re = {}, im = {};
        for (size_t group = 0; group < kChannelGroups; ++group) {
            const Complex<Float8>&u = a[group * kSpectrum + i], &v = b[group * kSpectrum + i];
            re += u.re * v.re + u.im * v.im;
            im += u.re * v.im - u.im * v.re;
        }
        kernel[i] = {.re = scale * simd::FERENGINE_TARGET::sum(re), .im = scale * simd::FERENGINE_TARGET::sum(im)};
    }
}

// Moves the model by the fraction `rate` towards the filter that answers scratch.spectra with `desired`.
void learn(float rate, const Spectrum& desired, KcfModel& model, KcfScratch& scratch) {
    const FeatureSpectra& spectra = scratch.spectra;
    Spectrum& kernel = scratch.product;
    correlate(spectra, spectra, kernel);
    for (size_t i = 0; i < kSpectrum; ++i) {
        const float over = 1.0f / (kernel[i].re + kRegularisation);  // real: the correlation of a map with itself
        const Complex<float> filter{.re = desired[i].re * over, .im = desired[i].im * over};
        Complex<float>& old = model.filter[i];
        old.re += rate * (filter.re - old.re);
        old.im += rate * (filter.im - old.im);
    }
    for (size_t i = 0; i < spectra.size(); ++i) {
        Complex<Float8>& old = model.object[i];
        old.re += rate * (spectra[i].re - old.re);
        old.im += rate * (spectra[i].im - old.im);
    }
}

// The model's response to scratch.spectra into scratch.response.
void respond(const KcfModel& model, KcfScratch& scratch) {
    Spectrum& product = scratch.product;
    correlate(model.object, scratch.spectra, product);
    for (size_t i = 0; i < kSpectrum; ++i) {
        const Complex<float> a = model.filter[i], k = product[i];
        product[i] = {.re = a.re * k.re - a.im * k.im, .im = a.re * k.im + a.im * k.re};
    }
    irfft2<kCells>(product.data(), scratch.response.data());
}

}  // namespace
}  // namespace ferengine::kcf::FERENGINE_TARGET
