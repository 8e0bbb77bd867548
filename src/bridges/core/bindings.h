// What the files of lossless._core use of each other.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <optional>

#include "bridges/core/arguments.h"

namespace lossless {

void define_rows(nb::module_& m);     // rows.cpp
void define_tensors(nb::module_& m);  // tensors.cpp

// lossless._core.sweep. module.cpp
void python_sweep(int kernel_index, int dtype, int reduction, const Shape& shape, int outer_dims, nb::handle inputs,
                  nb::handle targets, nb::tuple parameters, nb::handle weights, nb::handle where, nb::handle value,
                  nb::handle gradient, nb::handle second_derivative, nb::handle total_gradient, nb::handle cotangent,
                  int threads, std::optional<int> value_dtype);

}  // namespace lossless
