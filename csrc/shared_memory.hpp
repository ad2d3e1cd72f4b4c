// Anonymous shared memory that is passed between processes by descriptor: nothing to name, sweep or leak.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ferengine {

static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free,
              "the rings need lock-free atomics");

inline int64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// What the first bytes of every mapping say, so that a wrong descriptor is refused.
struct MappingHeader {
    uint64_t magic;
    uint64_t bytes;
};

// Owns a memfd and its mapping. Create allocates every page at once: a full machine fails here, not later by SIGBUS.
class SharedMemory {
  public:
    static SharedMemory create(uint64_t magic, size_t bytes) {
        const int fd = static_cast<int>(syscall(SYS_memfd_create, "ferengine", MFD_CLOEXEC));
        if (fd < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
        const int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
        if (error != 0) {
            ::close(fd);
            throw std::system_error(error, std::generic_category(),
                                    "allocating " + std::to_string(bytes) + " bytes of shared memory");
        }
        SharedMemory memory(fd, bytes);
        *memory.header() = {magic, bytes};
        return memory;
    }

    // Takes ownership of fd, also when it is refused.
    static SharedMemory attach(uint64_t magic, int fd) {
        struct stat status{};
        if (fstat(fd, &status) != 0) throw std::invalid_argument("descriptor " + std::to_string(fd) + " is not open");
        const auto bytes = static_cast<size_t>(status.st_size);
        if (!S_ISREG(status.st_mode) || bytes < sizeof(MappingHeader)) {
            ::close(fd);
            throw std::invalid_argument("descriptor " + std::to_string(fd) + " is not a ferengine mapping");
        }
        SharedMemory memory(fd, bytes);
        if (memory.header()->magic != magic || memory.header()->bytes != bytes)
            throw std::invalid_argument("descriptor " + std::to_string(fd) + " is another kind of mapping");
        return memory;
    }

    SharedMemory(SharedMemory&& other) noexcept : fd_(other.fd_), bytes_(other.bytes_), base_(other.base_) {
        other.fd_ = -1;
        other.base_ = nullptr;
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    SharedMemory& operator=(SharedMemory&&) = delete;
    ~SharedMemory() {
        if (base_ != nullptr) munmap(base_, bytes_);
        if (fd_ >= 0) ::close(fd_);
    }

    int fd() const { return fd_; }
    size_t bytes() const { return bytes_; }
    uint8_t* base() const { return static_cast<uint8_t*>(base_); }
    MappingHeader* header() const { return static_cast<MappingHeader*>(base_); }

  private:
    SharedMemory(int fd, size_t bytes) : fd_(fd), bytes_(bytes) {
        base_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base_ == MAP_FAILED) {
            base_ = nullptr;
            const int error = errno;
            ::close(fd_);
            fd_ = -1;
            throw std::system_error(error, std::generic_category(), "mmap");
        }
    }
    int fd_;
    size_t bytes_;
    void* base_ = nullptr;
};

// Waits, at most `seconds`, while `word` still holds `expected`. Not private: the word lies in shared memory.
inline void futex_wait(std::atomic<uint32_t>& word, uint32_t expected, double seconds) {
    timespec timeout{};
    timeout.tv_sec = static_cast<time_t>(seconds);
    timeout.tv_nsec = static_cast<long>((seconds - static_cast<double>(timeout.tv_sec)) * 1e9);
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT, expected, &timeout, nullptr, 0);
}

inline void futex_wake_all(std::atomic<uint32_t>& word) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// A counter that one side raises and the other waits on. The waiter announces itself before it looks a last time,
// the ringer looks for waiters after it has raised the counter: both in sequentially consistent order, so one of
// them always sees the other and no wake-up is lost.
struct Bell {
    std::atomic<uint32_t> count;
    std::atomic<uint32_t> waiters;

    void ring() {
        count.fetch_add(1, std::memory_order_seq_cst);
        if (waiters.load(std::memory_order_seq_cst) != 0) futex_wake_all(count);
    }
    // True when the count differs from `seen`, at once or within `seconds`.
    bool wait(uint32_t seen, double seconds) {
        if (count.load(std::memory_order_seq_cst) != seen) return true;
        waiters.fetch_add(1, std::memory_order_seq_cst);
        if (count.load(std::memory_order_seq_cst) == seen) futex_wait(count, seen, seconds);
        waiters.fetch_sub(1, std::memory_order_seq_cst);
        return count.load(std::memory_order_seq_cst) != seen;
    }
};

}  // namespace ferengine
