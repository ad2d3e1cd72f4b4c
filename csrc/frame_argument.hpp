// Frames as Python hands them over.
#pragma once

#include <pybind11/numpy.h>

#include "face_crop.hpp"

namespace ferengine {

// The frame in place. Throws TypeError or ValueError for what cannot be read so.
inline FrameView view_of(const pybind11::array& frame) {
    if (!pybind11::isinstance<pybind11::array_t<uint8_t>>(frame)) throw pybind11::type_error("frame must be uint8");
    const bool colour = frame.ndim() == 3 && frame.shape(2) == 3;
    if (frame.ndim() != 2 && !colour)
        throw pybind11::value_error("frame must have the shape (height, width, 3) or (height, width)");
    const int channels = colour ? 3 : 1;
    if (frame.shape(0) == 0 || frame.shape(1) == 0) throw pybind11::value_error("frame is empty");
    if (frame.shape(0) > (1 << 16) || frame.shape(1) > (1 << 16))
        throw pybind11::value_error("frame is larger than 65536 pixels on a side");
    if ((frame.shape(1) > 1 && frame.strides(1) != channels) || (colour && frame.strides(2) != 1) ||
        (frame.shape(0) > 1 && frame.strides(0) < frame.shape(1) * channels))
        throw pybind11::value_error(
            "frame must have contiguous pixels and rows in ascending order: use np.ascontiguousarray");
    return {static_cast<const uint8_t*>(frame.data()), static_cast<int>(frame.shape(0)),
            static_cast<int>(frame.shape(1)), channels, frame.strides(0)};
}

}  // namespace ferengine
