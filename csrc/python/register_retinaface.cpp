// The Python names of RetinaFace.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "python/arguments.hpp"
#include "python/register.hpp"
#include "retinaface/decode.hpp"
#include "retinaface/input.hpp"
#include "retinaface/stem.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

using retinaface::kChannels;

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using LevelArguments = std::tuple<Floats, int, std::array<float, retinaface::kPriors>>;

// The arrays of `arguments` must outlive the levels.
std::vector<retinaface::Level> to_levels(const std::vector<LevelArguments>& arguments) {
    std::vector<retinaface::Level> levels;
    for (const auto& [values, stride, sides] : arguments) {
        if (values.ndim() != 3 || values.shape(0) != kChannels || values.shape(1) > (1 << 14) ||
            values.shape(2) > (1 << 14))
            throw py::value_error("the map of a level must have the shape (30, height, width)");
        if (stride < 1 || !std::ranges::all_of(sides, [](float side) { return side > 0.0f && side < 1e6f; }))
            throw py::value_error("strides and sides must be positive");
        const std::span<const float> span(values.data(), static_cast<size_t>(values.size()));
        if (!std::ranges::all_of(span, [](float value) { return std::isfinite(value); }))
            throw py::value_error("maps must be finite");
        levels.push_back({.values = span,
                          .height = static_cast<int>(values.shape(1)),
                          .width = static_cast<int>(values.shape(2)),
                          .stride = stride,
                          .sides = sides});
    }
    return levels;
}

py::tuple decode(const std::vector<LevelArguments>& arguments, float threshold, float overlap, int max_candidates) {
    if (!(threshold >= 0.0f && threshold < 1.0f) || !(overlap >= 0.0f && overlap <= 1.0f))
        throw py::value_error("threshold must lie in [0, 1), overlap in [0, 1]");
    if (max_candidates < 1) throw py::value_error("max_candidates must be at least 1");
    const std::vector<retinaface::Level> levels = to_levels(arguments);
    std::vector<retinaface::Face> faces;
    {
        const py::gil_scoped_release release;
        faces = retinaface::decode(levels, threshold, overlap, max_candidates);
    }
    const auto count = static_cast<py::ssize_t>(faces.size());
    py::array_t<float> boxes({count, py::ssize_t{4}}), scores(count),
        landmarks({count, py::ssize_t{5}, py::ssize_t{2}});
    for (py::ssize_t i = 0; i < count; ++i) {
        const retinaface::Face& face = faces[static_cast<size_t>(i)];
        const auto& box = face.candidate.box;
        std::ranges::copy(std::array{box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1}, boxes.mutable_data(i, 0));
        *scores.mutable_data(i) = face.candidate.score;
        std::ranges::copy(face.landmarks, landmarks.mutable_data(i, 0, 0));
    }
    return py::make_tuple(boxes, scores, landmarks);
}

constexpr py::ssize_t kMaxSide = 1 << 16;  // of a network's input, pixels

image::FrameView colour_view(const py::array& frame) {
    const image::FrameView view = frame_view(frame);
    if (view.channels != 3 || view.height < 1 || view.width < 1)
        throw py::value_error("the frame must have three channels and not be empty");
    return view;
}

// The floats of `out`, to be written, which must have this shape.
float* checked_output(const py::array& out, const std::array<py::ssize_t, 3>& shape) {
    if (is_uint8(out) || !out.writeable() || out.ndim() != 3 || !std::equal(shape.begin(), shape.end(), out.shape()))
        throw py::value_error("out must be writeable float32 of the shape (" + std::to_string(shape[0]) + ", " +
                              std::to_string(shape[1]) + ", " + std::to_string(shape[2]) + ")");
    return static_cast<float*>(const_cast<void*>(out.data()));
}

void check_sides(py::ssize_t height, py::ssize_t width) {
    if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
        throw py::value_error("height and width must lie between 1 and " + std::to_string(kMaxSide));
}

