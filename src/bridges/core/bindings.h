// What the files of lossless._core have of each other.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <optional>

#include "bridges/core/arguments.h"

namespace lossless {

void define_rows(nb::module_& m);     // rows.cpp
void define_tensors(nb::module_& m);  // tensors.cpp

// lossless._core.sweep. module.cpp
void python_sweep(int loss, int dtype, int reduction, const Shape& shape, int kept, nb::handle inputs,
                  nb::handle targets, nb::tuple parameters, nb::handle weights, nb::handle where, nb::handle value,
                  nb::handle gradient, nb::handle curvature, nb::handle total_gradient, nb::handle cotangent,
                  int threads, std::optional<int> value_dtype);

}  // namespace lossless
