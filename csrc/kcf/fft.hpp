// What the Fourier transforms of small real maps work on; the transforms are in fft-inl.hpp.
//
// Why not pocketfft: it is for transforms of any size, planned at run time, one after another. Here the size, 24 x 24,
// is known to the compiler, and eight feature channels are transformed side by side in the lanes of a vector.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace ferengine::kcf {

// One complex number, or one in each lane of a vector of floats.
template <typename V>
struct Complex {
    V re, im;
};

// exp(-2 pi i k / N) for k in [0, N).
template <int N>
struct Twiddles {
    std::array<float, N> re, im;
    Twiddles() {
        for (size_t k = 0; k < N; ++k) {
            const double angle = -2.0 * std::numbers::pi * static_cast<double>(k) / N;
            re[k] = static_cast<float>(std::cos(angle));
            im[k] = static_cast<float>(std::sin(angle));
        }
    }
};

template <int N>
inline const Twiddles<N> kTwiddles{};

// Columns of the half spectrum of an N x N real map; the others follow from its symmetry.
template <int N>
constexpr int kHalfColumns = N / 2 + 1;

}  // namespace ferengine::kcf
