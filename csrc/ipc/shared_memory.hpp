// Anonymous shared memory that is passed between processes by descriptor: nothing to name, sweep or leak.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace ferengine::ipc {

// A descriptor, closed with its owner.
class UniqueFd {
  public:
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    UniqueFd& operator=(UniqueFd&&) = delete;
    ~UniqueFd();

    int get() const { return fd_; }

  private:
    int fd_;
};

// A descriptor's bytes, mapped to be read and written, unmapped with their owner.
class Mapping {
  public:
    Mapping(const UniqueFd& fd, uint64_t bytes);
    Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    Mapping& operator=(Mapping&&) = delete;
    ~Mapping();

    std::span<uint8_t> bytes() const { return bytes_; }

  private:
    std::span<uint8_t> bytes_;
};

// A memfd whose size is sealed, and its mapping.
class SharedMemory {
  public:
    // Zeros. Every page is allocated at once, so that a full machine fails here and not later by SIGBUS; the seal keeps
    // a truncation by another process from ever reaching this mapping.
    static SharedMemory create(uint64_t bytes);

    // Throws std::invalid_argument for a descriptor that is not such a memfd.
    static SharedMemory attach(UniqueFd fd);

    int fd() const { return fd_.get(); }
    std::span<uint8_t> bytes() const { return mapping_.bytes(); }

  private:
    SharedMemory(UniqueFd fd, uint64_t bytes) : fd_(std::move(fd)), mapping_(fd_, bytes) {}

    UniqueFd fd_;
    Mapping mapping_;
};

// Throws std::system_error (ENOMEM) when the machine has less than `bytes` available: the kernel itself would go on
// handing out pages until it has to kill a process.
void require_available_memory(uint64_t bytes);

// An atomic in memory that another process may have initialised. std::atomic would have to be constructed by this
// program first; a plain integer comes to life with the mapping, and std::atomic_ref works on it.
template <typename T>
struct SharedAtomic {
    static_assert(std::atomic_ref<T>::is_always_lock_free, "a lock would be private to the process");

    T load(std::memory_order order) const { return std::atomic_ref<T>(const_cast<T&>(value)).load(order); }
    void store(T desired, std::memory_order order) { std::atomic_ref<T>(value).store(desired, order); }
    T fetch_add(T operand, std::memory_order order) { return std::atomic_ref<T>(value).fetch_add(operand, order); }
    T fetch_and(T operand, std::memory_order order) { return std::atomic_ref<T>(value).fetch_and(operand, order); }
    bool compare_exchange(T& expected, T desired, std::memory_order success, std::memory_order failure) {
        return std::atomic_ref<T>(value).compare_exchange_weak(expected, desired, success, failure);
    }

    alignas(std::atomic_ref<T>::required_alignment) T value;
};

// The first bytes of every mapping, so that a wrong descriptor is refused.
struct MappingHeader {
    uint64_t magic;  // ends in the layout's version
    uint64_t bytes;
};

// Shared memory that begins with a `Layout`: a plain struct whose first member is a MappingHeader named `header`, and
// which names its kind in kMagic. What follows the layout is the owner's.
template <typename Layout>
class Mapped {
    static_assert(std::is_standard_layout_v<Layout> && std::is_trivially_copyable_v<Layout>,
                  "a layout comes to life by being mapped");

  public:
    // `bytes` in all, zeros behind the header.
    static Mapped create(uint64_t bytes) {
        require_available_memory(bytes);
        Mapped mapped(SharedMemory::create(bytes));
        auto* const layout = new (mapped.bytes().data()) Layout{};
        layout->header = {.magic = Layout::kMagic, .bytes = bytes};
        return mapped;
    }

    // Takes ownership of fd, also when it is refused with std::invalid_argument.
    static Mapped attach(int fd) {
        Mapped mapped(SharedMemory::attach(UniqueFd(fd)));
        const std::span<uint8_t> bytes = mapped.bytes();
        const auto& header = *std::launder(reinterpret_cast<const MappingHeader*>(bytes.data()));
        if (header.magic != Layout::kMagic || header.bytes != bytes.size() || bytes.size() < sizeof(Layout))
            throw std::invalid_argument("descriptor " + std::to_string(fd) +
                                        " is another kind of mapping, or made by another version of ferengine");
        return mapped;
    }

    int fd() const { return memory_.fd(); }
    std::span<uint8_t> bytes() const { return memory_.bytes(); }
    Layout* operator->() const { return std::launder(reinterpret_cast<Layout*>(bytes().data())); }

    // The object of type T that lies `offset` bytes into the mapping.
    template <typename T>
    T& at(uint64_t offset) const {
        return *std::launder(reinterpret_cast<T*>(bytes().data() + offset));
    }

  private:
    explicit Mapped(SharedMemory memory) : memory_(std::move(memory)) {}

    SharedMemory memory_;
};

}  // namespace ferengine::ipc
