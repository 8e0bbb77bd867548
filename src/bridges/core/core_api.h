// What lossless._core, which holds the kernels and the threads once, lends to the other native modules: a capsule
// in its attribute `_lent`. They are built together, so they agree on what is in it.
#pragma once

#include "kernels/engine/row_sweep.h"

namespace lossless {

struct Lent {
  void (*sweep)(const Job&);
  bool (*sweep_small)(const SmallJob&);
  int64_t (*sweep_rows)(const RowJob&);
};

constexpr const char* lent_name = "lossless._core._lent";

}  // namespace lossless
