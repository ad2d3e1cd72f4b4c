#include "mtcnn_cascade.hpp"

#include <algorithm>

#include "mtcnn_regions.hpp"

namespace ferengine {
namespace {

// Overlap above which the weaker box is dropped: within a pyramid level, and at every later step.
constexpr float kLevelOverlap = 0.5f, kOverlap = 0.7f;

// Cells of one pyramid level that enter its suppression, best first: noise cannot stall the cascade.
constexpr size_t kLevelCandidates = 2000;

void keep_best(std::vector<Candidate>& candidates) {
    if (candidates.size() <= kLevelCandidates) return;
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    candidates.resize(kLevelCandidates);
}

}  // namespace

// P-Net's candidates on one image of the pyramid, whose upper left corner is (x, y) in the frame.
void Cascade::propose(const float* image, const LevelSize& size, int x, int y, std::vector<Candidate>& out) const {
    const size_t first = out.size();
    networks_.propose.run(image, size.height, size.width, [&](int row, Verdict verdicts) {
        decode_row(verdicts, ProposalNetwork::cells(size.width), row, settings_.thresholds[0], size.scale, out);
    });
    const auto dx = static_cast<float>(x), dy = static_cast<float>(y);
    for (size_t i = first; i < out.size(); ++i) {
        Corners& box = out[i].box;
        box = {box.x1 + dx, box.y1 + dy, box.x2 + dx, box.y2 + dy};
    }
}

std::vector<Candidate> Cascade::proposals(const SearchTask& task) const {
    constexpr int kWindow = ProposalNetwork::kWindow;
    const FrameView& frame = task.frame;
    const std::vector<LevelSize> levels =
        pyramid_levels(frame.height, frame.width, kWindow / settings_.min_face, settings_.factor, kWindow);
    std::vector<Candidate> found, level;
    Pyramid pyramid(frame);
    for (size_t index = 0; index < levels.size(); ++index) {
        level.clear();
        if (task.everywhere) {
            const LevelSize& size = levels[index];
            propose(pyramid.level(size.height, size.width), size, 0, 0, level);
        } else {
            for (const Region& region : regions_near(task.near, frame.height, frame.width, levels, index, kWindow)) {
                const FrameView part{frame.data + region.y * frame.stride + ptrdiff_t{region.x} * 3, region.height,
                                     region.width, 3, frame.stride};
                Pyramid pyramid_of_part(part);
                propose(pyramid_of_part.level(region.size.height, region.size.width), region.size, region.x, region.y,
                        level);
            }
        }
        keep_best(level);
        for (const int kept : non_maximum_suppression(level, kLevelOverlap, Overlap::of_union))
            found.push_back(level[static_cast<size_t>(kept)]);
    }
    return found;
}

// What the next network looks at: the best boxes that overlap little, best first, made square.
void Cascade::append_squares(const std::vector<Candidate>& candidates, size_t task, std::vector<Window>& out) const {
    const std::vector<int> kept = non_maximum_suppression(candidates, kOverlap, Overlap::of_union);
    const size_t count = std::min(kept.size(), static_cast<size_t>(settings_.max_candidates));
    for (size_t i = 0; i < count; ++i) out.push_back({task, square(candidates[static_cast<size_t>(kept[i])].box)});
}

// The verdicts of `network` on the images in `windows`, which are sorted by task.
std::vector<float> Cascade::judge(const RefinementNetwork& network, const std::vector<SearchTask>& tasks,
                                  const std::vector<Window>& windows) const {
    const auto features = static_cast<size_t>(network.features());
    const int side = network.side();
    std::vector<float> image(static_cast<size_t>(side) * side * 3 + kSlack);
    std::vector<float> described(windows.size() * features + kSlack), verdicts(windows.size() * kGroup);
    for (size_t i = 0; i < windows.size(); ++i) {
        BoxCropper(tasks[windows[i].task].frame).crop(windows[i].box, side, image.data());
        network.describe(image.data(), described.data() + i * features);
    }
    network.judge(described.data(), static_cast<int>(windows.size()), verdicts.data());
    return verdicts;
}

std::vector<std::vector<DetectedFace>> Cascade::detect(const std::vector<SearchTask>& tasks) const {
    std::vector<Window> windows;
    for (size_t task = 0; task < tasks.size(); ++task) append_squares(proposals(tasks[task]), task, windows);

    std::vector<float> verdicts = judge(networks_.refine, tasks, windows);
    std::vector<std::vector<Candidate>> refined(tasks.size());
    for (size_t i = 0; i < windows.size(); ++i) {
        const Verdict verdict = verdicts.data() + i * kGroup;
        const float score = probability(verdict[0]);
        if (score > settings_.thresholds[1])
            refined[windows[i].task].push_back({regress(windows[i].box, verdict + kOffsets), score});
    }
    windows.clear();
    for (size_t task = 0; task < tasks.size(); ++task) append_squares(refined[task], task, windows);

    verdicts = judge(networks_.decide, tasks, windows);
    std::vector<std::vector<DetectedFace>> faces(tasks.size());
    for (size_t task = 0, i = 0; task < tasks.size(); ++task) {
        std::vector<Candidate> decided;
        std::vector<std::array<float, 10>> landmarks;
        for (; i < windows.size() && windows[i].task == task; ++i) {
            const Verdict verdict = verdicts.data() + i * kGroup;
            const float score = probability(verdict[0]);
            if (!(score > settings_.thresholds[2])) continue;
            decided.push_back({regress(windows[i].box, verdict + kOffsets), score});
            landmarks.push_back(place_landmarks(windows[i].box, verdict + kLandmarks));
        }
        for (const int index : non_maximum_suppression(decided, kOverlap, Overlap::of_smaller)) {
            const auto face = static_cast<size_t>(index);
            faces[task].push_back({decided[face].box, decided[face].score, landmarks[face]});
        }
    }
    return faces;
}

}  // namespace ferengine
