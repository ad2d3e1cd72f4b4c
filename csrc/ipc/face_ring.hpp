// The face ring: crops with their keys from one track worker to the classifier.
//
// One producer, one consumer. `head` counts faces published, `tail` faces released; the consumer's own cursor runs
// between them, so that a restarted consumer rereads what was gathered but never released. A slot holds
// one crop for each kind of input that the networks take; what it shows is the callers' business: the ring hands out
// its bytes to be written and read.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ipc/futex_event.hpp"
#include "ipc/shared_memory.hpp"

namespace ferengine::ipc {

// Mirrors the NumPy dtype FACE_KEY.
struct FaceKey {
    uint32_t camera = 0, epoch = 0;
    uint64_t sequence = 0;
    uint32_t face = 0, reserved = 0;
    int64_t captured_ns = 0, tracked_ns = 0, queued_ns = 0, deadline_ns = 0;
};
static_assert(sizeof(FaceKey) == 56, "FACE_KEY has no padding");

// One crop of each face: `planes` times `side` x `side` bytes. What `kind` means is the callers' business.
struct CropFormat {
    uint32_t side = 0, planes = 0, kind = 0;

    size_t bytes() const { return size_t{planes} * side * side; }
};

class FaceRing {
  public:
    static constexpr uint32_t kMaxSlots = 65536, kMaxSide = 1024, kMaxPlanes = 3, kMaxCrops = 4;

    // A slot holds one crop of each of `formats`, one after the other.
    static FaceRing create(uint32_t slots, std::span<const CropFormat> formats);
    // Takes ownership of fd. A consumer begins at the oldest face that was not released.
    static FaceRing attach(int fd);

    int fd() const { return ring_.fd(); }
    uint32_t slots() const { return slots_; }
    const std::vector<CropFormat>& formats() const { return formats_; }

    // --- producer

    uint32_t free() const {
        return slots_ - static_cast<uint32_t>(ring_->head.load(std::memory_order_relaxed) -
                                              ring_->tail.load(std::memory_order_acquire));
    }

    // Publishes `count` faces at once, numbered 0 to count - 1 in their keys, after `write(face, crops)` has filled the
    // crops of each. False, and nothing written, when they do not fit now.
    template <std::invocable<uint32_t, std::span<uint8_t>> Write>
    bool push(uint32_t count, FaceKey key, Write&& write) {
        if (count > slots_)
            throw std::invalid_argument(std::to_string(count) + " faces do not fit into a face ring of " +
                                        std::to_string(slots_));
        if (count > free()) return false;
        const uint64_t head = ring_->head.load(std::memory_order_relaxed);
        for (uint32_t face = 0; face < count; ++face) {
            write(face, crops_at(head + face));
            key.face = face;
            key.queued_ns = monotonic_ns();
            key_at(head + face) = key;
        }
        ring_->head.store(head + count, std::memory_order_release);
        return true;
    }

    // --- consumer

    // Faces published and not yet gathered by this object.
    uint32_t waiting() const { return static_cast<uint32_t>(ring_->head.load(std::memory_order_acquire) - cursor_); }
    int64_t oldest_queued_ns() const { return waiting() == 0 ? 0 : key_at(cursor_).queued_ns; }

    // Gathers up to `max_count` waiting faces: `read(index, key, crops)` for each. Returns how many.
    template <std::invocable<uint32_t, const FaceKey&, std::span<const uint8_t>> Read>
    uint32_t gather(uint32_t max_count, Read&& read) {
        const uint32_t count = std::min(max_count, waiting());
        for (uint32_t index = 0; index < count; ++index, ++cursor_) read(index, key_at(cursor_), crops_at(cursor_));
        return count;
    }

    // The oldest `count` gathered faces may be overwritten.
    void release(uint32_t count);

  private:
    struct Layout {
        static constexpr uint64_t kMagic = 0x3345434146524546;  // "FERFACE3"
        MappingHeader header;
        uint32_t slots, crops;
        CropFormat formats[kMaxCrops];
        alignas(64) SharedAtomic<uint64_t> head;
        alignas(64) SharedAtomic<uint64_t> tail;
    };

    FaceRing(Mapped<Layout> ring, uint32_t slots, std::vector<CropFormat> formats)
        : ring_(std::move(ring)),
          slots_(slots),
          formats_(std::move(formats)),
          crop_bytes_(bytes_of(formats_)),
          cursor_(ring_->tail.load(std::memory_order_acquire)) {}
    static size_t bytes_of(std::span<const CropFormat> formats);
    static uint64_t slot_bytes(size_t crop_bytes) { return (sizeof(FaceKey) + crop_bytes + 63) / 64 * 64; }
    static uint64_t total_bytes(uint32_t slots, size_t crop_bytes) {
        return sizeof(Layout) + slots * slot_bytes(crop_bytes);
    }
    uint64_t slot_offset(uint64_t index) const { return sizeof(Layout) + index % slots_ * slot_bytes(crop_bytes_); }
    FaceKey& key_at(uint64_t index) const { return ring_.at<FaceKey>(slot_offset(index)); }
    std::span<uint8_t> crops_at(uint64_t index) const {
        return ring_.bytes().subspan(slot_offset(index) + sizeof(FaceKey), crop_bytes_);
    }

    Mapped<Layout> ring_;
    // copies: what another process writes over the mapping cannot move our bounds
    uint32_t slots_;
    std::vector<CropFormat> formats_;
    size_t crop_bytes_;
    uint64_t cursor_;
};

}  // namespace ferengine::ipc
