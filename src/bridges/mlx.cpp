// lossless._mlx: the kernels as one primitive of MLX's lazy graph, on its CPU streams.
//
// A node computes any loss: some of value, gradient and second derivative, element by element or reduced over the last
// dimensions. Its first derivatives by inputs and targets are nodes again; what else MLX may ask for (derivatives by
// parameters and weights, forward mode, higher orders) it differentiates itself, from the composed formulas.
#include <mlx/array.h>
#include <mlx/backend/cpu/encoder.h>
#include <mlx/ops.h>
#include <mlx/primitives.h>
#include <mlx/transforms.h>
#include <mlx/utils.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "lend.h"
#include "mlx_arrays.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lossless {
namespace {

const Lent* lent;
PyObject* formulas;  // a Python function, kept for good

enum class Outputs : int { value, value_and_gradient, gradient, gradient_and_curvature, curvature };

// What a node computes. Its arrays are inputs, targets, the parameters, then weights, mask and cotangent if there are
// any. They broadcast to one shape, but the cotangent: to the shape of the value.
struct Plan {
  int loss;
  bool of_residual;  // the derivative by targets is the negative of that by inputs
  int parameters;
  Outputs wanted;
  Reduction reduction;
  int reduced;  // the last so many dimensions
  bool weights, where, cotangent;
  mx::Dtype dtype;

  bool operator==(const Plan&) const = default;
};

class Node : public mx::Primitive {
 public:
  Node(mx::Stream stream, const Plan& plan, bool skips_gradient)
      : Primitive(stream), plan_(plan), skips_gradient_(skips_gradient) {}

  static Arrays make(mx::Stream stream, const Plan& plan, const Arrays& inputs, bool skips_gradient = false) {
    auto node = std::make_shared<Node>(stream, plan, skips_gradient);
    auto shapes = node->output_shapes(inputs);
    std::vector<mx::Dtype> dtypes(shapes.size(), plan.dtype);
    return mx::array::make_arrays(std::move(shapes), dtypes, node, inputs);
  }

  // MLX says that it cannot serialize this, up to the first space, when a function is exported.
  const char* name() const override { return "Lossless:to_export_use_lossless.composed()"; }

  bool is_equivalent(const mx::Primitive& other) const override {
    auto& node = static_cast<const Node&>(other);
    return plan_ == node.plan_ && skips_gradient_ == node.skips_gradient_;
  }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override {
    mx::Shape all = shape(inputs);
    mx::Shape value(all.begin(), all.end() - plan_.reduced);
    switch (plan_.wanted) {
      case Outputs::value:
        return {value};
      case Outputs::value_and_gradient:
        return {value, all};
      case Outputs::gradient_and_curvature:
        return {all, all};
      default:
        return {all};
    }
  }

  void eval_cpu(const Arrays& inputs, Arrays& outputs) override {
    // Each result holds on to the inputs: as long as a second one does, none of them can be donated. MLX lets go of
    // them itself after this, unless the graph is still needed, as that of a tracer, or this fails.
    for (mx::array& output : outputs)
      if (&output.inputs() != &inputs && !output.is_tracer()) output.inputs().clear();
    try {
      Job job = prepare(inputs, outputs);
      mx::cpu::get_command_encoder(stream()).dispatch([job = std::move(job)] { lent->sweep(job); });
    } catch (...) {
      for (mx::array& output : outputs) output.inputs() = inputs;
      throw;
    }
  }

  // The results of a few numbers that are there already, at once: to hand them to MLX's thread and back takes ten times
  // as long as to compute them.
  static void compute_at_once(const Arrays& inputs, Arrays& outputs) {
    constexpr size_t few = 4096;
    for (const mx::array& x : inputs)
      if (x.size() > few || x.is_tracer() || !x.is_available()) return;
    auto& node = static_cast<Node&>(outputs[0].primitive());
    mx::Shape all = node.shape(inputs);
    if (std::accumulate(all.begin(), all.end(), size_t(1), std::multiplies<>()) > few) return;
    lent->sweep(node.prepare(inputs, outputs));
    for (mx::array& output : outputs) {
      output.set_status(mx::array::Status::available);
      output.detach();
    }
  }

