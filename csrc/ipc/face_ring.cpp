#include "ipc/face_ring.hpp"

namespace ferengine::ipc {

FaceRing FaceRing::create(uint32_t slots, uint32_t side) {
    if (slots == 0 || slots > kMaxSlots) throw std::invalid_argument("a face ring has 1 to 65536 slots");
    if (side == 0 || side > kMaxSide)
        throw std::invalid_argument("a face ring's crops have a side of 1 to 1024 pixels");
    auto ring = Mapped<Layout>::create(total_bytes(slots, side));
    ring->slots = slots;
    ring->side = side;
    return {std::move(ring), slots, side};
}

FaceRing FaceRing::attach(int fd) {
    auto ring = Mapped<Layout>::attach(fd);
    const uint32_t slots = ring->slots, side = ring->side;
    if (slots == 0 || slots > kMaxSlots || side > kMaxSide || ring.bytes().size() != total_bytes(slots, side))
        throw std::invalid_argument("the face ring's geometry does not match its size");
    return {std::move(ring), slots, side};
}

void FaceRing::release(uint32_t count) {
    const uint64_t tail = ring_->tail.load(std::memory_order_relaxed);
    if (count > cursor_ - tail) throw std::invalid_argument("only gathered faces can be released");
    ring_->tail.store(tail + count, std::memory_order_release);
}

}  // namespace ferengine::ipc
