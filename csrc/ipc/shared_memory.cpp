#include "ipc/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace ferengine::ipc {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

[[noreturn]] void throw_errno(int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), what);
}

std::string allocation_of(uint64_t bytes) { return "allocating " + std::to_string(bytes) + " bytes of shared memory"; }

}  // namespace

UniqueFd::~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
}

Mapping::Mapping(const UniqueFd& fd, uint64_t bytes) {
    void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) throw_errno(errno, "mapping shared memory");
    bytes_ = {static_cast<uint8_t*>(base), bytes};
}

Mapping::~Mapping() {
    if (bytes_.data() != nullptr) munmap(bytes_.data(), bytes_.size());
}

SharedMemory SharedMemory::create(uint64_t bytes) {
    UniqueFd fd(memfd_create("ferengine", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd.get() < 0) throw_errno(errno, "memfd_create");
    int error = EINTR;
    while (error == EINTR) error = posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
    if (error != 0) throw_errno(error, allocation_of(bytes));
    if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) throw_errno(errno, "sealing shared memory");
    return {std::move(fd), bytes};
}

SharedMemory SharedMemory::attach(UniqueFd fd) {
    const std::string name = "descriptor " + std::to_string(fd.get());
    struct stat status{};
    if (fstat(fd.get(), &status) != 0) throw std::invalid_argument(name + " is not open");
    const auto bytes = static_cast<uint64_t>(status.st_size);
    const int seals = fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals || bytes < sizeof(MappingHeader))
        throw std::invalid_argument(name + " is not shared memory made by ferengine");
    return {std::move(fd), bytes};
}

void require_available_memory(uint64_t bytes) {
    std::ifstream meminfo("/proc/meminfo");
    std::string key;
    for (uint64_t kib = 0; meminfo >> key >> kib; meminfo.ignore(64, '\n'))
        if (key == "MemAvailable:" && bytes > kib * 1024) throw_errno(ENOMEM, allocation_of(bytes));
}

}  // namespace ferengine::ipc
