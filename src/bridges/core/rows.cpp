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

nb::list python_row_losses() {
  nb::list losses;
  const Kernels& kernels = *instruction_set().kernels;
  for (int i = 0; i < kernels.row_count; ++i) {
    const RowLossKernels& loss = kernels.row_losses[i];
    nb::list parameters;
    for (int p = 0; p < loss.parameters; ++p) parameters.append(loss.parameter_names[p]);
    losses.append(nb::make_tuple(loss.name, nb::tuple(parameters)));
  }
  return losses;
}

int64_t python_sweep_rows(int loss, int dtype, int reduction, const Shape& shape, nb::handle inputs, nb::handle labels,
                          nb::handle targets, nb::tuple parameters, nb::handle weights, nb::handle where,
                          nb::handle value, nb::handle gradient, nb::handle cotangent, int threads, int outer_dims) {
  const Kernels& kernels = *instruction_set().kernels;
  if (loss < 0 || loss >= kernels.row_count) throw nb::index_error("no loss of rows has this number");
  if (int(parameters.size()) != kernels.row_losses[loss].parameters) throw nb::value_error("a parameter is missing");
  if (dtype < 0 || dtype >= result_dtypes) throw nb::index_error("no results have this dtype");
  if (shape.empty() || shape.back() < 1) throw nb::value_error("a row has no elements");
  if (labels.is_none() == targets.is_none()) throw nb::value_error("there must be labels or targets");
  size_t rows = shape.size() - 1;
  if (outer_dims < 0 || size_t(outer_dims) > rows)
    throw nb::value_error("outer_dims is not a number of dimensions of the rows");
  Arguments arguments(shape);
  RowJob job;
  job.kernel_index = loss;
  job.dtype = DType(dtype);
  job.reduction = Reduction(reduction);
  job.shape = shape;
  job.outer_dims = outer_dims;
  job.inputs = arguments.operand(inputs);
  if (job.inputs.dtype != job.dtype) throw nb::type_error("the inputs have another dtype than the result");
  job.labels = arguments.labels(labels, rows);
  job.targets = arguments.operand(targets);
  for (size_t i = 0; i < parameters.size(); ++i) job.parameters[i] = nb::cast<double>(parameters[i]);
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
  m.def("row_losses", python_row_losses, "The losses of rows: the name and the names of the parameters of each.");
  m.def(
      "sweep_rows", python_sweep_rows, "loss"_a, "dtype"_a, "reduction"_a, "shape"_a, "inputs"_a, "labels"_a.none(),
      "targets"_a.none(), "parameters"_a, "weights"_a.none(), "where"_a.none(), "value"_a.none(), "gradient"_a.none(),
      "cotangent"_a.none() = nb::none(), "threads"_a = 0, "outer_dims"_a = 0,
      "Compute a loss of rows and its gradient with respect to the inputs in one pass. The shape is that of the rows "
      "and, last, of their elements. Operands and results are as of sweep, labels an array or tensor of signed "
      "integers. A reduced value has the first outer_dims dimensions. Returns the index, in C order, of the first row "
      "whose label is no place in it and whose results are NaN, or -1.");
}

}  // namespace lossless
