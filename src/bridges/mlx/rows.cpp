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

// The kernel reduces all rows to one number. The first `mapped` dimensions are of such jobs, one after the other.
void sweep_mapped(RowJob job, size_t mapped) {
  if (mapped == 0) {
    core->sweep_rows(job);
    return;
  }
  int64_t count = job.shape.front();
  job.shape.erase(job.shape.begin());
  auto first_stride = [](auto& array) -> int64_t {
    if (!array.data) return 0;
    int64_t stride = array.strides.front();
    array.strides.erase(array.strides.begin());
    return stride;
  };
  auto move = [](auto& array, int64_t bytes) {
    array.data = const_cast<char*>(static_cast<const char*>(array.data)) + bytes;
  };
  int64_t logits = first_stride(job.logits), labels = first_stride(job.labels);
  int64_t probabilities = first_stride(job.probabilities), weights = first_stride(job.weights);
  int64_t where = first_stride(job.where), cotangent = first_stride(job.cotangent);
  int64_t value = first_stride(job.value), gradient = first_stride(job.gradient);
  for (int64_t i = 0; i < count; ++i) {
    sweep_mapped(job, mapped - 1);
    move(job.logits, logits);
    move(job.labels, labels);
    move(job.probabilities, probabilities);
    move(job.weights, weights);
    move(job.where, where);
    move(job.cotangent, cotangent);
    move(job.value, value);
    move(job.gradient, gradient);
  }
}

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
    mx::Shape all = shape(inputs);
    RowJob job;
    job.dtype = dtype_of(plan_.dtype);
    job.reduction = plan_.reduction;
    job.shape.assign(all.begin(), all.end());
    job.smoothing = loss_.smoothing;
    auto next = inputs.begin();
    job.logits = operand(*next++, all.size());
    const mx::array& targets = *next++;
    if (loss_.soft)
      job.probabilities = operand(targets, all.size());
    else
      job.labels = {targets.data<char>(), int64_t(targets.itemsize()), strides_of(targets, all.size(), 1)};
    if (plan_.weights) job.weights = operand(*next++, all.size(), 1);
    if (plan_.where) job.where = operand(*next++, all.size(), 1);
    if (plan_.cotangent) job.cotangent = operand(*next++, all.size(), plan_.reduced_dims);

    auto gradient = [&](mx::array& output) {
      allocate_over(output, inputs, 1);
      job.gradient = {output.data<char>(), contiguous_strides(all, output.itemsize())};
    };
    if (plan_.wanted == Outputs::gradient) {
      gradient(outputs[0]);
    } else {
      allocate(outputs[0]);
      job.value = {outputs[0].data<char>(), contiguous_strides(outputs[0].shape(), outputs[0].itemsize())};
      job.value.strides.resize(all.size(), 0);
      if (plan_.wanted == Outputs::value_and_gradient) {
        if (skips_gradient_)
          leave_out(outputs[1]);
        else
          gradient(outputs[1]);
      }
    }
    size_t mapped = plan_.reduction == Reduction::none ? 0 : all.size() - plan_.reduced_dims;
    return [job = std::move(job), mapped] { sweep_mapped(job, mapped); };
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
