// The part of lossless._mlx that is about losses of rows: cross entropy as a node of MLX's graph.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "bridges/mlx/formulas.h"
#include "bridges/mlx/node.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lossless {
namespace {

PyObject* row_formulas;  // a Python function, kept for good

struct RowLoss {
  bool soft;  // the targets are probabilities, not labels
  double smoothing;

  bool operator==(const RowLoss&) const = default;
};

// Its arrays are logits and targets, then those of any node; the last dimension is that of the classes, which only
// logits and probabilities have.
class Rows final : public Node {
 public:
  Rows(mx::Stream stream, const NodePlan& plan, bool skips_gradient, const RowLoss& loss)
      : Node(stream, plan, skips_gradient), loss_(loss) {}

  bool is_equivalent(const mx::Primitive& other) const override {
    auto& node = static_cast<const Rows&>(other);
    return is_like(node) && loss_ == node.loss_;
  }

 private:
  // The kernel takes logits of the dtype of the results.
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
    job.kernel_index = core->cross_entropy;
    job.parameters[0] = loss_.smoothing;
    job.inputs = operand(inputs[0], dimensions);
    if (loss_.soft)
      job.targets = operand(targets, dimensions);
    else
      job.labels = {targets.data<char>(), int64_t(targets.itemsize()), strides_of(targets, dimensions, 1)};
    return [job = std::move(job)] { core->sweep_rows(job); };
  }

  Arrays by_formulas(const Arrays& arrays, Outputs wanted) override {
    return call_formulas(row_formulas, arrays, loss_.soft, loss_.smoothing, int(wanted), int(plan_.reduction),
                         plan_.reduced_dims, plan_.weights, plan_.where, plan_.cotangent, plan_.dtype);
  }

  int gradient_sign(int argument, const Arrays& cotangents) const override {
    if (argument > 0 || plan_.wanted == Outputs::gradient) return 0;
    return plan_.wanted == Outputs::value || constant_value(cotangents[1]) == 0.0;
  }

  int missing_trailing_dims(size_t place, size_t arrays) const override {
    if (place == 0 || (place == 1 && loss_.soft)) return 0;
    return plan_.cotangent && place + 1 == arrays ? plan_.reduced_dims : 1;
  }

  const RowLoss loss_;
};

Arrays compute_rows(bool soft, double smoothing, int wanted, int reduction, int reduced_dims, const mx::array& logits,
                    const mx::array& targets, const std::optional<Number>& weights,
                    const std::optional<mx::array>& where, const mx::Dtype& dtype) {
  NodePlan plan = {
      Outputs(wanted), Reduction(reduction), reduced_dims, weights.has_value(), where.has_value(), false, dtype};
  Arrays arrays = {logits, targets};
  if (weights) arrays.push_back(as_array(*weights));
  if (where) arrays.push_back(*where);
  auto stream = mx::default_stream(mx::default_device());
  return Rows(stream, plan, false, {soft, smoothing}).call(arrays);
}

}  // namespace

void define_rows(nb::module_& m) {
  m.def(
      "compute_rows", compute_rows, "soft"_a, "smoothing"_a, "wanted"_a, "reduction"_a, "reduced"_a, "logits"_a,
      "targets"_a, "weights"_a.none(), "where"_a.none(), "dtype"_a,
      "A node of MLX's graph for cross entropy: a list of its results. The last dimension is that of the classes, and "
      "the last `reduced` are those that the value lacks. Targets are probabilities (soft) or signed integers of 4 or "
      "8 bytes.");
  m.def(
      "set_row_formulas", [](nb::object function) { row_formulas = function.release().ptr(); }, "function"_a,
      "Set what computes the same as such a node in MLX's own operations, which MLX can differentiate.");
}

}  // namespace lossless
