// The frame ring: one writer (capture), up to 32 readers in other processes, a hold mask on each slot.
//
// A slot belongs to the writer while its mask is 0, and to the readers whose bits are set otherwise. The writer fills
// a free slot and then stores the mask (release); a reader that sees its bit (acquire) sees the frame. Readers only
// clear bits, so the writer never takes back a slot that somebody holds.
#pragma once

#include <algorithm>
#include <vector>

#include "bell.hpp"
#include "shared_memory.hpp"

namespace ferengine {

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

    static FrameRing create(uint32_t slots, uint64_t slot_bytes) {
        if (slots == 0 || slots > kMaxSlots) throw std::invalid_argument("a frame ring has 1 to 4096 slots");
        if (slot_bytes == 0 || slot_bytes > kMaxSlotBytes)
            throw std::invalid_argument("a frame ring's slots have 1 byte to 4 GiB");
        FrameRing ring(SharedMemory::create(kMagic, total_bytes(slots, slot_bytes)));
        ring.layout()->slots = ring.slots_ = slots;
        ring.layout()->slot_bytes = ring.slot_bytes_ = slot_bytes;
        return ring;
    }
    // Takes ownership of fd.
    static FrameRing attach(int fd) {
        FrameRing ring(SharedMemory::attach(kMagic, fd));
        ring.slots_ = ring.layout()->slots;
        ring.slot_bytes_ = ring.layout()->slot_bytes;
        if (ring.slots_ > kMaxSlots || ring.slot_bytes_ > kMaxSlotBytes ||
            ring.memory_.bytes() != total_bytes(ring.slots_, ring.slot_bytes_))
            throw std::invalid_argument("the frame ring's geometry does not match its size");
        return ring;
    }

    int fd() const { return memory_.fd(); }
    uint32_t slots() const { return slots_; }
    uint64_t slot_bytes() const { return slot_bytes_; }
    const uint8_t* base() const { return memory_.base(); }
    uint64_t bytes() const { return memory_.bytes(); }

    // --- writer

    // A free slot, in turn, or -1 when there is none within `seconds` or before a signal.
    int acquire(double seconds) {
        const int64_t deadline = deadline_after(seconds);
        while (true) {
            const uint32_t seen = layout()->freed.count();
            for (uint32_t step = 0; step < slots_; ++step) {
                const uint32_t index = (next_ + step) % slots_;
                if (slot(index).holds.load(std::memory_order_acquire) == 0) {
                    next_ = (index + 1) % slots_;
                    return static_cast<int>(index);
                }
            }
            if (!layout()->freed.wait(seen, deadline)) return -1;
        }
    }
    uint8_t* payload(uint32_t index) const {
        check(index);
        return memory_.base() + payload_offset(slots_) + index * padded(slot_bytes_);
    }
    void publish(uint32_t index, const FrameHeader& header, uint32_t holds) {
        check(index);
        check_fits(header);
        Slot& target = slot(index);
        if (target.holds.load(std::memory_order_acquire) != 0)
            throw std::invalid_argument("slot " + std::to_string(index) + " is still held by a reader");
        target.header = header;
        target.holds.store(holds, std::memory_order_release);
        layout()->published.store(header.sequence + 1, std::memory_order_release);
    }
    // Once a writer is dead: a frame that it had handed over but not yet counted is counted.
    void recover() {
        for (uint32_t index = 0; index < slots_; ++index)
            if (slot(index).holds.load(std::memory_order_acquire) != 0 && slot(index).header.sequence >= published())
                layout()->published.store(slot(index).header.sequence + 1, std::memory_order_release);
    }
    void close_writer() { layout()->closed.store(1, std::memory_order_release); }
    void drop() { layout()->dropped.fetch_add(1, std::memory_order_relaxed); }

    // --- readers

