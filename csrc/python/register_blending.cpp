// The Python name of the crops at the place of a face.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstddef>
#include <optional>

#include "blending/place_crops.hpp"
#include "python/arguments.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

using blending::PlaceCrops;

PlaceCrops make(size_t side, size_t capacity, float flat) {
    constexpr size_t most = 1024;  // megabytes of crops, and their products
    if (side < 1 || side > most || capacity < 1 || capacity > most)
        throw py::value_error("the side and the capacity must be from 1 to 1024");
    return {side, capacity, flat};
}

std::optional<float> add(PlaceCrops& crops, const py::array& frame, double cx, double cy, double side, int max_rows) {
    const image::FrameView view = frame_view(frame);
    if (!(std::isfinite(cx) && std::isfinite(cy) && std::isfinite(side) && side > 0.0))
        throw py::value_error("a square must be finite with a side above 0");
    if (max_rows < 0) throw py::value_error("max_rows must not be negative");
    if (crops.is_full()) throw py::value_error("no room for another crop: drop one first");
    return crops.add(view, {.cx = cx, .cy = cy, .side = side}, max_rows);
}

py::array_t<float> last(const PlaceCrops& crops) {
    if (crops.count() == 0) throw py::value_error("there is no crop");
    const auto pixels = crops.last();
    return py::array_t<float>(static_cast<py::ssize_t>(pixels.size()), pixels.data());
}

bool blends(const PlaceCrops& crops, float unlike, float residual, float lowest, float highest, size_t least_between) {
    return crops.blends(
        {.unlike = unlike, .residual = residual, .lowest = lowest, .highest = highest, .least_between = least_between});
}

}  // namespace

void register_blending(py::module_& m) {
    py::class_<PlaceCrops>(
        m, "PlaceCrops",
        "The last grey crops of one square in the frames of a camera, and whether one blends into another.")
        .def(py::init(&make), py::arg("side"), py::arg("capacity"), py::arg("flat"), "No crops yet.")
        .def("add", &add, py::arg("frame"), py::arg("cx"), py::arg("cy"), py::arg("side"), py::arg("max_rows"),
             "Add what a frame shows, with mean 0 and norm 1.")
        .def("drop", &PlaceCrops::drop, py::arg("gone"), "Forget the ``gone`` oldest crops, at most all.")
        .def("last", &last, "Return the last crop, float32 (side * side,).")
        .def("blends", &blends, py::arg("unlike"), py::arg("residual"), py::arg("lowest"), py::arg("highest"),
             py::arg("least_between"),
             "Return whether one of the crops has blended into the last: those between are weighted sums of the two.");
}

}  // namespace ferengine::python
