// Dtypes, memory and strides of MLX's arrays, and their values, if those are known before the graph is evaluated.
#pragma once

#include <mlx/allocator.h>
#include <mlx/array.h>
#include <mlx/ops.h>
#include <mlx/primitives.h>

#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bridges/core/pages.h"
#include "kernels/engine/sweep.h"

namespace lossless {

namespace mx = mlx::core;

using Arrays = std::vector<mx::array>;

inline DType dtype_of(mx::Dtype dtype) {
  switch (dtype) {
    case mx::float16:
      return DType::float16;
    case mx::bfloat16:
      return DType::bfloat16;
    case mx::float32:
      return DType::float32;
    case mx::float64:
      return DType::float64;
    case mx::bool_:
      return DType::boolean;
    default:
      throw std::invalid_argument("lossless: the kernels do not read this dtype");
  }
}

// The number that all elements of x are, if the graph says so before it is evaluated: that is so for the cotangent of a
// result (1) and of an unused result (0). It is not so for the arguments of a traced function, which have a primitive
// of their own, or no value yet.
inline std::optional<double> constant_value(mx::array x) {
  static const std::set<std::string> repeating = {"Broadcast", "Full", "AsType", "ExpandDims", "Squeeze", "Reshape"};
  while (x.has_primitive()) {
    if (!repeating.count(x.primitive().name())) return {};
    x = mx::array(x.inputs()[0]);
  }
  if (x.size() != 1 || x.status() != mx::array::Status::available) return {};
  switch (x.dtype()) {
    case mx::float32:
      return x.data<float>()[0];
    case mx::float16:
      return float(x.data<mx::float16_t>()[0]);
    case mx::bfloat16:
      return float(x.data<mx::bfloat16_t>()[0]);
    case mx::float64:
      return x.data<double>()[0];
    case mx::int32:
      return x.data<int>()[0];
    default:
      return {};
  }
}

// The sum over the dimensions that broadcasting added, in the array's own dtype. They are squeezed one by one: MLX
// 0.32.4 puts the axis of a batch at a wrong place when several come back in a derivative.
inline mx::array unbroadcast(const mx::array& x, const mx::Shape& shape, mx::Stream stream) {
  int added = int(x.ndim() - shape.size());
  std::vector<int> axes;
  for (int d = 0; d < int(x.ndim()); ++d)
    if (d < added || (shape[d - added] == 1 && x.shape(d) != 1)) axes.push_back(d);
  mx::array result = mx::sum(x, axes, true, stream);
  for (int d = 0; d < added; ++d) result = mx::squeeze(result, 0, stream);
  return result;
}

inline void allocate(mx::array& x) {
  x.set_data(mx::allocator::malloc(x.nbytes()));
  prefer_large_pages(x.data<char>(), x.nbytes());
}

// Memory for a result in C order: that of one of the first `candidates` operands if nobody else needs it, or new
// memory.
inline void allocate_over(mx::array& result, const Arrays& operands, int candidates) {
  for (int i = 0; i < candidates; ++i) {
    const mx::array& x = operands[i];
    if (x.is_donatable() && x.flags().row_contiguous && x.dtype() == result.dtype() && x.shape() == result.shape()) {
      result.copy_shared_buffer(x);
      return;
    }
  }
  allocate(result);
}

// No memory, for a result that nobody reads.
inline void leave_out(mx::array& x) { x.set_data(mx::allocator::malloc(0), 0, x.strides(), x.flags()); }

inline std::vector<int64_t> contiguous_strides(const mx::Shape& shape, int64_t item) {
  std::vector<int64_t> strides(shape.size());
  for (size_t d = shape.size(); d-- > 0; item *= shape[d]) strides[d] = item;
  return strides;
}

// The strides, in bytes, that broadcast an array to `dimensions` dimensions. The array does not have the last
// `missing_trailing_dims` of these, and repeats along them.
inline std::vector<int64_t> strides_of(const mx::array& x, size_t dimensions, int missing_trailing_dims) {
  std::vector<int64_t> strides(dimensions, 0);
  size_t missing = dimensions - missing_trailing_dims - x.ndim();
  for (size_t d = 0; d < x.ndim(); ++d)
    if (x.shape(d) != 1) strides[missing + d] = x.strides()[d] * int64_t(x.itemsize());
  return strides;
}

inline Operand operand(const mx::array& x, size_t dimensions, int missing_trailing_dims = 0) {
  return {x.data<char>(), dtype_of(x.dtype()), strides_of(x, dimensions, missing_trailing_dims)};
}

}  // namespace lossless
