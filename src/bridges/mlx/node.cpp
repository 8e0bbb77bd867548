#include "bridges/mlx/node.h"

#include <mlx/backend/cpu/encoder.h>
#include <mlx/ops.h>
#include <mlx/transforms.h>
#include <mlx/utils.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "bridges/core/gil.h"

namespace lossless {
namespace {

Arrays selected(const Arrays& arrays, const std::vector<int>& places) {
  Arrays some;
  for (int place : places) some.push_back(arrays[place]);
  return some;
}

}  // namespace

Arrays Node::outputs_of(const std::shared_ptr<Node>& node, const Arrays& inputs) {
  auto shapes = node->output_shapes(inputs);
  std::vector<mx::Dtype> dtypes(shapes.size(), node->plan_.dtype);
  return mx::array::make_arrays(std::move(shapes), dtypes, node, inputs);
}

Arrays Node::call(const Arrays& arrays) {
  bool is_traced = std::any_of(arrays.begin(), arrays.end(), [](const mx::array& x) { return x.is_tracer(); });
  NodePlan plan = plan_;
  bool may_be_differentiated = plan.wanted == Outputs::value && is_traced;
  if (may_be_differentiated) plan.wanted = Outputs::value_and_gradient;
  Arrays outputs = make(plan, arrays, may_be_differentiated);
  if (may_be_differentiated)
    outputs.pop_back();
  else
    static_cast<Node&>(outputs[0].primitive()).compute_at_once(outputs[0].inputs(), outputs);
  return outputs;
}

std::vector<mx::Shape> Node::output_shapes(const Arrays& inputs) {
  mx::Shape all = shape(inputs);
  mx::Shape value(all.begin(), all.end() - plan_.reduced_dims);
  switch (plan_.wanted) {
    case Outputs::value:
      return {value};
    case Outputs::value_and_gradient:
      return {value, all};
    case Outputs::gradient_and_second_derivative:
      return {all, all};
    default:
      return {all};
  }
}

void Node::eval_cpu(const Arrays& inputs, Arrays& outputs) {
  // Each result refers to the inputs, and an input to which two results refer cannot be donated. MLX itself drops these
  // references after this function, unless the graph is still needed, as that of a tracer, or this function throws.
  for (mx::array& output : outputs)
    if (&output.inputs() != &inputs && !output.is_tracer()) output.inputs().clear();
  try {
    mx::cpu::get_command_encoder(stream()).dispatch(prepare(inputs, outputs));
  } catch (...) {
    for (mx::array& output : outputs) output.inputs() = inputs;
    throw;
  }
}

// Computes the results now, if the inputs are small and available: handing them to MLX's thread and back takes ten
// times as long as computing them.
void Node::compute_at_once(const Arrays& inputs, Arrays& outputs) {
  constexpr size_t few = 4096;
  for (const mx::array& x : inputs)
    if (x.size() > few || x.is_tracer() || !x.is_available()) return;
  mx::Shape all = shape(inputs);
  if (std::accumulate(all.begin(), all.end(), size_t(1), std::multiplies<>()) > few) return;
  prepare(inputs, outputs)();
  for (mx::array& output : outputs) {
    output.set_status(mx::array::Status::available);
    output.detach();
  }
}

void Node::fill(CommonJob& job, Result* second_derivative, const Arrays& inputs, Arrays& outputs, int own_operands,
                int candidates) const {
  mx::Shape all = shape(inputs);
  job.dtype = dtype_of(plan_.dtype);
  job.reduction = plan_.reduction;
  job.shape.assign(all.begin(), all.end());
  job.outer_dims = int(all.size()) - plan_.reduced_dims;
  int next = own_operands;
  auto next_operand = [&] {
    int place = next++;
    return operand(inputs[place], all.size(), missing_trailing_dims(place, inputs.size()));
  };
  if (plan_.weights) job.weights = next_operand();
  if (plan_.where) job.where = next_operand();
  if (plan_.cotangent) job.cotangent = next_operand();

  auto result = [&](mx::array& output) {
    allocate_over(output, inputs, candidates);
    return Result{output.data<char>(), contiguous_strides(all, output.itemsize())};
  };
  switch (plan_.wanted) {
    case Outputs::value_and_gradient:
      if (skips_gradient_)
        leave_out(outputs[1]);
      else
        job.gradient = result(outputs[1]);
      [[fallthrough]];
    case Outputs::value:
      if (plan_.reduced_dims == 0 && plan_.reduction == Reduction::none) {
        job.value = result(outputs[0]);
      } else {
        allocate(outputs[0]);
        job.value = {outputs[0].data<char>(), contiguous_strides(outputs[0].shape(), outputs[0].itemsize())};
      }
      break;
    case Outputs::gradient_and_second_derivative:
      *second_derivative = result(outputs[1]);
      [[fallthrough]];
    case Outputs::gradient:
      job.gradient = result(outputs[0]);
      break;
    case Outputs::second_derivative:
      *second_derivative = result(outputs[0]);
  }
}

void Node::eval_gpu(const Arrays&, Arrays&) {
  throw std::runtime_error("lossless: a loss that was built for a CPU stream was evaluated on a GPU");
}

Arrays Node::vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& arguments,
                 const Arrays& outputs) {
  std::vector<int> others;
  for (int argument : arguments)
    if (gradient_sign(argument, cotangents) == 0) others.push_back(argument);
  Arrays from_formulas;
  if (!others.empty()) {
    // A result that is not used has the cotangent 0. Its formula is left out: it would cost time, and 0 times its
    // derivative may be NaN.
    bool value_only = plan_.wanted == Outputs::value_and_gradient && constant_value(cotangents[1]) == 0.0;
    auto function = formula(primals, others, value_only ? Outputs::value : plan_.wanted);
    Arrays used(cotangents.begin(), cotangents.end() - value_only);
    from_formulas = mx::vjp(function, selected(primals, others), used).second;
  }

  Arrays results;
  auto other = from_formulas.begin();
  mx::Shape all = shape(primals);
  for (int argument : arguments) {
    int sign = gradient_sign(argument, cotangents);
    if (sign == 0) {
      results.push_back(*other++);
      continue;
    }
    const mx::array& primal = primals[argument];
    bool broadcast = primal.shape() != all;
    mx::array slope = by_kernel(primals, cotangents, outputs, broadcast ? mx::float64 : plan_.dtype);
    if (broadcast) slope = unbroadcast(slope, primal.shape(), stream());
    slope = mx::astype(slope, primal.dtype(), stream());
    results.push_back(sign == 1 ? slope : mx::negative(slope, stream()));
  }
  return results;
}

