// The part of lossless._core that is about losses of rows.
#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include "bridges/core/arguments.h"
#include "bridges/core/bindings.h"
#include "bridges/core/gil.h"
#include "kernels/engine/row_sweep.h"

namespace lossless {
namespace {

using namespace nb::literals;

int64_t python_cross_entropy(int dtype, int reduction, const Shape& shape, nb::handle logits, nb::handle labels,
                             nb::handle probabilities, double smoothing, nb::handle weights, nb::handle where,
                             nb::handle value, nb::handle gradient, nb::handle cotangent, int threads) {
  if (dtype < 0 || dtype >= result_dtypes) throw nb::index_error("no results have this dtype");
  if (shape.empty() || shape.back() < 1) throw nb::value_error("there is no class");
  if (labels.is_none() == probabilities.is_none()) throw nb::value_error("there must be labels or probabilities");
  size_t rows = shape.size() - 1;
  Arguments arguments(shape);
  RowJob job;
  job.dtype = DType(dtype);
  job.reduction = Reduction(reduction);
  job.shape = shape;
  job.logits = arguments.operand(logits);
  if (job.logits.dtype != job.dtype) throw nb::type_error("the logits have another dtype than the result");
  job.labels = arguments.labels(labels, rows);
  job.probabilities = arguments.operand(probabilities);
  job.smoothing = smoothing;
  job.weights = arguments.operand(weights, rows);
  job.where = arguments.operand(where, rows);
  job.cotangent = arguments.operand(cotangent, job.reduction == Reduction::none ? rows : 0);
  job.value =
      job.reduction == Reduction::none ? arguments.result(value, rows) : arguments.reduced(value, item_size(job.dtype));
  job.gradient = arguments.result(gradient);
  job.threads = threads;
  if (count(shape, shape.size()) < worth_releasing_the_gil) return sweep_rows(job);
  WithoutGil released;
  return sweep_rows(job);
}

}  // namespace

void define_rows(nb::module_& m) {
  m.def("cross_entropy", python_cross_entropy, "dtype"_a, "reduction"_a, "shape"_a, "logits"_a, "labels"_a.none(),
        "probabilities"_a.none(), "smoothing"_a, "weights"_a.none(), "where"_a.none(), "value"_a.none(),
        "gradient"_a.none(), "cotangent"_a.none() = nb::none(), "threads"_a = 0,
        "Compute cross entropy and its gradient by the logits in one pass. The shape is that of the rows and, last, of "
        "the classes. Operands and results are as of sweep, labels an array or tensor of signed integers, the value of "
        "a reduction one number. Returns the first row, in C order, whose label is no class and whose results are NaN, "
        "or -1.");
}

}  // namespace lossless
