// The Python names of the hot path; the logic is in the headers.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <signal.h>
#include <sys/prctl.h>

#include <cmath>
#include <memory>

#include "face_crop.hpp"
#include "face_ring.hpp"
#include "frame_argument.hpp"
#include "frame_ring.hpp"
#include "register.hpp"
#include "worker_page.hpp"

namespace py = pybind11;
using namespace ferengine;
using Squares = py::array_t<float, py::array::c_style>;

namespace {

std::vector<Square> squares_of(const Squares& squares) {
    if (squares.ndim() != 2 || squares.shape(1) != 4)
        throw py::value_error("squares must have the shape (n, 4): cx, cy, side, angle");
    std::vector<Square> result(static_cast<size_t>(squares.shape(0)));
    for (size_t row = 0; row < result.size(); ++row) {
        const float* v = squares.data(static_cast<py::ssize_t>(row), 0);
        if (!std::isfinite(v[0]) || !std::isfinite(v[1]) || !std::isfinite(v[2]) || !std::isfinite(v[3]) ||
            v[2] <= 0.0f)
            throw py::value_error("square " + std::to_string(row) + " must be finite with a side above 0");
        result[row] = {v[0], v[1], v[2], v[3]};
    }
    return result;
}

// uint8 (true) or float32 (false); the array can be written as it lies in memory.
bool is_bytes(const py::array& out) {
    const bool bytes = py::isinstance<py::array_t<uint8_t>>(out);
    if (!bytes && !py::isinstance<py::array_t<float>>(out)) throw py::type_error("out must be uint8 or float32");
    const int needed = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if ((out.flags() & needed) != needed) throw py::value_error("out must be C-contiguous and aligned");
    return bytes;
}

void check_normalisation(bool bytes, float mean, float deviation) {
    if (bytes && (mean != 0.0f || deviation != 1.0f))
        throw py::value_error("uint8 crops are not normalised: leave mean 0 and std 1");
    if (!std::isfinite(mean) || !std::isfinite(deviation) || deviation <= 0.0f)
        throw py::value_error("mean must be finite and std above 0");
}

void crop_faces(const py::array& frame, const Squares& squares, py::array out, float mean, float deviation) {
    const FrameView view = view_of(frame);
    const std::vector<Square> wanted = squares_of(squares);
    const bool bytes = is_bytes(out);
    check_normalisation(bytes, mean, deviation);
    if (out.ndim() != 3 || out.shape(0) != static_cast<py::ssize_t>(wanted.size()) || out.shape(1) != out.shape(2) ||
        out.shape(1) == 0 || out.shape(1) > (1 << 16))
        throw py::value_error("out must have the shape (n, size, size), one crop a square");
    void* const target = out.mutable_data();
    const int size = static_cast<int>(out.shape(1));
    const size_t pixels = static_cast<size_t>(size) * static_cast<size_t>(size);
    py::gil_scoped_release release;
    CropScratch scratch;
    for (size_t index = 0; index < wanted.size(); ++index) {
        if (bytes) {
            crop_rounded(view, wanted[index], size, static_cast<uint8_t*>(target) + index * pixels, scratch);
        } else {
            float* const crop = static_cast<float*>(target) + index * pixels;
            crop_grey(view, wanted[index], size, crop, scratch);
            normalise(crop, pixels, mean, deviation, crop);
        }
    }
}

// A uint8 array over a ring's memory; it keeps the ring, and so the mapping, alive.
py::array view_into(py::object ring, const uint8_t* data, std::vector<py::ssize_t> shape,
                    std::vector<py::ssize_t> strides, bool writable) {
    py::array array(py::dtype::of<uint8_t>(), std::move(shape), std::move(strides), data, std::move(ring));
    if (!writable) py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
}

py::array payload_of(py::object self, uint32_t slot) {
    const auto& ring = self.cast<const FrameRing&>();
    const uint8_t* data = ring.payload(slot);
    return view_into(std::move(self), data, {static_cast<py::ssize_t>(ring.slot_bytes())}, {1}, true);
}

py::array frame_of(py::object self, uint32_t slot) {
    const auto& ring = self.cast<const FrameRing&>();
    const FrameHeader header = ring.checked_header(slot);
    std::vector<py::ssize_t> shape{header.height, header.width}, strides{header.stride, header.channels};
    if (header.channels > 1) {
        shape.push_back(header.channels);
        strides.push_back(1);
    }
    const uint8_t* data = ring.payload(slot);
    return view_into(std::move(self), data, std::move(shape), std::move(strides), false);
}

uint32_t gather(FaceRing& ring, py::array out, py::array_t<FaceKey> keys, float mean, float deviation,
                py::ssize_t start) {
    const py::ssize_t side = ring.side();
    const bool bytes = is_bytes(out);
    check_normalisation(bytes, mean, deviation);
    const bool planes = out.ndim() == 4 && out.shape(1) == 1;
    if ((out.ndim() != 3 && !planes) || out.shape(out.ndim() - 1) != side || out.shape(out.ndim() - 2) != side)
        throw py::value_error("out must have the shape (n, side, side) or (n, 1, side, side)");
    if (keys.ndim() != 1 || keys.shape(0) != out.shape(0) || !(keys.flags() & py::array::c_style))
        throw py::value_error("keys must be contiguous with the shape (n,), as long as out");
    if (start < 0 || start > out.shape(0)) throw py::value_error("start lies beyond out");
    const auto most = static_cast<uint32_t>(std::min<py::ssize_t>(out.shape(0) - start, ring.slots()));
    FaceKey* const key = keys.mutable_data() + start;
    void* const target = out.mutable_data();
    const py::ssize_t offset = start * side * side;
    py::gil_scoped_release release;
    if (bytes) return ring.gather(static_cast<uint8_t*>(target) + offset, key, most, mean, deviation);
    return ring.gather(static_cast<float*>(target) + offset, key, most, mean, deviation);
}

void die_with_parent(int parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        PyErr_SetString(PyExc_ProcessLookupError, "the parent process is gone");
        throw py::error_already_set();
    }
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "ferengine's C++ hot path: face crops, KCF, MTCNN and the rings in shared memory.";
    PYBIND11_NUMPY_DTYPE(FaceKey, camera, epoch, sequence, face, reserved, captured_ns, tracked_ns, queued_ns,
                         deadline_ns);
    m.attr("FACE_KEY") = py::dtype::of<FaceKey>();

