// One source, several instruction sets: the scheme that all vector code here follows.
//
// The hot loops of `area_resize.cpp` lie in `area_resize-inl.hpp`, in the namespace FERENGINE_TARGET, and are written
// with the functions of vector-inl.hpp. The .cpp file includes foreach_target.hpp, which compiles them once for each
// instruction set, and calls the best of them:
//
//     #define FERENGINE_TARGET_INCLUDE "image/area_resize-inl.hpp"
//     #include "simd/foreach_target.hpp"
//     ...
//     void resize_area(...) { FERENGINE_DISPATCH(resize_area)(...); }
//
// Only what lies in an -inl.hpp file is compiled for AVX2, by a pragma and in a namespace of its own. An inline
// function of any other header stays code for every machine, although the linker keeps a single copy of it; so a
// -inl.hpp file includes no other headers, and holds no objects that are initialised at run time (a program would run
// AVX2 code before it asked for it).
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <vector>

// FERENGINE_PORTABLE, for tests: the code of other machines on this one.
#if defined(__x86_64__) && !defined(FERENGINE_PORTABLE)
#define FERENGINE_HAS_AVX2_TARGET 1
#else
#define FERENGINE_HAS_AVX2_TARGET 0
#endif

namespace ferengine::simd {

// What a kernel is compiled for, in ascending order. AVX-512 is meant as it is on processors that have VNNI as well:
// older ones lower their clock for it.
enum class InstructionSet : uint8_t { baseline, avx2, avx512 };

constexpr const char* name_of(InstructionSet set) {
    if (set == InstructionSet::baseline) return "baseline";
    return set == InstructionSet::avx2 ? "avx2" : "avx512";
}

// The last one that this machine has and that this program was compiled for.
inline InstructionSet best_instructions() {
#if FERENGINE_HAS_AVX2_TARGET
    __builtin_cpu_init();  // may be asked before the constructors run
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return InstructionSet::baseline;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vnni"))
        return InstructionSet::avx2;
    return InstructionSet::avx512;
#else
    return InstructionSet::baseline;
#endif
}

// All of this machine, in ascending order.
inline std::vector<InstructionSet> machine_instructions() {
    std::vector<InstructionSet> sets;
    for (const InstructionSet set : {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512})
        if (set <= best_instructions()) sets.push_back(set);
    return sets;
}

inline std::atomic<InstructionSet> instructions_in_use{best_instructions()};

// What the kernels use: the best, unless a test asked for others.
inline InstructionSet instructions() { return instructions_in_use.load(std::memory_order_relaxed); }

// For tests: the kernels of other machines on this one, from now on and in all threads. Not beyond the best.
inline void use_instructions(InstructionSet set) { instructions_in_use.store(set, std::memory_order_relaxed); }

}  // namespace ferengine::simd

#if FERENGINE_HAS_AVX2_TARGET
// The function of this name for this machine.
#define FERENGINE_DISPATCH(function)                                                                \
    (::ferengine::simd::instructions() >= ::ferengine::simd::InstructionSet::avx2 ? &avx2::function \
                                                                                  : &baseline::function)

// The same for files with FERENGINE_TARGET_WIDE.
#define FERENGINE_DISPATCH_WIDE(function)                                                               \
    (::ferengine::simd::instructions() == ::ferengine::simd::InstructionSet::avx512 ? &avx512::function \
                                                                                    : FERENGINE_DISPATCH(function))

#else
#define FERENGINE_DISPATCH(function) (&baseline::function)
#define FERENGINE_DISPATCH_WIDE(function) (&baseline::function)
#endif
