#include "mtcnn/cascade.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mtcnn/box_cropper.hpp"
#include "mtcnn/search_regions.hpp"

namespace ferengine::mtcnn {
namespace {

constexpr int kWindow = ProposalNetwork::kWindow;

// Overlap above which the weaker box is dropped: within a pyramid level, and at every later step.
constexpr float kLevelOverlap = 0.5f, kOverlap = 0.7f;

// P-Net looks closely where it skims a probability of this fraction of its threshold.
constexpr float kSkim = 0.1f;

// By how much an estimated logit may lie below the threshold's. The largest difference at a cell or window that passed
// was 0.69 for P-Net; R-Net's was 1.15, far above its threshold.
constexpr float kMargin = 1.0f;

// Cells of one pyramid level that enter its suppression, best first: noise cannot stall the cascade.
constexpr size_t kMaxLevelCandidates = 2000;

// Windows that share a pass over the dense weights. More gain nothing, and memory would grow with the busiest frame.
constexpr size_t kDenseBatch = 64;

float logit_of(float probability) { return std::log(probability / (1.0f - probability)); }

// The best of a level that overlap little.
Proposals suppress_level(Proposals found) {
    if (found.windows.size() > kMaxLevelCandidates) {
        std::vector<int> order(found.windows.size());
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, [&](int a, int b) {
            return found.windows[static_cast<size_t>(a)].score > found.windows[static_cast<size_t>(b)].score;
        });
        order.resize(kMaxLevelCandidates);
        found = found.select(order);
    }
    return found.select(non_maximum_suppression(found.windows, kLevelOverlap, Overlap::of_union));
}

}  // namespace

std::vector<std::vector<DetectedFace>> Cascade::detect(std::span<const SearchTask> tasks) const {
    std::vector<Search> searches;
    searches.reserve(tasks.size());
    for (const SearchTask& task : tasks) searches.push_back({.task = task, .halved = HalvedFrame(task.frame)});

    std::vector<Window> windows;
    for (size_t task = 0; task < tasks.size(); ++task) append_windows(propose(searches[task]), task, windows);

    const std::vector<Proposals> refined = refine(searches, windows);
    windows.clear();
    for (size_t task = 0; task < tasks.size(); ++task) append_windows(refined[task], task, windows);

    return output(searches, windows);
}

// Calls use(index, image) with the image of `side` x `side` pixels in each of `windows`, which are sorted by task.
template <typename Use>
void Cascade::for_each_crop(int side, std::span<Search> searches, std::span<const Window> windows, Use use) {
    const size_t floats = static_cast<size_t>(side) * static_cast<size_t>(side) * 3;
    std::vector<float> image(floats + kSlack);
    for (size_t i = 0; i < windows.size();) {
        const size_t task = windows[i].task, first = i;
        std::vector<BoxCorners> boxes;
        for (; i < windows.size() && windows[i].task == task; ++i) boxes.push_back(windows[i].box);
        const auto use_crops = [&](BoxCropper cropper) {
            for (size_t box = 0; box < boxes.size(); ++box) {
                cropper.crop(boxes[box], side, image.data());
                use(first + box, std::span<const float>(image).first(floats));
            }
        };
        Search& search = searches[task];
        const image::FrameView& frame = search.task.frame;
        if (search.task.everywhere) {
            use_crops({frame, search.halved});
        } else {
            const Surroundings part = surroundings_of(frame, boxes);
            HalvedFrame halved(frame.part(part.y, part.x, part.height, part.width));
            use_crops({frame, halved, part.x, part.y});
        }
    }
}

// P-Net: the candidates of all levels.
Proposals Cascade::propose(Search& search) const {
    const SearchTask& task = search.task;
    const image::FrameView& frame = task.frame;
    const std::vector<LevelSize> levels =
        pyramid_levels(frame.height, frame.width, kWindow / settings_.min_face, settings_.factor, kWindow);
    Proposals found;
    Pyramid pyramid(search.halved, levels);
    for (size_t index = 0; index < levels.size(); ++index) {
        Proposals candidates;
        if (task.everywhere) {
            scan_next(pyramid, levels[index], 0, 0, candidates);
        } else {
            for (const SearchRegion& region :
                 regions_near(task.near, frame.height, frame.width, levels, index, kWindow)) {
                HalvedFrame part(frame.part(region.y, region.x, region.height, region.width));
                Pyramid pyramid_of_part(part, {&region.size, 1});
                scan_next(pyramid_of_part, region.size, region.x, region.y, candidates);
            }
        }
        const Proposals kept = suppress_level(std::move(candidates));
        found.windows.insert(found.windows.end(), kept.windows.begin(), kept.windows.end());
        found.boxes.insert(found.boxes.end(), kept.boxes.begin(), kept.boxes.end());
    }
    return found;
}

