#include "mtcnn_regions.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine {
namespace {

constexpr double kSmallest = 0.7, kLargest = 1.4;  // windows sought, in units of the known face's side
constexpr double kMargin = 1.0;                    // around the known face, in the same units

double side_of(const Corners& box) {
    const double width = static_cast<double>(box.x2) - box.x1, height = static_cast<double>(box.y2) - box.y1;
    return width > 0 && height > 0 ? std::sqrt(width * height) : 0.0;
}

bool fits(double side, const std::vector<LevelSize>& levels, size_t index, int window) {
    const auto ratio = [&](size_t level) { return window / levels[level].scale / side; };
    if (ratio(index) >= kSmallest && ratio(index) <= kLargest) return true;
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
    if (size >= std::floor(whole) || pixels >= length) return {0, length, static_cast<int>(whole)};
    const double first = std::clamp(std::round(centre - pixels / 2), 0.0, length - pixels);
    return {static_cast<int>(first), static_cast<int>(pixels), static_cast<int>(size)};
}

}  // namespace

std::vector<Region> regions_near(const std::vector<Corners>& near, int height, int width,
                                 const std::vector<LevelSize>& levels, size_t index, int window) {
    std::vector<Region> regions;
    const double scale = levels[index].scale;
    for (const Corners& box : near) {
        const double side = side_of(box);
        if (side <= 0 || !fits(side, levels, index, window)) continue;
        const double wanted = side * (1 + 2 * kMargin);
        const double x = (static_cast<double>(box.x1) + box.x2) / 2, y = (static_cast<double>(box.y1) + box.y2) / 2;
        const Interval across = interval_around(x, wanted, width, scale, window);
        const Interval down = interval_around(y, wanted, height, scale, window);
        regions.push_back({across.first, down.first, across.length, down.length, {scale, down.size, across.size}});
    }
    return regions;
}

}  // namespace ferengine
