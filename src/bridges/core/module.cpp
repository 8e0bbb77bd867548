// lossless._core: the kernels for Python, on anything that has a buffer.
//
// The caller (lossless/executors) has checked shapes, dtypes and values; here only what would crash is checked again.
#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "bridges/core/arguments.h"
#include "bridges/core/bindings.h"
#include "bridges/core/core_api.h"
#include "bridges/core/gil.h"
#include "kernels/engine/memory_pass.h"
#include "kernels/engine/pool.h"
#include "kernels/engine/sweep.h"
#include "kernels/loops/kernels.h"

using namespace nb::literals;

namespace lossless {
namespace {

int checked(int kernel_index) {
  if (kernel_index < 0 || kernel_index >= instruction_set().kernels->count)
    throw nb::index_error("no loss has this number");
  return kernel_index;
}

nb::list python_losses() {
  nb::list losses;
  const Kernels& kernels = *instruction_set().kernels;
  for (int i = 0; i < kernels.count; ++i) {
    const LossKernels& loss = kernels.losses[i];
    nb::list parameters;
    for (int p = 0; p < loss.parameters; ++p) parameters.append(loss.parameter_names[p]);
    losses.append(nb::make_tuple(loss.name, nb::tuple(parameters), kernels.proofs[i].error, loss.uses_difference_only));
  }
  return losses;
}

// dtype: of the result; None for the second stage
nb::list python_evaluate(int kernel_index, std::optional<int> dtype, double inputs, double targets,
                         nb::tuple parameters) {
  const Kernels& kernels = *instruction_set().kernels;
  const LossProof& proof = kernels.proofs[checked(kernel_index)];
  double numbers[most_parameters] = {};
  if (int(parameters.size()) != kernels.losses[kernel_index].parameters)
    throw nb::value_error("a parameter is missing");
  for (size_t i = 0; i < parameters.size(); ++i) numbers[i] = nb::cast<double>(parameters[i]);
  if (!dtype && !proof.evaluate_accurately) throw nb::value_error("this loss has no second evaluation");
  ValueAndDerivatives x =
      dtype ? proof.evaluate[*dtype](inputs, targets, numbers) : proof.evaluate_accurately(inputs, targets, numbers);
  nb::list results;
  for (DoubleDouble result : {x.value, x.gradient, x.second_derivative})
    results.append(nb::make_tuple(result.high, result.low));
  return results;
}

void python_memory_pass(nb::handle inputs, nb::handle targets, nb::handle out) {
  Memory from(inputs, false), also_from(targets, false), to(out, true);
  if (from.bytes() != to.bytes() || also_from.bytes() != to.bytes())
    throw nb::value_error("memory_pass takes three float32 arrays of one size");
  auto inputs_data = static_cast<const float*>(from.data());
  auto targets_data = static_cast<const float*>(also_from.data());
  WithoutGil released;
  memory_pass(inputs_data, targets_data, static_cast<float*>(to.data()), to.bytes() / int64_t(sizeof(float)));
}

}  // namespace

void python_sweep(int kernel_index, int dtype, int reduction, const Shape& shape, int outer_dims, nb::handle inputs,
                  nb::handle targets, nb::tuple parameters, nb::handle weights, nb::handle where, nb::handle value,
                  nb::handle gradient, nb::handle second_derivative, nb::handle total_gradient, nb::handle cotangent,
                  int threads, std::optional<int> value_dtype) {
  if (int(parameters.size()) != instruction_set().kernels->losses[checked(kernel_index)].parameters)
    throw nb::value_error("a parameter is missing");
  Arguments arguments(shape);
  Job job;
  job.kernel_index = kernel_index;
  job.dtype = DType(dtype);
  job.reduction = Reduction(reduction);
  job.shape = shape;
  job.outer_dims = outer_dims;
  job.inputs = arguments.operand(inputs);
  job.targets = arguments.operand(targets);
  for (size_t i = 0; i < parameters.size(); ++i) job.parameters[i] = arguments.operand(parameters[i]);
  job.weights = arguments.operand(weights);
  job.where = arguments.operand(where);
  job.cotangent = arguments.operand(cotangent, job.reduction == Reduction::none ? shape.size() : outer_dims);
  job.threads = threads;
  if (value_dtype) job.value_dtype = DType(*value_dtype);
  int64_t value_bytes = count(shape, outer_dims) * item_size(job.value_dtype.value_or(job.dtype));
  job.value = job.reduction == Reduction::none ? arguments.result(value) : arguments.reduced(value, value_bytes);
  job.gradient = arguments.result(gradient);
  job.second_derivative = arguments.result(second_derivative);
  job.total_gradient = arguments.reduced(total_gradient, item_size(job.dtype));
  if (count(shape, shape.size()) < worth_releasing_the_gil) {
    sweep(job);
  } else {
    WithoutGil released;
    sweep(job);
  }
}

}  // namespace lossless

