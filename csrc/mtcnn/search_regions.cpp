#include "mtcnn/search_regions.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine::mtcnn {
namespace {

constexpr double kMinWindow = 0.7, kMaxWindow = 1.4;  // windows sought, in units of the known face's side
constexpr double kMargin = 1.0;                       // around the known face, in the same units

double side_of(const BoxCorners& box) {
    const double width = static_cast<double>(box.x2) - box.x1, height = static_cast<double>(box.y2) - box.y1;
    return width > 0 && height > 0 ? std::sqrt(width * height) : 0.0;
}

// Whether a face of this side is sought at levels[index].
bool fits_level(double side, std::span<const LevelSize> levels, size_t index, int window) {
    const auto ratio = [&](size_t level) { return window / levels[level].scale / side; };
    if (ratio(index) >= kMinWindow && ratio(index) <= kMaxWindow) return true;
    const double distance = std::abs(std::log(ratio(index)));
    for (size_t other = 0; other < levels.size(); ++other)
        if (other != index && std::abs(std::log(ratio(other))) <= distance) return false;
    return true;
}

// A part of an axis of `length` pixels, and how many pixels of the level it becomes.
struct Interval {
    int first, length, size;
};

// Around `centre`; its ends lie on pixels of the level, so that the image is not stretched.
Interval interval_around(double centre, double wanted, int length, double scale, int window) {
    const double size = std::max(std::ceil(wanted * scale), static_cast<double>(window)), whole = length * scale;
    const double pixels = std::round(size / scale);
    if (size >= std::floor(whole) || pixels >= length)
        return {.first = 0, .length = length, .size = static_cast<int>(whole)};
    const double first = std::clamp(std::round(centre - pixels / 2), 0.0, length - pixels);
    return {.first = static_cast<int>(first), .length = static_cast<int>(pixels), .size = static_cast<int>(size)};
}

}  // namespace

std::vector<SearchRegion> regions_near(std::span<const BoxCorners> near, int height, int width,
                                       std::span<const LevelSize> levels, size_t index, int window) {
    std::vector<SearchRegion> regions;
    const double scale = levels[index].scale;
    for (const BoxCorners& box : near) {
        const double side = side_of(box);
        if (side <= 0 || !fits_level(side, levels, index, window)) continue;
        const double wanted = side * (1 + 2 * kMargin);
        const double x = (static_cast<double>(box.x1) + box.x2) / 2, y = (static_cast<double>(box.y1) + box.y2) / 2;
        const Interval across = interval_around(x, wanted, width, scale, window);
        const Interval down = interval_around(y, wanted, height, scale, window);
        regions.push_back({.x = across.first,
                           .y = down.first,
                           .width = across.length,
                           .height = down.length,
                           .size = {.scale = scale, .height = down.size, .width = across.size}});
    }
    return regions;
}

}  // namespace ferengine::mtcnn
