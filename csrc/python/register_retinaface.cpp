// The Python names of RetinaFace.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <tuple>
#include <vector>

#include "python/arguments.hpp"
#include "python/register.hpp"
#include "retinaface/decode.hpp"
#include "retinaface/input.hpp"

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

void input(const py::array& frame, const std::array<float, 3>& means, const py::array& out) {
    const image::FrameView view = frame_view(frame);
    if (is_uint8(out) || !out.writeable() || out.ndim() != 3 || out.shape(0) != 3)
        throw py::value_error("out must be writeable float32 of the shape (3, height, width)");
    if (view.channels != 3 || view.height < 1 || view.width < 1 || out.size() == 0 || out.shape(1) > (1 << 14) ||
        out.shape(2) > (1 << 14))
        throw py::value_error("the frame must have three channels, and neither it nor out be empty");
    const int height = static_cast<int>(out.shape(1)), width = static_cast<int>(out.shape(2));
    auto* const values = static_cast<float*>(const_cast<void*>(out.data()));
    const py::gil_scoped_release release;
    retinaface::make_input(view, height, width, means, values);
}

}  // namespace

void register_retinaface(py::module_& m) {
    m.def("retinaface_decode", &decode, py::arg("levels"), py::arg("threshold"), py::arg("overlap"),
          py::arg("max_candidates"), "Boxes, scores and landmarks of the faces in RetinaFace's maps, best first.");
    m.def("retinaface_input", &input, py::arg("frame"), py::arg("means"), py::arg("out"),
          "Scale a frame to RetinaFace's input: each pixel is the mean over the area that it covers.");
}

}  // namespace ferengine::python
