// The Python names of the face crops.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <span>
#include <string>
#include <vector>

#include "image/face_crop.hpp"
#include "python/arguments.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

void crop_faces(const py::array& frame, const Squares& squares, py::array out, float mean, float deviation,
                const std::string& order) {
    const image::FrameView view = frame_view(frame);
    const std::vector<image::CropRegion> regions = crop_regions(squares);
    const bool uint8 = is_uint8(out);
    check_normalisation(uint8, mean, deviation);
    const image::Planes planes = planes_of(order);
    const std::span<const image::Channel> channels = image::channels_of(planes);
    const py::ssize_t last = out.ndim() - 1;
    const bool one = last == 2 && planes == image::Planes::gray;
    const bool many = last == 3 && out.shape(1) == static_cast<py::ssize_t>(channels.size());
    if ((!one && !many) || out.shape(0) != static_cast<py::ssize_t>(regions.size()) ||
        out.shape(last) != out.shape(last - 1) || out.shape(last) == 0 || out.shape(last) > (1 << 16))
        throw py::value_error(
            "out must have the shape (n, size, size), or (n, 3, size, size) in colour, one crop a square");
    void* const target = out.mutable_data();
    const int size = static_cast<int>(out.shape(last));
    const size_t plane = static_cast<size_t>(size) * static_cast<size_t>(size), pixels = plane * channels.size();
    const py::gil_scoped_release release;
    image::CropScratch scratch;
    for (size_t index = 0; index < regions.size(); ++index) {
        if (uint8) {
            const std::span crop(static_cast<uint8_t*>(target) + index * pixels, pixels);
            image::crop_rounded(view, planes, regions[index], size, crop, scratch);
        } else {
            const std::span crop(static_cast<float*>(target) + index * pixels, pixels);
            for (size_t channel = 0; channel < channels.size(); ++channel)
                image::crop_channel(view, channels[channel], regions[index], size, crop.subspan(channel * plane, plane),
                                    scratch);
            image::normalise(crop.data(), mean, deviation, crop);
        }
    }
}

}  // namespace

void register_crop(py::module_& m) {
    m.def("crop_faces", &crop_faces, py::arg("frame"), py::arg("squares"), py::arg("out"), py::arg("mean") = 0.0f,
          py::arg("std") = 1.0f, py::arg("order") = "grey",
          "Crop the squares of a frame, grey or in colour and in place, with the GIL released.");
}

}  // namespace ferengine::python