    py::register_exception_translator([](std::exception_ptr pointer) {
        try {
            if (pointer) std::rethrow_exception(pointer);
        } catch (const std::system_error& error) {
            const int code = error.code().value();
            if (code == ENOMEM || code == ENOSPC)
                PyErr_SetString(PyExc_MemoryError, error.what());
            else
                PyErr_SetObject(PyExc_OSError, py::make_tuple(code, error.what()).ptr());
        }
    });

    m.def("crop_faces", &crop_faces, py::arg("frame"), py::arg("squares"), py::arg("out"), py::arg("mean") = 0.0f,
          py::arg("std") = 1.0f, "Cut, turn, grey and shrink the squares of a frame into out, in place.");
    m.def("die_with_parent", &die_with_parent, py::arg("parent_pid"),
          "Be killed when the thread that started this process ends; ProcessLookupError if it is gone already.");

    py::class_<WorkerPage>(m, "WorkerPage", "A worker's doorbell and heartbeat in shared memory.")
        .def_static("create", &WorkerPage::create)
        .def_static("attach", &WorkerPage::attach, py::arg("fd"))
        .def_property_readonly("fd", &WorkerPage::fd)
        .def("notify", &WorkerPage::ring)
        .def_property_readonly("event", &WorkerPage::bell)
        .def("wait", &WorkerPage::wait, py::arg("seen"), py::arg("timeout"), py::call_guard<py::gil_scoped_release>())
        .def("beat", &WorkerPage::beat)
        .def_property_readonly("heartbeat", &WorkerPage::heartbeat);

    py::class_<FrameHeader>(m, "FrameHeader", "What is known of the frame in a slot.")
        .def_readonly("sequence", &FrameHeader::sequence)
        .def_readonly("width", &FrameHeader::width)
        .def_readonly("height", &FrameHeader::height)
        .def_readonly("channels", &FrameHeader::channels)
        .def_readonly("timestamp", &FrameHeader::timestamp)
        .def_readonly("captured_ns", &FrameHeader::captured_ns);

