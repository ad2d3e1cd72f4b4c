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

// FERENGINE_PORTABLE, for tests: the code of other machines on this one.
#if defined(__x86_64__) && !defined(FERENGINE_PORTABLE)
#define FERENGINE_HAS_AVX2_TARGET 1
#else
#define FERENGINE_HAS_AVX2_TARGET 0
#endif

#if FERENGINE_HAS_AVX2_TARGET

namespace ferengine::simd {

inline bool machine_has_avx2() {
    static const bool found = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return found;
}

// AVX-512 as it is on processors that have VNNI as well: older ones lower their clock for it.
inline bool machine_has_avx512() {
    static const bool found = machine_has_avx2() && __builtin_cpu_supports("avx512f") &&
                              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                              __builtin_cpu_supports("avx512vnni");
    return found;
}

}  // namespace ferengine::simd

// The function of this name for this machine.
#define FERENGINE_DISPATCH(function) (::ferengine::simd::machine_has_avx2() ? &avx2::function : &baseline::function)

// The same for files with FERENGINE_TARGET_WIDE.
#define FERENGINE_DISPATCH_WIDE(function) \
    (::ferengine::simd::machine_has_avx512() ? &avx512::function : FERENGINE_DISPATCH(function))

#else
#define FERENGINE_DISPATCH(function) (&baseline::function)
#define FERENGINE_DISPATCH_WIDE(function) (&baseline::function)
#endif
