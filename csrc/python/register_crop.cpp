// The Python names of the face crops.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <span>
#include <vector>

#include "image/face_crop.hpp"
#include "python/arguments.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

void crop_faces(const py::array& frame, const Squares& squares, py::array out, float mean, float deviation) {
    const image::FrameView view = frame_view(frame);
    const std::vector<image::CropRegion> regions = crop_regions(squares);
    const bool uint8 = is_uint8(out);
    check_normalisation(uint8, mean, deviation);
    if (out.ndim() != 3 || out.shape(0) != static_cast<py::ssize_t>(regions.size()) || out.shape(1) != out.shape(2) ||
        out.shape(1) == 0 || out.shape(1) > (1 << 16))
        throw py::value_error("out must have the shape (n, size, size), one crop a square");
    void* const target = out.mutable_data();
    const int size = static_cast<int>(out.shape(1));
    const size_t pixels = static_cast<size_t>(size) * static_cast<size_t>(size);
    const py::gil_scoped_release release;
    image::CropScratch scratch;
    for (size_t index = 0; index < regions.size(); ++index) {
        if (uint8) {
            const std::span crop(static_cast<uint8_t*>(target) + index * pixels, pixels);
            image::crop_rounded(view, regions[index], size, crop, scratch);
        } else {
            const std::span crop(static_cast<float*>(target) + index * pixels, pixels);
            image::crop_gray(view, regions[index], size, crop, scratch);
            image::normalise(crop.data(), mean, deviation, crop);
        }
    }
}

}  // namespace

void register_crop(py::module_& m) {
    m.def("crop_faces", &crop_faces, py::arg("frame"), py::arg("squares"), py::arg("out"), py::arg("mean") = 0.0f,
          py::arg("std") = 1.0f, "Crop the squares of a frame, in grayscale and in place, with the GIL released.");
}

}  // namespace ferengine::python
