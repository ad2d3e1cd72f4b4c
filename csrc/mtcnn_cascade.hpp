// MTCNN's cascade over one or more frames: P-Net over an image pyramid proposes, R-Net refines, O-Net decides.
#pragma once

#include <array>
#include <vector>

#include "mtcnn_boxes.hpp"

namespace ferengine {

struct CascadeSettings {
    double min_face, factor;
    std::array<float, 3> thresholds;
    int max_candidates;
};

// A face as O-Net decided: landmarks are five x, y in pixels.
struct DetectedFace {
    Corners box;
    float score;
    std::array<float, 10> landmarks;
};

// A frame to search: everywhere, or, with `near`, only around those boxes for faces of about their size.
struct SearchTask {
    FrameView frame;
    bool everywhere;
    std::vector<Corners> near;
};

struct MtcnnNetworks {
    ProposalNetwork propose;
    RefinementNetwork refine, decide;
};

// Not changed by its use: several threads may share it.
class Cascade {
  public:
    Cascade(MtcnnNetworks networks, const CascadeSettings& settings)
        : networks_(std::move(networks)), settings_(settings) {}

    const MtcnnNetworks& networks() const { return networks_; }

    // The faces of each task's frame, best first. R-Net and O-Net see the candidates of all frames in one batch.
    std::vector<std::vector<DetectedFace>> detect(const std::vector<SearchTask>& tasks) const;

  private:
    struct Window {
        size_t task;
        Corners box;
    };

    std::vector<Candidate> proposals(const SearchTask& task) const;
    void propose(const float* image, const LevelSize& size, int x, int y, std::vector<Candidate>& out) const;
    void append_squares(const std::vector<Candidate>& candidates, size_t task, std::vector<Window>& out) const;
    std::vector<float> judge(const RefinementNetwork& network, const std::vector<SearchTask>& tasks,
                             const std::vector<Window>& windows) const;

    MtcnnNetworks networks_;
    CascadeSettings settings_;
};

}  // namespace ferengine
