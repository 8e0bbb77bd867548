// The part of lossless._mlx that is about losses of rows: nodes of MLX's graph.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "bridges/mlx/formulas.h"
#include "bridges/mlx/node.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lossless {
namespace {

PyObject* row_formulas;  // a Python function, kept for good

struct RowLoss {
  int kernel_index;
  bool has_labels;  // in place of a target for each element
  std::vector<double> parameters;

  bool operator==(const RowLoss&) const = default;
};

// Its arrays are inputs and targets, then those of any node; the last dimension is that of the rows' elements, which
// labels do not have.
class Rows final : public Node {
 public:
  Rows(mx::Stream stream, const NodePlan& plan, bool skips_gradient, const RowLoss& loss)
      : Node(stream, plan, skips_gradient), loss_(loss) {}

  bool is_equivalent(const mx::Primitive& other) const override {
    auto& node = static_cast<const Rows&>(other);
    return is_like(node) && loss_ == node.loss_;
  }

 private:
  // The kernel takes inputs of the dtype of the results.
  Arrays make(const NodePlan& plan, const Arrays& inputs, bool skips_gradient) override {
    Arrays arrays = inputs;
    arrays[0] = mx::astype(arrays[0], plan.dtype, stream());
    return outputs_of(std::make_shared<Rows>(stream(), plan, skips_gradient, loss_), arrays);
  }

  std::function<void()> prepare(const Arrays& inputs, Arrays& outputs) override {
    size_t dimensions = shape(inputs).size();
    const mx::array& targets = inputs[1];
    RowJob job;
    fill(job, nullptr, inputs, outputs, 2, 1);
    job.kernel_index = loss_.kernel_index;
    std::copy(loss_.parameters.begin(), loss_.parameters.end(), job.parameters);
    job.inputs = operand(inputs[0], dimensions);
    if (loss_.has_labels)
      job.labels = {targets.data<char>(), int64_t(targets.itemsize()), strides_of(targets, dimensions, 1)};
    else
      job.targets = operand(targets, dimensions);
    return [job = std::move(job)] { core->sweep_rows(job); };
  }

  Arrays by_formulas(const Arrays& arrays, Outputs wanted) override {
    return call_formulas(row_formulas, arrays, loss_.kernel_index, loss_.has_labels, loss_.parameters, int(wanted),
                         int(plan_.reduction), plan_.reduced_dims, plan_.weights, plan_.where, plan_.cotangent,
                         plan_.dtype);
  }

  int gradient_sign(int argument, const Arrays& cotangents) const override {
    if (argument > 0 || plan_.wanted == Outputs::gradient) return 0;
    return plan_.wanted == Outputs::value || constant_value(cotangents[1]) == 0.0;
  }

  int missing_trailing_dims(size_t place, size_t arrays) const override {
    if (place == 0 || (place == 1 && !loss_.has_labels)) return 0;
    return plan_.cotangent && place + 1 == arrays ? plan_.reduced_dims : 1;
  }

  const RowLoss loss_;
};

Arrays compute_rows(int loss, bool has_labels, const std::vector<double>& parameters, int wanted, int reduction,
                    int reduced_dims, const mx::array& inputs, const mx::array& targets,
                    const std::optional<Number>& weights, const std::optional<mx::array>& where,
                    const mx::Dtype& dtype) {
  NodePlan plan = {
      Outputs(wanted), Reduction(reduction), reduced_dims, weights.has_value(), where.has_value(), false, dtype};
  if (parameters.size() > size_t(most_row_parameters)) throw nb::value_error("there are too many parameters");
  Arrays arrays = {inputs, targets};
  if (weights) arrays.push_back(as_array(*weights));
  if (where) arrays.push_back(*where);
  auto stream = mx::default_stream(mx::default_device());
  return Rows(stream, plan, false, {loss, has_labels, parameters}).call(arrays);
}

}  // namespace

void define_rows(nb::module_& m) {
  m.def(
      "compute_rows", compute_rows, "loss"_a, "has_labels"_a, "parameters"_a, "wanted"_a, "reduction"_a, "reduced"_a,
      "inputs"_a, "targets"_a, "weights"_a.none(), "where"_a.none(), "dtype"_a,
      "A node of MLX's graph for a loss of rows: a list of its results. The last dimension is that of the rows' "
      "elements, and the last `reduced` are those that the value lacks. Targets are labels, signed integers of 4 or 8 "
      "bytes, or one for each element.");
  m.def(
      "set_row_formulas", [](nb::object function) { row_formulas = function.release().ptr(); }, "function"_a,
      "Set what computes the same as such a node in MLX's own operations, which MLX can differentiate.");
}

}  // namespace lossless
