// What lossless._core offers to the other native modules: functions in C++, in the capsule `_core_api`. The kernels and
// the threads exist only once, in _core. All these modules are built together, so they agree on the struct.
#pragma once

#include "kernels/engine/row_sweep.h"
#include "kernels/engine/sweep.h"

namespace lossless {

struct CoreApi {
  void (*sweep)(const Job&);
  bool (*sweep_small)(const SmallJob&);
  int64_t (*sweep_rows)(const RowJob&);
};

constexpr const char* core_api_name = "lossless._core._core_api";

}  // namespace lossless
