// Single numbers of any dtype in memory.
#pragma once

#include <cstring>

#include "kernels/arith/dtypes.h"
#include "kernels/engine/job.h"

namespace lossless {
namespace {

inline void store(double x, DType dtype, void* to) {
  auto write = [to](auto storage) { std::memcpy(to, &storage, sizeof storage); };
  if (dtype == DType::float16) write(float16::pack(float16::round(x)));
  if (dtype == DType::bfloat16) write(bfloat16::pack(bfloat16::round(x)));
  if (dtype == DType::float32) write(float(x));
  if (dtype == DType::float64) write(x);
}

inline int64_t product(const std::vector<int64_t>& sizes, size_t begin, size_t end) {
  int64_t result = 1;
  for (size_t i = begin; i < end; ++i) result *= sizes[i];
  return result;
}

}  // namespace
}  // namespace lossless
