// Arguments that several functions take, checked.
#pragma once

#include <pybind11/numpy.h>

#include <string>
#include <string_view>
#include <vector>

#include "image/face_crop.hpp"

namespace ferengine::python {

using Squares = pybind11::array_t<float, pybind11::array::c_style>;

// The frame in place. Throws TypeError or ValueError for what cannot be read so.
image::FrameView frame_view(const pybind11::array& frame);

// (n, 4): cx, cy, side, angle. Throws ValueError for another shape, and for a row that is not finite with a side above
// 0.
std::vector<image::CropRegion> crop_regions(const Squares& squares);

// Crops to be written in place: uint8 (true) or float32 (false), C-contiguous and aligned. Throws TypeError or
// ValueError for others.
bool is_uint8(const pybind11::array& out);

// What a crop's planes are called in Python: "grey", "rgb" or "bgr". Throws ValueError for another name or number.
image::Planes planes_of(std::string_view name);
std::string_view name_of(image::Planes planes);

// Throws ValueError for a normalisation of uint8, and one that is not finite.
void check_normalisation(bool uint8, float mean, float deviation);

}  // namespace ferengine::python
