#include "python/arguments.hpp"

#include <cmath>
#include <string>

namespace py = pybind11;

namespace ferengine::python {

image::FrameView frame_view(const py::array& frame) {
    if (!py::isinstance<py::array_t<uint8_t>>(frame)) throw py::type_error("frame must be uint8");
    const bool colour = frame.ndim() == 3 && frame.shape(2) == 3;
    if (frame.ndim() != 2 && !colour)
        throw py::value_error("frame must have the shape (height, width, 3) or (height, width)");
    const int channels = colour ? 3 : 1;
    if (frame.shape(0) == 0 || frame.shape(1) == 0) throw py::value_error("frame is empty");
    if (frame.shape(0) > (1 << 16) || frame.shape(1) > (1 << 16))
        throw py::value_error("frame is larger than 65536 pixels on a side");
    if ((frame.shape(1) > 1 && frame.strides(1) != channels) || (colour && frame.strides(2) != 1) ||
        (frame.shape(0) > 1 && frame.strides(0) < frame.shape(1) * channels))
        throw py::value_error(
            "frame must have contiguous pixels and rows in ascending order: use np.ascontiguousarray");
    return {.data = static_cast<const uint8_t*>(frame.data()),
            .height = static_cast<int>(frame.shape(0)),
            .width = static_cast<int>(frame.shape(1)),
            .channels = channels,
            .stride = frame.strides(0)};
}

std::vector<image::CropRegion> crop_regions(const Squares& squares) {
    if (squares.ndim() != 2 || squares.shape(1) != 4)
        throw py::value_error("squares must have the shape (n, 4): cx, cy, side, angle");
    std::vector<image::CropRegion> regions(static_cast<size_t>(squares.shape(0)));
    const auto rows = squares.unchecked<2>();
    for (py::ssize_t row = 0; row < rows.shape(0); ++row) {
        const image::CropRegion region{
            .cx = rows(row, 0), .cy = rows(row, 1), .side = rows(row, 2), .angle = rows(row, 3)};
        if (!std::isfinite(region.cx) || !std::isfinite(region.cy) || !std::isfinite(region.side) ||
            !std::isfinite(region.angle) || region.side <= 0.0f)
            throw py::value_error("square " + std::to_string(row) + " must be finite with a side above 0");
        regions[static_cast<size_t>(row)] = region;
    }
    return regions;
}

bool is_uint8(const py::array& out) {
    const bool uint8 = py::isinstance<py::array_t<uint8_t>>(out);
    if (!uint8 && !py::isinstance<py::array_t<float>>(out)) throw py::type_error("out must be uint8 or float32");
    constexpr int needed = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};
    if ((out.flags() & needed) != needed) throw py::value_error("out must be C-contiguous and aligned");
    return uint8;
}

image::Planes planes_of(std::string_view name) {
    for (const image::Planes planes : {image::Planes::gray, image::Planes::rgb, image::Planes::bgr})
        if (name == name_of(planes)) return planes;
    throw py::value_error("a crop is grey, rgb or bgr, not " + std::string(name));
}

std::string_view name_of(image::Planes planes) {
    switch (planes) {
        case image::Planes::gray:
            return "grey";
        case image::Planes::rgb:
            return "rgb";
        case image::Planes::bgr:
            return "bgr";
    }
    throw py::value_error("no crop has planes of kind " + std::to_string(static_cast<uint32_t>(planes)));
}

void check_normalisation(bool uint8, float mean, float deviation) {
    if (uint8 && (mean != 0.0f || deviation != 1.0f))
        throw py::value_error("uint8 crops are not normalised: leave mean 0 and std 1");
    if (!std::isfinite(mean) || !std::isfinite(deviation) || deviation <= 0.0f)
        throw py::value_error("mean must be finite and std above 0");
}

}  // namespace ferengine::python
