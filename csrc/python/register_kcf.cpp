// The Python names of the tracker.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "kcf/kcf.hpp"
#include "python/arguments.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

using Map = py::array_t<float, py::array::c_style>;

// What a Python object holds.
struct Tracker {
    kcf::Kcf filter;
    bool started = false;
    bool busy = false;  // read and written with the GIL held
};

// Marks trackers as busy for one call that releases the GIL.
class Claim {
  public:
    explicit Claim(const std::vector<Tracker*>& trackers) {
        for (Tracker* tracker : trackers) {
            if (tracker->busy) {
                release();
                throw py::value_error("a tracker is listed twice, or another thread is using it");
            }
            tracker->busy = true;
            held_.push_back(tracker);
        }
    }
    ~Claim() { release(); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

  private:
    void release() {
        for (Tracker* tracker : held_) tracker->busy = false;
        held_.clear();
    }
    std::vector<Tracker*> held_;
};

kcf::KcfScratch& scratch() {
    static thread_local kcf::KcfScratch one;
    return one;
}

void init(Tracker& tracker, const py::array& frame, double x, double y, double w, double h) {
    constexpr double max_coordinate = 1e9;
    const image::FrameView view = frame_view(frame);
    for (const double value : {x, y, w, h})
        if (!(std::abs(value) <= max_coordinate))
            throw py::value_error("a box to track must be finite, within 1e9 pixels of the frame");
    if (!(w > 0.0 && h > 0.0)) throw py::value_error("a box to track must have a positive width and height");
    const Claim claim({&tracker});
    const py::gil_scoped_release unlocked;
    tracker.filter.init(view, {.x = x, .y = y, .w = w, .h = h}, scratch());
    tracker.started = true;
}

py::tuple update(const std::vector<Tracker*>& trackers, const py::array& frame) {
    const image::FrameView view = frame_view(frame);
    for (const Tracker* tracker : trackers) {
        if (tracker == nullptr) throw py::type_error("trackers must not be None");
        if (!tracker->started) throw py::value_error("a tracker has no object yet: call init() first");
    }
    const auto count = static_cast<py::ssize_t>(trackers.size());
    py::array_t<double> boxes({count, py::ssize_t{4}});
    py::array_t<float> confidences(count);
    double* box = boxes.mutable_data();
    float* confidence = confidences.mutable_data();
    {
        const Claim claim(trackers);
        const py::gil_scoped_release unlocked;
        for (Tracker* tracker : trackers) {
            const auto [found, sureness] = tracker->filter.update(view, scratch());
            box = std::ranges::copy(std::array{found.x, found.y, found.w, found.h}, box).out;
            *confidence++ = sureness;
        }
    }
    return py::make_tuple(boxes, confidences);
}

void check_shape(const Map& map, int side, const char* name) {
    if (map.ndim() != 2 || map.shape(0) != side || map.shape(1) != side) {
        const std::string length = std::to_string(side);
        throw py::value_error("a " + std::string(name) + " must have the shape (" + length + ", " + length + ")");
    }
}

kcf::Patch to_patch(const Map& values) {
    check_shape(values, kcf::kPatch, "patch");
    kcf::Patch patch;
    std::copy_n(values.data(), patch.size(), patch.begin());
    return patch;
}

py::array_t<float> features(const Map& patch) {
    kcf::KcfScratch& memory = scratch();
    memory.patch = to_patch(patch);
    kcf::compute_features(memory);
    py::array_t<float> maps({kcf::kCells, kcf::kCells, kcf::kFeatures});
    float* out = maps.mutable_data();
    for (size_t cell = 0; cell < kcf::kMapSize; ++cell)
        for (size_t channel = 0; channel < kcf::kFeatures; ++channel)
            *out++ = memory.maps[channel / 8 * kcf::kMapSize + cell][channel % 8];
    return maps;
}

py::array_t<float> response(const Map& learnt, const Map& patch) {
    kcf::KcfScratch& memory = scratch();
    kcf::compute_response(to_patch(learnt), to_patch(patch), memory);
    py::array_t<float> map({kcf::kCells, kcf::kCells});
    std::ranges::copy(memory.response, map.mutable_data());
    return map;
}

py::tuple peak(const Map& response_map) {
    check_shape(response_map, kcf::kCells, "response");
    const kcf::Peak found = kcf::find_peak(std::span<const float, kcf::kMapSize>(response_map.data(), kcf::kMapSize));
    return py::make_tuple(found.dx, found.dy, found.value, found.sidelobe_ratio);
}

}  // namespace

void register_kcf(py::module_& m) {
    py::class_<Tracker>(m, "Kcf", "One object's correlation filter.")
        .def(py::init<>(), "A filter that has learnt nothing.")
        .def("init", &init, py::arg("frame"), py::arg("x"), py::arg("y"), py::arg("w"), py::arg("h"),
             "Learn the object in a box of a frame, with the GIL released.");
    m.def("kcf_update", &update, py::arg("trackers"), py::arg("frame"),
          "Find all objects in the next frame and learn from it, with the GIL released.");
    m.def("kcf_features", &features, py::arg("patch"),
          "The windowed feature maps of a patch: a step alone, for tests.");
    m.def("kcf_response", &response, py::arg("learnt"), py::arg("patch"),
          "The response to one patch of a filter learnt from another: a step alone, for tests.");
    m.def("kcf_peak", &peak, py::arg("response"), "Where a response is highest: a step alone, for tests.");
}

}  // namespace ferengine::python
