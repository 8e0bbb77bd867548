#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels/loops/kernels.h"

namespace lossless {

extern const Kernels baseline;
#if defined(LOSSLESS_X86_64_LEVELS)
extern const Kernels x86_64_v3, x86_64_v4;
#endif

const std::vector<InstructionSet>& instruction_sets() {
  static const std::vector<InstructionSet> sets = [] {
    std::vector<InstructionSet> found = {{"baseline", &baseline}};
#if defined(LOSSLESS_X86_64_LEVELS)
    __builtin_cpu_init();
    auto has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (has_v3) found.push_back({"x86-64-v3", &x86_64_v3});
    auto has_v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
    if (has_v3 && has_v4) found.push_back({"x86-64-v4", &x86_64_v4});
#endif
    return found;
  }();
  return sets;
}

namespace {

std::atomic<const InstructionSet*>& current() {
  static std::atomic<const InstructionSet*> set{&instruction_sets().back()};
  return set;
}

}  // namespace

const InstructionSet& instruction_set() { return *current(); }

bool set_instruction_set(const char* name) {
  for (const InstructionSet& set : instruction_sets())
    if (std::strcmp(set.name, name) == 0) {
      current() = &set;
      return true;
    }
  return false;
}

}  // namespace lossless
