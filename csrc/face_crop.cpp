#include "face_crop.hpp"

#include <algorithm>
#include <cmath>

#include "grey.hpp"

namespace ferengine {
namespace {

// Compiled into each of the variants below, for their instruction sets.
#define FERENGINE_INLINE __attribute__((always_inline)) inline

constexpr int kMostSamples = 8;
constexpr double kMostQuads = 1 << 26;  // 256 MiB of scratch; their index is an int, which vectorises

// Four floats in one register (SSE, NEON): GCC's and Clang's vector extension.
using Float4 = float __attribute__((vector_size(16), aligned(4), may_alias));

inline Float4 load(const float* from) { return *reinterpret_cast<const Float4*>(from); }

template <int... Lanes>
inline Float4 pick(const Float4& a, const Float4& b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, Lanes...);
#else
    using Int4 = int __attribute__((vector_size(16)));
    return __builtin_shuffle(a, b, Int4{Lanes...});
#endif
}

// {sum of a, sum of b, sum of c, sum of d}
inline Float4 sums_of(const Float4& a, const Float4& b, const Float4& c, const Float4& d) {
    const Float4 ab = pick<0, 4, 1, 5>(a, b) + pick<2, 6, 3, 7>(a, b);
    const Float4 cd = pick<0, 4, 1, 5>(c, d) + pick<2, 6, 3, 7>(c, d);
    return pick<0, 1, 4, 5>(ab, cd) + pick<2, 3, 6, 7>(ab, cd);
}

// The pixels first .. last of `length` on which [low, high) falls, borders repeated: all that lies before pixel 0
// falls on pixel 0, all that lies after the last one on the last one.
struct Range {
    int first, last;
};

Range pixels_under(double low, double high, int length) {
    const int first = static_cast<int>(std::clamp(low, 0.0, length - 1.0));
    const int last = static_cast<int>(std::clamp(std::ceil(high) - 1.0, static_cast<double>(first), length - 1.0));
    return {first, last};
}

// The share of each of these pixels in [low, high). One pixel takes it all, also where low == high in floating point
// (far outside the frame).
void weigh(double low, double high, int length, Range range, float* weights) {
    if (range.first == range.last) {
        *weights = 1.0f;
        return;
    }
    const double scale = 1.0 / (high - low);
    for (int pixel = range.first; pixel <= range.last; ++pixel) {
        const double from = pixel == 0 ? low : std::max(low, static_cast<double>(pixel));
        const double to = pixel == length - 1 ? high : std::min(high, pixel + 1.0);
        *weights++ = static_cast<float>((to - from) * scale);
    }
}

template <typename Level>
FERENGINE_INLINE void grey_columns(const FrameView& frame, int y, int x0, int count, Level* out) {
    const uint8_t* pixels = frame.data + y * frame.stride + ptrdiff_t{x0} * frame.channels;
    if (frame.channels == 3) return grey_row(pixels, count, out);
    for (int i = 0; i < count; ++i) out[i] = pixels[i];
}

// Separable: source rows are made grey and summed, weighted, into one row for each destination row, which is then
// summed into `size` columns.
FERENGINE_INLINE void area_crop(const FrameView& frame, const Square& square, int size, float* out,
                                CropScratch& scratch) {
    const double step = static_cast<double>(square.side) / size;
    const double left = square.cx - 0.5 * square.side, top = square.cy - 0.5 * square.side;

    scratch.spans.clear();
    scratch.weights.clear();
    int x0 = 0, x1 = 0;
    for (int x = 0; x < size; ++x) {
        const double low = left + x * step, high = left + (x + 1) * step;
        const Range range = pixels_under(low, high, frame.width);
        const int blocks = (range.last - range.first) / 4 + 1;
        const size_t start = scratch.weights.size();
        scratch.weights.resize(start + 4 * static_cast<size_t>(blocks), 0.0f);
        weigh(low, high, frame.width, range, scratch.weights.data() + start);
        if (x == 0) x0 = range.first;
        x1 = range.last + 1;
        scratch.spans.push_back({range.first - x0, blocks, start});
    }
    while (scratch.spans.size() % 4 != 0) scratch.spans.push_back(scratch.spans.back());
    const int width = x1 - x0;
    // blocks read up to three columns past the last one, with weight 0
    scratch.row.assign(static_cast<size_t>(width), 0.0f);
    scratch.sums.assign(static_cast<size_t>(width) + 3, 0.0f);
    float* const row = scratch.row.data();
    float* const sums = scratch.sums.data();

    const auto columns_of = [&](size_t x) {
        const Span& span = scratch.spans[x];
        const float* weights = scratch.weights.data() + span.weights;
        Float4 sum = load(sums + span.first) * load(weights);
        for (int block = 1; block < span.blocks; ++block)
            sum += load(sums + span.first + 4 * block) * load(weights + 4 * block);
        return sum;
    };

    int held = -1;  // the source row that `row` holds: neighbours share one
    for (int y = 0; y < size; ++y) {
        const double low = top + y * step, high = top + (y + 1) * step;
        const Range range = pixels_under(low, high, frame.height);
        scratch.row_weights.resize(static_cast<size_t>(range.last - range.first + 1));
        weigh(low, high, frame.height, range, scratch.row_weights.data());
        for (int source = range.first; source <= range.last; ++source) {
            if (source != held) grey_columns(frame, source, x0, width, row);
            held = source;
            const float weight = scratch.row_weights[static_cast<size_t>(source - range.first)];
            if (source == range.first)
                for (int x = 0; x < width; ++x) sums[x] = weight * row[x];
            else
                for (int x = 0; x < width; ++x) sums[x] += weight * row[x];
        }
        float* const target = out + static_cast<size_t>(y) * static_cast<size_t>(size);
        for (size_t x = 0; x < scratch.spans.size(); x += 4) {
            const Float4 four = sums_of(columns_of(x), columns_of(x + 1), columns_of(x + 2), columns_of(x + 3));
            for (size_t i = 0; i < 4 && x + i < static_cast<size_t>(size); ++i) target[x + i] = four[i];
        }
    }
}

// A pixel with its right, lower and lower right neighbour, one byte each: all that one bilinear sample reads.
uint32_t quad(uint32_t pixel, uint32_t right, uint32_t below, uint32_t below_right) {
    return pixel | right << 8 | below << 16 | below_right << 24;
}

// A part of the frame as quads, borders repeated.
void pack_quads(const FrameView& part, CropScratch& scratch) {
    const auto width = static_cast<size_t>(part.width);
    scratch.quads.resize(width * static_cast<size_t>(part.height));
    scratch.greys.resize(2 * (width + 1));
    uint8_t* upper = scratch.greys.data();
    uint8_t* lower = upper + width + 1;
    const auto fill = [&](int y, uint8_t* row) {
        grey_columns(part, y, 0, part.width, row);
        row[width] = row[width - 1];
    };
    fill(0, upper);
    for (int y = 0; y < part.height; ++y) {
        fill(std::min(y + 1, part.height - 1), lower);
        uint32_t* quads = scratch.quads.data() + static_cast<size_t>(y) * width;
        for (size_t x = 0; x < width; ++x) quads[x] = quad(upper[x], upper[x + 1], lower[x], lower[x + 1]);
        std::swap(upper, lower);
    }
}

// `count` x `count` samples for each of `size` x `size` destination pixels, on a picture of `width` x `height`.
struct Grid {
    double cx, cy, side, c, s;
    int size, count, width, height;
};

// The mean of each destination pixel's samples; `quad_at(x, y)` looks a source pixel up.
template <typename QuadAt>
FERENGINE_INLINE void sample(const Grid& grid, const QuadAt& quad_at, float* out, CropScratch& scratch) {
    const int columns = grid.size * grid.count;
    const double step = grid.side / columns, x_most = grid.width - 1.0, y_most = grid.height - 1.0;
    const float scale = 1.0f / static_cast<float>(grid.count * grid.count);
    scratch.row.resize(static_cast<size_t>(columns));
    float* const row = scratch.row.data();
    std::fill(out, out + static_cast<ptrdiff_t>(grid.size) * grid.size, 0.0f);
    for (int j = 0; j < columns; ++j) {
        const double v = (j + 0.5) * step - 0.5 * grid.side;
        const double x_row = grid.cx - v * grid.s - 0.5, y_row = grid.cy + v * grid.c - 0.5;
        for (int i = 0; i < columns; ++i) {
            const double u = (i + 0.5) * step - 0.5 * grid.side;
            const double x = std::min(std::max(x_row + u * grid.c, 0.0), x_most);
            const double y = std::min(std::max(y_row + u * grid.s, 0.0), y_most);
            const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
            const auto fx = static_cast<float>(x - x0), fy = static_cast<float>(y - y0);
            const uint32_t four = quad_at(x0, y0);
            const auto at = [four](int shift) { return static_cast<float>(static_cast<int>(four >> shift & 255)); };
            const float upper = at(0) + (at(8) - at(0)) * fx, lower = at(16) + (at(24) - at(16)) * fx;
            row[i] = upper + (lower - upper) * fy;
        }
        float* const target = out + static_cast<ptrdiff_t>(j / grid.count) * grid.size;
        for (int x = 0; x < grid.size; ++x) {
            float sum = 0.0f;
            for (int i = 0; i < grid.count; ++i) sum += row[x * grid.count + i];
            target[x] += sum * scale;
        }
    }
}

FERENGINE_INLINE void sampled_crop(const FrameView& frame, const Square& square, int size, float* out,
                                   CropScratch& scratch) {
    const double side = square.side, c = std::cos(static_cast<double>(square.angle)),
                 s = std::sin(static_cast<double>(square.angle));
    const int count = static_cast<int>(std::clamp(std::ceil(side / size), 1.0, static_cast<double>(kMostSamples)));
    // the part of the frame that the samples can touch
    const double reach = 0.5 * side * (std::abs(c) + std::abs(s)) + 1.0;
    const int x0 = static_cast<int>(std::clamp(std::floor(square.cx - reach), 0.0, frame.width - 1.0));
    const int y0 = static_cast<int>(std::clamp(std::floor(square.cy - reach), 0.0, frame.height - 1.0));
    const int x1 = static_cast<int>(std::clamp<double>(std::ceil(square.cx + reach), x0 + 1, frame.width));
    const int y1 = static_cast<int>(std::clamp<double>(std::ceil(square.cy + reach), y0 + 1, frame.height));
    const FrameView part{frame.data + y0 * frame.stride + ptrdiff_t{x0} * frame.channels, y1 - y0, x1 - x0,
                         frame.channels, frame.stride};
    const Grid grid{static_cast<double>(square.cx) - x0,
                    static_cast<double>(square.cy) - y0,
                    side,
                    c,
                    s,
                    size,
                    count,
                    part.width,
                    part.height};
    const double samples = static_cast<double>(size) * size * count * count;
    if (static_cast<double>(part.width) * part.height <= std::min(4.0 * samples, kMostQuads)) {
        pack_quads(part, scratch);
        const uint32_t* const quads = scratch.quads.data();
        const int width = part.width;
        sample(grid, [=](int x, int y) { return quads[y * width + x]; }, out, scratch);
        return;
    }
    // the samples lie so far apart that packing would read much more than they do
    const auto grey_at = [&](int x, int y) {
        const uint8_t* pixel = part.data + y * part.stride + ptrdiff_t{x} * part.channels;
        return static_cast<uint32_t>(part.channels == 3 ? grey_level(pixel) : *pixel);
    };
    const auto quad_at = [&](int x, int y) {
        const int right = std::min(x + 1, part.width - 1), below = std::min(y + 1, part.height - 1);
        return quad(grey_at(x, y), grey_at(right, y), grey_at(x, below), grey_at(right, below));
    };
    sample(grid, quad_at, out, scratch);
}

FERENGINE_INLINE void crop(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch) {
    if (square.angle == 0.0f && square.side >= static_cast<float>(size))
        area_crop(frame, square, size, out, scratch);
    else
        sampled_crop(frame, square, size, out, scratch);
}

#if defined(FERENGINE_AVX2)
// The same code once more for eight floats a register.
__attribute__((target("avx2,fma"))) void crop_avx2(const FrameView& frame, const Square& square, int size, float* out,
                                                   CropScratch& scratch) {
    crop(frame, square, size, out, scratch);
}
#endif

}  // namespace

void crop_grey(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch) {
#if defined(FERENGINE_AVX2)
    static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2) return crop_avx2(frame, square, size, out, scratch);
#endif
    crop(frame, square, size, out, scratch);
}

void crop_rounded(const FrameView& frame, const Square& square, int size, uint8_t* out, CropScratch& scratch) {
    const size_t pixels = static_cast<size_t>(size) * static_cast<size_t>(size);
    scratch.levels.resize(pixels);
    crop_grey(frame, square, size, scratch.levels.data(), scratch);
    // sums of many thousand weights may come out a little above 255
    for (size_t i = 0; i < pixels; ++i) out[i] = static_cast<uint8_t>(std::min(scratch.levels[i] + 0.5f, 255.0f));
}

}  // namespace ferengine