// Appends P-Net's candidates on the next level, whose upper left corner is (x, y) in the frame.
void Cascade::scan_next(Pyramid& pyramid, const LevelSize& size, int x, int y, Proposals& out) const {
    const size_t first = out.boxes.size();
    if (estimates_) {
        const uint8_t* const level = pyramid.next_bytes();
        ProposalNetwork::CellScan scan(networks_.proposal, level, size.height, size.width,
                                       promising_cells(estimates_->proposal, level, size));
        for (int row = 0; row < ProposalNetwork::cells(size.height); ++row)
            decode_row(scan.row(row), row, settings_.thresholds[0], size.scale, out);
    } else {
        ProposalNetwork::Scan scan(networks_.proposal, pyramid.next_floats(), size.height, size.width,
                                   logit_of(kSkim * settings_.thresholds[0]));
        for (int row = 0; row < scan.rows(); ++row)
            decode_row(scan.next_row(), row, settings_.thresholds[0], size.scale, out);
    }
    const auto dx = static_cast<float>(x), dy = static_cast<float>(y);
    const auto moved = [&](const BoxCorners& box) -> BoxCorners {
        return {.x1 = box.x1 + dx, .y1 = box.y1 + dy, .x2 = box.x2 + dx, .y2 = box.y2 + dy};
    };
    for (size_t i = first; i < out.boxes.size(); ++i) {
        out.windows[i].box = moved(out.windows[i].box);
        out.boxes[i] = moved(out.boxes[i]);
    }
}

// The cells of a level that may pass P-Net: 1, the others 0.
std::vector<uint8_t> Cascade::promising_cells(const ProposalEstimate& estimate, const uint8_t* level,
                                              const LevelSize& size) const {
    const float limit = logit_of(settings_.thresholds[0]) - kMargin;
    ProposalEstimate::Scan scan(estimate, level, size.height, size.width, logit_of(kSkim * settings_.thresholds[0]));
    std::vector<uint8_t> cells(static_cast<size_t>(scan.rows()) * static_cast<size_t>(scan.columns()));
    uint8_t* cell = cells.data();
    for (int row = 0; row < scan.rows(); ++row)
        for (const float logit : scan.next_row()) *cell++ = logit > limit ? 1 : 0;
    return cells;
}

// What the next network looks at: the best boxes whose windows overlap little, best first, made square.
void Cascade::append_windows(const Proposals& proposals, size_t task, std::vector<Window>& out) const {
    const std::vector<int> kept = non_maximum_suppression(proposals.windows, kOverlap, Overlap::of_union);
    const size_t count = std::min(kept.size(), static_cast<size_t>(settings_.max_candidates));
    for (size_t i = 0; i < count; ++i)
        out.push_back({.task = task, .box = make_square(proposals.boxes[static_cast<size_t>(kept[i])])});
}

// The windows that may pass R-Net.
std::vector<Cascade::Window> Cascade::promising_windows(const CropEstimate& estimate, std::span<Search> searches,
                                                        std::span<const Window> windows) const {
    const float limit = logit_of(settings_.thresholds[1]) - kMargin;
    const auto features = static_cast<size_t>(estimate.features());
    std::vector<uint8_t> described(kDenseBatch * features + kByteSlack);
    std::vector<Window> promising;
    for_each_crop(networks_.refinement.side(), searches, windows,
                  [&, pixels = std::vector<uint8_t>()](size_t index, std::span<const float> image) mutable {
                      pixels.resize(image.size() + kByteSlack);
                      bytes_of(image.data(), static_cast<int>(image.size()), pixels.data());
                      const size_t waiting = index % kDenseBatch + 1;
                      estimate.describe(pixels.data(), described.data() + (waiting - 1) * features);
                      if (waiting < kDenseBatch && index + 1 < windows.size()) return;
                      const std::vector<float> logits = estimate.logits(described.data(), static_cast<int>(waiting));
                      for (size_t i = 0; i < waiting; ++i)
                          if (logits[i] > limit) promising.push_back(windows[index + 1 - waiting + i]);
                  });
    return promising;
}

// R-Net: the windows that it takes for faces, for each task.
std::vector<Proposals> Cascade::refine(std::span<Search> searches, std::span<const Window> windows) const {
    std::vector<Window> promising;
    if (estimates_) windows = promising = promising_windows(estimates_->refinement, searches, windows);
    const std::vector<float> values = predict(networks_.refinement, searches, windows);
    const Predictions predictions(values);
    std::vector<Proposals> refined(searches.size());
    for (size_t i = 0; i < windows.size(); ++i) {
        const float score = predictions[i].probability();
        if (!(score > settings_.thresholds[1])) continue;
        // compared where they moved to: the windows of one face move to nearly the same box, which O-Net need not see
        // twice
        const BoxCorners box = regress(windows[i].box, predictions[i]);
        refined[windows[i].task].append(box, score, box);
    }
    return refined;
}

// O-Net: the faces of each task; `windows` are sorted by task.
std::vector<std::vector<DetectedFace>> Cascade::output(std::span<Search> searches,
                                                       std::span<const Window> windows) const {
    const std::vector<float> values = predict(networks_.output, searches, windows);
    const Predictions predictions(values);
    std::vector<std::vector<DetectedFace>> faces(searches.size());
    for (size_t task = 0, i = 0; task < searches.size(); ++task) {
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
std::vector<float> Cascade::predict(const CropNetwork& network, std::span<Search> searches,
                                    std::span<const Window> windows) {
    const auto features = static_cast<size_t>(network.features());
    std::vector<float> described(kDenseBatch * features + kSlack), values;
    values.reserve(windows.size() * kGroup);
    for_each_crop(network.side(), searches, windows, [&](size_t index, std::span<const float> image) {
        const size_t waiting = index % kDenseBatch + 1;
        network.extract_features(image.data(), described.data() + (waiting - 1) * features);
        if (waiting < kDenseBatch && index + 1 < windows.size()) return;
        const std::vector<float> predictions = network.predict(described.data(), static_cast<int>(waiting));
        values.insert(values.end(), predictions.begin(), predictions.end());
    });
    return values;
}

}  // namespace ferengine::mtcnn
