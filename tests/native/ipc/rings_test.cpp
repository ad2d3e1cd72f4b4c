// The rings between threads under ThreadSanitizer. Threads share one object, not two mappings of one descriptor: the
// sanitizer knows memory by its address. Writer and readers touch disjoint members of it, as their processes would.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "ipc/face_ring.hpp"
#include "ipc/frame_ring.hpp"
#include "ipc/worker_page.hpp"
#include "random_input.hpp"

using namespace ferengine::ipc;
using ferengine::tests::RandomInput;
using ferengine::tests::require;

namespace {

constexpr double kLong = 20.0;  // seconds; a wait as long as this was never ended by its notification

void wait_for(WorkerPage& page, uint32_t seen) {
    const int64_t from = monotonic_ns();
    require(page.wait(seen, kLong), "the notification arrives");
    require(static_cast<double>(monotonic_ns() - from) * 1e-9 < 0.5 * kLong, "no wake-up is lost");
}

bool all_are(std::span<const uint8_t> bytes, uint64_t value) {
    return std::ranges::all_of(bytes, [&](uint8_t byte) { return byte == static_cast<uint8_t>(value); });
}

FrameHeader header_of(uint64_t sequence, uint32_t width, uint32_t height) {
    return {.sequence = sequence,
            .width = width,
            .height = height,
            .stride = width,
            .channels = 1,
            .timestamp = 0.0,
            .captured_ns = static_cast<int64_t>(sequence)};
}

// Every reader sees every frame, in order and whole.
void check_frames() {
    constexpr uint32_t kReaders = 3, kSide = 16;
    constexpr uint64_t kFrames = 6000;
    FrameRing ring = FrameRing::create(4, kSide * kSide);
    std::vector<WorkerPage> pages;
    pages.reserve(kReaders);
    for (uint32_t reader = 0; reader < kReaders; ++reader) pages.push_back(WorkerPage::create());

    std::vector<std::thread> readers;
    readers.reserve(kReaders);
    for (uint32_t reader = 0; reader < kReaders; ++reader) {
        readers.emplace_back([&ring, &page = pages[reader], reader] {
            uint64_t next = 0;
            while (true) {
                const uint32_t seen = page.event();
                const bool closed = ring.closed();
                const auto held = ring.held(reader);
                for (const auto& [sequence, slot] : held) {
                    require(sequence == next++, "frames arrive in order");
                    require(ring.header(slot).captured_ns == static_cast<int64_t>(sequence), "headers are whole");
                    require(all_are(ring.payload(slot), sequence), "frames are whole");
                    ring.release(slot, reader);
                }
                page.beat();
                if (!held.empty()) continue;
                if (closed) break;
                wait_for(page, seen);
            }
            require(next == kFrames, "no frame is lost");
        });
    }
    for (uint64_t sequence = 0; sequence < kFrames; ++sequence) {
        const int slot = ring.acquire(kLong);
        require(slot >= 0, "a slot becomes free");
        const auto index = static_cast<uint32_t>(slot);
        std::ranges::fill(ring.payload(index), static_cast<uint8_t>(sequence));
        ring.publish(index, header_of(sequence, kSide, kSide), (1u << kReaders) - 1);
        for (WorkerPage& page : pages) page.notify();
    }
    ring.close_writer();
    for (WorkerPage& page : pages) page.notify();
    for (std::thread& reader : readers) reader.join();
    for (const WorkerPage& page : pages) require(page.heartbeat() > 0, "readers beat");
}

// Batches of faces through a ring smaller than they are many; the consumer gathers and releases in other portions.
// Without events the ring alone orders what the two sides write.
void check_faces(bool events) {
    constexpr uint32_t kSlots = 7, kSide = 8;
    constexpr uint64_t kBatches = 4000;
    const std::array formats{CropFormat{.side = kSide, .planes = 1}, CropFormat{.side = 5, .planes = 3}};
    FaceRing ring = FaceRing::create(kSlots, formats);
    WorkerPage queued = WorkerPage::create(), freed = WorkerPage::create();
    const auto wait = [events](WorkerPage& page, uint32_t seen) {
        if (events)
            wait_for(page, seen);
        else
            std::this_thread::yield();
    };
    const auto faces_of = [](uint64_t batch) { return static_cast<uint32_t>(batch % 5); };

    std::thread consumer([&] {
        RandomInput random(3);
        uint32_t unreleased = 0, face = 0;
        uint64_t batch = 1;
        const auto check = [&](uint32_t, const FaceKey& key, std::span<const uint8_t> crop) {
            require(key.sequence == batch && key.face == face, "faces arrive in order");
            require(all_are(crop, batch), "crops are whole");
            if (++face < faces_of(batch)) return;
            face = 0;
            ++batch;
            while (faces_of(batch) == 0) ++batch;
        };
        while (batch < kBatches) {
            const uint32_t seen = queued.event();
            const uint32_t count = ring.gather(1 + random.below(kSlots), check);
            unreleased += count;
            const uint32_t released = count == 0 ? unreleased : random.below(unreleased + 1);
            ring.release(released);
            unreleased -= released;
            if (events) freed.notify();
            if (count == 0) wait(queued, seen);
        }
    });
    for (uint64_t batch = 0; batch < kBatches; ++batch) {
        const auto fill = [&](uint32_t, std::span<uint8_t> crop) {
            std::ranges::fill(crop, static_cast<uint8_t>(batch));
        };
        while (true) {
            const uint32_t seen = freed.event();
            if (ring.push(faces_of(batch), {.sequence = batch}, fill)) break;
            wait(freed, seen);
        }
        if (events) queued.notify();
    }
    consumer.join();
}

// What is written before a notification is seen by the side that it wakes.
void check_pages() {
    constexpr uint32_t kRounds = 5000;
    WorkerPage there = WorkerPage::create(), back = WorkerPage::create();
    uint32_t value = 0;
    std::thread other([&] {
        for (uint32_t round = 0; round < kRounds; ++round) {
            wait_for(there, round);
            require(value == 2 * round + 1, "what was written is seen");
            ++value;
            back.notify();
        }
    });
    for (uint32_t round = 0; round < kRounds; ++round) {
        ++value;
        there.notify();
        wait_for(back, round);
        require(value == 2 * round + 2, "the answer is seen");
    }
    other.join();
}

template <typename Call>
void require_refused(const Call& call, const char* what) {
    try {
        call();
    } catch (const std::exception&) {
        return;
    }
    require(false, what);
}

// What must be refused is refused, and random calls stay inside the mapping.
void check_misuse() {
    constexpr uint32_t kSlots = 3, kBytes = 100;
    FrameRing ring = FrameRing::create(kSlots, kBytes);
    const std::array formats{CropFormat{.side = 4, .planes = 3}};
    FaceRing faces = FaceRing::create(kSlots, formats);
    require_refused([] { FrameRing::attach(-1); }, "no descriptor");
    require_refused([] { FrameRing::attach(open("/dev/null", O_RDWR)); }, "not a mapping");
    require_refused([&] { FrameRing::attach(dup(faces.fd())); }, "another kind of mapping");
    require_refused([] { FaceRing::create(kSlots, {}); }, "no crops");
    require_refused([] { FaceRing::create(kSlots, std::array{CropFormat{.side = 4, .planes = 4}}); }, "four planes");
    require_refused([] { FrameRing::create(4096, uint64_t{1} << 32); }, "more memory than there is");
    require(ftruncate(ring.fd(), 64) != 0, "the size is sealed");

    RandomInput random(5);
    int refused = 0;
    const auto fill = [](uint32_t, std::span<uint8_t> crop) { std::ranges::fill(crop, uint8_t{1}); };
    const auto check = [](uint32_t, const FaceKey&, std::span<const uint8_t> crop) {
        require(all_are(crop, 1), "crops are whole");
    };
    for (int round = 0; round < 20000; ++round) {
        const uint32_t slot = random.below(kSlots + 1), reader = random.below(34), side = random.below(13);
        try {
            switch (random.below(7)) {
                case 0: {
                    const int free = ring.acquire(0);
                    if (free >= 0) std::ranges::fill(ring.payload(static_cast<uint32_t>(free)), uint8_t{1});
                    break;
                }
                case 1:
                    ring.publish(slot,
                                 {.sequence = random.below(UINT32_MAX),
                                  .width = side,
                                  .height = side,
                                  .stride = side * 3,
                                  .channels = reader % 5,
                                  .timestamp = 0.0,
                                  .captured_ns = 0},
                                 random.below(UINT32_MAX));
                    break;
                case 2: {
                    const FrameHeader header = ring.checked_header(slot);
                    require(ring.payload(slot)[header.height * header.stride - 1] <= 1, "the frame is in its slot");
                    break;
                }
                case 3:
                    ring.clear_reader(reader);
                    break;
                case 4:
                    faces.push(random.below(9), {}, fill);
                    break;
                case 5:
                    faces.gather(random.below(6), check);
                    break;
                default:
                    faces.release(random.below(5));
                    break;
            }
        } catch (const std::logic_error&) {
            ++refused;
        }
        require(faces.waiting() <= kSlots && faces.free() <= kSlots, "cursors stay in order");
    }
    require(refused > 0, "some calls are refused");
}

}  // namespace

int main() {
    check_misuse();
    check_frames();
    check_faces(true);
    check_faces(false);
    check_pages();
    return EXIT_SUCCESS;
}
