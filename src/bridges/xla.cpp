// lossless._xla: the kernels as one custom call of XLA's programs on CPUs.
//
// A call computes any loss: some of value, gradient and second derivative, element by element or reduced over some
// dimensions. All its arrays have all dimensions, of size 1 where they repeat.
#include <nanobind/nanobind.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "lend.h"
#include "pages.h"
#include "xla_ffi.h"

namespace nb = nanobind;

namespace lossless {
namespace {

using namespace xla_ffi;

const Lent* lent;

// The attribute "plan", in order; backends/jax_kernels.py makes it.
struct Plan {
  int64_t loss, dtype, reduction;
  int64_t outputs;  // bits: value, gradient, second derivative
  int64_t reduced;  // bits: the dimensions that are reduced
  int64_t arrays;   // bits: inputs, targets, two parameters, weights, mask, cotangent
  int64_t numbers;  // bits: the same, of those that the attribute "numbers" holds
};
constexpr int operands = 7;

DType dtype_of(unsigned dtype) {
  switch (dtype) {
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

int64_t item_size(unsigned dtype) { return dtype == pred ? 1 : dtype == f32 ? 4 : dtype == f64 ? 8 : 2; }

void run(const CallFrame& frame) {
  const Attributes& attributes = frame.attributes;
  if (attributes.size != 2 || attributes.values[1]->size * sizeof(int64_t) != sizeof(Plan))
    throw std::invalid_argument("this call was not made by this version of lossless");
  const double* numbers = static_cast<const double*>(attributes.values[0]->data);
  const Plan& plan = *static_cast<const Plan*>(attributes.values[1]->data);
  const Buffers& arguments = frame.arguments;
  int64_t dimensions = arguments.buffers[0]->rank;

  // Kernels reduce the last dimensions: in this order, those are the last.
  std::vector<int64_t> order;
  for (bool reduced : {false, true})
    for (int64_t d = 0; d < dimensions; ++d)
      if (bool(plan.reduced >> d & 1) == reduced) order.push_back(d);

  Job job;
  job.loss = int(plan.loss);
  job.dtype = DType(plan.dtype);
  job.reduction = Reduction(plan.reduction);
  job.shape.assign(dimensions, 1);
  for (int64_t i = 0; i < arguments.size; ++i)
    for (int64_t d = 0; d < dimensions; ++d)
      if (int64_t size = arguments.buffers[i]->dims[order[d]]; size != 1) job.shape[d] = size;
  if (job.reduction != Reduction::none)
    for (int64_t d = 0; d < dimensions; ++d) job.kept += !(plan.reduced >> d & 1);

  auto strides = [&](const Buffer& buffer) {
    std::vector<int64_t> natural(dimensions), result(dimensions);
    int64_t stride = item_size(buffer.dtype);
    for (int64_t d = dimensions; d-- > 0; stride *= buffer.dims[d]) natural[d] = buffer.dims[d] == 1 ? 0 : stride;
    for (int64_t d = 0; d < dimensions; ++d) result[d] = natural[order[d]];
    return result;
  };
  Operand* places[operands] = {&job.inputs,  &job.targets, &job.parameters[0], &job.parameters[1],
                               &job.weights, &job.where,   &job.cotangent};
  int64_t next = 0;
  for (int i = 0; i < operands; ++i) {
    if (plan.arrays >> i & 1) {
      const Buffer& buffer = *arguments.buffers[next++];
      *places[i] = {buffer.data, dtype_of(buffer.dtype), strides(buffer)};
    } else if (plan.numbers >> i & 1) {
      *places[i] = {numbers + i, DType::float64, std::vector<int64_t>(dimensions, 0)};
    }
  }

  Result* results[] = {&job.value, &job.gradient, &job.curvature};
  next = 0;
  for (int i = 0; i < 3; ++i) {
    if (!(plan.outputs >> i & 1)) continue;
    const Buffer& buffer = *frame.results.buffers[next++];
    int64_t bytes = item_size(buffer.dtype);
    for (int64_t d = 0; d < buffer.rank; ++d) bytes *= buffer.dims[d];
    prefer_large_pages(buffer.data, bytes);
    results[i]->data = buffer.data;
    if (i == 0 && job.reduction != Reduction::none)
      job.value_dtype = dtype_of(buffer.dtype);
    else
      results[i]->strides = strides(buffer);
  }
  lent->sweep(job);
}

Error* call(CallFrame* frame) {
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

}  // namespace
}  // namespace lossless

NB_MODULE(_xla, m) {
  using namespace lossless;
  lent = static_cast<const Lent*>(PyCapsule_Import(lent_name, 0));
  if (!lent) throw nb::python_error();
  m.attr("handler") = nb::capsule(reinterpret_cast<void*>(call));
}