void input(const py::array& frame, const std::array<float, 3>& means, const py::array& out) {
    const image::FrameView view = colour_view(frame);
    if (out.ndim() != 3) throw py::value_error("out must have three dimensions");
    check_sides(out.shape(0), out.shape(1));
    const int height = static_cast<int>(out.shape(0)), width = static_cast<int>(out.shape(1));
    float* const pixels = checked_output(out, {height, width, 3});
    const py::gil_scoped_release release;
    retinaface::ScaledFrame scaled(view, height, width, means);
    for (int y = 0; y < height; ++y) scaled.row(y, pixels + ptrdiff_t{3} * width * y);
}

std::span<const float> finite_values(const Floats& array) {
    const std::span<const float> values(array.data(), static_cast<size_t>(array.size()));
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }))
        throw py::value_error("weights must be finite");
    return values;
}

// A kernel and its bias, (height, width, in, out) and (out,).
struct Layer {
    Floats kernel, bias;

    explicit Layer(const std::pair<Floats, Floats>& arrays) : kernel(arrays.first), bias(arrays.second) {
        if (kernel.ndim() != 4 || kernel.size() == 0 || kernel.shape(0) != kernel.shape(1) || bias.ndim() != 1 ||
            bias.shape(0) != kernel.shape(3) || kernel.shape(2) > (1 << 12) || kernel.shape(3) > (1 << 12))
            throw py::value_error("a layer must be a kernel (side, side, in, out) and a bias (out,)");
    }

    convolution::Convolution convolution() const {
        const std::vector<float> slopes(static_cast<size_t>(bias.size()), retinaface::kSlope);
        return {static_cast<int>(kernel.shape(0)),
                static_cast<int>(kernel.shape(2)),
                static_cast<int>(kernel.shape(3)),
                finite_values(kernel),
                finite_values(bias),
                slopes};
    }

    convolution::Depthwise depthwise() const {
        if (kernel.shape(0) != 3 || kernel.shape(2) != 1)
            throw py::value_error("a depthwise kernel must have the shape (3, 3, 1, channels)");
        return {finite_values(kernel), finite_values(bias), retinaface::kSlope};
    }
};

using LayerArguments = std::pair<Floats, Floats>;
using BlockArguments = std::tuple<LayerArguments, LayerArguments, int>;

retinaface::Stem make_stem(const std::array<float, 3>& means, const LayerArguments& first,
                           const std::vector<BlockArguments>& blocks) {
    std::vector<retinaface::Stem::Block> made;
    made.reserve(blocks.size());
    for (const auto& [depthwise, pointwise, stride] : blocks)
        made.push_back(
            {.depthwise = Layer(depthwise).depthwise(), .pointwise = Layer(pointwise).convolution(), .stride = stride});
    return {means, Layer(first).convolution(), std::move(made)};
}

py::tuple stem_shape(const retinaface::Stem& stem, int height, int width) {
    check_sides(height, width);
    return py::make_tuple(stem.cells(height), stem.cells(width), stem.channels());
}

void run_stem(const retinaface::Stem& stem, const py::array& frame, int height, int width, const py::array& out) {
    const image::FrameView view = colour_view(frame);
    check_sides(height, width);
    float* const cells = checked_output(out, {stem.cells(height), stem.cells(width), stem.channels()});
    const py::gil_scoped_release release;
    stem.run(view, height, width, cells);
}

}  // namespace

void register_retinaface(py::module_& m) {
    m.def("retinaface_decode", &decode, py::arg("levels"), py::arg("threshold"), py::arg("overlap"),
          py::arg("max_candidates"), "Boxes, scores and landmarks of the faces in RetinaFace's maps, best first.");
    m.def("retinaface_input", &input, py::arg("frame"), py::arg("means"), py::arg("out"),
          "Scale a frame to RetinaFace's input: each pixel is the mean over the area that it covers.");
    py::class_<retinaface::Stem>(m, "RetinaFaceStem",
                                 "The first stage of RetinaFace's backbone, straight from a frame.")
        .def(py::init(&make_stem), py::arg("means"), py::arg("first"), py::arg("blocks"),
             "Build the layers from their weights, each a kernel (side, side, in, out) and a bias (out,).")
        .def("shape", &stem_shape, py::arg("height"), py::arg("width"),
             "Rows, columns and channels of what ``run`` gives.")
        .def("run", &run_stem, py::arg("frame"), py::arg("height"), py::arg("width"), py::arg("out"),
             "Scale a frame to the network's input and run the layers on it.");
}

}  // namespace ferengine::python
