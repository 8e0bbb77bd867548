// lossless._core: the kernels for Python, on anything that has a buffer.
//
// The caller (lossless/backends) has checked shapes, dtypes and values; here only what would crash is checked again.
#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "dlpack.h"
#include "kernels.h"
#include "lend.h"
#include "pages.h"
#include "pool.h"
#include "sweep.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lossless {
namespace {

using Shape = std::vector<int64_t>;

// Below this many elements giving up the GIL costs more than it gives.
constexpr int64_t worth_releasing_the_gil = 4096;

// A Python object's memory: a tensor's by DLPack's exchange API, an array's by the buffer protocol. The format of a
// buffer is not asked for: NumPy cannot tell that of bfloat16.
class Memory {
 public:
  Memory(nb::handle object, bool writable) {
    if (PyObject_CheckBuffer(object.ptr())) {
      int flags = PyBUF_STRIDES | (writable ? PyBUF_WRITABLE : 0);
      if (PyObject_GetBuffer(object.ptr(), &buffer_, flags) != 0) throw nb::python_error();
      return;
    }
    const dlpack::ExchangeApi* api = dlpack::exchange_api(object.type());
    if (!api) throw nb::type_error("neither a buffer nor a tensor of DLPack 1");
    if (api->tensor_from_python(object.ptr(), &tensor_) != 0) throw nb::python_error();
    if (tensor_.device.type != dlpack::on_cpu || tensor_.dtype.lanes != 1)
      throw nb::value_error("a tensor is not in a CPU's memory");
    is_tensor_ = true;
  }
  ~Memory() {
    if (!is_tensor_) PyBuffer_Release(&buffer_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* data() const { return is_tensor_ ? static_cast<char*>(tensor_.data) + tensor_.byte_offset : buffer_.buf; }

  int64_t bytes() const {
    if (!is_tensor_) return buffer_.len;
    int64_t bytes = tensor_.dtype.bits / 8;
    for (int d = 0; d < tensor_.dimensions; ++d) bytes *= tensor_.shape[d];
    return bytes;
  }

  // Of a tensor, which knows it.
  DType dtype() const {
    if (is_tensor_ && tensor_.dtype.code == dlpack::boolean) return DType::boolean;
    if (is_tensor_ && tensor_.dtype.code == dlpack::brain_floating) return DType::bfloat16;
    if (is_tensor_ && tensor_.dtype.code == dlpack::floating) switch (tensor_.dtype.bits) {
        case 16:
          return DType::float16;
        case 32:
          return DType::float32;
        case 64:
          return DType::float64;
      }
    throw nb::type_error("the kernels do not read this dtype");
  }

  // The strides, in bytes, that broadcast this array to the first `dimensions` of `shape`; 0 for the others.
  Shape strides(const Shape& shape, size_t dimensions) const {
    return is_tensor_
               ? strides(shape, dimensions, tensor_.dimensions, tensor_.shape, tensor_.strides, tensor_.dtype.bits / 8)
               : strides(shape, dimensions, buffer_.ndim, buffer_.shape, buffer_.strides, 1);
  }

 private:
  template <class Integer>
  static Shape strides(const Shape& wanted, size_t dimensions, size_t given, const Integer* shape,
                       const Integer* strides, int64_t unit) {
    if (given > dimensions) throw nb::value_error("an array has more dimensions than the result");
    size_t missing = dimensions - given;
    Shape result(wanted.size(), 0);
    for (size_t d = 0; d < given; ++d) {
      if (shape[d] != wanted[missing + d] && shape[d] != 1)
        throw nb::value_error("an array does not broadcast to the shape of the result");
      if (shape[d] != 1) result[missing + d] = strides[d] * unit;
    }
    return result;
  }

  bool is_tensor_ = false;
  Py_buffer buffer_;
  dlpack::Tensor tensor_;
};

// The arrays and numbers of a call, held for as long as the sweep runs.
class Arguments {
 public:
  explicit Arguments(const Shape& shape) : shape_(shape) {}

  // None, a number, a tensor, or (array, dtype).
  Operand operand(nb::handle argument) { return operand(argument, shape_.size()); }

  // One that broadcasts to the first so many dimensions.
  Operand operand(nb::handle argument, size_t dimensions) {
    if (argument.is_none()) return {};
    if (nb::isinstance<nb::float_>(argument)) {
      double& number = numbers_[count_++];
      number = nb::cast<double>(argument);
      return {&number, DType::float64, Shape(shape_.size(), 0)};
    }
    if (!nb::isinstance<nb::tuple>(argument)) {
      const Memory& memory = memory_of(argument, false);
      return {memory.data(), memory.dtype(), memory.strides(shape_, dimensions)};
    }
    auto pair = nb::borrow<nb::tuple>(argument);
    const Memory& memory = memory_of(pair[0], false);
    return {memory.data(), DType(nb::cast<int>(pair[1])), memory.strides(shape_, dimensions)};
  }

  Result result(nb::handle array) {
    if (array.is_none()) return {};
    const Memory& memory = memory_of(array, true);
    // NumPy asks for large pages itself.
    if (!PyObject_CheckBuffer(array.ptr())) prefer_large_pages(memory.data(), memory.bytes());
    return {memory.data(), memory.strides(shape_, shape_.size())};
  }

  // Memory for the value of a reduction: as many elements as are kept, contiguous.
  Result reduced(nb::handle array, int64_t bytes) {
    if (array.is_none()) return {};
    const Memory& memory = memory_of(array, true);
    if (memory.bytes() != bytes) throw nb::value_error("the value has not the size of the kept dimensions");
    return {memory.data(), {}};
  }

 private:
  // Inputs, targets, weights, where, cotangent, and four results.
  static constexpr int most = 9 + most_parameters;

  const Memory& memory_of(nb::handle object, bool writable) { return memories_[count_++].emplace(object, writable); }

  const Shape& shape_;
  int count_ = 0;
  std::optional<Memory> memories_[most];
  double numbers_[most];
};

int64_t count(const Shape& shape, size_t dimensions) {
  int64_t elements = 1;
  for (size_t d = 0; d < dimensions; ++d) elements *= shape[d];
  return elements;
}

const LossKernels& kernels_of(int loss) {
  const Kernels& kernels = *instruction_set().kernels;
  if (loss < 0 || loss >= kernels.count) throw nb::index_error("no loss has this number");
  return kernels.losses[loss];
}

void python_sweep(int loss, int dtype, int reduction, nb::tuple lengths, int kept, nb::handle inputs,
                  nb::handle targets, nb::tuple parameters, nb::handle weights, nb::handle where, nb::handle value,
                  nb::handle gradient, nb::handle curvature, nb::handle total_gradient, nb::handle cotangent,
                  int threads) {
  if (int(parameters.size()) != kernels_of(loss).parameters) throw nb::value_error("a parameter is missing");
  static constexpr int64_t sizes[result_dtypes] = {2, 2, 4, 8};
  Shape shape;
  for (nb::handle length : lengths) shape.push_back(nb::cast<int64_t>(length));
  Arguments arguments(shape);
  Job job;
  job.loss = loss;
  job.dtype = DType(dtype);
  job.reduction = Reduction(reduction);
  job.shape = shape;
  job.kept = kept;
  job.inputs = arguments.operand(inputs);
  job.targets = arguments.operand(targets);
  for (size_t i = 0; i < parameters.size(); ++i) job.parameters[i] = arguments.operand(parameters[i]);
  job.weights = arguments.operand(weights);
  job.where = arguments.operand(where);
  job.cotangent = arguments.operand(cotangent, job.reduction == Reduction::none ? shape.size() : kept);
  job.threads = threads;
  job.value = job.reduction == Reduction::none ? arguments.result(value)
                                               : arguments.reduced(value, count(shape, kept) * sizes[dtype]);
  job.gradient = arguments.result(gradient);
  job.curvature = arguments.result(curvature);
  job.total_gradient = arguments.reduced(total_gradient, sizes[dtype]);
  if (count(shape, shape.size()) < worth_releasing_the_gil) {
    sweep(job);
  } else {
    nb::gil_scoped_release release;
    sweep(job);
  }
}

nb::list python_losses() {
  nb::list losses;
  const Kernels& kernels = *instruction_set().kernels;
  for (int i = 0; i < kernels.count; ++i) {
    nb::list parameters;
    for (int p = 0; p < kernels.losses[i].parameters; ++p) parameters.append(kernels.losses[i].parameter_names[p]);
    losses.append(nb::make_tuple(kernels.losses[i].name, nb::tuple(parameters), kernels.losses[i].error,
                                 kernels.losses[i].of_residual));
  }
  return losses;
}

// dtype: of the result; None for the accurate evaluation
nb::list python_evaluate(int loss, std::optional<int> dtype, double inputs, double targets, nb::tuple parameters) {
  const LossKernels& kernels = kernels_of(loss);
  double numbers[most_parameters] = {};
  if (int(parameters.size()) != kernels.parameters) throw nb::value_error("a parameter is missing");
  for (size_t i = 0; i < parameters.size(); ++i) numbers[i] = nb::cast<double>(parameters[i]);
  if (!dtype && !kernels.evaluate_accurately) throw nb::value_error("this loss has no second evaluation");
  Splits splits;
  if (dtype)
    kernels.evaluate[*dtype](inputs, targets, numbers, splits);
  else
    kernels.evaluate_accurately(inputs, targets, numbers, splits);
  nb::list results;
  for (auto& split : splits) results.append(nb::make_tuple(split[0], split[1]));
  return results;
}

void python_memory_pass(nb::handle inputs, nb::handle targets, nb::handle out) {
  Memory from(inputs, false), also_from(targets, false), to(out, true);
  if (from.bytes() != to.bytes() || also_from.bytes() != to.bytes())
    throw nb::value_error("memory_pass takes three float32 arrays of one size");
  auto inputs_data = static_cast<const float*>(from.data());
  auto targets_data = static_cast<const float*>(also_from.data());
  nb::gil_scoped_release release;
  memory_pass(inputs_data, targets_data, static_cast<float*>(to.data()), to.bytes() / int64_t(sizeof(float)));
}

}  // namespace
}  // namespace lossless

NB_MODULE(_core, m) {
  using namespace lossless;
  static const Lent lent = {sweep};
  m.attr("_lent") = nb::capsule(&lent, lent_name);
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
  m.def("sweep", python_sweep, "loss"_a, "dtype"_a, "reduction"_a, "shape"_a, "kept"_a, "inputs"_a, "targets"_a,
        "parameters"_a, "weights"_a.none(), "where"_a.none(), "value"_a.none(), "gradient"_a.none(),
        "curvature"_a.none(), "total_gradient"_a.none(), "cotangent"_a.none() = nb::none(), "threads"_a = 0,
        "Compute one loss in one pass. Operands are None, a float, (array, dtype number) or a tensor; results are "
        "arrays, tensors or None. The cotangent, in the shape of the value, is a factor of the derivatives.");
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
