#include "kernels/engine/memory_pass.h"

#include <algorithm>

#include "kernels/engine/job.h"
#include "kernels/engine/pool.h"
#include "kernels/loops/kernels.h"

namespace lossless {

void memory_pass(const float* inputs, const float* targets, float* out, int64_t elements) {
  const Kernels& kernels = *instruction_set().kernels;
  parallel((elements + block_elements - 1) / block_elements, [&](int64_t block) {
    int64_t begin = block * block_elements;
    kernels.subtract(inputs + begin, targets + begin, out + begin, std::min(block_elements, elements - begin));
  });
}

}  // namespace lossless
