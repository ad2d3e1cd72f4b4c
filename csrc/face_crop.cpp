#include "face_crop.hpp"

#include <algorithm>
#include <cmath>

namespace ferengine {
namespace {

constexpr int kMostSamples = 8;

inline float grey_at(const FrameView& frame, int x, int y) {
    const uint8_t* pixel = frame.data + y * frame.stride + static_cast<ptrdiff_t>(x) * frame.channels;
    if (frame.channels == 1) return pixel[0];
    return static_cast<float>((pixel[0] * 1868 + pixel[1] * 9617 + pixel[2] * 4899 + 8192) >> 14);
}

void grey_row(const FrameView& frame, int y, int x0, int count, float* out) {
    const uint8_t* pixel = frame.data + y * frame.stride + static_cast<ptrdiff_t>(x0) * frame.channels;
    if (frame.channels == 1) {
        for (int i = 0; i < count; ++i) out[i] = pixel[i];
        return;
    }
    for (int i = 0; i < count; ++i)
        out[i] =
            static_cast<float>((pixel[3 * i] * 1868 + pixel[3 * i + 1] * 9617 + pixel[3 * i + 2] * 4899 + 8192) >> 14);
}

// Where [low, high) falls on `length` pixels with repeated borders: weights of the pixels first .. first + count - 1.
// All that lies before pixel 0 counts for pixel 0, all that lies after the last one for the last one.
struct Span {
    int first, count;
};

Span weigh(double low, double high, int length, float* weights) {
    const double inside_low = std::clamp(low, 0.0, static_cast<double>(length));
    const double inside_high = std::clamp(high, 0.0, static_cast<double>(length));
    const int first = std::min(static_cast<int>(inside_low), length - 1);
    const int last = std::clamp(static_cast<int>(std::ceil(inside_high)) - 1, first, length - 1);
    const double scale = 1.0 / (high - low);
    for (int pixel = first; pixel <= last; ++pixel) {
        const double from = pixel == 0 ? low : std::max(low, static_cast<double>(pixel));
        const double to = pixel == length - 1 ? high : std::min(high, pixel + 1.0);
        weights[pixel - first] = static_cast<float>((to - from) * scale);
    }
    return {first, last - first + 1};
}

// Separable: each needed source row is made grey once and summed into `size` columns, then added to its one or two
// destination rows.
void area_crop(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch) {
    const double step = static_cast<double>(square.side) / size;
    const double left = square.cx - 0.5 * square.side, top = square.cy - 0.5 * square.side;
    const size_t widest = static_cast<size_t>(std::min<double>(step, std::max(frame.width, frame.height))) + 3;
    scratch.weights.resize(widest * static_cast<size_t>(size) + widest);
    scratch.first.resize(static_cast<size_t>(size));
    scratch.count.resize(static_cast<size_t>(size));
    for (int x = 0; x < size; ++x) {
        const Span span = weigh(left + x * step, left + (x + 1) * step, frame.width,
                                scratch.weights.data() + static_cast<size_t>(x) * widest);
        scratch.first[static_cast<size_t>(x)] = span.first;
        scratch.count[static_cast<size_t>(x)] = span.count;
    }
    const int x0 = scratch.first.front(), x1 = scratch.first.back() + scratch.count.back();
    scratch.row.resize(static_cast<size_t>(x1 - x0) + static_cast<size_t>(size));
    float* grey = scratch.row.data();
    float* columns = grey + (x1 - x0);
    float* row_weights = scratch.weights.data() + widest * static_cast<size_t>(size);
    int done = -1;  // the source row that `columns` holds
    for (int y = 0; y < size; ++y) {
        float* target = out + static_cast<size_t>(y) * static_cast<size_t>(size);
        std::fill(target, target + size, 0.0f);
        const Span span = weigh(top + y * step, top + (y + 1) * step, frame.height, row_weights);
        for (int k = 0; k < span.count; ++k) {
            if (span.first + k != done) {
                done = span.first + k;
                grey_row(frame, done, x0, x1 - x0, grey);
                for (int x = 0; x < size; ++x) {
                    const float* weights = scratch.weights.data() + static_cast<size_t>(x) * widest;
                    const float* pixels = grey + (scratch.first[static_cast<size_t>(x)] - x0);
                    float sum = 0.0f;
                    for (int i = 0; i < scratch.count[static_cast<size_t>(x)]; ++i) sum += weights[i] * pixels[i];
                    columns[x] = sum;
                }
            }
            const float weight = row_weights[k];
            for (int x = 0; x < size; ++x) target[x] += weight * columns[x];
        }
    }
}

float bilinear(const FrameView& frame, double x, double y) {
    const double px = std::clamp(x - 0.5, 0.0, frame.width - 1.0);
    const double py = std::clamp(y - 0.5, 0.0, frame.height - 1.0);
    const int x0 = static_cast<int>(px), y0 = static_cast<int>(py);
    const int x1 = std::min(x0 + 1, frame.width - 1), y1 = std::min(y0 + 1, frame.height - 1);
    const auto fx = static_cast<float>(px - x0), fy = static_cast<float>(py - y0);
    const float upper = grey_at(frame, x0, y0) * (1 - fx) + grey_at(frame, x1, y0) * fx;
    const float lower = grey_at(frame, x0, y1) * (1 - fx) + grey_at(frame, x1, y1) * fx;
    return upper * (1 - fy) + lower * fy;
}

void sampled_crop(const FrameView& frame, const Square& square, int size, float* out) {
    const double step = static_cast<double>(square.side) / size;
    const int samples = static_cast<int>(std::clamp(std::ceil(step), 1.0, static_cast<double>(kMostSamples)));
    const double c = std::cos(square.angle), s = std::sin(square.angle);
    const float scale = 1.0f / static_cast<float>(samples * samples);
    for (int y = 0; y < size; ++y)
        for (int x = 0; x < size; ++x) {
            float sum = 0.0f;
            for (int j = 0; j < samples; ++j)
                for (int i = 0; i < samples; ++i) {
                    const double u = (x + (i + 0.5) / samples) * step - 0.5 * square.side;
                    const double v = (y + (j + 0.5) / samples) * step - 0.5 * square.side;
                    sum += bilinear(frame, square.cx + u * c - v * s, square.cy + u * s + v * c);
                }
            out[y * size + x] = sum * scale;
        }
}

}  // namespace

void crop_grey(const FrameView& frame, const Square& square, int size, float* out, CropScratch& scratch) {
    if (square.angle == 0.0f && square.side >= static_cast<float>(size))
        area_crop(frame, square, size, out, scratch);
    else
        sampled_crop(frame, square, size, out);
}

}  // namespace ferengine
