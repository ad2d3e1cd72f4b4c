// The Python names of the tracker; the logic is in kcf.cpp.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <vector>

#include "frame_argument.hpp"
#include "kcf.hpp"
#include "register.hpp"

namespace py = pybind11;

namespace ferengine {
namespace {

using Levels = py::array_t<float, py::array::c_style>;

// What a Python object holds.
struct Tracker {
    Kcf filter;
    bool started = false;
    bool busy = false;  // read and written with the GIL held
};

// Keeps trackers for one call that releases the GIL.
class Claim {
  public:
    explicit Claim(const std::vector<Tracker*>& trackers) {
        for (Tracker* tracker : trackers) {
            if (tracker->busy) {
                give_back();
                throw py::value_error("a tracker is listed twice, or another thread is using it");
            }
            tracker->busy = true;
            held_.push_back(tracker);
        }
    }
    ~Claim() { give_back(); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

  private:
    void give_back() {
        for (Tracker* tracker : held_) tracker->busy = false;
        held_.clear();
    }
    std::vector<Tracker*> held_;
};

KcfScratch& scratch() {
    static thread_local KcfScratch one;
    return one;
}

void init(Tracker& tracker, const py::array& frame, double x, double y, double w, double h) {
    constexpr double farthest = 1e9;
    const FrameView view = view_of(frame);
    for (const double value : {x, y, w, h})
        if (!(std::abs(value) <= farthest))
            throw py::value_error("a box to track must be finite, within 1e9 pixels of the frame");
    if (!(w > 0.0 && h > 0.0)) throw py::value_error("a box to track must have a positive width and height");
    const Claim claim({&tracker});
    py::gil_scoped_release release;
    tracker.filter.init(view, {x, y, w, h}, scratch());
    tracker.started = true;
}

py::tuple update(const std::vector<Tracker*>& trackers, const py::array& frame) {
    const FrameView view = view_of(frame);
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
        py::gil_scoped_release release;
        for (Tracker* tracker : trackers) {
            const KcfUpdate now = tracker->filter.update(view, scratch());
            for (const double value : {now.box.x, now.box.y, now.box.w, now.box.h}) *box++ = value;
            *confidence++ = now.confidence;
        }
    }
    return py::make_tuple(boxes, confidences);
}

Patch patch_of(const Levels& levels) {
    if (levels.ndim() != 2 || levels.shape(0) != kPatch || levels.shape(1) != kPatch)
        throw py::value_error("a patch must have the shape (" + std::to_string(kPatch) + ", " + std::to_string(kPatch) +
                              ")");
    Patch patch;
    std::copy_n(levels.data(), patch.size(), patch.begin());
    return patch;
}

py::array_t<float> features(const Levels& levels) {
    KcfScratch& memory = scratch();
    memory.patch = patch_of(levels);
    kcf_features(memory);
    py::array_t<float> maps({kCells, kCells, kFeatures});
    float* out = maps.mutable_data();
    for (size_t cell = 0; cell < kMapSize; ++cell)
        for (size_t channel = 0; channel < kFeatures; ++channel)
            *out++ = memory.maps[channel / 8 * kMapSize + cell][channel % 8];
    return maps;
}

py::array_t<float> response(const Levels& learnt, const Levels& levels) {
    KcfScratch& memory = scratch();
    kcf_response(patch_of(learnt), patch_of(levels), memory);
    py::array_t<float> map({kCells, kCells});
    std::copy(memory.response.begin(), memory.response.end(), map.mutable_data());
    return map;
}

py::tuple peak(const Levels& map) {
    if (map.ndim() != 2 || map.shape(0) != kCells || map.shape(1) != kCells)
        throw py::value_error("a response must have the shape (" + std::to_string(kCells) + ", " +
                              std::to_string(kCells) + ")");
    const Peak found = kcf_peak(map.data());
    return py::make_tuple(found.dx, found.dy, found.value, found.to_sidelobe);
}

}  // namespace

void register_kcf(py::module_& m) {
    py::class_<Tracker>(m, "Kcf", "One object's filter.")
        .def(py::init<>())
        .def("init", &init, py::arg("frame"), py::arg("x"), py::arg("y"), py::arg("w"), py::arg("h"));
    m.def("kcf_update", &update, py::arg("trackers"), py::arg("frame"),
          "All objects in the next frame: boxes and confidences.");
    m.def("kcf_features", &features, py::arg("patch"), "A step on its own, for tests: the maps of a patch.");
    m.def("kcf_response", &response, py::arg("learnt"), py::arg("patch"),
          "A step on its own, for tests: what a filter learnt from one patch answers to another.");
    m.def("kcf_peak", &peak, py::arg("response"), "A step on its own, for tests: where a response is highest.");
}

}  // namespace ferengine
