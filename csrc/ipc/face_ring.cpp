#include "ipc/face_ring.hpp"

#include <numeric>

namespace ferengine::ipc {
namespace {

bool is_possible(const CropFormat& format) {
    return format.side > 0 && format.side <= FaceRing::kMaxSide && format.planes > 0 &&
           format.planes <= FaceRing::kMaxPlanes;
}

}  // namespace

size_t FaceRing::bytes_of(std::span<const CropFormat> formats) {
    return std::accumulate(formats.begin(), formats.end(), size_t{0},
                           [](size_t sum, const CropFormat& format) { return sum + format.bytes(); });
}

FaceRing FaceRing::create(uint32_t slots, std::span<const CropFormat> formats) {
    if (slots == 0 || slots > kMaxSlots) throw std::invalid_argument("a face ring has 1 to 65536 slots");
    if (formats.empty() || formats.size() > kMaxCrops)
        throw std::invalid_argument("a face ring has 1 to 4 crops of each face");
    if (!std::ranges::all_of(formats, is_possible))
        throw std::invalid_argument("a face ring's crops have a side of 1 to 1024 pixels and up to 3 planes");
    auto ring = Mapped<Layout>::create(total_bytes(slots, bytes_of(formats)));
    ring->slots = slots;
    ring->crops = static_cast<uint32_t>(formats.size());
    std::ranges::copy(formats, ring->formats);
    return {std::move(ring), slots, {formats.begin(), formats.end()}};
}

FaceRing FaceRing::attach(int fd) {
    auto ring = Mapped<Layout>::attach(fd);
    const uint32_t slots = ring->slots, crops = ring->crops;
    std::vector<CropFormat> formats(ring->formats, ring->formats + std::min(crops, kMaxCrops));
    if (slots == 0 || slots > kMaxSlots || crops == 0 || crops > kMaxCrops ||
        !std::ranges::all_of(formats, is_possible) || ring.bytes().size() != total_bytes(slots, bytes_of(formats)))
        throw std::invalid_argument("the face ring's geometry does not match its size");
    return {std::move(ring), slots, std::move(formats)};
}

void FaceRing::release(uint32_t count) {
    const uint64_t tail = ring_->tail.load(std::memory_order_relaxed);
    if (count > cursor_ - tail) throw std::invalid_argument("only gathered faces can be released");
    ring_->tail.store(tail + count, std::memory_order_release);
}

}  // namespace ferengine::ipc
