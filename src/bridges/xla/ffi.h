// What a handler needs of the C interface by which XLA calls foreign functions (XLA FFI), in its version 0.1.
//
// Later versions append fields to these structs, or change the major version, which lossless/executors/xla_ffi.py
// checks. Building against jaxlib's headers would need a jaxlib of 100 MB, and the oldest one that is supported, since
// an XLA does not start with a handler for a newer version: so the declarations are here.
// tests/executors/jax/test_kernels.py compares them with jaxlib's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lossless::xla_ffi {

constexpr int api_major = 0, api_minor = 1;

enum Extensions : unsigned { metadata_extension = 1 };
enum Stage : unsigned { execute = 3 };
enum ErrorCode : unsigned { internal_error = 13 };
enum DataType : unsigned { pred = 1, s32 = 4, s64 = 5, f16 = 10, f32 = 11, f64 = 12, bf16 = 16 };

struct Extension {
  size_t struct_size;
  unsigned type;
  Extension* next;
};

struct Version {
  size_t struct_size;
  Extension* extension_start;
  int major_version;
  int minor_version;
};

struct Metadata {
  size_t struct_size;
  Version api_version;
  uint32_t traits;
};

struct MetadataExtension {
  Extension extension_base;
  Metadata* metadata;
};

struct Error;

struct ErrorCreateArgs {
  size_t struct_size;
  Extension* extension_start;
  const char* message;
  unsigned errc;
};

struct Api {
  size_t struct_size;
  Extension* extension_start;
  Version api_version;
  void* internal_api;
  Error* (*error_create)(ErrorCreateArgs*);
};

struct Buffer {
  size_t struct_size;
  Extension* extension_start;
  unsigned dtype;
  void* data;
  int64_t rank;
  int64_t* dims;
};

struct Array {
  unsigned dtype;
  size_t size;
  void* data;
};

struct Buffers {  // arguments or results
  size_t struct_size;
  Extension* extension_start;
  int64_t size;
  unsigned* types;
  Buffer** buffers;
};

struct Attributes {  // sorted by name
  size_t struct_size;
  Extension* extension_start;
  int64_t size;
  unsigned* types;
  void** names;
  Array** values;
};

struct CallFrame {
  size_t struct_size;
  Extension* extension_start;
  const Api* api;
  void* context;
  unsigned stage;
  Buffers arguments;
  Buffers results;
  Attributes attributes;
};

}  // namespace lossless::xla_ffi
