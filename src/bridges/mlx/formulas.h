// The formulas of a node of MLX's graph: Python functions.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include "bridges/core/gil.h"
#include "bridges/mlx/arrays.h"

namespace lossless {

// Calls a Python function with these options and, last, a list of the arrays. The caller holds the GIL.
template <class... Options>
Arrays call_formulas(PyObject* formulas, const Arrays& arrays, const Options&... options) {
  namespace nb = nanobind;
  nb::list list;
  for (const mx::array& x : arrays) list.append(nb::cast(x));
  nb::tuple arguments = nb::make_tuple(options..., list);
  PyObject* results = without_being_unwound([&] { return PyObject_CallObject(formulas, arguments.ptr()); });
  if (!results) throw nb::python_error();
  return nb::cast<Arrays>(nb::steal(results));
}

}  // namespace lossless
