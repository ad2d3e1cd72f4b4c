// MTCNN's cascade over one or more frames: P-Net proposes over an image pyramid, R-Net refines, O-Net has the last word
// and adds the landmarks (Zhang et al. 2016, figure 1).
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "mtcnn/boxes.hpp"
#include "mtcnn/estimates.hpp"
#include "mtcnn/pyramid.hpp"

namespace ferengine::mtcnn {

struct CascadeSettings {
    double min_face, factor;
    std::array<float, 3> thresholds;  // of P-Net, R-Net and O-Net
    int max_candidates;               // that R-Net, and that O-Net looks at, in each frame
    bool estimates;                   // whether bytes decide what P-Net and R-Net look at
};

// A face as O-Net sees it.
struct DetectedFace {
    BoxCorners box;
    float score;
    Landmarks landmarks;
};

// A frame to search: everywhere, or only around the boxes of `near` for faces of about their size.
struct SearchTask {
    image::FrameView frame;
    bool everywhere;
    std::vector<BoxCorners> near;
};

struct Networks {
    ProposalNetwork proposal;
    CropNetwork refinement, output;
};

// P-Net and R-Net in bytes.
struct Estimates {
    ProposalEstimate proposal;
    CropEstimate refinement;
};

// Not changed by its use: several threads may share it.
//
// With settings.estimates, P-Net and R-Net answer only where their estimates come near to their thresholds. What they
// answer is the same without: an estimate would have to be wrong by more than kMargin (cascade.cpp), which none was on
// the photographs and clips that this was measured on.
class Cascade {
  public:
    Cascade(Networks networks, const CascadeSettings& settings) : networks_(std::move(networks)), settings_(settings) {
        if (settings.estimates)
            estimates_ = Estimates{.proposal = ProposalEstimate(networks_.proposal),
                                   .refinement = CropEstimate(networks_.refinement)};
    }

    const Networks& networks() const { return networks_; }

    // The faces of each task's frame, best first. R-Net and O-Net see the candidates of all frames in one batch.
    std::vector<std::vector<DetectedFace>> detect(std::span<const SearchTask> tasks) const;

  private:
    // A square that the next network looks at.
    struct Window {
        size_t task;
        BoxCorners box;
    };

    // What a task's frame is cut from: its halved frames, where P-Net made them.
    struct Search {
        const SearchTask& task;
        HalvedFrame halved;
    };

    Proposals propose(Search& search) const;
    std::vector<Proposals> refine(std::span<Search> searches, std::span<const Window> windows) const;
    std::vector<std::vector<DetectedFace>> output(std::span<Search> searches, std::span<const Window> windows) const;

    void scan_next(Pyramid& pyramid, const LevelSize& size, int x, int y, Proposals& out) const;
    void append_windows(const Proposals& proposals, size_t task, std::vector<Window>& out) const;
    std::vector<uint8_t> promising_cells(const ProposalEstimate& estimate, const uint8_t* level,
                                         const LevelSize& size) const;
    std::vector<Window> promising_windows(const CropEstimate& estimate, std::span<Search> searches,
                                          std::span<const Window> windows) const;
    template <typename Use>
    static void for_each_crop(int side, std::span<Search> searches, std::span<const Window> windows, Use use);
    static std::vector<float> predict(const CropNetwork& network, std::span<Search> searches,
                                      std::span<const Window> windows);

    Networks networks_;
    std::optional<Estimates> estimates_;
    CascadeSettings settings_;
};

}  // namespace ferengine::mtcnn
