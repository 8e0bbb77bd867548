// The part of lossless._core that is about losses of rows.
#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include "bridges/core/arguments.h"
#include "bridges/core/bindings.h"
#include "bridges/core/gil.h"
#include "kernels/engine/row_sweep.h"
#include "kernels/loops/kernels.h"

namespace lossless {
namespace {

using namespace nb::literals;

int64_t python_cross_entropy(int dtype, int reduction, const Shape& shape, nb::handle logits, nb::handle labels,
                             nb::handle probabilities, double smoothing, nb::handle weights, nb::handle where,
                             nb::handle value, nb::handle gradient, nb::handle cotangent, int threads, int outer_dims) {
  if (dtype < 0 || dtype >= result_dtypes) throw nb::index_error("no results have this dtype");
  if (shape.empty() || shape.back() < 1) throw nb::value_error("there is no class");
  if (labels.is_none() == probabilities.is_none()) throw nb::value_error("there must be labels or probabilities");
  size_t rows = shape.size() - 1;
  if (outer_dims < 0 || size_t(outer_dims) > rows)
    throw nb::value_error("outer_dims is not a number of dimensions of the rows");
  static const int kernel_index = row_kernel_index("cross_entropy");
  Arguments arguments(shape);
  RowJob job;
  job.kernel_index = kernel_index;
  job.dtype = DType(dtype);
  job.reduction = Reduction(reduction);
  job.shape = shape;
  job.outer_dims = outer_dims;
  job.inputs = arguments.operand(logits);
  if (job.inputs.dtype != job.dtype) throw nb::type_error("the logits have another dtype than the result");
  job.labels = arguments.labels(labels, rows);
  job.targets = arguments.operand(probabilities);
  job.parameters[0] = smoothing;
  job.weights = arguments.operand(weights, rows);
  job.where = arguments.operand(where, rows);
  bool reduces = job.reduction != Reduction::none;
  job.cotangent = arguments.operand(cotangent, reduces ? outer_dims : rows);
  job.value = reduces ? arguments.reduced(value, count(shape, outer_dims) * item_size(job.dtype))
                      : arguments.result(value, rows);
  job.gradient = arguments.result(gradient);
  job.threads = threads;
  if (count(shape, shape.size()) < worth_releasing_the_gil) return sweep_rows(job);
  WithoutGil released;
  return sweep_rows(job);
}

}  // namespace

void define_rows(nb::module_& m) {
  m.def(
      "cross_entropy", python_cross_entropy, "dtype"_a, "reduction"_a, "shape"_a, "logits"_a, "labels"_a.none(),
      "probabilities"_a.none(), "smoothing"_a, "weights"_a.none(), "where"_a.none(), "value"_a.none(),
      "gradient"_a.none(), "cotangent"_a.none() = nb::none(), "threads"_a = 0, "outer_dims"_a = 0,
      "Compute cross entropy and its gradient with respect to the logits in one pass. The shape is that of the rows "
      "and, "
      "last, of the classes. Operands and results are as of sweep, labels an array or tensor of signed integers. A "
      "reduced value has the first outer_dims dimensions. Returns the index, in C order, of the first row whose label "
      "is no class and whose results are NaN, or -1.");
}

}  // namespace lossless
