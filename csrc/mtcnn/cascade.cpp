#include "mtcnn/cascade.hpp"

#include <algorithm>

#include "mtcnn/box_cropper.hpp"
#include "mtcnn/search_regions.hpp"

namespace ferengine::mtcnn {
namespace {

constexpr int kWindow = ProposalNetwork::kWindow;

// Overlap above which the weaker box is dropped: within a pyramid level, and at every later step.
constexpr float kLevelOverlap = 0.5f, kOverlap = 0.7f;

// Cells of one pyramid level that enter its suppression, best first: noise cannot stall the cascade.
constexpr size_t kMaxLevelCandidates = 2000;

void keep_best(std::vector<Candidate>& candidates) {
    if (candidates.size() <= kMaxLevelCandidates) return;
    std::ranges::stable_sort(candidates, [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    candidates.resize(kMaxLevelCandidates);
}

}  // namespace

std::vector<std::vector<DetectedFace>> Cascade::detect(std::span<const SearchTask> tasks) const {
    std::vector<Window> windows;
    for (size_t task = 0; task < tasks.size(); ++task) append_windows(propose(tasks[task]), task, windows);

    const std::vector<std::vector<Candidate>> refined = refine(tasks, windows);
    windows.clear();
    for (size_t task = 0; task < tasks.size(); ++task) append_windows(refined[task], task, windows);

    return output(tasks, windows);
}

// P-Net: the candidates of all levels.
std::vector<Candidate> Cascade::propose(const SearchTask& task) const {
    const image::FrameView& frame = task.frame;
    const std::vector<LevelSize> levels =
        pyramid_levels(frame.height, frame.width, kWindow / settings_.min_face, settings_.factor, kWindow);
    std::vector<Candidate> found, candidates;
    Pyramid pyramid(frame);
    for (size_t index = 0; index < levels.size(); ++index) {
        candidates.clear();
        if (task.everywhere) {
            const LevelSize& size = levels[index];
            scan_level(pyramid.level(size.height, size.width), size, 0, 0, candidates);
        } else {
            for (const SearchRegion& region :
                 regions_near(task.near, frame.height, frame.width, levels, index, kWindow)) {
                Pyramid pyramid_of_part(frame.part(region.y, region.x, region.height, region.width));
                scan_level(pyramid_of_part.level(region.size.height, region.size.width), region.size, region.x,
                           region.y, candidates);
            }
        }
        keep_best(candidates);
        for (const int kept : non_maximum_suppression(candidates, kLevelOverlap, Overlap::of_union))
            found.push_back(candidates[static_cast<size_t>(kept)]);
    }
    return found;
}

// Appends P-Net's candidates on one level, whose upper left corner is (x, y) in the frame.
void Cascade::scan_level(const float* level, const LevelSize& size, int x, int y, std::vector<Candidate>& out) const {
    const size_t first = out.size();
    ProposalNetwork::Scan scan(networks_.proposal, level, size.height, size.width);
    for (int row = 0; row < scan.rows(); ++row)
        decode_row(scan.next_row(), row, settings_.thresholds[0], size.scale, out);
    const auto dx = static_cast<float>(x), dy = static_cast<float>(y);
    for (Candidate& candidate : std::span(out).subspan(first)) {
        BoxCorners& box = candidate.box;
        box = {.x1 = box.x1 + dx, .y1 = box.y1 + dy, .x2 = box.x2 + dx, .y2 = box.y2 + dy};
    }
}

// What the next network looks at: the best boxes that overlap little, best first, made square.
void Cascade::append_windows(std::span<const Candidate> candidates, size_t task, std::vector<Window>& out) const {
    const std::vector<int> kept = non_maximum_suppression(candidates, kOverlap, Overlap::of_union);
    const size_t count = std::min(kept.size(), static_cast<size_t>(settings_.max_candidates));
    for (size_t i = 0; i < count; ++i)
        out.push_back({.task = task, .box = make_square(candidates[static_cast<size_t>(kept[i])].box)});
}

// R-Net: the windows that it takes for faces, for each task.
std::vector<std::vector<Candidate>> Cascade::refine(std::span<const SearchTask> tasks,
                                                    std::span<const Window> windows) const {
    const std::vector<float> values = predict(networks_.refinement, tasks, windows);
    const Predictions predictions(values);
    std::vector<std::vector<Candidate>> refined(tasks.size());
    for (size_t i = 0; i < windows.size(); ++i) {
        const float score = predictions[i].probability();
        if (score > settings_.thresholds[1])
            refined[windows[i].task].push_back({.box = regress(windows[i].box, predictions[i]), .score = score});
    }
    return refined;
}

// O-Net: the faces of each task; `windows` are sorted by task.
std::vector<std::vector<DetectedFace>> Cascade::output(std::span<const SearchTask> tasks,
                                                       std::span<const Window> windows) const {
    const std::vector<float> values = predict(networks_.output, tasks, windows);
    const Predictions predictions(values);
    std::vector<std::vector<DetectedFace>> faces(tasks.size());
    for (size_t task = 0, i = 0; task < tasks.size(); ++task) {
        std::vector<Candidate> candidates;
        std::vector<Landmarks> landmarks;
        for (; i < windows.size() && windows[i].task == task; ++i) {
            const float score = predictions[i].probability();
            if (!(score > settings_.thresholds[2])) continue;
            candidates.push_back({.box = regress(windows[i].box, predictions[i]), .score = score});
            landmarks.push_back(place_landmarks(windows[i].box, predictions[i]));
        }
        for (const int kept : non_maximum_suppression(candidates, kOverlap, Overlap::of_smaller)) {
            const auto index = static_cast<size_t>(kept);
            faces[task].push_back(
                {.box = candidates[index].box, .score = candidates[index].score, .landmarks = landmarks[index]});
        }
    }
    return faces;
}

// What `network` predicts for the images in `windows`: values for Predictions.
std::vector<float> Cascade::predict(const CropNetwork& network, std::span<const SearchTask> tasks,
                                    std::span<const Window> windows) {
    const auto features = static_cast<size_t>(network.features()), side = static_cast<size_t>(network.side());
    std::vector<float> image(side * side * 3 + kSlack), described(windows.size() * features + kSlack);
    for (size_t i = 0; i < windows.size(); ++i) {
        BoxCropper(tasks[windows[i].task].frame).crop(windows[i].box, network.side(), image.data());
        network.extract_features(image.data(), described.data() + i * features);
    }
    return network.predict(described.data(), static_cast<int>(windows.size()));
}

}  // namespace ferengine::mtcnn
