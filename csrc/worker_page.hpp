// One page a worker process: its doorbell and its heartbeat.
#pragma once

#include "bell.hpp"
#include "shared_memory.hpp"

namespace ferengine {

class WorkerPage {
  public:
    static WorkerPage create() { return WorkerPage(SharedMemory::create(kMagic, sizeof(Layout))); }
    static WorkerPage attach(int fd) { return WorkerPage(SharedMemory::attach(kMagic, fd)); }

    int fd() const { return memory_.fd(); }

    void ring() { layout()->bell.ring(); }
    uint32_t bell() const { return layout()->bell.count(); }
    bool wait(uint32_t seen, double seconds) { return layout()->bell.wait(seen, deadline_after(seconds)); }

    void beat() { layout()->heartbeat_ns.store(monotonic_ns(), std::memory_order_release); }
    // Seconds of CLOCK_MONOTONIC, 0 before the first beat.
    double heartbeat() const {
        return static_cast<double>(layout()->heartbeat_ns.load(std::memory_order_acquire)) * 1e-9;
    }

  private:
    static constexpr uint64_t kMagic = 0x3245474150524546;  // "FERPAGE2"
    struct Layout {
        MappingHeader header;
        alignas(64) Bell bell;
        alignas(64) std::atomic<int64_t> heartbeat_ns;
    };
    explicit WorkerPage(SharedMemory memory) : memory_(std::move(memory)) {}
    Layout* layout() const { return reinterpret_cast<Layout*>(memory_.base()); }

    SharedMemory memory_;
};

}  // namespace ferengine