  // Memory for the results, and what to compute into it.
  Job prepare(const Arrays& inputs, Arrays& outputs) {
    mx::Shape all = shape(inputs);
    Job job;
    job.loss = plan_.loss;
    job.dtype = dtype_of(plan_.dtype);
    job.reduction = plan_.reduction;
    job.shape.assign(all.begin(), all.end());
    job.kept = int(all.size()) - plan_.reduced;
    auto next = inputs.begin();
    job.inputs = operand(*next++, all.size());
    job.targets = operand(*next++, all.size());
    for (int i = 0; i < plan_.parameters; ++i) job.parameters[i] = operand(*next++, all.size());
    if (plan_.weights) job.weights = operand(*next++, all.size());
    if (plan_.where) job.where = operand(*next++, all.size());
    if (plan_.cotangent) job.cotangent = operand(*next++, all.size(), plan_.reduced);

    auto result = [&](mx::array& output) {
      allocate_over(output, inputs);
      return Result{output.data<char>(), contiguous_strides(all, output.itemsize())};
    };
    switch (plan_.wanted) {
      case Outputs::value_and_gradient:
        if (skips_gradient_)
          outputs[1].set_data(mx::allocator::malloc(0), 0, outputs[1].strides(),
                              outputs[1].flags());  // nobody reads it
        else
          job.gradient = result(outputs[1]);
        [[fallthrough]];
      case Outputs::value:
        if (plan_.reduced > 0 || plan_.reduction != Reduction::none) {
          allocate(outputs[0]);
          job.value.data = outputs[0].data<char>();
        } else {
          job.value = result(outputs[0]);
        }
        break;
      case Outputs::gradient_and_curvature:
        job.curvature = result(outputs[1]);
        [[fallthrough]];
      case Outputs::gradient:
        job.gradient = result(outputs[0]);
        break;
      case Outputs::curvature:
        job.curvature = result(outputs[0]);
    }
    return job;
  }

