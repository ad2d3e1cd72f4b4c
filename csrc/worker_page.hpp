// One page a worker process: its doorbell and its heartbeat.
#pragma once

#include "shared_memory.hpp"

namespace ferengine {

class WorkerPage {
  public:
    static constexpr uint64_t kMagic = 0x3145474150524546;  // "FERPAGE1"

    static WorkerPage create() { return WorkerPage(SharedMemory::create(kMagic, 4096)); }
    static WorkerPage attach(int fd) { return WorkerPage(SharedMemory::attach(kMagic, fd)); }

    int fd() const { return memory_.fd(); }
    void ring() { layout()->bell.ring(); }
    uint32_t bell() const { return layout()->bell.count.load(std::memory_order_seq_cst); }
    bool wait(uint32_t seen, double seconds) { return layout()->bell.wait(seen, seconds); }
    void beat() { layout()->heartbeat_ns.store(monotonic_ns(), std::memory_order_release); }
    double heartbeat() const {
        return static_cast<double>(layout()->heartbeat_ns.load(std::memory_order_acquire)) * 1e-9;
    }

  private:
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
