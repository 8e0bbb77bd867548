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

const Lent* lent;

void define_rows(nb::module_& m);  // mlx_rows.cpp

namespace {

PyObject* formulas;  // a Python function, kept for good

struct Loss {
  int number;
  bool of_residual;  // the derivative by targets is the negative of that by inputs
  int parameters;

  bool operator==(const Loss&) const = default;
};

// Its arrays are inputs, targets and the parameters, then those of any node.
class ElementWise final : public Node {
 public:
  ElementWise(mx::Stream stream, const Plan& plan, bool skips_gradient, const Loss& loss)
      : Node(stream, plan, skips_gradient), loss_(loss) {}

  bool is_equivalent(const mx::Primitive& other) const override {
    auto& node = static_cast<const ElementWise&>(other);
    return is_like(node) && loss_ == node.loss_;
  }

 private:
  Arrays make(const Plan& plan, const Arrays& inputs, bool skips_gradient) override {
    return outputs_of(std::make_shared<ElementWise>(stream(), plan, skips_gradient, loss_), inputs);
  }

  std::function<void()> prepare(const Arrays& inputs, Arrays& outputs) override {
    mx::Shape all = shape(inputs);
    Job job;
    job.loss = loss_.number;
    job.dtype = dtype_of(plan_.dtype);
    job.reduction = plan_.reduction;
    job.shape.assign(all.begin(), all.end());
    job.kept = int(all.size()) - plan_.reduced;
    auto next = inputs.begin();
    job.inputs = operand(*next++, all.size());
    job.targets = operand(*next++, all.size());
    for (int i = 0; i < loss_.parameters; ++i) job.parameters[i] = operand(*next++, all.size());
    if (plan_.weights) job.weights = operand(*next++, all.size());
    if (plan_.where) job.where = operand(*next++, all.size());
    if (plan_.cotangent) job.cotangent = operand(*next++, all.size(), plan_.reduced);

    auto result = [&](mx::array& output) {
      allocate_over(output, inputs, 2);
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
    return [job = std::move(job)] { lent->sweep(job); };
  }

  Arrays by_formulas(const Arrays& arrays, Outputs wanted) override {
    return call_formulas(formulas, arrays, loss_.number, int(wanted), int(plan_.reduction), plan_.reduced,
                         plan_.weights, plan_.where, plan_.cotangent, plan_.dtype);
  }

  int times_kernel(int argument, const Arrays&) const override {
    if (plan_.wanted == Outputs::curvature || plan_.wanted == Outputs::gradient_and_curvature) return 0;
    if (argument == 0) return 1;
    return argument == 1 && loss_.of_residual ? -1 : 0;
  }

  const Loss loss_;
};

Arrays compute(int loss, bool of_residual, int wanted, int reduction, int reduced, const mx::array& inputs,
               const mx::array& targets, const std::vector<Number>& parameters, const std::optional<Number>& weights,
               const std::optional<mx::array>& where, const mx::Dtype& dtype) {
  Plan plan = {Outputs(wanted), Reduction(reduction), reduced, weights.has_value(), where.has_value(), false, dtype};
  Arrays arrays = {inputs, targets};
  for (const Number& parameter : parameters) arrays.push_back(as_array(parameter));
  if (weights) arrays.push_back(as_array(*weights));
  if (where) arrays.push_back(*where);
  auto stream = mx::default_stream(mx::default_device());
  return ElementWise(stream, plan, false, {loss, of_residual, int(parameters.size())}).call(arrays);
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
  define_rows(m);
}
