// The rings between threads under ThreadSanitizer. Threads share one object, not two mappings of one descriptor: the
// sanitizer knows memory by its address. Writer and readers touch disjoint members of it, as their processes would.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "face_ring.hpp"
#include "frame_ring.hpp"
#include "worker_page.hpp"

using namespace ferengine;

namespace {

constexpr double kLong = 20.0;  // seconds; whoever waits so long was forgotten

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::_Exit(EXIT_FAILURE);
}

void wait_at(WorkerPage& page, uint32_t seen) {
    const int64_t from = monotonic_ns();
    require(page.wait(seen, kLong), "the bell rings");
    require(static_cast<double>(monotonic_ns() - from) * 1e-9 < 0.5 * kLong, "no wake-up is lost");
}

bool all_are(const uint8_t* bytes, size_t count, uint64_t value) {
    for (size_t i = 0; i < count; ++i)
        if (bytes[i] != static_cast<uint8_t>(value)) return false;
    return true;
}

// Every reader sees every frame, in order and whole.
void frames() {
    constexpr uint32_t kReaders = 3, kSide = 16;
    constexpr uint64_t kFrames = 6000;
    FrameRing ring = FrameRing::create(4, kSide * kSide);
    std::vector<WorkerPage> pages;
    for (uint32_t reader = 0; reader < kReaders; ++reader) pages.push_back(WorkerPage::create());

    std::vector<std::thread> readers;
    for (uint32_t reader = 0; reader < kReaders; ++reader)
        readers.emplace_back([&ring, &page = pages[reader], reader] {
            uint64_t next = 0;
            while (true) {
                const uint32_t seen = page.bell();
                const bool closed = ring.closed();
                const auto held = ring.held(reader);
                for (const auto& [sequence, slot] : held) {
                    require(sequence == next++, "frames arrive in order");
                    require(ring.header(slot).captured_ns == static_cast<int64_t>(sequence), "headers are whole");
                    require(all_are(ring.payload(slot), kSide * kSide, sequence), "frames are whole");
                    ring.release(slot, reader);
                }
                page.beat();
                if (!held.empty()) continue;
                if (closed) break;
                wait_at(page, seen);
            }
            require(next == kFrames, "no frame is lost");
        });
    for (uint64_t sequence = 0; sequence < kFrames; ++sequence) {
        const int slot = ring.acquire(kLong);
        require(slot >= 0, "a slot becomes free");
        const auto index = static_cast<uint32_t>(slot);
        std::memset(ring.payload(index), static_cast<int>(sequence & 255), kSide * kSide);
        ring.publish(index, {sequence, kSide, kSide, kSide, 1, 0.0, static_cast<int64_t>(sequence)},
                     (1u << kReaders) - 1);
        for (WorkerPage& page : pages) page.ring();
    }
    ring.close_writer();
    for (WorkerPage& page : pages) page.ring();
    for (std::thread& reader : readers) reader.join();
    for (const WorkerPage& page : pages) require(page.heartbeat() > 0, "readers beat");
}

