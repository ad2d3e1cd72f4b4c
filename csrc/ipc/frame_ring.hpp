// The frame ring: one writer (capture), up to 32 readers in other processes, a hold mask on each slot.
//
// A slot belongs to the writer while its mask is 0, and to the readers whose bits are set otherwise. The writer fills a
// free slot and then stores the mask (release); a reader that sees its bit (acquire) sees the frame. Readers only clear
// bits, so the writer never takes back a slot that is held.
//
// Why not iceoryx2: it has no mask of readers for each slot, so the engine could not clear the bits of a reader that
// was killed; and it handed a frame over in 0.7 ms, where this ring takes 0.3 ms.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ipc/futex_event.hpp"
#include "ipc/shared_memory.hpp"

namespace ferengine::ipc {

struct FrameHeader {
    uint64_t sequence;
    uint32_t width, height, stride, channels;  // stride in bytes
    double timestamp;
    int64_t captured_ns;
};

class FrameRing {
  public:
    static constexpr uint32_t kMaxReaders = 32, kMaxSlots = 4096;
    static constexpr uint64_t kMaxSlotBytes = uint64_t{1} << 32;

    static FrameRing create(uint32_t slots, uint64_t slot_bytes);
    // Takes ownership of fd.
    static FrameRing attach(int fd);

    int fd() const { return ring_.fd(); }
    uint32_t slots() const { return slots_; }
    uint64_t slot_bytes() const { return slot_bytes_; }
    std::span<uint8_t> bytes() const { return ring_.bytes(); }

    // --- writer

    // A free slot, in turn, or -1 when there is none within `seconds` or before a signal.
    int acquire(double seconds);
    std::span<uint8_t> payload(uint32_t index) const;
    // Hands the slot to the readers of the mask `holds`.
    void publish(uint32_t index, const FrameHeader& header, uint32_t holds);
    // Once a writer is dead: counts a frame that it had handed over but not yet counted.
    void recover();
    void close_writer() { ring_->closed.store(1, std::memory_order_release); }
    void drop() { ring_->dropped.fetch_add(1, std::memory_order_relaxed); }

    // --- readers

    // (sequence, slot) of the slots that hold this reader's bit, in ascending sequence. Frames that are published
    // during the search are left for the next call: otherwise a later one could be seen without an earlier one.
    std::vector<std::pair<uint64_t, uint32_t>> held(uint32_t reader) const;
    FrameHeader header(uint32_t index) const;
    // The header, sure to describe bytes inside the slot even where the caller does not hold it.
    FrameHeader checked_header(uint32_t index) const;
    void release(uint32_t index, uint32_t reader);
    // The same for a frame that the reader passed over for a newer one: the count outlives the reader.
    void skip(uint32_t index, uint32_t reader);
    void clear_reader(uint32_t reader);

    // --- state

    uint64_t published() const { return ring_->published.load(std::memory_order_acquire); }
    bool closed() const { return ring_->closed.load(std::memory_order_acquire) != 0; }
    uint64_t dropped() const { return ring_->dropped.load(std::memory_order_relaxed); }
    uint64_t skipped() const { return ring_->skipped.load(std::memory_order_relaxed); }
    uint64_t emitted() const { return ring_->emitted.load(std::memory_order_acquire); }
    void set_emitted(uint64_t value) { ring_->emitted.store(value, std::memory_order_release); }
    uint32_t readers() const { return ring_->readers.load(std::memory_order_acquire); }
    void set_readers(uint32_t mask) { ring_->readers.store(mask, std::memory_order_release); }

  private:
    struct alignas(64) Slot {
        SharedAtomic<uint32_t> holds;
        FrameHeader header;
    };
    struct Layout {
        static constexpr uint64_t kMagic = 0x33474e4952524546;  // "FERRING3"
        MappingHeader header;
        uint32_t slots;
        uint64_t slot_bytes;
        alignas(64) FutexEvent freed;
        alignas(64) SharedAtomic<uint64_t> published;  // by the writer
        SharedAtomic<uint64_t> dropped;
        SharedAtomic<uint32_t> closed;
        alignas(64) SharedAtomic<uint64_t> skipped;  // by a reader
        alignas(64) SharedAtomic<uint64_t> emitted;  // by the engine
        SharedAtomic<uint32_t> readers;
    };

    FrameRing(Mapped<Layout> ring, uint32_t slots, uint64_t slot_bytes)
        : ring_(std::move(ring)), slots_(slots), slot_bytes_(slot_bytes) {}
    static uint64_t payload_offset(uint32_t slots) { return sizeof(Layout) + slots * sizeof(Slot); }
    static uint64_t total_bytes(uint32_t slots, uint64_t slot_bytes);
    void check(uint32_t index) const;
    void check_fits(const FrameHeader& header) const;
    Slot& slot(uint32_t index) const { return ring_.at<Slot>(sizeof(Layout) + index * sizeof(Slot)); }

    Mapped<Layout> ring_;
    uint32_t slots_;  // copies: what another process writes over the mapping cannot move our bounds
    uint64_t slot_bytes_;
    uint32_t next_ = 0;
};

}  // namespace ferengine::ipc
