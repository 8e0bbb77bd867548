// A foreign function of XLA that does nothing: what a custom call costs, whatever it computes. jax_calls.py compiles
// it.
#include <xla/ffi/api/c_api.h>

extern "C" XLA_FFI_Error* nothing(XLA_FFI_CallFrame* frame) {
  XLA_FFI_Extension_Base* extension = frame->extension_start;
  if (extension && extension->type == XLA_FFI_Extension_Metadata) {
    auto* metadata = reinterpret_cast<XLA_FFI_Metadata_Extension*>(extension)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
  }
  return nullptr;
}
