// Anonymous shared memory that is passed between processes by descriptor: nothing to name, sweep or leak.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace ferengine {

static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free,
              "the rings need lock-free atomics");

// What the first bytes of every mapping say, so that a wrong descriptor is refused. `magic` ends in the layout's
// version.
struct MappingHeader {
    uint64_t magic;
    uint64_t bytes;
};

// Owns a memfd and its mapping, zeroed at first.
class SharedMemory {
  public:
    // Allocates every page at once, so that a full machine fails here and not later by SIGBUS, and seals the size, so
    // that nobody who attaches can be hit by a truncation.
    static SharedMemory create(uint64_t magic, uint64_t bytes) {
        const std::string what = "allocating " + std::to_string(bytes) + " bytes of shared memory";
        // the kernel would go on handing out pages until it kills somebody
        if (bytes > available_memory()) throw std::system_error(ENOMEM, std::generic_category(), what);
        const int fd = memfd_create("ferengine", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
        int error;
        do error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
        while (error == EINTR);
        if (error == 0 && fcntl(fd, F_ADD_SEALS, kSeals) != 0) error = errno;
        if (error != 0) {
            ::close(fd);
            throw std::system_error(error, std::generic_category(), what);
        }
        SharedMemory memory(fd, bytes);
        *memory.header() = {magic, bytes};
        return memory;
    }

    // Takes ownership of fd, also when it is refused.
    static SharedMemory attach(uint64_t magic, int fd) {
        const std::string name = "descriptor " + std::to_string(fd);
        struct stat status{};
        if (fstat(fd, &status) != 0) throw std::invalid_argument(name + " is not open");
        const auto bytes = static_cast<uint64_t>(status.st_size);
        const int seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & kSeals) != kSeals || bytes < sizeof(MappingHeader)) {
            ::close(fd);
            throw std::invalid_argument(name + " is not shared memory made by ferengine");
        }
        SharedMemory memory(fd, bytes);
        if (memory.header()->magic != magic || memory.header()->bytes != bytes)
            throw std::invalid_argument(name + " is another kind of mapping, or made by another version of ferengine");
        return memory;
    }

    SharedMemory(SharedMemory&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_), base_(std::exchange(other.base_, nullptr)) {}
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    SharedMemory& operator=(SharedMemory&&) = delete;
    ~SharedMemory() {
        if (base_ != nullptr) munmap(base_, bytes_);
        if (fd_ >= 0) ::close(fd_);
    }

    int fd() const { return fd_; }
    uint64_t bytes() const { return bytes_; }
    uint8_t* base() const { return static_cast<uint8_t*>(base_); }

  private:
    static constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

    SharedMemory(int fd, uint64_t bytes) : fd_(fd), bytes_(bytes) {
        void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base == MAP_FAILED) {
            const int error = errno;
            ::close(fd_);
            throw std::system_error(error, std::generic_category(), "mapping shared memory");
        }
        base_ = base;
    }
    MappingHeader* header() const { return static_cast<MappingHeader*>(base_); }

    static uint64_t available_memory() {
        std::ifstream meminfo("/proc/meminfo");
        std::string key;
        for (uint64_t kib; meminfo >> key >> kib; meminfo.ignore(64, '\n'))
            if (key == "MemAvailable:") return kib * 1024;
        return UINT64_MAX;
    }

    int fd_;
    uint64_t bytes_;
    void* base_ = nullptr;
};

}  // namespace ferengine
