// What a node of MLX's graph needs of arrays: their dtypes and memory, and what is known of them before they are
// computed.
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

// A number that the graph knows before it runs, as the cotangents of a result (1) and of what was not used (0) are. The
// arguments of a traced function are none: they have a primitive of their own, or no value yet.
inline std::optional<double> known(mx::array x) {
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

// Memory for a result in C order: that of one of the first operands if nobody else needs it, or fresh one.
inline void allocate_over(mx::array& result, const Arrays& operands, int first) {
  for (int i = 0; i < first; ++i) {
    const mx::array& x = operands[i];
    if (x.is_donatable() && x.flags().row_contiguous && x.dtype() == result.dtype() && x.shape() == result.shape()) {
      result.copy_shared_buffer(x);
      return;
    }
  }
  allocate(result);
}

// None, for a result that nobody reads.
inline void leave_out(mx::array& x) { x.set_data(mx::allocator::malloc(0), 0, x.strides(), x.flags()); }

inline std::vector<int64_t> contiguous_strides(const mx::Shape& shape, int64_t item) {
  std::vector<int64_t> strides(shape.size());
  for (size_t d = shape.size(); d-- > 0; item *= shape[d]) strides[d] = item;
  return strides;
}

// The strides of an array, in bytes, that broadcast it to so many dimensions; the last ones, as many as it lacks,
// repeat it.
inline std::vector<int64_t> strides_of(const mx::array& x, size_t dimensions, int lacks) {
  std::vector<int64_t> strides(dimensions, 0);
  size_t missing = dimensions - lacks - x.ndim();
  for (size_t d = 0; d < x.ndim(); ++d)
    if (x.shape(d) != 1) strides[missing + d] = x.strides()[d] * int64_t(x.itemsize());
  return strides;
}

inline Operand operand(const mx::array& x, size_t dimensions, int lacks = 0) {
  return {x.data<char>(), dtype_of(x.dtype()), strides_of(x, dimensions, lacks)};
}

}  // namespace lossless
