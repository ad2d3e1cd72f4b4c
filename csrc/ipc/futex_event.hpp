// A counter in shared memory that one side raises and others wait on (a futex that is not private to a process).
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "ipc/shared_memory.hpp"

namespace ferengine::ipc {

// Nanoseconds of CLOCK_MONOTONIC: one clock for all processes of a machine.
inline int64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// The monotonic time `seconds` from now; negative values and NaN mean now, more than a year means a year.
inline int64_t deadline_after(double seconds) {
    constexpr double kYear = 365.0 * 24 * 3600;
    return monotonic_ns() + (seconds > 0 ? static_cast<int64_t>(std::min(seconds, kYear) * 1e9) : 0);
}

// The count and a flag for waiters share one word, and each side changes both in one step: a notification sees every
// waiter that could still sleep on the old count, so no wake-up is lost. A waiter that was killed costs one superfluous
// wake-up.
class FutexEvent {
  public:
    // Notifications so far, modulo 2^31.
    uint32_t count() const { return word_.load(std::memory_order_acquire) >> 1; }

    // Raises the count and wakes all waiters.
    void notify() {
        uint32_t word = word_.load(std::memory_order_relaxed);
        while (!word_.compare_exchange(word, (word | kWaiting) + 1, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
        }
        if ((word & kWaiting) != 0) syscall(SYS_futex, &word_.value, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    }

    // True as soon as the count differs from `seen`; false at the deadline, or earlier when a signal arrives.
    bool wait(uint32_t seen, int64_t deadline_ns) {
        uint32_t word = word_.load(std::memory_order_acquire);
        while (word >> 1 == seen) {
            const int64_t left = deadline_ns - monotonic_ns();
            if (left <= 0) return false;
            if ((word & kWaiting) == 0) {
                if (!word_.compare_exchange(word, word | kWaiting, std::memory_order_acquire,
                                            std::memory_order_acquire))
                    continue;
                word |= kWaiting;
            }
            const timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
            const bool interrupted =
                syscall(SYS_futex, &word_.value, FUTEX_WAIT, word, &timeout, nullptr, 0) != 0 && errno == EINTR;
            word = word_.load(std::memory_order_acquire);
            if (interrupted) return word >> 1 != seen;
        }
        return true;
    }

  private:
    static constexpr uint32_t kWaiting = 1;
    SharedAtomic<uint32_t> word_;
};

}  // namespace ferengine::ipc
