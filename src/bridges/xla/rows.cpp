// Cross entropy as a custom call of XLA's programs on CPUs: value and gradient of each row, or reduced over some
// dimensions. The arrays have all dimensions of the logits, or all but that of the classes, of size 1 where they
// repeat.
#include <algorithm>
#include <iterator>

#include "bridges/xla/call.h"

namespace lossless::xla_ffi {
namespace {

// executors/jax/rows.py makes it, in this order.
struct RowPlan {
  int64_t dtype, reduction;
  int64_t outputs;  // bits: value, gradient
  int64_t classes;  // their dimension
  int64_t kept;     // so many leading dimensions of the rows have values of their own
  int64_t arrays;   // bits: logits, labels, probabilities, weights, mask, cotangent, label smoothing
  int64_t numbers;  // bits: the same, of those that are numbers
};
constexpr int operands = 7, weights = 3, smoothing = 6;

using Strides = std::vector<int64_t>;

// Sizes or strides, with those of the classes last.
Strides classes_last(Strides x, const RowPlan& plan) {
  std::rotate(x.begin() + plan.classes, x.begin() + plan.classes + 1, x.end());
  return x;
}

// The rows at one place of the leading dimensions.
RowJob part_of(RowJob job, const std::vector<int64_t>& place) {
  auto move = [&](auto& array) {
    if (!array.data) return;
    int64_t offset = 0;
    for (size_t d = 0; d < place.size(); ++d) offset += place[d] * array.strides[d];
    array.data = const_cast<char*>(static_cast<const char*>(array.data) + offset);
    array.strides.erase(array.strides.begin(), array.strides.begin() + place.size());
  };
  for (Operand* operand : {&job.logits, &job.probabilities, &job.weights, &job.where, &job.cotangent}) move(*operand);
  for (Result* result : {&job.value, &job.gradient}) move(*result);
  move(job.labels);
  job.shape.erase(job.shape.begin(), job.shape.begin() + place.size());
  return job;
}

void run(const CallFrame& frame) {
  const RowPlan& plan = plan_of<RowPlan>(frame.attributes);
  double numbers[operands] = {};
  take_numbers(frame.arguments, plan.numbers, numbers);
  size_t rows = frame.arguments.buffers[0]->rank - 1;  // their dimensions

  RowJob job;
  job.dtype = DType(plan.dtype);
  job.reduction = Reduction(plan.reduction);
  job.shape.assign(rows + 1, 1);
  job.smoothing = numbers[smoothing];
  if (plan.numbers >> weights & 1) job.weights = {numbers + weights, DType::float64, Strides(rows, 0)};
  Operand* places[] = {&job.logits, nullptr, &job.probabilities, &job.weights, &job.where, &job.cotangent};
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

  int64_t parts = 1;
  for (int64_t d = 0; d < plan.kept; ++d) parts *= job.shape[d];
  std::vector<int64_t> place(plan.kept);
  for (int64_t part = 0; part < parts; ++part) {
    core->sweep_rows(part_of(job, place));
    for (int64_t d = plan.kept; d-- > 0 && ++place[d] == job.shape[d];) place[d] = 0;
  }
}

}  // namespace

Error* call_rows(CallFrame* frame) { return handle<run>(frame); }

}  // namespace lossless::xla_ffi
