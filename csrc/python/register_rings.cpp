// The Python names of the rings and of a worker's page.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <span>
#include <vector>

#include "image/face_crop.hpp"
#include "ipc/face_ring.hpp"
#include "ipc/frame_ring.hpp"
#include "ipc/worker_page.hpp"
#include "python/arguments.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

using ipc::FaceKey;
using ipc::FaceRing;
using ipc::FrameHeader;
using ipc::FrameRing;
using ipc::WorkerPage;

// A uint8 array over a ring's memory; it keeps the ring, and so the mapping, alive.
py::array view_into(py::object ring, const uint8_t* data, std::vector<py::ssize_t> shape,
                    std::vector<py::ssize_t> strides, bool writable) {
    py::array array(py::dtype::of<uint8_t>(), std::move(shape), std::move(strides), data, std::move(ring));
    if (!writable) py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
}

py::array payload(py::object self, uint32_t slot) {
    const std::span<uint8_t> bytes = self.cast<const FrameRing&>().payload(slot);
    return view_into(std::move(self), bytes.data(), {static_cast<py::ssize_t>(bytes.size())}, {1}, true);
}

py::array frame(py::object self, uint32_t slot) {
    const auto& ring = self.cast<const FrameRing&>();
    const FrameHeader header = ring.checked_header(slot);
    std::vector<py::ssize_t> shape{header.height, header.width}, strides{header.stride, header.channels};
    if (header.channels > 1) {
        shape.push_back(header.channels);
        strides.push_back(1);
    }
    const uint8_t* const data = ring.payload(slot).data();
    return view_into(std::move(self), data, std::move(shape), std::move(strides), false);
}

void publish(FrameRing& ring, uint32_t slot, uint64_t sequence, uint32_t width, uint32_t height, uint32_t stride,
             uint32_t channels, double timestamp, int64_t captured_ns, uint32_t holds) {
    ring.publish(slot,
                 {.sequence = sequence,
                  .width = width,
                  .height = height,
                  .stride = stride,
                  .channels = channels,
                  .timestamp = timestamp,
                  .captured_ns = captured_ns},
                 holds);
}

bool push(FaceRing& ring, const py::array& image, const Squares& squares, uint32_t camera, uint32_t epoch,
          uint64_t sequence, int64_t captured_ns, int64_t tracked_ns, int64_t deadline_ns) {
    static thread_local image::CropScratch scratch;
    const image::FrameView view = frame_view(image);
    const std::vector<image::CropRegion> regions = crop_regions(squares);
    const FaceKey key{.camera = camera,
                      .epoch = epoch,
                      .sequence = sequence,
                      .captured_ns = captured_ns,
                      .tracked_ns = tracked_ns,
                      .deadline_ns = deadline_ns};
    const int side = static_cast<int>(ring.side());
    const py::gil_scoped_release release;
    return ring.push(static_cast<uint32_t>(regions.size()), key, [&](uint32_t face, std::span<uint8_t> crop) {
        image::crop_rounded(view, regions[face], side, crop, scratch);
    });
}

uint32_t gather(FaceRing& ring, py::array out, py::array_t<FaceKey> keys, float mean, float deviation,
                py::ssize_t start) {
    const py::ssize_t side = ring.side();
    const bool uint8 = is_uint8(out);
    check_normalisation(uint8, mean, deviation);
    const bool planes = out.ndim() == 4 && out.shape(1) == 1;
    if ((out.ndim() != 3 && !planes) || out.shape(out.ndim() - 1) != side || out.shape(out.ndim() - 2) != side)
        throw py::value_error("out must have the shape (n, side, side) or (n, 1, side, side)");
    if (keys.ndim() != 1 || keys.shape(0) != out.shape(0) || (keys.flags() & py::array::c_style) == 0)
        throw py::value_error("keys must be contiguous with the shape (n,), as long as out");
    if (start < 0 || start > out.shape(0)) throw py::value_error("start lies beyond out");
    const auto max_count = static_cast<uint32_t>(std::min<py::ssize_t>(out.shape(0) - start, ring.slots()));
    FaceKey* const key_at = keys.mutable_data() + start;
    void* const target = out.mutable_data();
    const auto offset = static_cast<size_t>(start * side * side);
    const py::gil_scoped_release release;
    return ring.gather(max_count, [&](uint32_t index, const FaceKey& key, std::span<const uint8_t> crop) {
        const size_t at = offset + index * crop.size();
        if (uint8)
            std::memcpy(static_cast<uint8_t*>(target) + at, crop.data(), crop.size());
        else
            image::normalise(crop.data(), mean, deviation, {static_cast<float*>(target) + at, crop.size()});
        key_at[index] = key;
    });
}

