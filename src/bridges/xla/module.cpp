// lossless._xla: the kernels as one custom call of XLA's programs on CPUs.
//
// A call computes any element-wise loss: some of value, gradient and second derivative, element by element or reduced
// over some dimensions. Each array has all dimensions, with size 1 where it repeats.
#include <nanobind/nanobind.h>

#include "bridges/xla/call.h"

namespace nb = nanobind;

namespace lossless {

const CoreApi* core;

namespace {

using namespace xla_ffi;

// executors/jax/kernels.py makes it, in this order.
struct ElementwisePlan {
  int64_t loss, dtype, reduction;
  int64_t outputs;  // bits: value, gradient, second derivative
  int64_t reduced;  // bits: the dimensions that are reduced
  int64_t arrays;   // bits: inputs, targets, two parameters, weights, mask, cotangent
  int64_t numbers;  // bits: the same, of those that are numbers
};
constexpr int operands = 7;

// Computes one block without options. Returns false, and does nothing, if the call is another one. What run() does for
// any call would make a small call 5 % longer, with JAX and XLA included.
bool run_small(const CallFrame& frame, const ElementwisePlan& plan, const double* numbers) {
  constexpr int64_t inputs_and_targets = 1 | 2, parameters = 4 | 8, value = 1, gradient = 2;
  const Buffer& inputs = *frame.arguments.buffers[0];
  int64_t whole = Reduction(plan.reduction) == Reduction::none ? 0 : (int64_t(1) << inputs.rank) - 1;
  if (plan.arrays != inputs_and_targets || plan.numbers & ~parameters || plan.outputs & ~(value | gradient) ||
      plan.reduced != whole)
    return false;
  const Buffer& targets = *frame.arguments.buffers[1];

  SmallJob job;
  job.kernel_index = int(plan.loss);
  job.dtype = DType(plan.dtype);
  job.reduction = Reduction(plan.reduction);
  if (dtype_of(inputs) != job.dtype || dtype_of(targets) != job.dtype) return false;
  job.inputs = inputs.data;
  job.targets = targets.data;
  job.parameters[0] = numbers[2];
  job.parameters[1] = numbers[3];
  for (int64_t d = 0; d < inputs.rank; ++d) {
    if (inputs.dims[d] != targets.dims[d]) return false;
    job.elements *= inputs.dims[d];
  }
  Buffer** next = frame.results.buffers;
  if (plan.outputs & value) {
    job.value_dtype = dtype_of(**next);
    job.value = (*next++)->data;
  }
  if (plan.outputs & gradient) job.gradient = (*next)->data;
  return core->sweep_small(job);
}

void run(const CallFrame& frame) {
  const ElementwisePlan& plan = plan_of<ElementwisePlan>(frame.attributes);
  const Buffers& arguments = frame.arguments;
  double numbers[operands] = {};
  int64_t arrays = take_numbers(arguments, plan.numbers, numbers);
  if (run_small(frame, plan, numbers)) return;
  int64_t dimensions = arguments.buffers[0]->rank;

  Job job;
  job.kernel_index = int(plan.loss);
  job.dtype = DType(plan.dtype);
  job.reduction = Reduction(plan.reduction);

  // Kernels reduce the last dimensions, so the reduced ones come last. Dimensions of size 1 are left out.
  std::vector<int64_t> order;
  for (bool reduced : {false, true})
    for (int64_t d = 0; d < dimensions; ++d) {
      if (bool(plan.reduced >> d & 1) != reduced) continue;
      int64_t size = 1;
      for (int64_t i = 0; i < arrays; ++i)
        if (int64_t own_size = arguments.buffers[i]->dims[d]; own_size != 1) size = own_size;
      if (size == 1) continue;
      order.push_back(d);
      job.shape.push_back(size);
      job.outer_dims += job.reduction != Reduction::none && !reduced;
    }

  auto strides = [&](const Buffer& buffer) {
    std::vector<int64_t> result(order.size());
    for (size_t i = 0; i < order.size(); ++i) result[i] = stride_of(buffer, order[i]);
    return result;
  };
  Operand* places[operands] = {&job.inputs,  &job.targets, &job.parameters[0], &job.parameters[1],
                               &job.weights, &job.where,   &job.cotangent};
  int64_t next = 0;
  for (int i = 0; i < operands; ++i) {
    if (plan.arrays >> i & 1) {
      const Buffer& buffer = *arguments.buffers[next++];
      *places[i] = {buffer.data, dtype_of(buffer), strides(buffer)};
    } else if (plan.numbers >> i & 1) {
      *places[i] = {numbers + i, DType::float64, std::vector<int64_t>(order.size(), 0)};
    }
  }

  Result* results[] = {&job.value, &job.gradient, &job.second_derivative};
  next = 0;
  for (int i = 0; i < 3; ++i) {
    if (!(plan.outputs >> i & 1)) continue;
    const Buffer& buffer = *frame.results.buffers[next++];
    results[i]->data = fresh(buffer);
    if (i == 0 && job.reduction != Reduction::none)
      job.value_dtype = dtype_of(buffer);
    else
      results[i]->strides = strides(buffer);
  }
  core->sweep(job);
}

}  // namespace
}  // namespace lossless

NB_MODULE(_xla, m) {
  using namespace lossless;
  core = static_cast<const CoreApi*>(PyCapsule_Import(core_api_name, 0));
  if (!core) throw nb::python_error();
  m.attr("handler") = nb::capsule(reinterpret_cast<void*>(handle<run>));
  m.attr("rows_handler") = nb::capsule(reinterpret_cast<void*>(xla_ffi::call_rows));
}
