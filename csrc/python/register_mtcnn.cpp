// The Python names of MTCNN.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mtcnn/box_cropper.hpp"
#include "mtcnn/cascade.hpp"
#include "mtcnn/search_regions.hpp"
#include "python/arguments.hpp"
#include "python/register.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

using mtcnn::BoxCorners;
using mtcnn::Cascade;
using mtcnn::DetectedFace;
using mtcnn::kGroup;
using mtcnn::kSlack;
using mtcnn::ProposalNetwork;

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

image::FrameView colour_view(const py::array& frame) {
    const image::FrameView view = frame_view(frame);
    if (view.channels != 3) throw py::value_error("frame must have the shape (height, width, 3)");
    return view;
}

void check_finite(const Floats& values, const char* name) {
    if (!std::all_of(values.data(), values.data() + values.size(), [](float value) { return std::isfinite(value); }))
        throw py::value_error(std::string(name) + " must be finite");
}

std::vector<BoxCorners> box_corners(const Floats& boxes, const char* name) {
    if (boxes.ndim() != 2 || boxes.shape(1) != 4)
        throw py::value_error(std::string(name) + " must have the shape (n, 4)");
    check_finite(boxes, name);
    std::vector<BoxCorners> result(static_cast<size_t>(boxes.shape(0)));
    const auto rows = boxes.unchecked<2>();
    for (py::ssize_t i = 0; i < rows.shape(0); ++i)
        result[static_cast<size_t>(i)] = {.x1 = rows(i, 0), .y1 = rows(i, 1), .x2 = rows(i, 2), .y2 = rows(i, 3)};
    return result;
}