void die_with_parent(int parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        PyErr_SetString(PyExc_ProcessLookupError, "the parent process is gone");
        throw py::error_already_set();
    }
}

void register_worker_page(py::module_& m) {
    py::class_<WorkerPage>(m, "WorkerPage", "A worker's event and heartbeat in shared memory.")
        .def_static("create", &WorkerPage::create, "Allocate a page.")
        .def_static("attach", &WorkerPage::attach, py::arg("fd"), "Map an existing page; takes ownership of ``fd``.")
        .def_property_readonly("fd", &WorkerPage::fd, "The descriptor, to be handed to another process.")
        .def("notify", &WorkerPage::notify, "Raise the event's count and wake all waiters.")
        .def_property_readonly("event", &WorkerPage::event, "How often the event was notified, modulo 2**31.")
        .def("wait", &WorkerPage::wait, py::arg("seen"), py::arg("timeout"), py::call_guard<py::gil_scoped_release>(),
             "Wait until the event's count differs from ``seen``, with the GIL released.")
        .def("beat", &WorkerPage::beat, "Record now as the last sign of life.")
        .def_property_readonly("heartbeat", &WorkerPage::heartbeat,
                               "The last sign of life, seconds of CLOCK_MONOTONIC; 0 before the first.");
}

void register_frame_ring(py::module_& m) {
    py::class_<FrameHeader>(m, "FrameHeader", "What is known of the frame in a slot.")
        .def_readonly("sequence", &FrameHeader::sequence, "The frame's number.")
        .def_readonly("width", &FrameHeader::width, "Pixels.")
        .def_readonly("height", &FrameHeader::height, "Pixels.")
        .def_readonly("channels", &FrameHeader::channels, "1 (grey) or 3 (BGR).")
        .def_readonly("timestamp", &FrameHeader::timestamp, "Seconds of the source's clock.")
        .def_readonly("captured_ns", &FrameHeader::captured_ns, "When it was captured, CLOCK_MONOTONIC.");

    py::class_<FrameRing>(m, "FrameRing",
                          "Frames of one camera in shared memory: one writer, up to 32 readers in other processes.")
        .def_static("create", &FrameRing::create, py::arg("slots"), py::arg("slot_bytes"),
                    py::call_guard<py::gil_scoped_release>(),
                    "Allocate a ring, every page at once and with the GIL released.")
        .def_static("attach", &FrameRing::attach, py::arg("fd"), "Map an existing ring; takes ownership of ``fd``.")
        .def_property_readonly("fd", &FrameRing::fd, "The descriptor, to be handed to another process.")
        .def_property_readonly("slots", &FrameRing::slots, "How many slots the ring has.")
        .def_property_readonly("slot_bytes", &FrameRing::slot_bytes, "How many bytes a slot has.")
        .def_property_readonly(
            "address", [](const FrameRing& ring) { return reinterpret_cast<uintptr_t>(ring.bytes().data()); },
            "Where the mapping begins in this process.")
        .def_property_readonly(
            "bytes", [](const FrameRing& ring) { return ring.bytes().size(); }, "How long the mapping is.")
        .def("acquire", &FrameRing::acquire, py::arg("timeout"), py::call_guard<py::gil_scoped_release>(),
             "Writer: a slot that no reader holds, in turn, with the GIL released.")
        .def("payload", &payload, py::arg("slot"), "Writer: the slot's bytes, writable.")
        .def("publish", &publish, py::arg("slot"), py::arg("sequence"), py::arg("width"), py::arg("height"),
             py::arg("stride"), py::arg("channels"), py::arg("timestamp"), py::arg("captured_ns"), py::arg("holds"),
             "Writer: hand the slot to the readers of the mask ``holds``.")
        .def("recover", &FrameRing::recover,
             "Engine, once the writer is dead: count a frame that it had handed over but not yet counted.")
        .def("close_writer", &FrameRing::close_writer, "Writer: no more frames come into this ring.")
        .def("drop", &FrameRing::drop, "Writer: count a frame that found no free slot.")
        .def("held", &FrameRing::held, py::arg("reader"), "Reader: the slots that it holds, in order of their frames.")
        .def("frame", &frame, py::arg("slot"), "Reader: the image in place, read-only; it keeps the mapping alive.")
        .def("header", &FrameRing::header, py::arg("slot"), "What is known of the frame in the slot.")
        .def("release", &FrameRing::release, py::arg("slot"), py::arg("reader"), "Reader: give the slot back.")
        .def("skip", &FrameRing::skip, py::arg("slot"), py::arg("reader"),
             "Reader: give the slot back, and count its frame as passed over.")
        .def("clear_reader", &FrameRing::clear_reader, py::arg("reader"),
             "Give back all slots that a reader held which will not come back.")
        .def_property_readonly("published", &FrameRing::published, "The sequence after the last published frame's.")
        .def_property_readonly("closed", &FrameRing::closed, "Whether the writer has closed the ring.")
        .def_property_readonly("dropped", &FrameRing::dropped, "How many frames found no free slot.")
        .def_property_readonly("skipped", &FrameRing::skipped, "How many frames a reader passed over.")
        .def_property("emitted", &FrameRing::emitted, &FrameRing::set_emitted,
                      "How many results were delivered, written by the engine: the track worker's flow control.")
        .def_property("readers", &FrameRing::readers, &FrameRing::set_readers,
                      "The mask of readers that the writer publishes for, written by the engine.");
}

