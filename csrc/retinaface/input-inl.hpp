// The loops of ScaledFrame, each over one row. For foreach_target.hpp.

namespace ferengine::retinaface::FERENGINE_TARGET {
namespace {

namespace v = simd::FERENGINE_TARGET;

// out[i] = sum over r of weights[r] * rows[r][i].
void blend_rows(const uint8_t* const* rows, const float* weights, int row_count, int count, float* out) {
    int x = 0;
    for (; x + v::kLanes <= count; x += v::kLanes) {
        v::Floats sum = weights[0] * v::load_bytes(rows[0] + x);
        for (int r = 1; r < row_count; ++r) sum += weights[r] * v::load_bytes(rows[r] + x);
        *reinterpret_cast<v::UnalignedFloats*>(out + x) = sum;
    }
    for (; x < count; ++x) {
        float sum = 0.0f;
        for (int r = 0; r < row_count; ++r) sum += weights[r] * static_cast<float>(rows[r][x]);
        out[x] = sum;
    }
}

// The mean of the pixels of a span, and what the next channel's memory holds in the fourth lane.
FERENGINE_INLINE v::Float4 mean_of(const float* sums, const Span& span, const float* weights) {
    const float* pixel = sums + 3 * static_cast<ptrdiff_t>(span.first);
    const float* weight = weights + span.first_weight;
    v::Float4 sum = *weight * v::load_float4(pixel);
    for (int i = 1; i < span.count; ++i) sum += weight[i] * v::load_float4(pixel + 3 * static_cast<ptrdiff_t>(i));
    return sum;
}

void blend_columns(const float* sums, const Span* spans, const float* weights, int count, const float* means,
                   float* out) {
    const v::Float4 mean{means[0], means[1], means[2], 0.0f};
    for (int x = 0; x + 1 < count; ++x, out += 3) v::store(out, mean_of(sums, spans[x], weights) - mean);
    const v::Float4 last = mean_of(sums, spans[count - 1], weights) - mean;  // what lies behind the row is another's
    for (int channel = 0; channel < 3; ++channel) out[channel] = last[channel];
}

}  // namespace
}  // namespace ferengine::retinaface::FERENGINE_TARGET