// `arrays` must outlive the tensors.
std::vector<mtcnn::Tensor> to_tensors(const std::vector<Floats>& arrays) {
    std::vector<mtcnn::Tensor> tensors;
    for (const Floats& array : arrays) {
        mtcnn::Tensor tensor{.shape = {}, .data = {array.data(), static_cast<size_t>(array.size())}};
        for (py::ssize_t axis = 0; axis < array.ndim(); ++axis)
            tensor.shape.push_back(static_cast<int>(array.shape(axis)));
        check_finite(array, "weights");
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

mtcnn::CascadeSettings checked_settings(double min_face, double factor, const std::array<float, 3>& thresholds,
                                        int max_candidates, std::optional<bool> estimates) {
    if (!(std::isfinite(min_face) && min_face >= ProposalNetwork::kWindow))
        throw py::value_error("min_face must be at least 12 pixels");
    if (!(factor > 0.0 && factor < 1.0)) throw py::value_error("factor must lie between 0 and 1");
    for (const float threshold : thresholds)
        if (!(threshold >= 0.0f && threshold < 1.0f)) throw py::value_error("thresholds must lie in [0, 1)");
    if (max_candidates < 1) throw py::value_error("max_candidates must be at least 1");
    return {.min_face = min_face,
            .factor = factor,
            .thresholds = thresholds,
            .max_candidates = max_candidates,
            .estimates = estimates.value_or(mtcnn::has_byte_kernels())};
}

Cascade make_cascade(const std::vector<Floats>& pnet, const std::vector<Floats>& rnet, const std::vector<Floats>& onet,
                     double min_face, double factor, const std::array<float, 3>& thresholds, int max_candidates,
                     std::optional<bool> estimates) {
    const mtcnn::CascadeSettings settings = checked_settings(min_face, factor, thresholds, max_candidates, estimates);
    return {{.proposal = ProposalNetwork(to_tensors(pnet)),
             .refinement = mtcnn::CropNetwork::refinement(to_tensors(rnet)),
             .output = mtcnn::CropNetwork::output(to_tensors(onet))},
            settings};
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
        std::ranges::copy(face.landmarks, landmarks.mutable_data(i, 0, 0));
    }
    return py::make_tuple(boxes, scores, landmarks);
}

py::list detect(const Cascade& cascade, const std::vector<py::array>& frames,
                const std::vector<std::optional<Floats>>& near) {
    if (near.size() != frames.size()) throw py::value_error("near must be as long as frames");
    std::vector<mtcnn::SearchTask> tasks;
    tasks.reserve(frames.size());
    for (size_t i = 0; i < frames.size(); ++i) {
        const std::optional<Floats>& boxes = near[i];
        tasks.push_back({.frame = colour_view(frames[i]),
                         .everywhere = !boxes.has_value(),
                         .near = boxes ? box_corners(*boxes, "near") : std::vector<BoxCorners>{}});
    }
    std::vector<std::vector<DetectedFace>> found;
    {
        const py::gil_scoped_release release;
        found = cascade.detect(tasks);
    }
    py::list result;
    for (const auto& faces : found) result.append(to_arrays(faces));
    return result;
}

struct LevelShape {
    int height, width, rows, columns;
};

LevelShape level_shape(const Floats& level) {
    constexpr int min = ProposalNetwork::kWindow, max = 1 << 16;
    if (level.ndim() != 3 || level.shape(2) != 3 || level.shape(0) < min || level.shape(1) < min ||
        level.shape(0) > max || level.shape(1) > max)
        throw py::value_error("level must have the shape (height, width, 3), from 12 to 65536 pixels a side");
    const int height = static_cast<int>(level.shape(0)), width = static_cast<int>(level.shape(1));
    return {.height = height,
            .width = width,
            .rows = ProposalNetwork::cells(height),
            .columns = ProposalNetwork::cells(width)};
}

py::tuple propose(const Cascade& cascade, const Floats& level, float skim) {
    if (std::isnan(skim)) throw py::value_error("skim must be a number");
    const auto [height, width, rows, columns] = level_shape(level);
    const size_t cells = static_cast<size_t>(rows) * static_cast<size_t>(columns);
    py::array_t<float> probabilities({rows, columns}), boxes({4, rows, columns});
    float *const probability_at = probabilities.mutable_data(), *const box_at = boxes.mutable_data();
    {
        const py::gil_scoped_release release;
        ProposalNetwork::Scan scan(cascade.networks().proposal, level.data(), height, width, skim);
        for (size_t cell = 0; cell < cells;) {
            const mtcnn::Predictions row = scan.next_row();
            for (size_t x = 0; x < row.size(); ++x, ++cell) {
                probability_at[cell] = row[x].probability();
                for (size_t i = 0; i < 4; ++i) box_at[i * cells + cell] = row[x].offsets()[i];
            }
        }
    }
    return py::make_tuple(probabilities, boxes);
}

py::array_t<float> estimate_proposals(const Cascade& cascade, const Floats& level) {
    check_finite(level, "level");
    const auto [height, width, rows, columns] = level_shape(level);
    py::array_t<float> logits({rows, columns});
    float* out = logits.mutable_data();
    const py::gil_scoped_release release;
    const auto pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
    std::vector<uint8_t> bytes(pixels * mtcnn::kLevelPitch + mtcnn::kLevelSlack);
    for (size_t pixel = 0; pixel < pixels; ++pixel)
        mtcnn::bytes_of(level.data() + 3 * pixel, 3, bytes.data() + mtcnn::kLevelPitch * pixel);
    const mtcnn::ProposalEstimate estimate(cascade.networks().proposal);
    mtcnn::ProposalEstimate::Scan scan(estimate, bytes.data(), height, width, -std::numeric_limits<float>::infinity());
    for (int row = 0; row < rows; ++row) out = std::ranges::copy(scan.next_row(), out).out;
    return logits;
}

void check_images(const mtcnn::CropNetwork& network, const Floats& images) {
    const int side = network.side();
    if (images.ndim() != 4 || images.shape(1) != side || images.shape(2) != side || images.shape(3) != 3 ||
        images.shape(0) > (1 << 20))
        throw py::value_error("images must have the shape (n, " + std::to_string(side) + ", " + std::to_string(side) +
                              ", 3)");
}

py::array_t<float> estimate_refinements(const Cascade& cascade, const Floats& images) {
    const mtcnn::CropNetwork& network = cascade.networks().refinement;
    check_images(network, images);
    check_finite(images, "images");
    py::array_t<float> logits(images.shape(0));
    float* const out = logits.mutable_data();
    const py::gil_scoped_release release;
    const mtcnn::CropEstimate estimate(network);
    const auto n = static_cast<size_t>(images.shape(0)), features = static_cast<size_t>(estimate.features());
    const auto values = static_cast<size_t>(images.size()) / std::max(n, size_t{1});
    std::vector<uint8_t> pixels(values + mtcnn::kByteSlack), described(n * features + mtcnn::kByteSlack);
    for (size_t i = 0; i < n; ++i) {
        mtcnn::bytes_of(images.data() + i * values, static_cast<int>(values), pixels.data());
        estimate.describe(pixels.data(), described.data() + i * features);
    }
    std::ranges::copy(estimate.logits(described.data(), static_cast<int>(n)), out);
    return logits;
}

// What R-Net or O-Net predicts for each image: probabilities (n,), and offsets (n, 4) or, with landmarks, (n, 14).
py::tuple predict(const mtcnn::CropNetwork& network, const Floats& images, bool landmarks) {
    check_images(network, images);
    const int side = network.side();
    const auto n = static_cast<size_t>(images.shape(0)), features = static_cast<size_t>(network.features());
    py::array_t<float> probabilities(images.shape(0)), values({images.shape(0), py::ssize_t{landmarks ? 14 : 4}});
    float *const probability_at = probabilities.mutable_data(), *value_at = values.mutable_data();
    {
        const py::gil_scoped_release release;
        const size_t pixels = static_cast<size_t>(side) * static_cast<size_t>(side);
        std::vector<float> described(n * features + kSlack);
        for (size_t i = 0; i < n; ++i)
            network.extract_features(images.data() + i * pixels * 3, described.data() + i * features);
        const std::vector<float> predicted = network.predict(described.data(), static_cast<int>(n));
        const mtcnn::Predictions predictions(predicted);
        for (size_t i = 0; i < n; ++i) {
            probability_at[i] = predictions[i].probability();
            value_at = std::ranges::copy(predictions[i].offsets(), value_at).out;
            if (landmarks) value_at = std::ranges::copy(predictions[i].landmarks(), value_at).out;
        }
    }
    return py::make_tuple(probabilities, values);
}

py::list pyramid(const py::array& frame, double min_face, double factor) {
    const image::FrameView view = colour_view(frame);
    checked_settings(min_face, factor, {}, 1, false);
    py::list result;
    constexpr int window = ProposalNetwork::kWindow;
    const std::vector<mtcnn::LevelSize> sizes =
        mtcnn::pyramid_levels(view.height, view.width, window / min_face, factor, window);
    mtcnn::HalvedFrame halved(view);
    mtcnn::Pyramid levels(halved, sizes);
    for (const mtcnn::LevelSize& size : sizes) {
        py::array_t<float> level({size.height, size.width, 3});
        std::copy_n(levels.next_floats(), level.size(), level.mutable_data());
        result.append(py::make_tuple(size.scale, level));
    }
    return result;
}

py::list parts_near(const py::array& frame, const Floats& near, double min_face, double factor) {
    const image::FrameView view = colour_view(frame);
    checked_settings(min_face, factor, {}, 1, false);
    const std::vector<BoxCorners> boxes = box_corners(near, "near");
    constexpr int window = ProposalNetwork::kWindow;
    const std::vector<mtcnn::LevelSize> levels =
        mtcnn::pyramid_levels(view.height, view.width, window / min_face, factor, window);
    py::list result;
    for (size_t index = 0; index < levels.size(); ++index)
        for (const mtcnn::SearchRegion& region :
             mtcnn::regions_near(boxes, view.height, view.width, levels, index, window)) {
            mtcnn::HalvedFrame part(view.part(region.y, region.x, region.height, region.width));
            mtcnn::Pyramid pyramid(part, {&region.size, 1});
            py::array_t<float> image({region.size.height, region.size.width, 3});
            std::copy_n(pyramid.next_floats(), image.size(), image.mutable_data());
            result.append(py::make_tuple(region.size.scale, region.x, region.y, image));
        }
    return result;
}

py::array_t<float> crops(const py::array& frame, const Floats& boxes, int size) {
    const image::FrameView view = colour_view(frame);
    if (size < 2 || size > 4096) throw py::value_error("size must lie between 2 and 4096");
    const std::vector<BoxCorners> wanted = box_corners(boxes, "boxes");
    py::array_t<float> result(
        {static_cast<py::ssize_t>(wanted.size()), py::ssize_t{size}, py::ssize_t{size}, py::ssize_t{3}});
    float* out = result.mutable_data();
    const py::gil_scoped_release release;
    const auto floats = static_cast<size_t>(size) * static_cast<size_t>(size) * 3;
    std::vector<float> crop(floats + kSlack);
    mtcnn::HalvedFrame halved(view);
    mtcnn::BoxCropper cropper(view, halved);
    for (const BoxCorners& box : wanted) {
        cropper.crop(box, size, crop.data());
        out = std::copy_n(crop.data(), floats, out);
    }
    return result;
}

py::array_t<int> suppress(const Floats& boxes, const Floats& scores, float threshold, const std::string& overlap) {
    if (overlap != "union" && overlap != "min") throw py::value_error("overlap must be union or min");
    const std::vector<BoxCorners> corners = box_corners(boxes, "boxes");
    if (scores.ndim() != 1 || scores.shape(0) != boxes.shape(0))
        throw py::value_error("scores must have the shape (n,), one a box");
    check_finite(scores, "scores");
    std::vector<mtcnn::Candidate> candidates;
    candidates.reserve(corners.size());
    for (size_t i = 0; i < corners.size(); ++i) candidates.push_back({.box = corners[i], .score = scores.data()[i]});
    std::vector<int> kept;
    {
        const py::gil_scoped_release release;
        const auto measure = overlap == "union" ? mtcnn::Overlap::of_union : mtcnn::Overlap::of_smaller;
        kept = mtcnn::non_maximum_suppression(candidates, threshold, measure);
    }
    return py::array_t<int>(static_cast<py::ssize_t>(kept.size()), kept.data());
}

py::tuple decode(const Floats& verdicts, float threshold, double scale) {
    if (verdicts.ndim() != 3 || verdicts.shape(2) != kGroup || verdicts.shape(0) > (1 << 16) ||
        verdicts.shape(1) > (1 << 16))
        throw py::value_error("verdicts must have the shape (rows, columns, 16)");
    if (!(threshold >= 0.0f && threshold < 1.0f)) throw py::value_error("threshold must lie in [0, 1)");
    if (!(std::isfinite(scale) && scale > 0.0)) throw py::value_error("scale must be finite and above 0");
    const auto row = static_cast<size_t>(verdicts.shape(1)) * kGroup;
    std::span<const float> values(verdicts.data(), static_cast<size_t>(verdicts.size()));
    mtcnn::Proposals found;
    for (int y = 0; y < static_cast<int>(verdicts.shape(0)); ++y, values = values.subspan(row))
        mtcnn::decode_row(mtcnn::Predictions(values.first(row)), y, threshold, scale, found);
    const auto count = static_cast<py::ssize_t>(found.boxes.size());
    py::array_t<float> windows({count, py::ssize_t{4}}), boxes({count, py::ssize_t{4}}), scores(count);
    const auto store = [](const BoxCorners& box, float* to) {
        std::ranges::copy(std::array{box.x1, box.y1, box.x2, box.y2}, to);
    };
    for (py::ssize_t i = 0; i < count; ++i) {
        const auto index = static_cast<size_t>(i);
        store(found.windows[index].box, windows.mutable_data(i, 0));
        store(found.boxes[index], boxes.mutable_data(i, 0));
        *scores.mutable_data(i) = found.windows[index].score;
    }
    return py::make_tuple(windows, boxes, scores);
}

}  // namespace