  void eval_gpu(const Arrays&, Arrays&) override {
    throw std::runtime_error("lossless: a loss that was built for a CPU stream was evaluated on a GPU");
  }

  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& arguments,
             const Arrays& outputs) override {
    std::vector<int> others;
    for (int argument : arguments)
      if (is_by_formula(argument)) others.push_back(argument);
    Arrays from_formulas;
    if (!others.empty()) {
      // The formula of a result that is not used would cost time, and 0 times its derivative may be NaN.
      bool value_only = plan_.wanted == Outputs::value_and_gradient && known(cotangents[1]) == 0.0;
      auto function = formula(primals, others, value_only ? Outputs::value : plan_.wanted);
      Arrays used(cotangents.begin(), cotangents.end() - value_only);
      from_formulas = mx::vjp(function, selected(primals, others), used).second;
    }

    Arrays results;
    auto other = from_formulas.begin();
    mx::Shape all = shape(primals);
    for (int argument : arguments) {
      if (is_by_formula(argument)) {
        results.push_back(*other++);
        continue;
      }
      const mx::array& primal = primals[argument];
      bool broadcast = primal.shape() != all;
      mx::array slope = by_residual(primals, cotangents, outputs, broadcast ? mx::float64 : plan_.dtype);
      if (broadcast) slope = unbroadcast(slope, primal.shape(), stream());
      slope = mx::astype(slope, primal.dtype(), stream());
      results.push_back(argument == 0 ? slope : mx::negative(slope, stream()));
    }
    return results;
  }

  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& arguments) override {
    return mx::jvp(formula(primals, arguments, plan_.wanted), selected(primals, arguments), tangents).second;
  }

  // The new dimension comes first, and arrays that have it get ones after it, so that what they broadcast to is the
  // same as before. The last dimensions, which are reduced, stay the last.
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override {
    int dimensions = int(shape_without(inputs, axes).size());
    Arrays batched;
    for (size_t i = 0; i < inputs.size(); ++i) {
      mx::array x = inputs[i];
      if (axes[i] >= 0) {
        bool last = plan_.cotangent && i + 1 == inputs.size();
        int missing = dimensions - (last ? plan_.reduced : 0) - (int(x.ndim()) - 1);
        x = mx::moveaxis(x, axes[i], 0, stream());
        // One by one: MLX's vmap of several at once, which is the next level of a nested one, is wrong.
        for (int k = 0; k < missing; ++k) x = mx::expand_dims(x, 1, stream());
      }
      batched.push_back(x);
    }
    Arrays outputs = make(stream(), plan_, batched, skips_gradient_);
    return {outputs, std::vector<int>(outputs.size(), 0)};
  }

 private:
  // The shape that the arrays broadcast to.
  mx::Shape shape(const Arrays& inputs) const { return shape_without(inputs, std::vector<int>(inputs.size(), -1)); }

  // The same without the dimension `axes[i]` of each array, where that is not negative.
  mx::Shape shape_without(const Arrays& inputs, const std::vector<int>& axes) const {
    mx::Shape all;
    for (size_t i = 0; i < inputs.size(); ++i) {
      mx::Shape one;
      for (int d = 0; d < int(inputs[i].ndim()); ++d)
        if (d != axes[i]) one.push_back(inputs[i].shape(d));
      if (plan_.cotangent && i + 1 == inputs.size())
        for (int d = 0; d < plan_.reduced; ++d) one.push_back(1);
      all = mx::broadcast_shapes(all, one);
    }
    return all;
  }

  // An array as an operand of so many dimensions; the last ones, which a cotangent does not have, repeat it.
  static Operand operand(const mx::array& x, size_t dimensions, int repeated = 0) {
    Operand operand = {x.data<char>(), dtype_of(x.dtype()), std::vector<int64_t>(dimensions, 0)};
    size_t missing = dimensions - repeated - x.ndim();
    for (size_t d = 0; d < x.ndim(); ++d)
      if (x.shape(d) != 1) operand.strides[missing + d] = x.strides()[d] * int64_t(x.itemsize());
    return operand;
  }

  // The vector-Jacobian product by the residual. The first cotangent is that of the value, if there is one, and the
  // last that of the gradient, likewise.
  mx::array by_residual(const Arrays& primals, const Arrays& cotangents, const Arrays& outputs, mx::Dtype dtype) {
    std::optional<mx::array> sum;
    auto add = [&](const mx::array& x) { sum = sum ? mx::add(*sum, x, stream()) : x; };
    bool of_value = plan_.wanted == Outputs::value || plan_.wanted == Outputs::value_and_gradient;
    const mx::array& first = cotangents[0];
    auto number = known(first);
    if (of_value && number != 0.0) {
      bool comes_along = false;  // the gradient, with the value
      if (plan_.wanted == Outputs::value_and_gradient && number == 1.0 && dtype == plan_.dtype) {
        bool waits = outputs[1].status() == mx::array::Status::unscheduled;
        if (waits) skips_gradient_ = false;
        comes_along = waits || outputs[1].data_size() == outputs[1].size();
      }
      if (comes_along) {
        add(outputs[1]);
      } else {
        Arrays inputs = primals;
        inputs.push_back(first);
        Plan plan = plan_;
        plan.wanted = Outputs::gradient;
        plan.cotangent = true;
        plan.dtype = dtype;
        add(make(stream(), plan, inputs)[0]);
      }
    }
    const mx::array& of_gradient = cotangents.back();
    if (plan_.wanted != Outputs::value && known(of_gradient) != 0.0) {
      Plan plan = plan_;
      plan.wanted = Outputs::curvature;
      plan.dtype = dtype;
      add(mx::multiply(make(stream(), plan, primals)[0], mx::astype(of_gradient, dtype, stream()), stream()));
    }
    return sum ? *sum : mx::zeros(shape(primals), dtype, stream());
  }

  static Arrays selected(const Arrays& arrays, const std::vector<int>& places) {
    Arrays some;
    for (int place : places) some.push_back(arrays[place]);
    return some;
  }

  // What this node computes, as a function of some of its arrays, in MLX's own operations.
  std::function<Arrays(const Arrays&)> formula(const Arrays& primals, const std::vector<int>& places, Outputs wanted) {
    return [this, primals, places, wanted](const Arrays& some) {
      Arrays arrays = primals;
      for (size_t i = 0; i < places.size(); ++i) arrays[places[i]] = some[i];
      nb::gil_scoped_acquire held;
      mx::StreamContext context(stream());
      nb::list list;
      for (const mx::array& x : arrays) list.append(nb::cast(x));
      nb::object results = nb::handle(formulas)(plan_.loss, int(wanted), int(plan_.reduction), plan_.reduced,
                                                plan_.weights, plan_.where, plan_.cotangent, plan_.dtype, list);
      return nb::cast<Arrays>(results);
    };
  }

  // What is not the derivative of a kernel.
  bool is_by_formula(int argument) const {
    bool formula_only = plan_.wanted == Outputs::curvature || plan_.wanted == Outputs::gradient_and_curvature;
    return formula_only || argument > 1 || (argument == 1 && !plan_.of_residual);
  }

  Plan plan_;
  // Of value and gradient, only the value is wanted so far. As long as the node waits, MLX may still ask for the
  // gradient, and vjp() clears this: then both come of one pass. Nodes that were built by replaying a compiled function
  // share this object, so what one of them did is not read from here, but from its results: a skipped one has no data.
  bool skips_gradient_;
};

