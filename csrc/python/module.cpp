// The Python module of the hot path.
#include <pybind11/pybind11.h>

#include <cerrno>
#include <system_error>

#include "python/register.hpp"

namespace {

// Full memory is a MemoryError, every other failed system call an OSError with its errno.
// NOLINTNEXTLINE(performance-unnecessary-value-param): pybind11 calls it so
void translate_system_error(std::exception_ptr pointer) {
    try {
        if (pointer) std::rethrow_exception(pointer);
    } catch (const std::system_error& error) {
        const int code = error.code().value();
        if (code == ENOMEM || code == ENOSPC)
            PyErr_SetString(PyExc_MemoryError, error.what());
        else
            PyErr_SetObject(PyExc_OSError, pybind11::make_tuple(code, error.what()).ptr());
    }
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() =
        "ferengine's C++ hot path: face crops, KCF, MTCNN, RetinaFace and the rings in shared memory.\n\n"
        "The stub, _native.pyi, describes all arguments, results and errors.";
    pybind11::register_exception_translator(&translate_system_error);

    ferengine::python::register_rings(m);
    ferengine::python::register_blending(m);
    ferengine::python::register_crop(m);
    ferengine::python::register_kcf(m);
    ferengine::python::register_mtcnn(m);
    ferengine::python::register_yuv(m);
    ferengine::python::register_retinaface(m);
    ferengine::python::register_simd(m);
}