NB_MODULE(_core, m) {
  using namespace lossless;
  nb::set_leak_warnings(false);  // at the end, threads that were stopped in a call still hold what it uses
  static const CoreApi core_api = {sweep, sweep_small, sweep_rows};
  m.attr("_core_api") = nb::capsule(&core_api, core_api_name);
  m.def(
      "built_for_mlx",
      []() -> std::string {
#ifdef LOSSLESS_MLX_VERSION
        return LOSSLESS_MLX_VERSION;
#else
        return "none";
#endif
      },
      "The version of MLX that the bridge to it was built for, or none.");
  m.def("sweep", python_sweep, "loss"_a, "dtype"_a, "reduction"_a, "shape"_a, "outer_dims"_a, "inputs"_a, "targets"_a,
        "parameters"_a, "weights"_a.none(), "where"_a.none(), "value"_a.none(), "gradient"_a.none(),
        "second_derivative"_a.none(), "total_gradient"_a.none(), "cotangent"_a.none() = nb::none(), "threads"_a = 0,
        "value_dtype"_a = nb::none(),
        "Compute one loss in one pass. Operands are None, a float, (array, dtype number) or a tensor; results are "
        "arrays, tensors or None. The cotangent, in the shape of the value, is a factor of the derivatives. A reduced "
        "value may be of a wider dtype, to be added to others.");
  m.def(
      "reads_tensors", [](nb::handle kind) { return dlpack::exchange_api(kind) != nullptr; }, "kind"_a,
      "Whether the kernels reach the memory of tensors of this type.");
  m.def(
      "losses", python_losses,
      "The losses by number: (name, names of the parameters, bound of the error before rounding, whether it is one of "
      "the difference of inputs and targets).");
  m.def("evaluate", python_evaluate, "loss"_a, "dtype"_a.none(), "inputs"_a, "targets"_a, "parameters"_a,
        "Value, first and second derivative of one element before rounding, each as a sum (high, low): as for results "
        "of a dtype or, with None, as computed again near a rounding boundary.");
  define_rows(m);
  define_tensors(m);
  m.def("memory_pass", python_memory_pass, "inputs"_a, "targets"_a, "out"_a,
        "out = inputs - targets for contiguous float32, by the same threads: the speed that memory allows.");
  m.def("threads", threads, "The number of threads that a call may use.");
  m.def("set_threads", set_threads, "count"_a, "Set the number of threads that a call may use.");
  m.def("instruction_set", [] { return std::string(instruction_set().name); }, "The one in use.");
  m.def(
      "instruction_sets",
      [] {
        nb::list names;
        for (const InstructionSet& set : instruction_sets()) names.append(set.name);
        return names;
      },
      "Those that this processor runs, the best last.");
  m.def(
      "set_instruction_set",
      [](const std::string& name) {
        if (!set_instruction_set(name.c_str()))
          throw nb::value_error(("there is no instruction set " + name + " here").c_str());
      },
      "name"_a, "Use another one, to compare: the results are the same.");
}
