// The features of a patch. For foreach_target.hpp.

namespace ferengine::kcf::FERENGINE_TARGET {
namespace {

namespace v = simd::FERENGINE_TARGET;

// Length and orientation (0 to 8, the nearest of nine directions) of the gradients of row `y`; central differences, at
// the edges with the edge pixel itself.
FERENGINE_INLINE void gradients(const float* patch, int y, hog::Scratch& scratch) {
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
        const float c = hog::kDirections.x[k], s = hog::kDirections.y[k], index = static_cast<float>(k);
        for (int x = 0; x < kPatch; ++x) {
            const float along = std::abs(across[x] * c + down[x] * s);
            orientation[x] = along > nearest[x] ? index : orientation[x];
            nearest[x] = along > nearest[x] ? along : nearest[x];
        }
    }
}

// Lengths by orientation in each cell; each pixel is distributed bilinearly over the four cells around it.
FERENGINE_INLINE void histograms(const float* patch, hog::Scratch& scratch) {
    constexpr float far = 0.25f, close = 0.75f;  // of a pixel a quarter of a cell from its cell's centre
    static_assert(kCell == 2);
    scratch.histogram.fill(0.0f);
    for (int y = 0; y < kPatch; ++y) {
        gradients(patch, y, scratch);
        scratch.row.fill(0.0f);
        for (int x = 0; x < kPatch; ++x) {
            const auto pixel = static_cast<size_t>(x);
            // cell c is at c + 1, its left neighbour takes from its first pixel, its right one from its second
            float* const own =
                scratch.row.data() + (x / 2 + 1) * hog::kStride + static_cast<int>(scratch.orientation[pixel]);
            own[0] += close * scratch.magnitude[pixel];
            own[x % 2 == 0 ? -hog::kStride : hog::kStride] += far * scratch.magnitude[pixel];
        }
        const auto add_to = [&](int cell_row, float weight) {
            if (cell_row < 0 || cell_row >= kCells) return;
            float* const target = scratch.histogram.data() + cell_row * hog::kHistogramRow;
            for (int i = 0; i < hog::kHistogramRow; ++i) target[i] += weight * scratch.row[static_cast<size_t>(i)];
        };
        add_to(y / 2, close);
        add_to(y % 2 == 0 ? y / 2 - 1 : y / 2 + 1, far);
    }
}

FERENGINE_INLINE const float* histogram_of(const hog::Scratch& scratch, int y, int x) {
    return scratch.histogram.data() + y * hog::kHistogramRow + (x + 1) * hog::kStride;
}

// 1 / the length of the histograms of the four cells around each corner; beyond the patch its border is repeated.
FERENGINE_INLINE void norms(hog::Scratch& scratch) {
    for (int y = 0; y < kCells; ++y)
        for (int x = 0; x < kCells; ++x) {
            const float* h = histogram_of(scratch, y, x);
            const Float8 low = v::load_float8(h), high = v::load_float8(h + 8);
            scratch.energy[static_cast<size_t>(y * kCells + x)] = v::sum(low * low + high * high);
        }
    constexpr float floor = 0.4f;  // bounds how far the noise of a flat patch is amplified
    const auto energy = [&](int y, int x) {
        const int inside_y = std::clamp(y, 0, kCells - 1), inside_x = std::clamp(x, 0, kCells - 1);
        return scratch.energy[static_cast<size_t>(inside_y * kCells + inside_x)];
    };
    for (int y = 0; y <= kCells; ++y)
        for (int x = 0; x <= kCells; ++x) {
            const float sum = energy(y - 1, x - 1) + energy(y - 1, x) + energy(y, x - 1) + energy(y, x);
            scratch.norm[static_cast<size_t>(y * (kCells + 1) + x)] = 1.0f / std::sqrt(sum + floor);
        }
}

// The windowed feature maps of `patch`, kPatch x kPatch grey values: for each cell nine orientations without sign, each
// the sum of its four normalised and truncated values, four sums over the orientations by normalisation, and the mean
// grey value relative to the patch's. P. Felzenszwalb et al., "Object Detection with Discriminatively Trained
// Part-Based Models", PAMI 2010, section 6, without the nine signed pairs; windowed after J. F. Henriques et al.,
// "High-Speed Tracking with Kernelized Correlation Filters", PAMI 2015.
FERENGINE_INLINE void extract_features(const float* patch, FeatureMaps& maps, hog::Scratch& scratch) {
    histograms(patch, scratch);
    norms(scratch);
    float mean = 0.0f;
    for (int i = 0; i < kPatch * kPatch; ++i) mean += patch[i];
    mean /= kPatch * kPatch;
    const Float8 limit = Float8{} + 0.2f;
    for (int y = 0; y < kCells; ++y) {
        for (int x = 0; x < kCells; ++x) {
            const float* h = histogram_of(scratch, y, x);
            const Float8 low = v::load_float8(h), high = v::load_float8(h + 8);
            Float8 sum_low = {}, sum_high = {};
            float texture[4];
            for (int q = 0; q < 4; ++q) {
                const float norm = scratch.norm[static_cast<size_t>((y + q / 2) * (kCells + 1) + x + q % 2)];
                const Float8 a = v::min(low * norm, limit), b = v::min(high * norm, limit);
                sum_low += a;
                sum_high += b;
                texture[q] = 0.2357f * v::sum(a + b);
            }
            const float* pixels = patch + kCell * (y * kPatch + x);
            const float grey = (0.25f * (pixels[0] + pixels[1] + pixels[kPatch] + pixels[kPatch + 1]) - mean) / 255.0f;
            const float weight =
                hog::kWindow.weight[static_cast<size_t>(y)] * hog::kWindow.weight[static_cast<size_t>(x)];
            const auto cell = static_cast<size_t>(y * kCells + x);
            maps[cell] = sum_low * (0.5f * weight);
            maps[kMapSize + cell] =
                Float8{0.5f * sum_high[0], texture[0], texture[1], texture[2], texture[3], grey, 0.0f, 0.0f} * weight;
        }
    }
}

}  // namespace
}  // namespace ferengine::kcf::FERENGINE_TARGET