void register_mtcnn(py::module_& m) {
    py::class_<Cascade>(m, "MtcnnCascade", "MTCNN's networks and the steps between them.")
        .def(py::init(&make_cascade), py::arg("pnet"), py::arg("rnet"), py::arg("onet"), py::arg("min_face"),
             py::arg("factor"), py::arg("thresholds"), py::arg("max_candidates"), py::arg("estimates") = py::none(),
             "Build the networks from their weights.")
        .def("detect", &detect, py::arg("frames"), py::arg("near"),
             "Find the faces of each frame, in place, with the GIL released.")
        .def("propose", &propose, py::arg("level"), py::arg("skim") = -std::numeric_limits<float>::infinity(),
             "P-Net on one level of the pyramid.")
        .def("estimate_proposals", &estimate_proposals, py::arg("level"), "P-Net in bytes on one level of the pyramid.")
        .def("estimate_refinements", &estimate_refinements, py::arg("images"), "R-Net in bytes.")
        .def(
            "refine",
            [](const Cascade& cascade, const Floats& images) {
                return predict(cascade.networks().refinement, images, false);
            },
            py::arg("images"), "R-Net on images of 24 x 24 pixels.")
        .def(
            "decide",
            [](const Cascade& cascade, const Floats& images) {
                return predict(cascade.networks().output, images, true);
            },
            py::arg("images"), "O-Net on images of 48 x 48 pixels.");
    m.def("mtcnn_pyramid", &pyramid, py::arg("frame"), py::arg("min_face"), py::arg("factor"),
          "The image pyramid that P-Net scans, from large to small.");
    m.def("mtcnn_parts_near", &parts_near, py::arg("frame"), py::arg("near"), py::arg("min_face"), py::arg("factor"),
          "The parts of the pyramid's levels that P-Net scans for faces near known ones, from large to small.");
    m.def("mtcnn_crops", &crops, py::arg("frame"), py::arg("boxes"), py::arg("size"),
          "The images in boxes of a frame, as R-Net and O-Net take them.");
    m.def("mtcnn_decode", &decode, py::arg("verdicts"), py::arg("threshold"), py::arg("scale"),
          "Windows, boxes and scores from P-Net's predictions for one level, row by row.");
    m.def("mtcnn_suppress", &suppress, py::arg("boxes"), py::arg("scores"), py::arg("threshold"), py::arg("overlap"),
          "Non-maximum suppression: indices of the boxes kept, best score first.");
}

}  // namespace ferengine::python
