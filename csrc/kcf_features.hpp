// What the tracker sees of a patch: histograms of oriented gradients and grey levels, in cells.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "lanes.hpp"

namespace ferengine {

constexpr int kCell = 2;                      // pixels on each side of a cell
constexpr int kCells = 24;                    // cells on each side of the patch
constexpr int kPatch = kCells * kCell;        // pixels on each side of the patch
constexpr int kMapSize = kCells * kCells;     // cells of one channel's map
constexpr int kOrientations = 9;              // of gradients without their sign
constexpr int kFeatures = kOrientations + 5;  // and four energies, and the grey level
constexpr int kGroups = 2;                    // of eight channels; the last two are zero

// Maps of eight channels side by side: group, then row and column of the cell.
using FeatureMaps = std::array<Float8, kGroups * kMapSize>;

namespace hog {

constexpr int kStride = 16;                            // floats a cell: the orientations, then zeros
constexpr int kHistogramRow = (kCells + 2) * kStride;  // a row of cells with one more at each end

struct Directions {
    std::array<float, kOrientations> x, y;
    Directions() {
        for (size_t k = 0; k < kOrientations; ++k) {
            const double angle = 3.14159265358979323846 * static_cast<double>(k) / kOrientations;
            x[k] = static_cast<float>(std::cos(angle));
            y[k] = static_cast<float>(std::sin(angle));
        }
    }
};

inline const Directions directions{};

// Hann's window over the cells, 0 at the patch's edges.
struct Window {
    std::array<float, kCells> weight;
    Window() {
        for (size_t i = 0; i < kCells; ++i)
            weight[i] = static_cast<float>(
                0.5 - 0.5 * std::cos(2.0 * 3.14159265358979323846 * (static_cast<double>(i) + 0.5) / kCells));
    }
};

inline const Window window{};

struct alignas(32) Scratch {
    std::array<float, kPatch> magnitude, nearest, orientation;
    std::array<float, kHistogramRow> row;
    std::array<float, kCells * kHistogramRow> histogram;
    std::array<float, kMapSize> energy;
    std::array<float, (kCells + 1) * (kCells + 1)> norm;
};

// Length and orientation (0 to 8, the nearest of nine directions) of the gradients of row `y`; central differences, at
// the edges with the edge pixel itself.
FERENGINE_INLINE void gradients(const float* patch, int y, Scratch& scratch) {
    const float* here = patch + y * kPatch;
    const float* above = patch + (y > 0 ? y - 1 : y) * kPatch;
    const float* below = patch + (y + 1 < kPatch ? y + 1 : y) * kPatch;
    float across[kPatch], down[kPatch];
    for (int x = 1; x < kPatch - 1; ++x) across[x] = here[x + 1] - here[x - 1];
    across[0] = here[1] - here[0];
    across[kPatch - 1] = here[kPatch - 1] - here[kPatch - 2];
    for (int x = 0; x < kPatch; ++x) down[x] = below[x] - above[x];
    float* const nearest = scratch.nearest.data();
    float* const orientation = scratch.orientation.data();
    float* const magnitude = scratch.magnitude.data();
    for (int x = 0; x < kPatch; ++x) {
        magnitude[x] = std::sqrt(across[x] * across[x] + down[x] * down[x]);
        nearest[x] = std::abs(across[x]);
        orientation[x] = 0.0f;
    }
    for (size_t k = 1; k < kOrientations; ++k) {
        const float c = directions.x[k], s = directions.y[k], index = static_cast<float>(k);
        for (int x = 0; x < kPatch; ++x) {
            const float along = std::abs(across[x] * c + down[x] * s);
            orientation[x] = along > nearest[x] ? index : orientation[x];
            nearest[x] = along > nearest[x] ? along : nearest[x];
        }
    }
}

// Lengths by orientation in each cell; each pixel is shared out bilinearly among the four cells around it.
FERENGINE_INLINE void histograms(const float* patch, Scratch& scratch) {
    constexpr float far = 0.25f, close = 0.75f;  // of a pixel a quarter of a cell from its cell's middle
    static_assert(kCell == 2);
    scratch.histogram.fill(0.0f);
    for (int y = 0; y < kPatch; ++y) {
        gradients(patch, y, scratch);
        scratch.row.fill(0.0f);
        for (int x = 0; x < kPatch; ++x) {
            const auto pixel = static_cast<size_t>(x);
            // cell c is at c + 1, its left neighbour takes from its first pixel, its right one from its second
            float* const own =
                scratch.row.data() + (x / 2 + 1) * kStride + static_cast<int>(scratch.orientation[pixel]);
            own[0] += close * scratch.magnitude[pixel];
            own[x % 2 == 0 ? -kStride : kStride] += far * scratch.magnitude[pixel];
        }
        const auto add_to = [&](int cell_row, float share) {
            if (cell_row < 0 || cell_row >= kCells) return;
            float* const target = scratch.histogram.data() + cell_row * kHistogramRow;
            for (int i = 0; i < kHistogramRow; ++i) target[i] += share * scratch.row[static_cast<size_t>(i)];
        };
        add_to(y / 2, close);
        add_to(y % 2 == 0 ? y / 2 - 1 : y / 2 + 1, far);
    }
}

FERENGINE_INLINE const float* histogram_of(const Scratch& scratch, int y, int x) {
    return scratch.histogram.data() + y * kHistogramRow + (x + 1) * kStride;
}

// 1 / the length of the histograms of the four cells around each corner; beyond the patch its border is repeated.
FERENGINE_INLINE void norms(Scratch& scratch) {
    for (int y = 0; y < kCells; ++y)
        for (int x = 0; x < kCells; ++x) {
            const float* h = histogram_of(scratch, y, x);
            const Float8 low = load8(h), high = load8(h + 8);
            scratch.energy[static_cast<size_t>(y * kCells + x)] = sum_of(low * low + high * high);
        }
    constexpr float least = 0.4f;  // of a flat patch: bounds what its noise is blown up to
    const auto energy = [&](int y, int x) {
        const int inside_y = y < 0         ? 0
                             : y >= kCells ? kCells - 1
                                           : y,
                  inside_x = x < 0         ? 0
                             : x >= kCells ? kCells - 1
                                           : x;
        return scratch.energy[static_cast<size_t>(inside_y * kCells + inside_x)];
    };
    for (int y = 0; y <= kCells; ++y)
        for (int x = 0; x <= kCells; ++x) {
            const float sum = energy(y - 1, x - 1) + energy(y - 1, x) + energy(y, x - 1) + energy(y, x);
            scratch.norm[static_cast<size_t>(y * (kCells + 1) + x)] = 1.0f / std::sqrt(sum + least);
        }
}

}  // namespace hog

// The windowed feature maps of `patch`, kPatch x kPatch grey levels: for each cell nine orientations without sign, each
// the sum of its four normalised and truncated values, four sums over the orientations by normalisation, and the mean
// grey level relative to the patch's. P. Felzenszwalb et al., "Object Detection with Discriminatively Trained
// Part-Based Models", PAMI 2010, section 6, without the nine signed pairs; windowed after J. F. Henriques et al.,
// "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015.
FERENGINE_INLINE void extract_features(const float* patch, FeatureMaps& maps, hog::Scratch& scratch) {
    hog::histograms(patch, scratch);
    hog::norms(scratch);
    float mean = 0.0f;
    for (int i = 0; i < kPatch * kPatch; ++i) mean += patch[i];
    mean /= kPatch * kPatch;
    const Float8 most = Float8{} + 0.2f;
    for (int y = 0; y < kCells; ++y)
        for (int x = 0; x < kCells; ++x) {
            const float* h = hog::histogram_of(scratch, y, x);
            const Float8 low = load8(h), high = load8(h + 8);
            Float8 sum_low = {}, sum_high = {};
            float texture[4];
            for (int q = 0; q < 4; ++q) {
                const float norm = scratch.norm[static_cast<size_t>((y + q / 2) * (kCells + 1) + x + q % 2)];
                const Float8 a = least_of(low * norm, most), b = least_of(high * norm, most);
                sum_low += a;
                sum_high += b;
                texture[q] = 0.2357f * sum_of(a + b);
            }
            const float* pixels = patch + kCell * (y * kPatch + x);
            const float grey = (0.25f * (pixels[0] + pixels[1] + pixels[kPatch] + pixels[kPatch + 1]) - mean) / 255.0f;
            const float weight =
                hog::window.weight[static_cast<size_t>(y)] * hog::window.weight[static_cast<size_t>(x)];
            const auto cell = static_cast<size_t>(y * kCells + x);
            maps[cell] = sum_low * (0.5f * weight);
            maps[kMapSize + cell] =
                Float8{0.5f * sum_high[0], texture[0], texture[1], texture[2], texture[3], grey, 0.0f, 0.0f} * weight;
        }
}

}  // namespace ferengine
