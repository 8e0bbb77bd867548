// The part of lossless._core that is about PyTorch's tensors in eager calls: whether a tensor's memory may be read now,
// and the shortest way to a loss where it may. PyTorch is known by the functions of Python that it is asked by.
#include <Python.h>
#include <nanobind/nanobind.h>

#include "bridges/core/arguments.h"
#include "bridges/core/bindings.h"

namespace lossless {
namespace {

using namespace nb::literals;

bool is_true(nb::handle object) {
  int result = PyObject_IsTrue(object.ptr());
  if (result < 0) throw nb::python_error();
  return result;
}

nb::object attribute(nb::handle object, PyObject* name) {
  PyObject* result = PyObject_GetAttr(object.ptr(), name);
  if (!result) throw nb::python_error();
  return nb::steal(result);
}

nb::object call_method(nb::handle object, PyObject* name) {
  PyObject* result = PyObject_CallMethodNoArgs(object.ptr(), name);
  if (!result) throw nb::python_error();
  return nb::steal(result);
}

// Names that are looked up in every call.
struct Names {
  PyObject *requires_grad, *is_neg;
};

const Names& names() {
  static auto name = PyUnicode_InternFromString;
  static const Names names = {name("requires_grad"), name("is_neg")};
  return names;
}

class Tensors {
 public:
  Tensors(nb::tuple types, nb::tuple observers, nb::callable records, nb::callable empty_like, nb::tuple numbers,
          nb::callable threads)
      : types_(types),
        observers_(observers),
        records_(records),
        empty_like_(empty_like),
        numbers_(numbers),
        threads_(threads) {}

  bool are_observed() const {
    for (nb::handle observer : observers_)
      if (is_true(observer())) return true;
    return false;
  }

  bool has_plain_memory(nb::handle x) const {
    dlpack::Tensor tensor;
    for (nb::handle type : types_)
      if (x.type().is(type)) return !is_true(call_method(x, names().is_neg)) && dlpack::read(x, &tensor);
    return false;
  }

  bool are_plain(nb::args operands) const {
    if (are_observed()) return false;
    for (nb::handle x : operands)
      if (!x.is_none() && !PyFloat_CheckExact(x.ptr()) && !has_plain_memory(x)) return false;
    return true;
  }

  // Of few numbers, what stands around the kernel takes all the time, and in Python twice as long.
  nb::object value(int loss, nb::handle inputs, nb::handle targets, nb::tuple parameters, int reduction) const {
    if (are_observed()) return nb::none();
    bool records = is_true(records_());
    for (nb::handle x : {inputs, targets})
      if (!has_plain_memory(x) || (records && is_true(attribute(x, names().requires_grad)))) return nb::none();
    Memory memory(inputs, false), other(targets, false);
    if (!memory.is_like(other) || !memory.is_floating()) return nb::none();

    int dtype = int(memory.dtype());
    Shape shape = memory.shape();
    nb::object result = empty_like_(Reduction(reduction) == Reduction::none ? inputs : nb::handle(numbers_[dtype]));
    bool is_small = count(shape, shape.size()) < worth_releasing_the_gil;  // so that one thread computes it
    int threads = is_small ? 1 : nb::cast<int>(threads_());
    nb::handle none = Py_None;
    python_sweep(loss, dtype, reduction, shape, 0, inputs, targets, parameters, none, none, result, none, none, none,
                 none, threads, {});
    return result;
  }

 private:
  nb::tuple types_;
  nb::tuple observers_;
  nb::callable records_, empty_like_;
  nb::tuple numbers_;
  nb::callable threads_;
};

}  // namespace

void define_tensors(nb::module_& m) {
  nb::class_<Tensors>(m, "Tensors", "How to ask PyTorch what a tensor is and who looks on.")
      .def(nb::init<nb::tuple, nb::tuple, nb::callable, nb::callable, nb::tuple, nb::callable>(), "types"_a,
           "observers"_a, "records"_a, "empty_like"_a, "numbers"_a, "threads"_a,
           "The types that mean no more than their memory; functions that return something true where somebody looks "
           "on; whether gradients are recorded; torch.empty_like, and a number of each dtype for it; the number of "
           "threads.")
      .def("are_observed", &Tensors::are_observed, "Whether a tracer, a transform or a mode looks on.")
      .def("has_plain_memory", &Tensors::has_plain_memory, "x"_a,
           "No subclass; strided, in a CPU's memory; no lazy negative, no wrapper around something else.")
      .def("are_plain", &Tensors::are_plain, "operands"_a,
           "Whether kernels may read these tensors, numbers and None aside, as nobody else looks on.")
      .def("value", &Tensors::value, "loss"_a, "inputs"_a, "targets"_a, "parameters"_a, "reduction"_a,
           "The loss of this index, whose parameters are floats, of two plain tensors of one shape and dtype, without "
           "options and gradients; None if the tensors are others.");
}

}  // namespace lossless
