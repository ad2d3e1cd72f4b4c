// The loops of resize_area. For foreach_target.hpp.
//
// Separable: source rows are reduced to the channel and summed, weighted, into one row for each destination row, which
// is then summed into `size` columns.
#include "image/grayscale-inl.hpp"

namespace ferengine::image::FERENGINE_TARGET {
namespace {

namespace v = simd::FERENGINE_TARGET;

// The weight of `pixel`, one of `range`, in the mean over [low, high), which is 1 / scale long. A single pixel has all
// the weight, also where low == high in floating point (far outside the frame).
FERENGINE_INLINE float weight_of(double low, double high, double scale, int pixel, int length, PixelRange range) {
    if (range.first == range.last) return 1.0f;
    if (pixel != range.first && pixel != range.last) return static_cast<float>(scale);
    const double from = pixel == 0 ? low : std::max(low, static_cast<double>(pixel));
    const double to = pixel == length - 1 ? high : std::min(high, pixel + 1.0);
    return static_cast<float>((to - from) * scale);
}

void resize_area(const FrameView& frame, Channel channel, const UprightSquare& square, int size, int max_rows,
                 float* out, AreaScratch& scratch) {
    const double step = square.side / size, scale = 1.0 / step;
    const double left = square.cx - 0.5 * square.side, top = square.cy - 0.5 * square.side;

    // the columns of each destination pixel, in `blocks` times eight from its first on, weight 0 where they are not its
    const int max_columns = static_cast<int>(std::min(std::ceil(step) + 2.0, static_cast<double>(frame.width)));
    const int blocks = (max_columns + 7) / 8, columns = (size + 7) / 8 * 8;
    scratch.first_columns.assign(static_cast<size_t>(columns), 0);
    scratch.weights.assign(static_cast<size_t>(columns) * static_cast<size_t>(blocks) * 8, 0.0f);
    const int x0 = pixels_under(left, left + step, frame.width).first;
    int x1 = x0 + 1;
    for (int x = 0; x < size; ++x) {
        const double low = left + x * step, high = left + (x + 1) * step;
        const PixelRange range = pixels_under(low, high, frame.width);
        float* weight = scratch.weights.data() + ptrdiff_t{8} * blocks * x;
        for (int pixel = range.first; pixel <= range.last; ++pixel)
            *weight++ = weight_of(low, high, scale, pixel, frame.width, range);
        scratch.first_columns[static_cast<size_t>(x)] = range.first - x0;
        x1 = range.last + 1;
    }
    const int width = x1 - x0;
    scratch.row.assign(static_cast<size_t>(width), 0.0f);
    scratch.sums.assign(static_cast<size_t>(width) + static_cast<size_t>(blocks) * 8, 0.0f);
    float* const row = scratch.row.data();
    float* const sums = scratch.sums.data();
    const int* const first_columns = scratch.first_columns.data();
    const float* const weights = scratch.weights.data();

    const auto column = [=](int x) {
        const float* const from = sums + first_columns[x];
        const float* const weight = weights + ptrdiff_t{8} * blocks * x;
        simd::Float8 sum = v::load_float8(from) * v::load_float8(weight);
        for (int i = 8; i < 8 * blocks; i += 8) sum += v::load_float8(from + i) * v::load_float8(weight + i);
        return sum;
    };

    int held = -1;  // the source row that `row` holds: neighbours have one in common
    const auto add_row = [&](int source, float weight, bool first) {
        if (source != held) channel_pixels(frame, channel, source, x0, width, row);
        held = source;
        if (first)
            for (int x = 0; x < width; ++x) sums[x] = weight * row[x];
        else
            for (int x = 0; x < width; ++x) sums[x] += weight * row[x];
    };
    for (int y = 0; y < size; ++y) {
        const double low = top + y * step, high = top + (y + 1) * step;
        const PixelRange range = pixels_under(low, high, frame.height);
        if (max_rows > 0 && range.last - range.first >= max_rows) {
            for (int i = 0; i < max_rows; ++i) {
                const double at = std::clamp(low + (i + 0.5) * step / max_rows, 0.0, frame.height - 1.0);
                add_row(static_cast<int>(at), 1.0f / static_cast<float>(max_rows), i == 0);
            }
        } else {
            for (int source = range.first; source <= range.last; ++source)
                add_row(source, weight_of(low, high, scale, source, frame.height, range), source == range.first);
        }
        float* const target = out + static_cast<size_t>(y) * static_cast<size_t>(size);
        for (int x = 0; x < size; x += 8) {
            const simd::Float8 eight =
                v::merge_half_sums(v::half_sums(column(x), column(x + 1), column(x + 2), column(x + 3)),
                                   v::half_sums(column(x + 4), column(x + 5), column(x + 6), column(x + 7)));
            if (x + 8 <= size)
                v::store(target + x, eight);
            else
                for (int i = 0; x + i < size; ++i) target[x + i] = eight[i];
        }
    }
}

}  // namespace
}  // namespace ferengine::image::FERENGINE_TARGET
