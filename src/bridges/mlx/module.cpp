// lossless._mlx: the kernels as nodes of MLX's lazy graph. Here, those of element-wise losses.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "bridges/mlx/formulas.h"
#include "bridges/mlx/node.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lossless {

const CoreApi* core;

void define_rows(nb::module_& m);  // rows.cpp

namespace {

PyObject* formulas;  // a Python function, kept for good

struct ElementwiseLoss {
  int kernel_index;
  bool uses_difference_only;  // so the derivatives with respect to inputs and to targets differ only in sign
  int parameters;

  bool operator==(const ElementwiseLoss&) const = default;
};

// Its arrays are inputs, targets and the parameters, then those of any node.
class ElementWise final : public Node {
 public:
  ElementWise(mx::Stream stream, const NodePlan& plan, bool skips_gradient, const ElementwiseLoss& loss)
      : Node(stream, plan, skips_gradient), loss_(loss) {}

  bool is_equivalent(const mx::Primitive& other) const override {
    auto& node = static_cast<const ElementWise&>(other);
    return is_like(node) && loss_ == node.loss_;
  }

 private:
  Arrays make(const NodePlan& plan, const Arrays& inputs, bool skips_gradient) override {
    return outputs_of(std::make_shared<ElementWise>(stream(), plan, skips_gradient, loss_), inputs);
  }

  std::function<void()> prepare(const Arrays& inputs, Arrays& outputs) override {
    size_t dimensions = shape(inputs).size();
    Job job;
    fill(job, &job.second_derivative, inputs, outputs, 2 + loss_.parameters, 2);
    job.kernel_index = loss_.kernel_index;
    job.inputs = operand(inputs[0], dimensions);
    job.targets = operand(inputs[1], dimensions);
    for (int i = 0; i < loss_.parameters; ++i) job.parameters[i] = operand(inputs[2 + i], dimensions);
    return [job = std::move(job)] { core->sweep(job); };
  }

  Arrays by_formulas(const Arrays& arrays, Outputs wanted) override {
    return call_formulas(formulas, arrays, loss_.kernel_index, int(wanted), int(plan_.reduction), plan_.reduced_dims,
                         plan_.weights, plan_.where, plan_.cotangent, plan_.dtype);
  }

  int gradient_sign(int argument, const Arrays&) const override {
    if (plan_.wanted == Outputs::second_derivative || plan_.wanted == Outputs::gradient_and_second_derivative) return 0;
    if (argument == 0) return 1;
    return argument == 1 && loss_.uses_difference_only ? -1 : 0;
  }

  const ElementwiseLoss loss_;
};

Arrays compute(int kernel_index, bool uses_difference_only, int wanted, int reduction, int reduced_dims,
               const mx::array& inputs, const mx::array& targets, const std::vector<Number>& parameters,
               const std::optional<Number>& weights, const std::optional<mx::array>& where, const mx::Dtype& dtype) {
  NodePlan plan = {
      Outputs(wanted), Reduction(reduction), reduced_dims, weights.has_value(), where.has_value(), false, dtype};
  Arrays arrays = {inputs, targets};
  for (const Number& parameter : parameters) arrays.push_back(as_array(parameter));
  if (weights) arrays.push_back(as_array(*weights));
  if (where) arrays.push_back(*where);
  auto stream = mx::default_stream(mx::default_device());
  return ElementWise(stream, plan, false, {kernel_index, uses_difference_only, int(parameters.size())}).call(arrays);
}

}  // namespace
}  // namespace lossless

NB_MODULE(_mlx, m) {
  using namespace lossless;
  nb::module_::import_("mlx.core");
  core = static_cast<const CoreApi*>(PyCapsule_Import(core_api_name, 0));
  if (!core) throw nb::python_error();
  m.def("compute", compute, "loss"_a, "of_residual"_a, "wanted"_a, "reduction"_a, "reduced"_a, "inputs"_a, "targets"_a,
        "parameters"_a, "weights"_a.none(), "where"_a.none(), "dtype"_a,
        "A node of MLX's graph for one loss: a list of its results. The last `reduced` dimensions are reduced.");
  m.def(
      "set_formulas", [](nb::object function) { formulas = function.release().ptr(); }, "function"_a,
      "Set what computes the same as a node in MLX's own operations, which MLX can differentiate.");
  define_rows(m);
}
