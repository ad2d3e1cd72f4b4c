// What module.cpp leaves to the register_*.cpp files.
#pragma once

#include <pybind11/pybind11.h>

namespace ferengine::python {

void register_rings(pybind11::module_& m);
void register_blending(pybind11::module_& m);
void register_crop(pybind11::module_& m);
void register_kcf(pybind11::module_& m);
void register_mtcnn(pybind11::module_& m);
void register_yuv(pybind11::module_& m);
void register_retinaface(pybind11::module_& m);
void register_simd(pybind11::module_& m);

}  // namespace ferengine::python