void register_face_ring(py::module_& m) {
    PYBIND11_NUMPY_DTYPE(FaceKey, camera, epoch, sequence, face, reserved, captured_ns, tracked_ns, queued_ns,
                         deadline_ns);
    m.attr("FACE_KEY") = py::dtype::of<FaceKey>();

    py::class_<FaceRing>(m, "FaceRing", "Face crops with their keys in shared memory: one producer, one consumer.")
        .def_static("create", &FaceRing::create, py::arg("slots"), py::arg("side"), "Allocate a ring.")
        .def_static("attach", &FaceRing::attach, py::arg("fd"), "Map an existing ring; takes ownership of ``fd``.")
        .def_property_readonly("fd", &FaceRing::fd, "The descriptor, to be handed to another process.")
        .def_property_readonly("slots", &FaceRing::slots, "How many faces the ring holds.")
        .def_property_readonly("side", &FaceRing::side, "The side of the crops in pixels.")
        .def_property_readonly("free", &FaceRing::free, "Producer: how many faces fit now.")
        .def_property_readonly("waiting", &FaceRing::waiting, "Consumer: faces published and not yet gathered.")
        .def_property_readonly("oldest_queued_ns", &FaceRing::oldest_queued_ns,
                               "Consumer: when the oldest waiting face was queued, CLOCK_MONOTONIC; 0 without one.")
        .def("push", &push, py::arg("frame"), py::arg("squares"), py::arg("camera"), py::arg("epoch"),
             py::arg("sequence"), py::arg("captured_ns"), py::arg("tracked_ns"), py::arg("deadline_ns"),
             "Producer: cut all squares of a frame into the ring, with the GIL released.")
        .def("gather", &gather, py::arg("out"), py::arg("keys").noconvert(), py::arg("mean"), py::arg("std"),
             py::arg("start") = 0, "Consumer: copy waiting faces and their keys, with the GIL released.")
        .def("release", &FaceRing::release, py::arg("count"),
             "Consumer: the oldest gathered faces may be overwritten.");
}

}  // namespace

void register_rings(py::module_& m) {
    register_worker_page(m);
    register_frame_ring(m);
    register_face_ring(m);
    m.def("die_with_parent", &die_with_parent, py::arg("parent_pid"),
          "Be killed when the thread that started this process ends (PR_SET_PDEATHSIG).");
}

}  // namespace ferengine::python