    // (sequence, slot) of the slots that hold this reader's bit, in ascending sequence. Frames that are published while
    // the slots are looked through are left for the next call: otherwise a later one could be seen without an earlier.
    std::vector<std::pair<uint64_t, uint32_t>> held(uint32_t reader) const {
        const uint32_t bit = bit_of(reader);
        const uint64_t end = published();
        std::vector<std::pair<uint64_t, uint32_t>> found;
        for (uint32_t index = 0; index < slots_; ++index)
            if ((slot(index).holds.load(std::memory_order_acquire) & bit) && slot(index).header.sequence < end)
                found.emplace_back(slot(index).header.sequence, index);
        std::sort(found.begin(), found.end());
        return found;
    }
    FrameHeader header(uint32_t index) const {
        check(index);
        return slot(index).header;
    }
    // The header, sure to describe bytes inside the slot even where the caller does not hold it.
    FrameHeader checked_header(uint32_t index) const {
        const FrameHeader copy = header(index);
        check_fits(copy);
        return copy;
    }
    void release(uint32_t index, uint32_t reader) {
        check(index);
        const uint32_t bit = bit_of(reader);
        const uint32_t before = slot(index).holds.fetch_and(~bit, std::memory_order_acq_rel);
        if (before == bit) layout()->freed.ring();
    }
    void clear_reader(uint32_t reader) {
        for (uint32_t index = 0; index < slots_; ++index) release(index, reader);
    }

    // --- state

    uint64_t published() const { return layout()->published.load(std::memory_order_acquire); }
    bool closed() const { return layout()->closed.load(std::memory_order_acquire) != 0; }
    uint64_t dropped() const { return layout()->dropped.load(std::memory_order_relaxed); }
    uint64_t emitted() const { return layout()->emitted.load(std::memory_order_acquire); }
    void set_emitted(uint64_t value) { layout()->emitted.store(value, std::memory_order_release); }
    uint32_t readers() const { return layout()->readers.load(std::memory_order_acquire); }
    void set_readers(uint32_t mask) { layout()->readers.store(mask, std::memory_order_release); }

  private:
    static constexpr uint64_t kMagic = 0x32474e4952524546;  // "FERRING2"
    struct alignas(64) Slot {
        std::atomic<uint32_t> holds;
        FrameHeader header;
    };
    struct Layout {
        MappingHeader header;
        uint32_t slots;
        uint64_t slot_bytes;
        alignas(64) Bell freed;
        alignas(64) std::atomic<uint64_t> published;  // by the writer
        std::atomic<uint64_t> dropped;
        std::atomic<uint32_t> closed;
        alignas(64) std::atomic<uint64_t> emitted;  // by the parent
        std::atomic<uint32_t> readers;
    };

    explicit FrameRing(SharedMemory memory) : memory_(std::move(memory)) {}
    static uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }
    static uint64_t payload_offset(uint32_t slots) { return sizeof(Layout) + slots * sizeof(Slot); }
    static uint64_t total_bytes(uint32_t slots, uint64_t slot_bytes) {
        return payload_offset(slots) + slots * padded(slot_bytes);
    }
    static uint32_t bit_of(uint32_t reader) {
        if (reader >= kMaxReaders) throw std::out_of_range("a frame ring has readers 0 to 31");
        return uint32_t{1} << reader;
    }
    void check(uint32_t index) const {
        if (index >= slots_)
            throw std::out_of_range("slot " + std::to_string(index) + " of a ring of " + std::to_string(slots_));
    }
    void check_fits(const FrameHeader& header) const {
        if (header.width == 0 || header.height == 0) throw std::invalid_argument("the slot's frame is empty");
        if (header.channels != 1 && header.channels != 3)
            throw std::invalid_argument("a frame has 1 or 3 channels, not " + std::to_string(header.channels));
        if (header.stride < uint64_t{header.width} * header.channels)
            throw std::invalid_argument("a frame's stride is at least its width times its channels");
        if (uint64_t{header.stride} * header.height > slot_bytes_)
            throw std::invalid_argument("the frame is larger than the ring's slots of " + std::to_string(slot_bytes_) +
                                        " bytes");
    }
    Layout* layout() const { return reinterpret_cast<Layout*>(memory_.base()); }
    Slot& slot(uint32_t index) const { return reinterpret_cast<Slot*>(memory_.base() + sizeof(Layout))[index]; }

    SharedMemory memory_;
    uint32_t slots_ = 0;  // copies: what another process writes over the mapping cannot move our bounds
    uint64_t slot_bytes_ = 0;
    uint32_t next_ = 0;
};

}  // namespace ferengine
