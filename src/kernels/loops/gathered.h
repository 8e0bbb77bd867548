// The loops over tiles: a few elements of any dtype and layout that the engine has gathered as doubles, with every
// option.
#pragma once

#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"
#include "kernels/loops/two_stages.h"

namespace lossless {
namespace {

// One result of a tile, for every element: the sums high + low, as two arrays, which suits vectors.
struct Column {
  double high[tile_elements], low[tile_elements];
};

LOSSLESS_INLINE int groups_of(int elements) { return (elements + group_elements - 1) / group_elements; }

// Weights, masks, sums, scales and rounds one result of a tile. `accurate(i)` computes element i in the second stage.
template <class Loss, class T, class Accurate>
LOSSLESS_INLINE void finish(const GatheredTile& tile, Column& column, double scale, double* sums, void* out,
                            Accurate accurate) {
  using storage = typename T::storage;
  storage rounded[tile_elements];
  bool exact = !tile.weights && scale == 1;
  for (int group = 0; group < groups_of(tile.elements); ++group) {
    int at = group * group_elements;
    double* high = column.high + at;
    double* low = column.low + at;
    if constexpr (Loss::error > 0) {
      int any_lacks_digits = 0;
      if (!exact)
        for (int i = 0; i < group_elements; ++i) any_lacks_digits |= lacks_digits<Loss, T>({high[i], low[i]});
      if (__builtin_expect(any_lacks_digits, 0))
        for (int i = 0; i < group_elements && at + i < tile.elements; ++i)
          if (lacks_digits<Loss, T>({high[i], low[i]})) high[i] = nearest(accurate(at + i));
    }
    if (tile.weights)
      for (int i = 0; i < group_elements; ++i)
        high[i] = (Loss::error > 0 ? high[i] : nearest({high[i], low[i]})) * tile.weights[at + i];
    if (tile.where)
      for (int i = 0; i < group_elements; ++i) {
        high[i] = tile.where[at + i] != 0 ? high[i] : 0;
        low[i] = tile.where[at + i] != 0 ? low[i] : 0;
      }
    if (sums) {
      for (int i = tile.elements - at; i < group_elements; ++i) high[i] = 0;
      add_group(high, sums);
    }
    if (!out) continue;
    if (!exact) {
      for (int i = 0; i < group_elements; ++i) rounded[at + i] = T::pack(T::round(high[i] * scale));
      // A masked element stays 0, even where the scale of the others is NaN.
      if (tile.where && scale != scale)
        for (int i = 0; i < group_elements; ++i)
          if (tile.where[at + i] == 0) rounded[at + i] = 0;
      continue;
    }
    Flag<Loss> flags[group_elements] = {};
    for (int i = 0; i < group_elements; ++i)
      rounded[at + i] = T::pack(try_to_round<Loss, T>({high[i], low[i]}, flags[i]));
    if constexpr (Loss::error == 0 && sizeof(storage) < sizeof(double)) {
      if (__builtin_expect(any(flags), 0))
        for (int i = 0; i < group_elements; ++i) rounded[at + i] = T::pack(round_exactly<T>({high[i], low[i]}));
    } else if constexpr (sizeof(storage) < sizeof(double)) {
      if (__builtin_expect(any(flags), 0))
        for (int i = at; i < tile.elements && i < at + group_elements; ++i) {
          Flag<Loss> undecided = 0;
          try_to_round<Loss, T>({column.high[i], column.low[i]}, undecided);
          if (undecided) rounded[i] = T::pack(round_exactly<T>(accurate(i)));
        }
    }
  }
  if (out) std::memcpy(out, rounded, tile.elements * sizeof(storage));
}

template <class Loss, class T, bool second_derivative>
void run_tile(const GatheredTile& tile) {
  auto parameters = [&](int i) {
    return Parameters{Loss::parameters > 0 ? tile.parameters[0][i] : 0,
                      Loss::parameters > 1 ? tile.parameters[1][i] : 0};
  };
  Column values, gradients, second_derivatives;
  for (int group = 0; group < groups_of(tile.elements); ++group) {
    int at = group * group_elements;
    for (int i = at; i < at + group_elements; ++i) {
      Parameters p = parameters(i);
      ValueAndDerivatives x = Loss::template evaluate<T>(tile.inputs[i], tile.targets[i], p);
      bool valid = Loss::valid(p);
      values.high[i] = valid ? x.value.high : not_a_number;
      values.low[i] = x.value.low;
      gradients.high[i] = valid ? x.gradient.high : not_a_number;
      gradients.low[i] = x.gradient.low;
      if constexpr (second_derivative) {
        second_derivatives.high[i] = valid ? x.second_derivative.high : not_a_number;
        second_derivatives.low[i] = x.second_derivative.low;
      }
    }
  }
  auto accurate = [&](DoubleDouble ValueAndDerivatives::* member) {
    return [&tile, parameters, member](int i) {
      if constexpr (Loss::error > 0)
        return Loss::evaluate_accurately(tile.inputs[i], tile.targets[i], parameters(i)).*member;
    };
  };
  if (tile.value || tile.sums)
    finish<Loss, T>(tile, values, 1, tile.sums, tile.value, accurate(&ValueAndDerivatives::value));
  if (tile.gradient || tile.gradient_sums)
    finish<Loss, T>(tile, gradients, tile.gradient_scale, tile.gradient_sums, tile.gradient,
                    accurate(&ValueAndDerivatives::gradient));
  if constexpr (second_derivative)
    finish<Loss, T>(tile, second_derivatives, tile.gradient_scale, nullptr, tile.second_derivative,
                    accurate(&ValueAndDerivatives::second_derivative));
}

template <class Loss, class T>
void run_gathered(const GatheredTile& tile) {
  if (tile.second_derivative)
    run_tile<Loss, T, true>(tile);
  else
    run_tile<Loss, T, false>(tile);
}

void count_tile(const GatheredTile& tile) {
  for (int at = 0; at < tile.elements; at += group_elements) {
    double terms[group_elements];
    for (int i = 0; i < group_elements; ++i) terms[i] = tile.weights ? tile.weights[at + i] : 1;
    if (tile.where)
      for (int i = 0; i < group_elements; ++i) terms[i] = tile.where[at + i] != 0 ? terms[i] : 0;
    for (int i = tile.elements - at; i < group_elements; ++i) terms[i] = 0;
    add_group(terms, tile.sums);
  }
}

template <class T>
void load(const void* from, int64_t stride, int elements, double* to) {
  using storage = typename T::storage;
  if (stride == int64_t(sizeof(storage))) {
    const char* bytes = static_cast<const char*>(from);
    for (int i = 0; i < elements; ++i) {
      storage x;
      std::memcpy(&x, bytes + i * sizeof(storage), sizeof x);
      to[i] = T::load(x);
    }
  } else {
    for (int i = 0; i < elements; ++i) {
      storage x;
      std::memcpy(&x, static_cast<const char*>(from) + i * stride, sizeof x);
      to[i] = T::load(x);
    }
  }
}

}  // namespace
}  // namespace lossless
