// What the tracker sees of a patch: histograms of oriented gradients and grey values, in cells. The extraction is in
// hog_features-inl.hpp.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "simd/vector.hpp"

namespace ferengine::kcf {

using simd::Float8;

constexpr int kCell = 2;                      // pixels on each side of a cell
constexpr int kCells = 24;                    // cells on each side of the patch
constexpr int kPatch = kCells * kCell;        // pixels on each side of the patch
constexpr int kMapSize = kCells * kCells;     // cells of one channel's map
constexpr int kOrientations = 9;              // of gradients without their sign
constexpr int kFeatures = kOrientations + 5;  // and four energies, and the grey value
constexpr int kChannelGroups = 2;             // of eight channels; the last two channels are zero

// Maps of eight channels side by side: channel group, then row and column of the cell.
using FeatureMaps = std::array<Float8, kChannelGroups * kMapSize>;

namespace hog {

constexpr int kStride = 16;                            // floats of a cell: the orientations, then zeros
constexpr int kHistogramRow = (kCells + 2) * kStride;  // a row of cells with one more at each end

// The unit vectors of the orientations.
struct Directions {
    std::array<float, kOrientations> x, y;
    Directions() {
        for (size_t k = 0; k < kOrientations; ++k) {
            const double angle = std::numbers::pi * static_cast<double>(k) / kOrientations;
            x[k] = static_cast<float>(std::cos(angle));
            y[k] = static_cast<float>(std::sin(angle));
        }
    }
};

inline const Directions kDirections{};

// Hann's window over the cells, near 0 at the patch's edges.
struct Window {
    std::array<float, kCells> weight;
    Window() {
        for (size_t i = 0; i < kCells; ++i)
            weight[i] = static_cast<float>(
                0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * (static_cast<double>(i) + 0.5) / kCells));
    }
};

inline const Window kWindow{};

struct alignas(32) Scratch {
    std::array<float, kPatch> magnitude, nearest, orientation;
    std::array<float, kHistogramRow> row;
    std::array<float, kCells * kHistogramRow> histogram;
    std::array<float, kMapSize> energy;
    std::array<float, (kCells + 1) * (kCells + 1)> norm;
};

}  // namespace hog
}  // namespace ferengine::kcf
