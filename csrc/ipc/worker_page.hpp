// One page for each worker process: the event it waits on, and its heartbeat.
#pragma once

#include "ipc/futex_event.hpp"
#include "ipc/shared_memory.hpp"

namespace ferengine::ipc {

class WorkerPage {
  public:
    static WorkerPage create() { return WorkerPage(Mapped<Layout>::create(sizeof(Layout))); }
    // Takes ownership of fd.
    static WorkerPage attach(int fd) { return WorkerPage(Mapped<Layout>::attach(fd)); }

    int fd() const { return page_.fd(); }

    void notify() { page_->event.notify(); }
    uint32_t event() const { return page_->event.count(); }
    bool wait(uint32_t seen, double seconds) { return page_->event.wait(seen, deadline_after(seconds)); }

    void beat() { page_->heartbeat_ns.store(monotonic_ns(), std::memory_order_release); }
    // Seconds of CLOCK_MONOTONIC, 0 before the first beat.
    double heartbeat() const { return static_cast<double>(page_->heartbeat_ns.load(std::memory_order_acquire)) * 1e-9; }

  private:
    struct Layout {
        static constexpr uint64_t kMagic = 0x3245474150524546;  // "FERPAGE2"
        MappingHeader header;
        alignas(64) FutexEvent event;
        alignas(64) SharedAtomic<int64_t> heartbeat_ns;
    };
    explicit WorkerPage(Mapped<Layout> page) : page_(std::move(page)) {}

    Mapped<Layout> page_;
};

}  // namespace ferengine::ipc
