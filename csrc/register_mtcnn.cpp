// The Python names of MTCNN.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "frame_argument.hpp"
#include "mtcnn_cascade.hpp"
#include "register.hpp"

namespace py = pybind11;

namespace ferengine {
namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

FrameView colour_view_of(const py::array& frame) {
    const FrameView view = view_of(frame);
    if (view.channels != 3) throw py::value_error("frame must have the shape (height, width, 3)");
    return view;
}

void check_finite(const Floats& values, const char* name) {
    if (!std::all_of(values.data(), values.data() + values.size(), [](float value) { return std::isfinite(value); }))
        throw py::value_error(std::string(name) + " must be finite");
}

std::vector<Corners> corners_of(const Floats& boxes, const char* name) {
    if (boxes.ndim() != 2 || boxes.shape(1) != 4)
        throw py::value_error(std::string(name) + " must have the shape (n, 4)");
    check_finite(boxes, name);
    std::vector<Corners> result(static_cast<size_t>(boxes.shape(0)));
    for (size_t i = 0; i < result.size(); ++i) {
        const float* v = boxes.data() + 4 * i;
        result[i] = {v[0], v[1], v[2], v[3]};
    }
    return result;
}

// `arrays` must outlive the tensors.
std::vector<Tensor> tensors_of(const std::vector<Floats>& arrays) {
    std::vector<Tensor> tensors;
    for (const Floats& array : arrays) {
        Tensor tensor{{}, array.data()};
        for (py::ssize_t axis = 0; axis < array.ndim(); ++axis)
            tensor.shape.push_back(static_cast<int>(array.shape(axis)));
        check_finite(array, "weights");
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

CascadeSettings settings_of(double min_face, double factor, const std::array<float, 3>& thresholds,
                            int max_candidates) {
    if (!(std::isfinite(min_face) && min_face >= ProposalNetwork::kWindow))
        throw py::value_error("min_face must be at least 12 pixels");
    if (!(factor > 0.0 && factor < 1.0)) throw py::value_error("factor must lie between 0 and 1");
    for (const float threshold : thresholds)
        if (!(threshold >= 0.0f && threshold < 1.0f)) throw py::value_error("thresholds must lie in [0, 1)");
    if (max_candidates < 1) throw py::value_error("max_candidates must be at least 1");
    return {min_face, factor, thresholds, max_candidates};
}

Cascade make_cascade(const std::vector<Floats>& pnet, const std::vector<Floats>& rnet, const std::vector<Floats>& onet,
                     double min_face, double factor, const std::array<float, 3>& thresholds, int max_candidates) {
    const CascadeSettings settings = settings_of(min_face, factor, thresholds, max_candidates);
    return Cascade({ProposalNetwork(tensors_of(pnet)), RefinementNetwork::refine(tensors_of(rnet)),
                    RefinementNetwork::decide(tensors_of(onet))},
                   settings);
}

py::tuple to_arrays(const std::vector<DetectedFace>& faces) {
    const auto count = static_cast<py::ssize_t>(faces.size());
    py::array_t<float> boxes({count, py::ssize_t{4}}), scores(count),
        landmarks({count, py::ssize_t{5}, py::ssize_t{2}});
    for (py::ssize_t i = 0; i < count; ++i) {
        const DetectedFace& face = faces[static_cast<size_t>(i)];
        float* const box = boxes.mutable_data(i, 0);
        box[0] = face.box.x1, box[1] = face.box.y1;
        box[2] = face.box.x2 - face.box.x1, box[3] = face.box.y2 - face.box.y1;
        *scores.mutable_data(i) = face.score;
        std::copy(face.landmarks.begin(), face.landmarks.end(), landmarks.mutable_data(i, 0, 0));
    }
    return py::make_tuple(boxes, scores, landmarks);
}

py::list detect(const Cascade& cascade, const std::vector<py::array>& frames,
                const std::vector<std::optional<Floats>>& near) {
    if (near.size() != frames.size()) throw py::value_error("near must be as long as frames");
    std::vector<SearchTask> tasks;
    for (size_t i = 0; i < frames.size(); ++i)
        tasks.push_back({colour_view_of(frames[i]), !near[i].has_value(),
                         near[i] ? corners_of(*near[i], "near") : std::vector<Corners>{}});
    std::vector<std::vector<DetectedFace>> found;
    {
        py::gil_scoped_release release;
        found = cascade.detect(tasks);
    }
    py::list result;
    for (const auto& faces : found) result.append(to_arrays(faces));
    return result;
}

py::tuple propose(const Cascade& cascade, const Floats& level) {
    const int least = ProposalNetwork::kWindow, most = 1 << 16;
    if (level.ndim() != 3 || level.shape(2) != 3 || level.shape(0) < least || level.shape(1) < least ||
        level.shape(0) > most || level.shape(1) > most)
        throw py::value_error("level must have the shape (height, width, 3), from 12 to 65536 pixels a side");
    const int height = static_cast<int>(level.shape(0)), width = static_cast<int>(level.shape(1));
    const int rows = ProposalNetwork::cells(height), columns = ProposalNetwork::cells(width);
    py::array_t<float> probabilities({rows, columns}), boxes({4, rows, columns});
    float *const probability_at = probabilities.mutable_data(), *const box_at = boxes.mutable_data();
    {
        py::gil_scoped_release release;
        cascade.networks().propose.run(level.data(), height, width, [&](int y, Verdict verdict) {
            for (int x = 0; x < columns; ++x, verdict += kGroup) {
                const ptrdiff_t cell = static_cast<ptrdiff_t>(y) * columns + x;
                probability_at[cell] = probability(verdict[0]);
                for (int i = 0; i < 4; ++i)
                    box_at[static_cast<ptrdiff_t>(i) * rows * columns + cell] = verdict[kOffsets + i];
            }
        });
    }
    return py::make_tuple(probabilities, boxes);
}

// Probabilities (n,) and `count` further values (n, count) of the images' verdicts.
py::tuple judge(const RefinementNetwork& network, const Floats& images, int count) {
    const int side = network.side();
    if (images.ndim() != 4 || images.shape(1) != side || images.shape(2) != side || images.shape(3) != 3 ||
        images.shape(0) > (1 << 20))
        throw py::value_error("images must have the shape (n, " + std::to_string(side) + ", " + std::to_string(side) +
                              ", 3)");
    const auto n = static_cast<size_t>(images.shape(0)), features = static_cast<size_t>(network.features());
    py::array_t<float> probabilities(images.shape(0)), values({images.shape(0), py::ssize_t{count}});
    float *const probability_at = probabilities.mutable_data(), *value_at = values.mutable_data();
    {
        py::gil_scoped_release release;
        std::vector<float> described(n * features + kSlack), verdicts(n * kGroup);
        for (size_t i = 0; i < n; ++i)
            network.describe(images.data() + i * static_cast<size_t>(side) * side * 3,
                             described.data() + i * features);
        network.judge(described.data(), static_cast<int>(n), verdicts.data());
        for (size_t i = 0; i < n; ++i) {
            const Verdict verdict = verdicts.data() + i * kGroup;
            probability_at[i] = probability(verdict[0]);
            value_at = std::copy_n(verdict + kOffsets, count, value_at);
        }
    }
    return py::make_tuple(probabilities, values);
}

py::list pyramid(const py::array& frame, double min_face, double factor) {
    const FrameView view = colour_view_of(frame);
    settings_of(min_face, factor, {}, 1);
    Pyramid levels(view);
    py::list result;
    for (const LevelSize& size : pyramid_levels(view.height, view.width, ProposalNetwork::kWindow / min_face, factor,
                                                ProposalNetwork::kWindow)) {
        py::array_t<float> level({size.height, size.width, 3});
        std::copy_n(levels.level(size.height, size.width), level.size(), level.mutable_data());
        result.append(py::make_tuple(size.scale, level));
    }
    return result;
}

py::array_t<float> crops(const py::array& frame, const Floats& boxes, int size) {
    BoxCropper cropper(colour_view_of(frame));
    if (size < 2 || size > 4096) throw py::value_error("size must lie between 2 and 4096");
    const std::vector<Corners> wanted = corners_of(boxes, "boxes");
    py::array_t<float> result(
        {static_cast<py::ssize_t>(wanted.size()), py::ssize_t{size}, py::ssize_t{size}, py::ssize_t{3}});
    float* out = result.mutable_data();
    py::gil_scoped_release release;
    const auto floats = static_cast<size_t>(size) * static_cast<size_t>(size) * 3;
    std::vector<float> crop(floats + kSlack);
    for (const Corners& box : wanted) {
        cropper.crop(box, size, crop.data());
        out = std::copy_n(crop.data(), floats, out);
    }
    return result;
}

py::array_t<int> suppress(const Floats& boxes, const Floats& scores, float threshold, const std::string& overlap) {
    if (overlap != "union" && overlap != "min") throw py::value_error("overlap must be union or min");
    const std::vector<Corners> corners = corners_of(boxes, "boxes");
    if (scores.ndim() != 1 || scores.shape(0) != boxes.shape(0))
        throw py::value_error("scores must have the shape (n,), one a box");
    check_finite(scores, "scores");
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < corners.size(); ++i) candidates.push_back({corners[i], scores.data()[i]});
    std::vector<int> kept;
    {
        py::gil_scoped_release release;
        kept = non_maximum_suppression(candidates, threshold,
                                       overlap == "union" ? Overlap::of_union : Overlap::of_smaller);
    }
    return py::array_t<int>(static_cast<py::ssize_t>(kept.size()), kept.data());
}

py::tuple decode(const Floats& verdicts, float threshold, double scale) {
    if (verdicts.ndim() != 3 || verdicts.shape(2) != kGroup || verdicts.shape(0) > (1 << 16) ||
        verdicts.shape(1) > (1 << 16))
        throw py::value_error("verdicts must have the shape (rows, columns, 16)");
    if (!(threshold >= 0.0f && threshold < 1.0f)) throw py::value_error("threshold must lie in [0, 1)");
    if (!(std::isfinite(scale) && scale > 0.0)) throw py::value_error("scale must be finite and above 0");
    const int rows = static_cast<int>(verdicts.shape(0)), columns = static_cast<int>(verdicts.shape(1));
    std::vector<Candidate> found;
    for (int y = 0; y < rows; ++y)
        decode_row(verdicts.data() + ptrdiff_t{y} * columns * kGroup, columns, y, threshold, scale, found);
    const auto count = static_cast<py::ssize_t>(found.size());
    py::array_t<float> boxes({count, py::ssize_t{4}}), scores(count);
    for (py::ssize_t i = 0; i < count; ++i) {
        const Candidate& candidate = found[static_cast<size_t>(i)];
        const Corners& box = candidate.box;
        const float corners[] = {box.x1, box.y1, box.x2, box.y2};
        std::copy_n(corners, 4, boxes.mutable_data(i, 0));
        *scores.mutable_data(i) = candidate.score;
    }
    return py::make_tuple(boxes, scores);
}

}  // namespace

void register_mtcnn(py::module_& m) {
    py::class_<Cascade>(m, "MtcnnCascade", "MTCNN on frames in place.")
        .def(py::init(&make_cascade), py::arg("pnet"), py::arg("rnet"), py::arg("onet"), py::arg("min_face"),
             py::arg("factor"), py::arg("thresholds"), py::arg("max_candidates"))
        .def("detect", &detect, py::arg("frames"), py::arg("near"))
        .def("propose", &propose, py::arg("level"))
        .def(
            "refine",
            [](const Cascade& cascade, const Floats& images) {
                return judge(cascade.networks().refine, images, 4);
            },
            py::arg("images"))
        .def(
            "decide",
            [](const Cascade& cascade, const Floats& images) {
                return judge(cascade.networks().decide, images, 14);
            },
            py::arg("images"));
    m.def("mtcnn_pyramid", &pyramid, py::arg("frame"), py::arg("min_face"), py::arg("factor"));
    m.def("mtcnn_crops", &crops, py::arg("frame"), py::arg("boxes"), py::arg("size"));
    m.def("mtcnn_decode", &decode, py::arg("verdicts"), py::arg("threshold"), py::arg("scale"));
    m.def("mtcnn_suppress", &suppress, py::arg("boxes"), py::arg("scores"), py::arg("threshold"), py::arg("overlap"));
}

}  // namespace ferengine
