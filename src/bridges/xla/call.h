// What the handlers of XLA's custom calls have in common: buffers, attributes, errors.
#pragma once

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "bridges/core/core_api.h"
#include "bridges/core/pages.h"
#include "bridges/xla/ffi.h"

namespace lossless {

// The functions of lossless._core; lossless._xla sets this when it is imported.
extern const CoreApi* core;

namespace xla_ffi {

inline DType dtype_of(const Buffer& buffer) {
  switch (buffer.dtype) {
    case f16:
      return DType::float16;
    case bf16:
      return DType::bfloat16;
    case f32:
      return DType::float32;
    case f64:
      return DType::float64;
    case pred:
      return DType::boolean;
    default:
      throw std::invalid_argument("the kernels do not read this dtype");
  }
}

inline int64_t item_size(const Buffer& buffer) {
  switch (buffer.dtype) {
    case pred:
      return 1;
    case f16:
    case bf16:
      return 2;
    case s32:
    case f32:
      return 4;
    default:
      return 8;
  }
}

// The stride in bytes; 0 for a dimension of size 1, along which the array may repeat.
inline int64_t stride_of(const Buffer& buffer, int64_t dimension) {
  if (buffer.dims[dimension] == 1) return 0;
  int64_t stride = item_size(buffer);
  for (int64_t d = dimension + 1; d < buffer.rank; ++d) stride *= buffer.dims[d];
  return stride;
}

inline std::vector<int64_t> strides_of(const Buffer& buffer) {
  std::vector<int64_t> strides(buffer.rank);
  for (int64_t d = 0; d < buffer.rank; ++d) strides[d] = stride_of(buffer, d);
  return strides;
}

// The memory of a result. Nobody has written to it yet.
inline void* fresh(const Buffer& buffer) {
  int64_t bytes = item_size(buffer);
  for (int64_t d = 0; d < buffer.rank; ++d) bytes *= buffer.dims[d];
  prefer_large_pages(buffer.data, bytes);
  return buffer.data;
}

// A call has one attribute, its plan: a struct of integers.
template <class Plan>
const Plan& plan_of(const Attributes& attributes) {
  if (attributes.size != 1 || attributes.values[0]->size * sizeof(int64_t) != sizeof(Plan))
    throw std::invalid_argument("this call was not made by this version of lossless");
  return *static_cast<const Plan*>(attributes.values[0]->data);
}

// Reads the operands that are Python's numbers: their doubles are the last argument (executors/jax/numbers.py), in the
// order of the operands. `which` has a bit for each operand that is a number; without any there is no such argument.
// Writes each number to its operand's place, and returns how many arguments are arrays.
inline int64_t take_numbers(const Buffers& arguments, int64_t which, double* places) {
  if (!which) return arguments.size;
  auto next = static_cast<const char*>(arguments.buffers[arguments.size - 1]->data);
  for (int operand = 0; which >> operand; ++operand) {
    if (!(which >> operand & 1)) continue;
    std::memcpy(places + operand, next, sizeof(double));
    next += sizeof(double);
  }
  return arguments.size - 1;
}

// The handler of a call that `run` computes.
template <void run(const CallFrame&)>
Error* handle(CallFrame* frame) {
  if (frame->extension_start && frame->extension_start->type == metadata_extension) {
    Metadata& metadata = *reinterpret_cast<MetadataExtension*>(frame->extension_start)->metadata;
    metadata.api_version.major_version = api_major;
    metadata.api_version.minor_version = api_minor;
    metadata.traits = 0;
    return nullptr;
  }
  if (frame->stage != execute) return nullptr;
  try {
    run(*frame);
  } catch (const std::exception& error) {
    std::string message = std::string("lossless: ") + error.what();
    ErrorCreateArgs args = {sizeof args, nullptr, message.c_str(), internal_error};
    return frame->api->error_create(&args);
  }
  return nullptr;
}

// Losses of rows: rows.cpp.
Error* call_rows(CallFrame* frame);

}  // namespace xla_ffi
}  // namespace lossless
