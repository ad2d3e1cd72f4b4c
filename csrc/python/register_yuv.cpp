// The Python name of the conversion of decoded video.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "image/yuv_to_bgr.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

// Throws ValueError where the buffer is smaller than rows x width bytes, `stride` apart.
image::Plane plane_of(const py::buffer_info& buffer, ptrdiff_t stride, int rows, int width) {
    ptrdiff_t bytes = buffer.itemsize;
    for (size_t axis = buffer.shape.size(); axis-- > 0; bytes *= buffer.shape[axis])
        if (buffer.shape[axis] > 1 && buffer.strides[axis] != bytes)
            throw py::value_error("a plane must be contiguous");
    if (stride < width || bytes < width || (rows > 1 && stride > (bytes - width) / (rows - 1)))
        throw py::value_error("a plane is smaller than its frame");
    return {.data = static_cast<const uint8_t*>(buffer.ptr), .stride = stride};
}

void yuv_to_bgr(const std::array<py::buffer, 3>& planes, const std::array<ptrdiff_t, 3>& strides, py::array out,
                bool halved_rows, float red_weight, float blue_weight, bool full_range) {
    if (!out.dtype().is(py::dtype::of<uint8_t>()) || out.ndim() != 3 || out.shape(2) != 3 || out.strides(2) != 1 ||
        out.strides(1) != 3 || out.shape(0) < 1 || out.shape(1) < 1 || out.strides(0) < 3 * out.shape(1) ||
        out.shape(0) > (1 << 16) || out.shape(1) > (1 << 16))
        throw py::value_error("out must be uint8 (H, W, 3), pixels adjacent and rows in order");
    if (!(red_weight > 0.0f && blue_weight > 0.0f && red_weight + blue_weight < 1.0f &&
          red_weight + blue_weight > 0.1f))
        throw py::value_error("the weights of red and blue must be above 0, and their sum between 0.1 and 1");
    const int height = static_cast<int>(out.shape(0)), width = static_cast<int>(out.shape(1));
    const int chroma_rows = halved_rows ? (height + 1) / 2 : height, chroma_width = (width + 1) / 2;
    const std::array buffers{planes[0].request(), planes[1].request(), planes[2].request()};
    const image::YuvFrame frame{.y = plane_of(buffers[0], strides[0], height, width),
                                .u = plane_of(buffers[1], strides[1], chroma_rows, chroma_width),
                                .v = plane_of(buffers[2], strides[2], chroma_rows, chroma_width),
                                .height = height,
                                .width = width,
                                .halved_rows = halved_rows};
    auto* const target = static_cast<uint8_t*>(out.mutable_data());
    const ptrdiff_t out_stride = out.strides(0);
    const py::gil_scoped_release release;
    image::yuv_to_bgr(frame, {.red_weight = red_weight, .blue_weight = blue_weight, .full_range = full_range}, target,
                      out_stride);
}

}  // namespace

void register_yuv(py::module_& m) {
    m.def("yuv_to_bgr", &yuv_to_bgr, py::arg("planes"), py::arg("strides"), py::arg("out"), py::arg("halved_rows"),
          py::arg("red_weight"), py::arg("blue_weight"), py::arg("full_range"),
          "Convert an 8-bit frame of 4:2:0 or 4:2:2 to BGR, with the GIL released.");
}

}  // namespace ferengine::python