    py::class_<FrameRing>(m, "FrameRing", "Frames of one camera in shared memory: one writer, many readers.")
        .def_static("create", &FrameRing::create, py::arg("slots"), py::arg("slot_bytes"),
                    py::call_guard<py::gil_scoped_release>())
        .def_static("attach", &FrameRing::attach, py::arg("fd"))
        .def_property_readonly("fd", &FrameRing::fd)
        .def_property_readonly("slots", &FrameRing::slots)
        .def_property_readonly("slot_bytes", &FrameRing::slot_bytes)
        .def_property_readonly("address",
                               [](const FrameRing& ring) { return reinterpret_cast<uintptr_t>(ring.base()); })
        .def_property_readonly("bytes", &FrameRing::bytes)
        .def("acquire", &FrameRing::acquire, py::arg("timeout"), py::call_guard<py::gil_scoped_release>())
        .def("payload", &payload_of, py::arg("slot"))
        .def(
            "publish",
            [](FrameRing& ring, uint32_t slot, uint64_t sequence, uint32_t width, uint32_t height, uint32_t stride,
               uint32_t channels, double timestamp, int64_t captured_ns, uint32_t holds) {
                ring.publish(slot, {sequence, width, height, stride, channels, timestamp, captured_ns}, holds);
            },
            py::arg("slot"), py::arg("sequence"), py::arg("width"), py::arg("height"), py::arg("stride"),
            py::arg("channels"), py::arg("timestamp"), py::arg("captured_ns"), py::arg("holds"))
        .def("recover", &FrameRing::recover, "Engine: count what a dead writer had handed over.")
        .def("close_writer", &FrameRing::close_writer)
        .def("drop", &FrameRing::drop)
        .def("held", &FrameRing::held, py::arg("reader"))
        .def("frame", &frame_of, py::arg("slot"))
        .def(
            "header", [](const FrameRing& ring, uint32_t slot) { return FrameHeader(ring.header(slot)); },
            py::arg("slot"))
        .def("release", &FrameRing::release, py::arg("slot"), py::arg("reader"))
        .def("clear_reader", &FrameRing::clear_reader, py::arg("reader"))
        .def_property_readonly("published", &FrameRing::published)
        .def_property_readonly("closed", &FrameRing::closed)
        .def_property_readonly("dropped", &FrameRing::dropped)
        .def_property("emitted", &FrameRing::emitted, &FrameRing::set_emitted)
        .def_property("readers", &FrameRing::readers, &FrameRing::set_readers);

    py::class_<FaceRing>(m, "FaceRing", "Face crops with their keys in shared memory: one producer, one consumer.")
        .def_static("create", &FaceRing::create, py::arg("slots"), py::arg("side"))
        .def_static("attach", &FaceRing::attach, py::arg("fd"))
        .def_property_readonly("fd", &FaceRing::fd)
        .def_property_readonly("slots", &FaceRing::slots)
        .def_property_readonly("side", &FaceRing::side)
        .def_property_readonly("free", &FaceRing::free)
        .def_property_readonly("waiting", &FaceRing::waiting)
        .def_property_readonly("oldest_queued_ns", &FaceRing::oldest_queued_ns)
        .def(
            "push",
            [](FaceRing& ring, const py::array& frame, const Squares& squares, uint32_t camera, uint32_t epoch,
               uint64_t sequence, int64_t captured_ns, int64_t tracked_ns, int64_t deadline_ns) {
                const FrameView view = view_of(frame);
                const std::vector<Square> wanted = squares_of(squares);
                py::gil_scoped_release release;
                return ring.push(view, wanted.data(), static_cast<uint32_t>(wanted.size()),
                                 {camera, epoch, sequence, 0, 0, captured_ns, tracked_ns, 0, deadline_ns});
            },
            py::arg("frame"), py::arg("squares"), py::arg("camera"), py::arg("epoch"), py::arg("sequence"),
            py::arg("captured_ns"), py::arg("tracked_ns"), py::arg("deadline_ns"))
        .def("gather", &gather, py::arg("out"), py::arg("keys").noconvert(), py::arg("mean"), py::arg("std"),
             py::arg("start") = 0)
        .def("release", &FaceRing::release, py::arg("count"));

    register_kcf(m);
    register_mtcnn(m);
}
