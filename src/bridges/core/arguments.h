// The arguments of a call from Python: the memory of arrays and tensors.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <optional>

#include "bridges/core/dlpack.h"
#include "bridges/core/pages.h"
#include "kernels/engine/row_sweep.h"

namespace nb = nanobind;

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
    if (!dlpack::read(object, &tensor_)) throw nb::type_error("neither a buffer nor a tensor in a CPU's memory");
    is_tensor_ = true;
  }
  ~Memory() {
    if (!is_tensor_) PyBuffer_Release(&buffer_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* data() const { return is_tensor_ ? static_cast<char*>(tensor_.data) + tensor_.byte_offset : buffer_.buf; }

  int64_t item_size() const { return is_tensor_ ? tensor_.dtype.bits / 8 : buffer_.itemsize; }

  int64_t bytes() const {
    if (!is_tensor_) return buffer_.len;
    int64_t bytes = item_size();
    for (int d = 0; d < tensor_.dimensions; ++d) bytes *= tensor_.shape[d];
    return bytes;
  }

  // Only for tensors, up to dtype(): a buffer does not tell its dtype.

  bool is_like(const Memory& other) const {
    return tensor_.dtype.code == other.tensor_.dtype.code && tensor_.dtype.bits == other.tensor_.dtype.bits &&
           shape() == other.shape();
  }

  Shape shape() const { return Shape(tensor_.shape, tensor_.shape + tensor_.dimensions); }

  bool is_floating() const {
    bool has_kernels = tensor_.dtype.bits == 16 || tensor_.dtype.bits == 32 || tensor_.dtype.bits == 64;
    return tensor_.dtype.code == dlpack::brain_floating || (tensor_.dtype.code == dlpack::floating && has_kernels);
  }

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

  bool may_be_labels() const {
    bool is_integer = !is_tensor_ || tensor_.dtype.code == dlpack::integer;
    return is_integer && (item_size() == 4 || item_size() == 8);
  }

  // The strides, in bytes, that broadcast this array to the first `dimensions` of `shape`; 0 for the others.
  Shape strides(const Shape& shape, size_t dimensions) const {
    return is_tensor_ ? strides(shape, dimensions, tensor_.dimensions, tensor_.shape, tensor_.strides, item_size())
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

  // Takes None, a number, a tensor, or (array, dtype).
  Operand operand(nb::handle argument) { return operand(argument, shape_.size()); }

  // Takes an operand that broadcasts to the first `dimensions` dimensions.
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

  // Takes signed integers that broadcast to the first `dimensions` dimensions. The caller has checked a buffer's dtype.
  Labels labels(nb::handle argument, size_t dimensions) {
    if (argument.is_none()) return {};
    const Memory& memory = memory_of(argument, false);
    if (!memory.may_be_labels()) throw nb::type_error("labels are integers of 4 or 8 bytes");
    return {memory.data(), memory.item_size(), memory.strides(shape_, dimensions)};
  }

  Result result(nb::handle array) { return result(array, shape_.size()); }

  Result result(nb::handle array, size_t dimensions) {
    if (array.is_none()) return {};
    const Memory& memory = memory_of(array, true);
    // NumPy asks for large pages itself.
    if (!PyObject_CheckBuffer(array.ptr())) prefer_large_pages(memory.data(), memory.bytes());
    return {memory.data(), memory.strides(shape_, dimensions)};
  }

  // Takes contiguous memory for a reduced value.
  Result reduced(nb::handle array, int64_t bytes) {
    if (array.is_none()) return {};
    const Memory& memory = memory_of(array, true);
    if (memory.bytes() != bytes) throw nb::value_error("the value does not have the size of the outer dimensions");
    return {memory.data(), {}};
  }

 private:
  // Inputs, targets, weights, where, cotangent, and four results; rows have fewer.
  static constexpr int most = 9 + most_parameters;

  const Memory& memory_of(nb::handle object, bool writable) { return memories_[count_++].emplace(object, writable); }

  const Shape& shape_;
  int count_ = 0;
  std::optional<Memory> memories_[most];
  double numbers_[most];
};

inline int64_t count(const Shape& shape, size_t dimensions) {
  int64_t elements = 1;
  for (size_t d = 0; d < dimensions; ++d) elements *= shape[d];
  return elements;
}

}  // namespace
}  // namespace lossless
