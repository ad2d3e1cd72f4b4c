// The Python names of the instruction sets, for tests.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "python/register.hpp"
#include "simd/dispatch.hpp"

namespace py = pybind11;

namespace ferengine::python {
namespace {

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const simd::InstructionSet set : simd::machine_instructions()) names.emplace_back(simd::name_of(set));
    return names;
}

std::string use_instruction_set(const std::string& name) {
    for (const simd::InstructionSet set : simd::machine_instructions()) {
        if (name != simd::name_of(set)) continue;
        const simd::InstructionSet before = simd::instructions();
        simd::use_instructions(set);
        return simd::name_of(before);
    }
    throw py::value_error("there is no code for " + name + " here");
}

}  // namespace

void register_simd(py::module_& m) {
    m.def("instruction_sets", &instruction_sets,
          "The instruction sets that this machine has and kernels are compiled for, in ascending order.");
    m.def("use_instruction_set", &use_instruction_set, py::arg("name"),
          "For tests: run the kernels of another machine, in all threads, until the next call.");
}

}  // namespace ferengine::python
