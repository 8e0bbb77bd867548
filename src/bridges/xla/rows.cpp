// Losses of rows as a custom call of XLA's programs on CPUs: value and gradient, row by row or reduced over some
// dimensions. Each array has all dimensions of the inputs, or all except that of the rows' elements, with size 1 where
// it repeats.
#include <algorithm>
#include <iterator>

#include "bridges/xla/call.h"

namespace lossless::xla_ffi {
namespace {

// executors/jax/rows.py makes it, in this order.
struct RowPlan {
  int64_t kernel_index, dtype, reduction;
  int64_t outputs;     // bits: value, gradient
  int64_t classes;     // the dimension of the rows' elements
  int64_t outer_dims;  // how many leading dimensions of the rows a reduced value has
  int64_t arrays;      // bits: inputs, labels, targets, weights, mask, cotangent, parameters
  int64_t numbers;     // bits: the same, of those that are numbers
};
constexpr int weights = 3, parameters = 6, operands = parameters + most_row_parameters;

using Strides = std::vector<int64_t>;

// Sizes or strides, with those of the classes last.
Strides classes_last(Strides x, const RowPlan& plan) {
  std::rotate(x.begin() + plan.classes, x.begin() + plan.classes + 1, x.end());
  return x;
}

void run(const CallFrame& frame) {
  const RowPlan& plan = plan_of<RowPlan>(frame.attributes);
  double numbers[operands] = {};
  take_numbers(frame.arguments, plan.numbers, numbers);
  size_t rows = frame.arguments.buffers[0]->rank - 1;  // their dimensions

  RowJob job;
  job.kernel_index = int(plan.kernel_index);
  job.dtype = DType(plan.dtype);
  job.reduction = Reduction(plan.reduction);
  job.shape.assign(rows + 1, 1);
  job.outer_dims = int(plan.outer_dims);
  std::copy(numbers + parameters, numbers + operands, job.parameters);
  if (plan.numbers >> weights & 1) job.weights = {numbers + weights, DType::float64, Strides(rows, 0)};
  Operand* places[] = {&job.inputs, nullptr, &job.targets, &job.weights, &job.where, &job.cotangent};
  Buffer** next = frame.arguments.buffers;
  for (int i = 0; i < int(std::size(places)); ++i) {
    if (!(plan.arrays >> i & 1)) continue;
    const Buffer& buffer = **next++;
    Strides sizes(buffer.dims, buffer.dims + buffer.rank), strides = strides_of(buffer);
    if (sizes.size() > rows) {
      sizes = classes_last(sizes, plan);
      strides = classes_last(strides, plan);
    }
    for (size_t d = 0; d < sizes.size(); ++d)
      if (sizes[d] != 1) job.shape[d] = sizes[d];
    if (places[i])
      *places[i] = {buffer.data, dtype_of(buffer), strides};
    else
      job.labels = {buffer.data, item_size(buffer), strides};
  }

  next = frame.results.buffers;
  if (plan.outputs & 1) {
    const Buffer& buffer = **next++;
    job.value = {fresh(buffer), strides_of(buffer)};
    job.value_dtype = dtype_of(buffer);
  }
  if (plan.outputs & 2) {
    const Buffer& buffer = **next++;
    job.gradient = {fresh(buffer), classes_last(strides_of(buffer), plan)};
  }

  core->sweep_rows(job);
}

}  // namespace

Error* call_rows(CallFrame* frame) { return handle<run>(frame); }

}  // namespace lossless::xla_ffi
