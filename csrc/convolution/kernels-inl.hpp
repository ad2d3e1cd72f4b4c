// The inner loops of convolutions. For foreach_target.hpp.

namespace ferengine::convolution::FERENGINE_TARGET {
namespace {

namespace v = simd::FERENGINE_TARGET;
using v::Floats;
using v::kLanes;

constexpr int kVectors = kGroup / kLanes;  // registers that a pixel's group takes
constexpr int kMaxPixels = 12 / kVectors;  // 12 sums leave room for weights and inputs among 16 registers or more

// One group of output channels for `Pixels` neighbours. Kernel columns and input channels lie side by side in a row, so
// a row of the kernel is one dot product of `length` terms.
template <int Pixels>
inline void convolve_block(const ConvolutionView& layer, const float* const* rows, int x, const float* weights,
                           const float* bias, const float* slopes, float* out, ptrdiff_t pitch) {
    const int length = layer.kernel * layer.in;
    const ptrdiff_t step = layer.step;
    Floats sums[Pixels][kVectors];
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p)
#pragma GCC unroll 16
        for (int i = 0; i < kVectors; ++i) sums[p][i] = v::load_floats(bias + i * kLanes);
    for (int ky = 0; ky < layer.kernel; ++ky) {
        const float* inputs = rows[ky] + x * step;
        for (int tap = 0; tap < length; ++tap, ++inputs, weights += kGroup) {
            Floats weight[kVectors];
#pragma GCC unroll 16
            for (int i = 0; i < kVectors; ++i) weight[i] = v::load_floats(weights + i * kLanes);
#pragma GCC unroll 16
            for (int p = 0; p < Pixels; ++p) {
                const float input = inputs[p * step];
#pragma GCC unroll 16
                for (int i = 0; i < kVectors; ++i) sums[p][i] += input * weight[i];
            }
        }
    }
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p)
#pragma GCC unroll 16
        for (int i = 0; i < kVectors; ++i) {
            const Floats sum = sums[p][i], slope = v::load_floats(slopes + i * kLanes);
            v::store(out + p * pitch + i * kLanes, sum > 0.0f ? sum : sum * slope);
        }
}

// convolve_block for `pixels`, at most Pixels.
template <int Pixels>
FERENGINE_INLINE void convolve_pixels(const ConvolutionView& layer, const float* const* rows, int x, int pixels,
                                      const float* weights, const float* bias, const float* slopes, float* out) {
    if constexpr (Pixels > 1) {
        if (pixels < Pixels) return convolve_pixels<Pixels - 1>(layer, rows, x, pixels, weights, bias, slopes, out);
    }
    convolve_block<Pixels>(layer, rows, x, weights, bias, slopes, out, layer.pitch);
}

void convolve_row(const ConvolutionView& layer, const float* const* rows, int count, float* out) {
    const int length = layer.kernel * layer.kernel * layer.in;
    const int blocks = (count + kMaxPixels - 1) / kMaxPixels;  // of equal size, give or take one pixel
    for (int group = 0; group < layer.groups; ++group) {
        const float* weights = layer.weights + static_cast<ptrdiff_t>(group) * length * kGroup;
        const float *bias = layer.bias + group * kGroup, *slopes = layer.slopes + group * kGroup;
        int x = 0;
        for (int block = 0; block < blocks; ++block) {
            const int pixels = (count - x) / (blocks - block);
            float* const target = out + x * layer.pitch + group * kGroup;
            convolve_pixels<kMaxPixels>(layer, rows, x, pixels, weights, bias, slopes, target);
            x += pixels;
        }
    }
}

// The nine weights of a register's channels stay in registers.
void convolve_depthwise_row(const DepthwiseView& layer, const float* const* rows, int count, float* out) {
    const ptrdiff_t pitch = layer.pitch, step = layer.step;
    for (int channel = 0; channel < layer.channels; channel += kLanes) {
        Floats weights[9];
#pragma GCC unroll 9
        for (int tap = 0; tap < 9; ++tap) weights[tap] = v::load_floats(layer.weights + tap * pitch + channel);
        const Floats bias = v::load_floats(layer.bias + channel), slope = v::load_floats(layer.slopes + channel);
        for (int x = 0; x < count; ++x) {
            Floats sum = bias;
#pragma GCC unroll 3
            for (int ky = 0; ky < 3; ++ky) {
                const float* const inputs = rows[ky] + x * step + channel;
#pragma GCC unroll 3
                for (int kx = 0; kx < 3; ++kx) sum += v::load_floats(inputs + kx * pitch) * weights[3 * ky + kx];
            }
            v::store(out + x * pitch + channel, sum > 0.0f ? sum : sum * slope);
        }
    }
}

}  // namespace
}  // namespace ferengine::convolution::FERENGINE_TARGET
