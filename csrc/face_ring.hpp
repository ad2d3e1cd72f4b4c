// The face ring: crops with their keys from one track worker to the classifier.
//
// One producer, one consumer. `head` counts faces published, `tail` faces freed; the consumer's own cursor runs between
// them, so that a restarted consumer rereads what was gathered but never released.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "bell.hpp"
#include "face_crop.hpp"
#include "shared_memory.hpp"

namespace ferengine {

// Mirrors the NumPy dtype FACE_KEY.
struct FaceKey {
    uint32_t camera, epoch;
    uint64_t sequence;
    uint32_t face, reserved;
    int64_t captured_ns, tracked_ns, queued_ns, deadline_ns;
};
static_assert(sizeof(FaceKey) == 56, "FACE_KEY has no padding");

class FaceRing {
  public:
    static constexpr uint32_t kMaxSlots = 65536, kLargestSide = 1024;

    static FaceRing create(uint32_t slots, uint32_t side) {
        if (slots == 0 || slots > kMaxSlots) throw std::invalid_argument("a face ring has 1 to 65536 slots");
        if (side == 0 || side > kLargestSide)
            throw std::invalid_argument("a face ring's crops have a side of 1 to 1024 pixels");
        FaceRing ring(SharedMemory::create(kMagic, total_bytes(slots, side)));
        ring.layout()->slots = ring.slots_ = slots;
        ring.layout()->side = ring.side_ = side;
        return ring;
    }
    // Takes ownership of fd. A consumer begins at the oldest face that was not released.
    static FaceRing attach(int fd) {
        FaceRing ring(SharedMemory::attach(kMagic, fd));
        ring.slots_ = ring.layout()->slots;
        ring.side_ = ring.layout()->side;
        if (ring.slots_ > kMaxSlots || ring.side_ > kLargestSide ||
            ring.memory_.bytes() != total_bytes(ring.slots_, ring.side_))
            throw std::invalid_argument("the face ring's geometry does not match its size");
        ring.cursor_ = ring.layout()->tail.load(std::memory_order_acquire);
        return ring;
    }

    int fd() const { return memory_.fd(); }
    uint32_t slots() const { return slots_; }
    uint32_t side() const { return side_; }

    // --- producer

    uint32_t free() const {
        return slots_ - static_cast<uint32_t>(layout()->head.load(std::memory_order_relaxed) -
                                              layout()->tail.load(std::memory_order_acquire));
    }
    // Cuts all faces and publishes them at once, faces 0 .. count - 1 of `key`; false, and nothing published, when
    // they do not fit now.
    bool push(const FrameView& frame, const Square* squares, uint32_t count, FaceKey key) {
        if (count > slots_)
            throw std::invalid_argument(std::to_string(count) + " faces do not fit into a face ring of " +
                                        std::to_string(slots_));
        if (count > free()) return false;
        const uint64_t head = layout()->head.load(std::memory_order_relaxed);
        for (uint32_t face = 0; face < count; ++face) {
            crop_rounded(frame, squares[face], static_cast<int>(side_), crop_at(head + face), scratch_);
            key.face = face;
            key.queued_ns = monotonic_ns();
            *key_at(head + face) = key;
        }
        layout()->head.store(head + count, std::memory_order_release);
        return true;
    }

    // --- consumer

    // Faces published and not yet gathered by this object.
    uint32_t waiting() const { return static_cast<uint32_t>(layout()->head.load(std::memory_order_acquire) - cursor_); }
    int64_t oldest_queued_ns() const { return waiting() == 0 ? 0 : key_at(cursor_)->queued_ns; }

    // Copies up to `most` waiting faces, as (level - mean) / deviation or as they are, and their keys.
    template <typename Pixel>
    uint32_t gather(Pixel* out, FaceKey* keys, uint32_t most, float mean, float deviation) {
        const uint32_t count = std::min(most, waiting());
        const size_t pixels = size_t{side_} * side_;
        for (uint32_t face = 0; face < count; ++face, ++cursor_) {
            if constexpr (std::is_same_v<Pixel, uint8_t>)
                std::memcpy(out + face * pixels, crop_at(cursor_), pixels);
            else
                normalise(crop_at(cursor_), pixels, mean, deviation, out + face * pixels);
            keys[face] = *key_at(cursor_);
        }
        return count;
    }
    // The oldest `count` gathered faces may be overwritten.
    void release(uint32_t count) {
        const uint64_t tail = layout()->tail.load(std::memory_order_relaxed);
        if (count > cursor_ - tail) throw std::invalid_argument("only gathered faces can be released");
        layout()->tail.store(tail + count, std::memory_order_release);
    }

  private:
    static constexpr uint64_t kMagic = 0x3245434146524546;  // "FERFACE2"
    struct Layout {
        MappingHeader header;
        uint32_t slots, side;
        alignas(64) std::atomic<uint64_t> head;
        alignas(64) std::atomic<uint64_t> tail;
    };
    explicit FaceRing(SharedMemory memory) : memory_(std::move(memory)) {}
    static uint64_t slot_bytes(uint32_t side) { return (sizeof(FaceKey) + uint64_t{side} * side + 63) / 64 * 64; }
    static uint64_t total_bytes(uint32_t slots, uint32_t side) { return sizeof(Layout) + slots * slot_bytes(side); }
    Layout* layout() const { return reinterpret_cast<Layout*>(memory_.base()); }
    uint8_t* slot_at(uint64_t index) const {
        return memory_.base() + sizeof(Layout) + (index % slots_) * slot_bytes(side_);
    }
    FaceKey* key_at(uint64_t index) const { return reinterpret_cast<FaceKey*>(slot_at(index)); }
    uint8_t* crop_at(uint64_t index) const { return slot_at(index) + sizeof(FaceKey); }

    SharedMemory memory_;
    uint32_t slots_ = 0, side_ = 0;  // copies: what another process writes over the mapping cannot move our bounds
    uint64_t cursor_ = 0;
    CropScratch scratch_;
};

}  // namespace ferengine
