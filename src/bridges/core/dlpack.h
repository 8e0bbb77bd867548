// A tensor's memory by DLPack's exchange API: functions in C, which the tensor's type offers and which take next to no
// time.
//
// The declarations are those of DLPack 1.3 (github.com/dmlc/dlpack), whose layout does not change within version 1.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdint>

namespace lossless::dlpack {

struct Device {
  int32_t type, number;
};

constexpr int32_t on_cpu = 1;

struct DataType {
  uint8_t code, bits;
  uint16_t lanes;
};

enum Code : uint8_t { integer = 0, floating = 2, brain_floating = 4, boolean = 6 };

struct Tensor {
  void* data;
  Device device;
  int32_t dimensions;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements
  uint64_t byte_offset;
};

struct ExchangeApi {
  struct {
    uint32_t major, minor;
  } version;
  const void* previous;
  const void *allocate, *managed_from_python, *managed_to_python;
  int (*tensor_from_python)(void* object, Tensor* tensor);  // borrows; may be null
  const void* current_stream;
};

constexpr uint32_t known_version = 1;

// The exchange API of a type. Null, without an exception, if the type offers none of a version known here.
inline const ExchangeApi* exchange_api(nanobind::handle type) {
  static PyObject* latest_type = nullptr;  // nearly all tensors are of the same type
  static const ExchangeApi* latest_api = nullptr;
  if (type.ptr() == latest_type) return latest_api;
  static PyObject* const name = PyUnicode_InternFromString("__dlpack_c_exchange_api__");
  PyObject* capsule = PyObject_GetAttr(type.ptr(), name);
  void* pointer = capsule ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : nullptr;
  Py_XDECREF(capsule);  // the type has another reference
  PyErr_Clear();
  auto api = static_cast<const ExchangeApi*>(pointer);
  if (!api || api->version.major != known_version || !api->tensor_from_python) return nullptr;
  Py_XSETREF(latest_type, Py_NewRef(type.ptr()));
  latest_api = api;
  return api;
}

// Describes a tensor's memory. Returns false, without an exception, if the tensor is not in a CPU's memory, or has no
// memory of its own, as a wrapper.
inline bool read(nanobind::handle object, Tensor* tensor) {
  const ExchangeApi* api = exchange_api(object.type());
  if (!api) return false;
  if (api->tensor_from_python(object.ptr(), tensor) != 0) {
    PyErr_Clear();
    return false;
  }
  if (tensor->device.type != on_cpu || tensor->dtype.lanes != 1) return false;
  bool is_empty = std::count(tensor->shape, tensor->shape + tensor->dimensions, 0) > 0;
  return tensor->data || is_empty;
}

}  // namespace lossless::dlpack