Arrays Node::jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& arguments) {
  return mx::jvp(formula(primals, arguments, plan_.wanted), selected(primals, arguments), tangents).second;
}

// The new dimension comes first. Arrays that have it get dimensions of size 1 after it, so that the others broadcast as
// before. The last dimensions, which are reduced, stay the last.
std::pair<Arrays, std::vector<int>> Node::vmap(const Arrays& inputs, const std::vector<int>& axes) {
  int dimensions = int(shape_without(inputs, axes).size());
  Arrays batched;
  for (size_t i = 0; i < inputs.size(); ++i) {
    mx::array x = inputs[i];
    if (axes[i] >= 0) {
      int missing = dimensions - missing_trailing_dims(i, inputs.size()) - (int(x.ndim()) - 1);
      x = mx::moveaxis(x, axes[i], 0, stream());
      // One by one: in a nested vmap, MLX's own vmap of an expand_dims by several dimensions is wrong.
      for (int k = 0; k < missing; ++k) x = mx::expand_dims(x, 1, stream());
    }
    batched.push_back(x);
  }
  Arrays outputs = make(plan_, batched, skips_gradient_);
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

// The shape that the arrays broadcast to when each has lost its dimension axes[i], unless that is negative.
mx::Shape Node::shape_without(const Arrays& inputs, const std::vector<int>& axes) const {
  mx::Shape all;
  for (size_t i = 0; i < inputs.size(); ++i) {
    mx::Shape one;
    for (int d = 0; d < int(inputs[i].ndim()); ++d)
      if (d != axes[i]) one.push_back(inputs[i].shape(d));
    one.insert(one.end(), missing_trailing_dims(i, inputs.size()), 1);
    all = mx::broadcast_shapes(all, one);
  }
  return all;
}

// The vector-Jacobian product with respect to the first array, in the shape that the arrays broadcast to. The first
// cotangent belongs to the value, if the node computes it, and the last one to the gradient, likewise.
mx::array Node::by_kernel(const Arrays& primals, const Arrays& cotangents, const Arrays& outputs, mx::Dtype dtype) {
  std::optional<mx::array> sum;
  auto add = [&](const mx::array& x) { sum = sum ? mx::add(*sum, x, stream()) : x; };
  bool of_value = plan_.wanted == Outputs::value || plan_.wanted == Outputs::value_and_gradient;
  const mx::array& first = cotangents[0];
  auto factor = constant_value(first);
  if (of_value && factor != 0.0) {
    bool has_gradient = false;  // computed together with the value
    if (plan_.wanted == Outputs::value_and_gradient && factor == 1.0 && dtype == plan_.dtype) {
      bool waits = outputs[1].status() == mx::array::Status::unscheduled;
      if (waits) skips_gradient_ = false;
      has_gradient = waits || outputs[1].data_size() == outputs[1].size();
    }
    if (has_gradient) {
      add(outputs[1]);
    } else {
      Arrays inputs = primals;
      inputs.push_back(first);
      NodePlan plan = plan_;
      plan.wanted = Outputs::gradient;
      plan.cotangent = true;
      plan.dtype = dtype;
      add(make(plan, inputs)[0]);
    }
  }
  const mx::array& of_gradient = cotangents.back();
  if (plan_.wanted != Outputs::value && constant_value(of_gradient) != 0.0) {
    NodePlan plan = plan_;
    plan.wanted = Outputs::second_derivative;
    plan.dtype = dtype;
    add(mx::multiply(make(plan, primals)[0], mx::astype(of_gradient, dtype, stream()), stream()));
  }
  return sum ? *sum : mx::zeros(shape(primals), dtype, stream());
}

// This node's computation in MLX's own operations, as a function of some of its arrays.
std::function<Arrays(const Arrays&)> Node::formula(const Arrays& primals, const std::vector<int>& places,
                                                   Outputs wanted) {
  return [this, primals, places, wanted](const Arrays& some) {
    Arrays arrays = primals;
    for (size_t i = 0; i < places.size(); ++i) arrays[places[i]] = some[i];
    WithGil held;
    mx::StreamContext context(stream());
    return by_formulas(arrays, wanted);
  };
}

}  // namespace lossless
