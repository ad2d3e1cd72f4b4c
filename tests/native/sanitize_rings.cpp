// Threads as writers and readers of the rings, for ThreadSanitizer; contents are checked for tearing.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include "face_ring.hpp"
#include "frame_ring.hpp"
#include "worker_page.hpp"

using namespace ferengine;

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::printf("failed: %s\n", what);
    std::exit(1);
}

void frames() {
    constexpr uint64_t kFrames = 5000;
    constexpr uint32_t kBytes = 64;
    FrameRing ring = FrameRing::create(4, kBytes);
    WorkerPage page = WorkerPage::create();
    std::thread writer([&] {
        for (uint64_t sequence = 0; sequence < kFrames;) {
            const int slot = ring.acquire(0.05);
            if (slot < 0) continue;
            std::memset(ring.payload(static_cast<uint32_t>(slot)), static_cast<int>(sequence & 0xff), kBytes);
            ring.publish(static_cast<uint32_t>(slot), {sequence, 8, 8, 8, 1, 0.0, 0}, 3);
            page.ring();
            ++sequence;
        }
        ring.close_writer();
        page.ring();
    });
    const auto read = [&](uint32_t reader) {
        uint64_t next = 0;
        while (next < kFrames) {
            const uint32_t seen = page.bell();
            const auto held = ring.held(reader);
            for (const auto& [sequence, slot] : held) {
                require(sequence == next, "frames come in order, each once");
                for (uint32_t i = 0; i < kBytes; ++i)
                    require(ring.payload(slot)[i] == (sequence & 0xff), "frames are whole");
                ring.release(slot, reader);
                ++next;
            }
            if (held.empty()) page.wait(seen, 0.05);
        }
    };
    std::thread first(read, 0), second(read, 1);
    writer.join();
    first.join();
    second.join();
}

void faces() {
    constexpr uint32_t kFaces = 4000;
    FaceRing ring = FaceRing::create(16, 4);
    FaceRing consumer = FaceRing::attach(dup(ring.fd()));
    std::thread producer([&] {
        for (uint32_t sequence = 0; sequence < kFaces;) {
            std::array<uint8_t, 16> pixels;
            pixels.fill(static_cast<uint8_t>(sequence));
            const Square square{2.0f, 2.0f, 4.0f, 0.0f};
            if (ring.push({pixels.data(), 4, 4, 1, 4}, &square, 1, {1, 1, sequence, 0, 0, 0, 0, 0, 0}))
                ++sequence;
            else
                std::this_thread::yield();
        }
    });
    uint32_t next = 0;
    std::vector<uint8_t> crops(8 * 16);
    std::vector<FaceKey> keys(8);
    while (next < kFaces) {
        const uint32_t count = consumer.gather(crops.data(), keys.data(), 8, 0.0f, 1.0f);
        for (uint32_t i = 0; i < count; ++i, ++next) {
            require(keys[i].sequence == next, "faces come in order, each once");
            for (uint32_t p = 0; p < 16; ++p) require(crops[i * 16 + p] == (next & 0xff), "faces are whole");
        }
        consumer.release(count);
        if (count == 0) std::this_thread::yield();
    }
    producer.join();
}

}  // namespace

int main() {
    frames();
    faces();
    std::puts("rings: no finding");
    return 0;
}
