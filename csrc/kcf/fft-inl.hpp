// Fourier transforms whose size is known to the compiler. For foreach_target.hpp.

namespace ferengine::kcf::FERENGINE_TARGET {
namespace {

// Unnormalised forward transform of N numbers, `stride` apart, into N adjacent ones: radix 4 where N allows, then 3, 2
// and the definition for other primes. J. W. Cooley and J. W. Tukey, "An Algorithm for the Machine Calculation of
// Complex Fourier Series", Mathematics of Computation 19, 1965.
template <int N, typename V>
FERENGINE_INLINE void fft(const Complex<V>* in, ptrdiff_t stride, Complex<V>* out) {
    if constexpr (N == 1) {
        out[0] = in[0];
    } else {
        constexpr int R = N % 4 == 0 ? 4 : N % 3 == 0 ? 3 : N % 2 == 0 ? 2 : N;
        constexpr int M = N / R;
        for (int r = 0; r < R; ++r) fft<M>(in + r * stride, R * stride, out + r * M);
        for (int k = 0; k < M; ++k) {
            Complex<V> term[R];
            term[0] = out[k];
            for (int r = 1; r < R; ++r) {
                const Complex<V>& part = out[r * M + k];
                const float c = kTwiddles<N>.re[static_cast<size_t>(r * k)];
                const float s = kTwiddles<N>.im[static_cast<size_t>(r * k)];
                term[r] = {part.re * c - part.im * s, part.re * s + part.im * c};
            }
            if constexpr (R == 2) {
                out[k] = {term[0].re + term[1].re, term[0].im + term[1].im};
                out[M + k] = {term[0].re - term[1].re, term[0].im - term[1].im};
            } else if constexpr (R == 4) {
                const V even_re = term[0].re + term[2].re, even_im = term[0].im + term[2].im;
                const V odd_re = term[0].re - term[2].re, odd_im = term[0].im - term[2].im;
                const V sum_re = term[1].re + term[3].re, sum_im = term[1].im + term[3].im;
                // -i (term[1] - term[3])
                const V rotated_re = term[1].im - term[3].im, rotated_im = term[3].re - term[1].re;
                out[k] = {even_re + sum_re, even_im + sum_im};
                out[M + k] = {odd_re + rotated_re, odd_im + rotated_im};
                out[2 * M + k] = {even_re - sum_re, even_im - sum_im};
                out[3 * M + k] = {odd_re - rotated_re, odd_im - rotated_im};
            } else {
                for (int q = 0; q < R; ++q) {
                    Complex<V> sum = term[0];
                    for (int r = 1; r < R; ++r) {
                        const float c = kTwiddles<R>.re[static_cast<size_t>(q * r % R)];
                        const float s = kTwiddles<R>.im[static_cast<size_t>(q * r % R)];
                        sum.re = sum.re + term[r].re * c - term[r].im * s;
                        sum.im = sum.im + term[r].re * s + term[r].im * c;
                    }
                    out[q * M + k] = sum;
                }
            }
        }
    }
}

// A real map, `in` N x N, to its half spectrum, `out` N x kHalfColumns<N>; N even. Two rows are transformed as the real
// and the imaginary part of one.
template <int N, typename V>
FERENGINE_INLINE void rfft2(const V* in, Complex<V>* out) {
    constexpr int half = kHalfColumns<N>;
    Complex<V> pair[N], both[N];
    for (int y = 0; y < N; y += 2) {
        for (int x = 0; x < N; ++x) pair[x] = {in[y * N + x], in[(y + 1) * N + x]};
        fft<N>(pair, 1, both);
        for (int k = 0; k < half; ++k) {
            const Complex<V>&a = both[k], &b = both[(N - k) % N];
            out[y * half + k] = {(a.re + b.re) * 0.5f, (a.im - b.im) * 0.5f};
            out[(y + 1) * half + k] = {(a.im + b.im) * 0.5f, (b.re - a.re) * 0.5f};
        }
    }
    for (int k = 0; k < half; ++k) {
        fft<N>(out + k, half, both);
        for (int y = 0; y < N; ++y) out[y * half + k] = both[y];
    }
}

// The real map of a half spectrum, which it overwrites: the inverse of rfft2.
template <int N, typename V>
FERENGINE_INLINE void irfft2(Complex<V>* spectrum, V* out) {
    constexpr int half = kHalfColumns<N>;
    Complex<V> pair[N], both[N];
    // swapping the parts before and after makes the forward transform the inverse one
    for (int k = 0; k < half; ++k) {
        for (int y = 0; y < N; ++y) pair[y] = {spectrum[y * half + k].im, spectrum[y * half + k].re};
        fft<N>(pair, 1, both);
        for (int y = 0; y < N; ++y) spectrum[y * half + k] = {both[y].im, both[y].re};
    }
    constexpr float scale = 1.0f / (N * N);
    for (int y = 0; y < N; y += 2) {
        for (int k = 0; k < N; ++k) {
            const Complex<V>& a = spectrum[y * half + (k < half ? k : N - k)];
            const Complex<V>& b = spectrum[(y + 1) * half + (k < half ? k : N - k)];
            // a + i b, of the conjugates in the other half; parts swapped
            if (k < half)
                pair[k] = {a.im + b.re, a.re - b.im};
            else
                pair[k] = {b.re - a.im, a.re + b.im};
        }
        fft<N>(pair, 1, both);
        for (int x = 0; x < N; ++x) {
            out[y * N + x] = both[x].im * scale;
            out[(y + 1) * N + x] = both[x].re * scale;
        }
    }
}

}  // namespace
}  // namespace ferengine::kcf::FERENGINE_TARGET
