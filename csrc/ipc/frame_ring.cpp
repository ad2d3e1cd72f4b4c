#include "ipc/frame_ring.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace ferengine::ipc {
namespace {

uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

uint32_t bit_of(uint32_t reader) {
    if (reader >= FrameRing::kMaxReaders) throw std::out_of_range("a frame ring has readers 0 to 31");
    return uint32_t{1} << reader;
}

}  // namespace

FrameRing FrameRing::create(uint32_t slots, uint64_t slot_bytes) {
    if (slots == 0 || slots > kMaxSlots) throw std::invalid_argument("a frame ring has 1 to 4096 slots");
    if (slot_bytes == 0 || slot_bytes > kMaxSlotBytes)
        throw std::invalid_argument("a frame ring's slots have 1 byte to 4 GiB");
    auto ring = Mapped<Layout>::create(total_bytes(slots, slot_bytes));
    ring->slots = slots;
    ring->slot_bytes = slot_bytes;
    return {std::move(ring), slots, slot_bytes};
}

FrameRing FrameRing::attach(int fd) {
    auto ring = Mapped<Layout>::attach(fd);
    const uint32_t slots = ring->slots;
    const uint64_t slot_bytes = ring->slot_bytes;
    if (slots == 0 || slots > kMaxSlots || slot_bytes > kMaxSlotBytes ||
        ring.bytes().size() != total_bytes(slots, slot_bytes))
        throw std::invalid_argument("the frame ring's geometry does not match its size");
    return {std::move(ring), slots, slot_bytes};
}

int FrameRing::acquire(double seconds) {
    const int64_t deadline = deadline_after(seconds);
    while (true) {
        const uint32_t seen = ring_->freed.count();
        for (uint32_t step = 0; step < slots_; ++step) {
            const uint32_t index = (next_ + step) % slots_;
            if (slot(index).holds.load(std::memory_order_acquire) == 0) {
                next_ = (index + 1) % slots_;
                return static_cast<int>(index);
            }
        }
        if (!ring_->freed.wait(seen, deadline)) return -1;
    }
}

std::span<uint8_t> FrameRing::payload(uint32_t index) const {
    check(index);
    return bytes().subspan(payload_offset(slots_) + index * padded(slot_bytes_), slot_bytes_);
}

void FrameRing::publish(uint32_t index, const FrameHeader& header, uint32_t holds) {
    check(index);
    check_fits(header);
    Slot& target = slot(index);
    if (target.holds.load(std::memory_order_acquire) != 0)
        throw std::invalid_argument("slot " + std::to_string(index) + " is still held by a reader");
    target.header = header;
    target.holds.store(holds, std::memory_order_release);
    ring_->published.store(header.sequence + 1, std::memory_order_release);
}

void FrameRing::recover() {
    for (uint32_t index = 0; index < slots_; ++index)
        if (slot(index).holds.load(std::memory_order_acquire) != 0 && slot(index).header.sequence >= published())
            ring_->published.store(slot(index).header.sequence + 1, std::memory_order_release);
}

std::vector<std::pair<uint64_t, uint32_t>> FrameRing::held(uint32_t reader) const {
    const uint32_t bit = bit_of(reader);
    const uint64_t end = published();
    std::vector<std::pair<uint64_t, uint32_t>> found;
    for (uint32_t index = 0; index < slots_; ++index)
        if ((slot(index).holds.load(std::memory_order_acquire) & bit) != 0 && slot(index).header.sequence < end)
            found.emplace_back(slot(index).header.sequence, index);
    std::ranges::sort(found);
    return found;
}

FrameHeader FrameRing::header(uint32_t index) const {
    check(index);
    return slot(index).header;
}

FrameHeader FrameRing::checked_header(uint32_t index) const {
    const FrameHeader copy = header(index);
    check_fits(copy);
    return copy;
}

void FrameRing::release(uint32_t index, uint32_t reader) {
    check(index);
    const uint32_t bit = bit_of(reader);
    const uint32_t before = slot(index).holds.fetch_and(~bit, std::memory_order_acq_rel);
    if (before == bit) ring_->freed.notify();
}

void FrameRing::skip(uint32_t index, uint32_t reader) {
    check(index);
    bit_of(reader);
    ring_->skipped.fetch_add(1, std::memory_order_relaxed);
    release(index, reader);
}

void FrameRing::clear_reader(uint32_t reader) {
    for (uint32_t index = 0; index < slots_; ++index) release(index, reader);
}

uint64_t FrameRing::total_bytes(uint32_t slots, uint64_t slot_bytes) {
    return payload_offset(slots) + slots * padded(slot_bytes);
}

void FrameRing::check(uint32_t index) const {
    if (index >= slots_)
        throw std::out_of_range("slot " + std::to_string(index) + " of a ring of " + std::to_string(slots_));
}

void FrameRing::check_fits(const FrameHeader& header) const {
    if (header.width == 0 || header.height == 0) throw std::invalid_argument("the slot's frame is empty");
    if (header.channels != 1 && header.channels != 3)
        throw std::invalid_argument("a frame has 1 or 3 channels, not " + std::to_string(header.channels));
    if (header.stride < uint64_t{header.width} * header.channels)
        throw std::invalid_argument("a frame's stride is at least its width times its channels");
    if (uint64_t{header.stride} * header.height > slot_bytes_)
        throw std::invalid_argument("the frame is larger than the ring's slots of " + std::to_string(slot_bytes_) +
                                    " bytes");
}

}  // namespace ferengine::ipc
