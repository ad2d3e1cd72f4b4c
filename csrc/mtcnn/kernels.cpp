#include "mtcnn/kernels.hpp"

#define FERENGINE_TARGET_WIDE
#define FERENGINE_TARGET_INCLUDE "mtcnn/kernels-inl.hpp"
#include "simd/foreach_target.hpp"

namespace ferengine::mtcnn {

void max_pool_row(const MapRows& maps, int size, int channels, int count, float* out) {
    FERENGINE_DISPATCH_WIDE(max_pool_row)(maps, size, channels, count, out);
}

void blend_rows(std::span<const uint8_t* const> rows, const float* weights, int count, float* out) {
    FERENGINE_DISPATCH_WIDE(blend_rows)(rows.data(), weights, static_cast<int>(rows.size()), count, out);
}

void blend_columns(const float* sums, std::span<const AreaSpan> spans, const float* weights, float* out) {
    FERENGINE_DISPATCH_WIDE(blend_columns)(sums, spans.data(), weights, static_cast<int>(spans.size()), out);
}

void blend_columns_to_bytes(const float* sums, std::span<const AreaSpan> spans, const float* weights, uint8_t* out) {
    FERENGINE_DISPATCH_WIDE(blend_columns_to_bytes)(sums, spans.data(), weights, static_cast<int>(spans.size()), out);
}

void floats_of(const uint8_t* pixels, int count, float* out) { FERENGINE_DISPATCH_WIDE(floats_of)(pixels, count, out); }

void halve_row(const uint8_t* upper, const uint8_t* lower, int count, uint8_t* out) {
    FERENGINE_DISPATCH_WIDE(halve_row)(upper, lower, count, out);
}

void sample_row(const uint8_t* upper, const uint8_t* lower, float fraction, std::span<const LinearSample> samples,
                float* out) {
    FERENGINE_DISPATCH_WIDE(sample_row)(upper, lower, fraction, samples.data(), static_cast<int>(samples.size()), out);
}

}  // namespace ferengine::mtcnn
