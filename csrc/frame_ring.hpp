// The frame ring: one writer (capture), up to 32 readers in other processes, a hold mask on each slot.
//
// A slot belongs to the writer while its mask is 0, and to the readers whose bits are set otherwise. The writer fills
// a free slot and then stores the mask (release); a reader that sees its bit (acquire) sees the frame. Readers only
// clear bits, so the writer never takes back a slot that somebody holds.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "shared_memory.hpp"

namespace ferengine {

struct FrameHeader {
    uint64_t sequence;
    uint32_t width, height, stride, channels;
    double timestamp;
    int64_t captured_ns;
};

class FrameRing {
  public:
    static constexpr uint64_t kMagic = 0x31474e4952524546;  // "FERRING1"
    static constexpr uint32_t kReaders = 32;

    static FrameRing create(uint32_t slots, uint64_t slot_bytes) {
        if (slots == 0 || slots > 4096) throw std::invalid_argument("a frame ring has 1 to 4096 slots");
        if (slot_bytes == 0 || slot_bytes > (uint64_t{1} << 32))
            throw std::invalid_argument("a frame ring's slot has 1 byte to 4 GiB");
        FrameRing ring(SharedMemory::create(kMagic, payload_offset(slots) + slots * stride_of(slot_bytes)));
        ring.layout()->slots = slots;
        ring.layout()->slot_bytes = slot_bytes;
        return ring;
    }
    static FrameRing attach(int fd) {
        FrameRing ring(SharedMemory::attach(kMagic, fd));
        if (ring.memory_.bytes() < payload_offset(ring.slots()) + ring.slots() * stride_of(ring.slot_bytes()))
            throw std::invalid_argument("the frame ring is truncated");
        return ring;
    }

    int fd() const { return memory_.fd(); }
    uint32_t slots() const { return layout()->slots; }
    uint64_t slot_bytes() const { return layout()->slot_bytes; }
    const uint8_t* base() const { return memory_.base(); }
    uint64_t bytes() const { return memory_.bytes(); }

    // --- writer

    // A free slot, or -1 when there is none within `seconds`.
    int acquire(double seconds) {
        const int64_t until = monotonic_ns() + static_cast<int64_t>(seconds * 1e9);
        while (true) {
            const uint32_t seen = layout()->freed.count.load(std::memory_order_seq_cst);
            for (uint32_t step = 0; step < slots(); ++step) {
                const uint32_t index = (cursor_ + step) % slots();
                if (slot(index).holds.load(std::memory_order_acquire) == 0) {
                    cursor_ = index + 1;
                    return static_cast<int>(index);
                }
            }
            const double left = static_cast<double>(until - monotonic_ns()) * 1e-9;
            if (left <= 0) return -1;
            layout()->freed.wait(seen, left);
        }
    }
    uint8_t* payload(uint32_t index) const {
        check(index);
        return memory_.base() + payload_offset(slots()) + index * stride_of(slot_bytes());
    }
    void publish(uint32_t index, const FrameHeader& header, uint32_t holds) {
        check(index);
        if (header.channels == 0 || header.channels > 4 || header.stride < uint64_t{header.width} * header.channels)
            throw std::invalid_argument("a frame's stride must be at least its width times its channels");
        if (uint64_t{header.stride} * header.height > slot_bytes())
            throw std::invalid_argument("the frame is larger than the ring's slots");
        if (slot(index).holds.load(std::memory_order_acquire) != 0)
            throw std::invalid_argument("slot " + std::to_string(index) + " is still held by a reader");
        slot(index).header = header;
        slot(index).holds.store(holds, std::memory_order_release);
        layout()->published.store(header.sequence + 1, std::memory_order_release);
    }
    void close_writer() { layout()->closed.store(1, std::memory_order_release); }
    void drop() { layout()->dropped.fetch_add(1, std::memory_order_relaxed); }

    // --- readers

    // (sequence, slot) of the slots that hold this reader's bit, in ascending sequence. Frames that are published while
    // the slots are looked through are left for the next call: otherwise a later one could be seen without an earlier.
    std::vector<std::pair<uint64_t, uint32_t>> held(uint32_t reader) const {
        std::vector<std::pair<uint64_t, uint32_t>> found;
        const uint32_t bit = bit_of(reader);
        const uint64_t end = published();
        for (uint32_t index = 0; index < slots(); ++index)
            if ((slot(index).holds.load(std::memory_order_acquire) & bit) && slot(index).header.sequence < end)
                found.emplace_back(slot(index).header.sequence, index);
        std::sort(found.begin(), found.end());
        return found;
    }
    const FrameHeader& header(uint32_t index) const {
        check(index);
        return slot(index).header;
    }
    void release(uint32_t index, uint32_t reader) {
        check(index);
        const uint32_t bit = bit_of(reader);
        const uint32_t before = slot(index).holds.fetch_and(~bit, std::memory_order_acq_rel);
        if ((before & bit) && (before & ~bit) == 0) layout()->freed.ring();
    }
    void clear_reader(uint32_t reader) {
        for (uint32_t index = 0; index < slots(); ++index) release(index, reader);
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
    struct alignas(64) Slot {
        std::atomic<uint32_t> holds;
        FrameHeader header;
    };
    struct Layout {
        MappingHeader header;
        uint32_t slots;
        uint64_t slot_bytes;
        alignas(64) Bell freed;
        alignas(64) std::atomic<uint64_t> published;
        std::atomic<uint64_t> dropped;
        std::atomic<uint32_t> closed;
        alignas(64) std::atomic<uint64_t> emitted;
        std::atomic<uint32_t> readers;
    };

    explicit FrameRing(SharedMemory memory) : memory_(std::move(memory)) {}
    static uint64_t stride_of(uint64_t slot_bytes) { return (slot_bytes + 63) / 64 * 64; }
    static uint64_t payload_offset(uint32_t slots) { return sizeof(Layout) + uint64_t{slots} * sizeof(Slot); }
    static uint32_t bit_of(uint32_t reader) {
        if (reader >= kReaders) throw std::out_of_range("a frame ring has readers 0 to 31");
        return uint32_t{1} << reader;
    }
    void check(uint32_t index) const {
        if (index >= slots())
            throw std::out_of_range("slot " + std::to_string(index) + " of a ring of " + std::to_string(slots()));
    }
    Layout* layout() const { return reinterpret_cast<Layout*>(memory_.base()); }
    Slot& slot(uint32_t index) const { return reinterpret_cast<Slot*>(memory_.base() + sizeof(Layout))[index]; }

    SharedMemory memory_;
    uint32_t cursor_ = 0;
};

}  // namespace ferengine