// A number becomes a double: whatever the arrays are, it counts in full.
using Number = std::variant<double, mx::array>;

mx::array as_array(const Number& x) {
  if (auto number = std::get_if<double>(&x)) return mx::array(*number, mx::float64);
  return std::get<mx::array>(x);
}

Arrays compute(int loss, bool of_residual, int wanted, int reduction, int reduced, const mx::array& inputs,
               const mx::array& targets, const std::vector<Number>& parameters, const std::optional<Number>& weights,
               const std::optional<mx::array>& where, const mx::Dtype& dtype) {
  auto stream = mx::default_stream(mx::default_device());
  Plan plan = {loss,    of_residual,         int(parameters.size()), Outputs(wanted), Reduction(reduction),
               reduced, weights.has_value(), where.has_value(),      false,           dtype};
  Arrays arrays = {inputs, targets};
  for (const Number& parameter : parameters) arrays.push_back(as_array(parameter));
  if (weights) arrays.push_back(as_array(*weights));
  if (where) arrays.push_back(*where);
  bool is_traced = std::any_of(arrays.begin(), arrays.end(), [](const mx::array& x) { return x.is_tracer(); });
  bool may_be_differentiated = plan.wanted == Outputs::value && is_traced;
  if (may_be_differentiated) plan.wanted = Outputs::value_and_gradient;
  Arrays outputs = Node::make(stream, plan, arrays, may_be_differentiated);
  if (may_be_differentiated)
    outputs.pop_back();
  else
    Node::compute_at_once(arrays, outputs);
  return outputs;
}

}  // namespace
}  // namespace lossless

NB_MODULE(_mlx, m) {
  using namespace lossless;
  nb::module_::import_("mlx.core");
  lent = static_cast<const Lent*>(PyCapsule_Import(lent_name, 0));
  if (!lent) throw nb::python_error();
  m.def("compute", compute, "loss"_a, "of_residual"_a, "wanted"_a, "reduction"_a, "reduced"_a, "inputs"_a, "targets"_a,
        "parameters"_a, "weights"_a.none(), "where"_a.none(), "dtype"_a,
        "A node of MLX's graph for one loss: a list of its results. The last `reduced` dimensions are reduced.");
  m.def(
      "set_formulas", [](nb::object function) { formulas = function.release().ptr(); }, "function"_a,
      "Set what computes the same as a node in MLX's own operations, which MLX can differentiate.");
}
