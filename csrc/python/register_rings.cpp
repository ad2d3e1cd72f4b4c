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
#include <string>
#include <tuple>
#include <utility>
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
    const py::gil_scoped_release release;
    return ring.push(static_cast<uint32_t>(regions.size()), key, [&](uint32_t face, std::span<uint8_t> crops) {
        for (const ipc::CropFormat& format : ring.formats()) {
            image::crop_rounded(view, static_cast<image::Planes>(format.kind), regions[face],
                                static_cast<int>(format.side), crops.first(format.bytes()), scratch);
            crops = crops.subspan(format.bytes());
        }
    });
}

// Formats as Python names them: (side, "grey", "rgb" or "bgr").
using NamedFormat = std::pair<uint32_t, std::string>;

FaceRing create_face_ring(uint32_t slots, const std::vector<NamedFormat>& crops) {
    std::vector<ipc::CropFormat> formats;
    for (const auto& [side, name] : crops) {
        const image::Planes planes = planes_of(name);
        formats.push_back({.side = side,
                           .planes = static_cast<uint32_t>(image::channels_of(planes).size()),
                           .kind = static_cast<uint32_t>(planes)});
    }
    return FaceRing::create(slots, formats);
}

FaceRing attach_face_ring(int fd) {
    FaceRing ring = FaceRing::attach(fd);
    for (const ipc::CropFormat& format : ring.formats())
        if (format.planes != image::channels_of(planes_of(name_of(static_cast<image::Planes>(format.kind)))).size())
            throw py::value_error("the face ring's crops have another number of planes than their kind has");
    return ring;
}

std::vector<NamedFormat> crops_of(const FaceRing& ring) {
    std::vector<NamedFormat> crops;
    for (const ipc::CropFormat& format : ring.formats())
        crops.emplace_back(format.side, name_of(static_cast<image::Planes>(format.kind)));
    return crops;
}

// Where one crop of each face is gathered to, and how: what Python gives as (crop, out, mean, std).
using NamedTarget = std::tuple<size_t, py::array, std::vector<float>, std::vector<float>>;

struct Target {
    size_t begin, bytes, plane;  // of the crop within a face's
    void* out;
    py::ssize_t rows;
    bool uint8;
    std::vector<float> mean, deviation;

    void take(size_t row, std::span<const uint8_t> crops) const {
        const std::span<const uint8_t> crop = crops.subspan(begin, bytes);
        if (uint8) {
            std::memcpy(static_cast<uint8_t*>(out) + row * bytes, crop.data(), bytes);
            return;
        }
        float* const to = static_cast<float*>(out) + row * bytes;
        for (size_t i = 0; i < mean.size(); ++i)
            image::normalise(crop.data() + i * plane, mean[i], deviation[i], {to + i * plane, plane});
    }
};

Target target_of(const FaceRing& ring, NamedTarget& named) {
    auto& [index, out, mean, deviation] = named;
    const std::vector<ipc::CropFormat>& formats = ring.formats();
    if (index >= formats.size()) throw py::index_error("the face ring has no crop " + std::to_string(index));
    const ipc::CropFormat& format = formats[index];
    const bool uint8 = is_uint8(out);
    const auto side = static_cast<py::ssize_t>(format.side), planes = static_cast<py::ssize_t>(format.planes);
    const py::ssize_t last = out.ndim() - 1;
    const bool fits = (last == 2 && planes == 1) || (last == 3 && out.shape(1) == planes);
    if (!fits || out.shape(last) != side || out.shape(last - 1) != side)
        throw py::value_error(
            "out must have the shape (n, planes, side, side) of the crop, or (n, side, side) of a grey one");
    if (mean.size() != format.planes || deviation.size() != format.planes)
        throw py::value_error("mean and std must have one number for each plane of the crop");
    for (size_t i = 0; i < mean.size(); ++i) check_normalisation(uint8, mean[i], deviation[i]);
    size_t begin = 0;
    for (size_t i = 0; i < index; ++i) begin += formats[i].bytes();
    return {.begin = begin,
            .bytes = format.bytes(),
            .plane = format.bytes() / format.planes,
            .out = out.mutable_data(),
            .rows = out.shape(0),
            .uint8 = uint8,
            .mean = mean,
            .deviation = deviation};
}

uint32_t gather(FaceRing& ring, std::vector<NamedTarget> named, py::array_t<FaceKey> keys, py::ssize_t start) {
    if (keys.ndim() != 1 || (keys.flags() & py::array::c_style) == 0)
        throw py::value_error("keys must be contiguous with the shape (n,)");
    std::vector<Target> targets;
    for (NamedTarget& one : named) {
        targets.push_back(target_of(ring, one));
        if (targets.back().rows != keys.shape(0)) throw py::value_error("each out must be as long as keys");
    }
    if (start < 0 || start > keys.shape(0)) throw py::value_error("start lies beyond keys");
    const auto max_count = static_cast<uint32_t>(std::min<py::ssize_t>(keys.shape(0) - start, ring.slots()));
    FaceKey* const key_at = keys.mutable_data() + start;
    const py::gil_scoped_release release;
    return ring.gather(max_count, [&](uint32_t index, const FaceKey& key, std::span<const uint8_t> crops) {
        for (const Target& target : targets) target.take(static_cast<size_t>(start) + index, crops);
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
        .def("release", &FrameRing::release, py::arg("slot"), py::arg("reader"), "Reader: release the slot.")
        .def("skip", &FrameRing::skip, py::arg("slot"), py::arg("reader"),
             "Reader: release the slot, and count its frame as passed over.")
        .def("clear_reader", &FrameRing::clear_reader, py::arg("reader"),
             "Release all slots of a reader that has died.")
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
        .def_static("create", &create_face_ring, py::arg("slots"), py::arg("crops"), "Allocate a ring.")
        .def_static("attach", &attach_face_ring, py::arg("fd"), "Map an existing ring; takes ownership of ``fd``.")
        .def_property_readonly("fd", &FaceRing::fd, "The descriptor, to be handed to another process.")
        .def_property_readonly("slots", &FaceRing::slots, "How many faces the ring holds.")
        .def_property_readonly("crops", &crops_of, "The side in pixels and the planes of each crop of a face.")
        .def_property_readonly("free", &FaceRing::free, "Producer: how many faces fit now.")
        .def_property_readonly("waiting", &FaceRing::waiting, "Consumer: faces published and not yet gathered.")
        .def_property_readonly("oldest_queued_ns", &FaceRing::oldest_queued_ns,
                               "Consumer: when the oldest waiting face was queued, CLOCK_MONOTONIC; 0 without one.")
        .def("push", &push, py::arg("frame"), py::arg("squares"), py::arg("camera"), py::arg("epoch"),
             py::arg("sequence"), py::arg("captured_ns"), py::arg("tracked_ns"), py::arg("deadline_ns"),
             "Producer: cut all squares of a frame into the ring, with the GIL released.")
        .def("gather", &gather, py::arg("targets"), py::arg("keys").noconvert(), py::arg("start") = 0,
             "Consumer: copy waiting faces and their keys, with the GIL released.")
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
