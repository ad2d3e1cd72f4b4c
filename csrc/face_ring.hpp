// The face ring: crops with their keys from one track worker to the classifier.
//
// One producer, one consumer. `head` counts faces published, `tail` faces freed; the consumer's own cursor runs between
// them, so that a restarted consumer rereads what was gathered but never released.
#pragma once

#include <cmath>
#include <cstring>

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
    static constexpr uint64_t kMagic = 0x3145434146524546;  // "FERFACE1"

    static FaceRing create(uint32_t slots, uint32_t side) {
        if (slots == 0 || slots > 65536) throw std::invalid_argument("a face ring has 1 to 65536 slots");
        if (side == 0 || side > 1024)
            throw std::invalid_argument("a face ring's crops have a side of 1 to 1024 pixels");
        FaceRing ring(SharedMemory::create(kMagic, sizeof(Layout) + slots * slot_bytes(side)));
        ring.layout()->slots = slots;
        ring.layout()->side = side;
        return ring;
    }
    static FaceRing attach(int fd) {
        FaceRing ring(SharedMemory::attach(kMagic, fd));
        if (ring.memory_.bytes() < sizeof(Layout) + ring.slots() * slot_bytes(ring.side()))
            throw std::invalid_argument("the face ring is truncated");
        ring.cursor_ = ring.layout()->tail.load(std::memory_order_acquire);
        return ring;
    }

    int fd() const { return memory_.fd(); }
    uint32_t slots() const { return layout()->slots; }
    uint32_t side() const { return layout()->side; }
    uint32_t free() const {
        return slots() - static_cast<uint32_t>(layout()->head.load(std::memory_order_relaxed) -
                                               layout()->tail.load(std::memory_order_acquire));
    }
    uint32_t waiting() const { return static_cast<uint32_t>(layout()->head.load(std::memory_order_acquire) - cursor_); }
    int64_t oldest_queued_ns() const { return waiting() == 0 ? 0 : key_at(cursor_)->queued_ns; }

    // Producer: cuts all faces and publishes them at once; false, nothing written, when they do not fit now.
    bool push(const FrameView& frame, const Square* squares, uint32_t count, FaceKey key) {
        if (count > slots())
            throw std::invalid_argument(std::to_string(count) + " faces do not fit into a face ring of " +
                                        std::to_string(slots()));
        if (count > free()) return false;
        const uint64_t head = layout()->head.load(std::memory_order_relaxed);
        const size_t pixels = size_t{side()} * side();
        grey_.resize(pixels);
        for (uint32_t face = 0; face < count; ++face) {
            crop_grey(frame, squares[face], static_cast<int>(side()), grey_.data(), scratch_);
            uint8_t* crop = crop_at(head + face);
            for (size_t i = 0; i < pixels; ++i) crop[i] = static_cast<uint8_t>(grey_[i] + 0.5f);
            key.face = face;
            key.queued_ns = monotonic_ns();
            *key_at(head + face) = key;
        }
        layout()->head.store(head + count, std::memory_order_release);
        return true;
    }

    // Consumer: copies up to `most` waiting faces, as (level - mean) / deviation or as they are, and their keys.
    template <typename Pixel>
    uint32_t gather(Pixel* out, FaceKey* keys, uint32_t most, float mean, float deviation) {
        const uint32_t count = std::min(most, waiting());
        const size_t pixels = size_t{side()} * side();
        const float scale = 1.0f / deviation, shift = -mean / deviation;
        for (uint32_t face = 0; face < count; ++face, ++cursor_) {
            const uint8_t* crop = crop_at(cursor_);
            Pixel* target = out + face * pixels;
            if constexpr (std::is_same_v<Pixel, uint8_t>)
                std::memcpy(target, crop, pixels);
            else
                for (size_t i = 0; i < pixels; ++i) target[i] = static_cast<float>(crop[i]) * scale + shift;
            keys[face] = *key_at(cursor_);
        }
        return count;
    }
    // Consumer: the oldest `count` gathered faces may be overwritten.
    void release(uint32_t count) {
        const uint64_t tail = layout()->tail.load(std::memory_order_relaxed);
        if (tail + count > cursor_) throw std::invalid_argument("only gathered faces can be released");
        layout()->tail.store(tail + count, std::memory_order_release);
    }

  private:
    struct Layout {
        MappingHeader header;
        uint32_t slots, side;
        alignas(64) std::atomic<uint64_t> head;
        alignas(64) std::atomic<uint64_t> tail;
    };
    explicit FaceRing(SharedMemory memory) : memory_(std::move(memory)) {}
    static size_t slot_bytes(uint32_t side) { return (sizeof(FaceKey) + size_t{side} * side + 63) / 64 * 64; }
    Layout* layout() const { return reinterpret_cast<Layout*>(memory_.base()); }
    uint8_t* slot_at(uint64_t index) const {
        return memory_.base() + sizeof(Layout) + (index % slots()) * slot_bytes(side());
    }
    FaceKey* key_at(uint64_t index) const { return reinterpret_cast<FaceKey*>(slot_at(index)); }
    uint8_t* crop_at(uint64_t index) const { return slot_at(index) + sizeof(FaceKey); }

    SharedMemory memory_;
    uint64_t cursor_ = 0;
    std::vector<float> grey_;
    CropScratch scratch_;
};

}  // namespace ferengine