// Batches of faces through a ring smaller than they are many; the consumer gathers and frees in other portions. Without
// bells the ring alone orders what the two sides write.
void faces(bool bells) {
    constexpr uint32_t kSlots = 7, kSide = 8;
    constexpr uint64_t kBatches = 4000;
    FaceRing ring = FaceRing::create(kSlots, kSide);
    WorkerPage queued = WorkerPage::create(), freed = WorkerPage::create();
    const auto wait = [bells](WorkerPage& page, uint32_t seen) {
        if (bells)
            wait_at(page, seen);
        else
            std::this_thread::yield();
    };
    const auto faces_of = [](uint64_t batch) { return static_cast<uint32_t>(batch % 5); };

    std::thread consumer([&] {
        std::mt19937 random(3);
        std::vector<uint8_t> crops(kSlots * kSide * kSide);
        std::vector<FaceKey> keys(kSlots);
        uint32_t unreleased = 0;
        uint64_t batch = 1;
        uint32_t face = 0;
        while (batch < kBatches) {
            const uint32_t seen = queued.bell();
            const uint32_t count = ring.gather(crops.data(), keys.data(), 1 + random() % kSlots, 0.0f, 1.0f);
            for (uint32_t i = 0; i < count; ++i) {
                require(keys[i].sequence == batch && keys[i].face == face, "faces arrive in order");
                require(all_are(&crops[i * kSide * kSide], kSide * kSide, batch), "crops are whole");
                if (++face == faces_of(batch)) {
                    face = 0;
                    do ++batch;
                    while (faces_of(batch) == 0);
                }
            }
            unreleased += count;
            const uint32_t released = count == 0 ? unreleased : random() % (unreleased + 1);
            ring.release(released);
            unreleased -= released;
            if (bells) freed.ring();
            if (count == 0) wait(queued, seen);
        }
    });
    std::vector<uint8_t> frame(12 * 12);
    const std::vector<Square> squares(4, Square{6, 6, 10, 0});
    for (uint64_t batch = 0; batch < kBatches; ++batch) {
        std::fill(frame.begin(), frame.end(), static_cast<uint8_t>(batch));
        const FrameView view{frame.data(), 12, 12, 1, 12};
        while (true) {
            const uint32_t seen = freed.bell();
            if (ring.push(view, squares.data(), faces_of(batch), {0, 0, batch, 0, 0, 0, 0, 0, 0})) break;
            wait(freed, seen);
        }
        if (bells) queued.ring();
    }
    consumer.join();
}

// What is written before the bell rings is seen by whoever it wakes.
void pages() {
    constexpr uint32_t kRounds = 5000;
    WorkerPage there = WorkerPage::create(), back = WorkerPage::create();
    uint32_t note = 0;
    std::thread other([&] {
        for (uint32_t round = 0; round < kRounds; ++round) {
            wait_at(there, round);
            require(note == 2 * round + 1, "the note is there");
            ++note;
            back.ring();
        }
    });
    for (uint32_t round = 0; round < kRounds; ++round) {
        ++note;
        there.ring();
        wait_at(back, round);
        require(note == 2 * round + 2, "the answer is there");
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
void misuse() {
    constexpr uint32_t kSlots = 3, kBytes = 100;
    FrameRing ring = FrameRing::create(kSlots, kBytes);
    FaceRing faces = FaceRing::create(kSlots, 4);
    require_refused([] { FrameRing::attach(-1); }, "no descriptor");
    require_refused([] { FrameRing::attach(open("/dev/null", O_RDWR)); }, "not a mapping");
    require_refused([&] { FrameRing::attach(dup(faces.fd())); }, "another kind of mapping");
    require_refused([] { FrameRing::create(4096, uint64_t{1} << 32); }, "more memory than there is");
    require(ftruncate(ring.fd(), 64) != 0, "the size is sealed");

    std::mt19937 random(5);
    const std::vector<uint8_t> frame(9 * 9, 100);
    const std::vector<Square> squares(8, Square{4, 4, 6, 0});
    std::vector<float> crops(5 * 4 * 4);
    std::vector<FaceKey> keys(5);
    for (int round = 0; round < 20000; ++round) {
        const uint32_t slot = random() % (kSlots + 1), reader = random() % 34, side = random() % 13;
        try {
            switch (random() % 7) {
                case 0: {
                    const int free = ring.acquire(0);
                    if (free >= 0) std::memset(ring.payload(static_cast<uint32_t>(free)), 1, kBytes);
                    break;
                }
                case 1:
                    ring.publish(slot, {random(), side, side, side * 3, reader % 5, 0.0, 0}, random());
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
                    faces.push({frame.data(), 9, 9, 1, 9}, squares.data(), random() % 9, {});
                    break;
                case 5:
                    faces.gather(crops.data(), keys.data(), random() % 6, 1.0f, 2.0f);
                    break;
                case 6:
                    faces.release(random() % 5);
                    break;
            }
        } catch (const std::invalid_argument&) {
        } catch (const std::out_of_range&) {
        }
        require(faces.waiting() <= kSlots && faces.free() <= kSlots, "cursors stay in order");
    }
}

}  // namespace

int main() {
    misuse();
    frames();
    faces(true);
    faces(false);
    pages();
    return EXIT_SUCCESS;
}
