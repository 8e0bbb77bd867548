// The loops over contiguous arrays of the result's dtype, without weights, masks and arrays of parameters.
//
// Each group of elements is computed into local memory and then copied out, so that a result may take the place of an
// input.
#pragma once

#include <algorithm>

#include "kernels/loops/kernels.h"
#include "kernels/loops/sums.h"
#include "kernels/loops/two_stages.h"

namespace lossless {
namespace {

// Computes a group of `size` elements in memory, and writes the results of the first `elements` of them.
template <class Loss, class T, Wanted wanted, bool scaled, int size>
LOSSLESS_INLINE void run_group(const typename T::in_memory* inputs, const typename T::in_memory* targets, Parameters p,
                               const ContiguousRun& run, int64_t at, int elements) {
  using storage = typename T::storage;
  constexpr bool sum = wanted == Wanted::sum || wanted == Wanted::sum_and_gradient;
  constexpr bool value = wanted == Wanted::value || wanted == Wanted::value_and_gradient;
  constexpr bool gradient = wanted != Wanted::value && wanted != Wanted::sum;
  constexpr bool second_derivative = wanted == Wanted::gradient_and_second_derivative;
  storage values[size], gradients[size], second_derivatives[size];
  double terms[size];
  Flag<Loss> flags[size];

#pragma GCC unroll 4  // GCC would unroll the loop completely, and run out of registers
  for (int i = 0; i < size; ++i) {
    ValueAndDerivatives x = Loss::template evaluate<T>(T::load(inputs[i]), T::load(targets[i]), p);
    Flag<Loss> undecided = 0;
    if constexpr (sum) terms[i] = x.value.high;
    if constexpr (value) values[i] = T::pack(try_to_round<Loss, T>(x.value, undecided));
    if constexpr (gradient && scaled) {
      gradients[i] = T::pack(T::round(x.gradient.high * run.gradient_scale));
      undecided |= lacks_digits<Loss, T>(x.gradient);
    }
    if constexpr (gradient && !scaled) gradients[i] = T::pack(try_to_round<Loss, T>(x.gradient, undecided));
    if constexpr (second_derivative)
      second_derivatives[i] = T::pack(try_to_round<Loss, T>(x.second_derivative, undecided));
    flags[i] = undecided;
  }
  if constexpr (Loss::error == 0 && sizeof(storage) < sizeof(double)) {
    if (__builtin_expect(any(flags), 0)) {
      for (int i = 0; i < size; ++i) {
        ValueAndDerivatives x = Loss::template evaluate<T>(T::load(inputs[i]), T::load(targets[i]), p);
        if constexpr (value) values[i] = T::pack(round_exactly<T>(x.value));
        if constexpr (gradient && !scaled) gradients[i] = T::pack(round_exactly<T>(x.gradient));
        if constexpr (second_derivative) second_derivatives[i] = T::pack(round_exactly<T>(x.second_derivative));
      }
    }
  } else if constexpr (sizeof(storage) < sizeof(double)) {
    if (__builtin_expect(any(flags), 0)) {
      for (int i = 0; i < elements; ++i) {
        double input = T::load(inputs[i]), target = T::load(targets[i]);
        ValueAndDerivatives x = Loss::template evaluate<T>(input, target, p);
        Flag<Loss> in_value = 0, in_gradient = 0, in_second_derivative = 0;
        if constexpr (value) try_to_round<Loss, T>(x.value, in_value);
        if constexpr (gradient && !scaled) try_to_round<Loss, T>(x.gradient, in_gradient);
        if constexpr (gradient && scaled) in_gradient = lacks_digits<Loss, T>(x.gradient);
        if constexpr (second_derivative) try_to_round<Loss, T>(x.second_derivative, in_second_derivative);
        if (!(in_value | in_gradient | in_second_derivative)) continue;
        x = Loss::evaluate_accurately(input, target, p);
        if (in_value) values[i] = T::pack(round_exactly<T>(x.value));
        if (in_gradient)
          gradients[i] =
              T::pack(scaled ? T::round(nearest(x.gradient) * run.gradient_scale) : round_exactly<T>(x.gradient));
        if (in_second_derivative) second_derivatives[i] = T::pack(round_exactly<T>(x.second_derivative));
      }
    }
  }
  if constexpr (sum) {
    for (int i = elements; i < size; ++i) terms[i] = 0;
    add_group<size>(terms, run.sums);
  }
  size_t bytes = elements * sizeof(storage);
  if (elements == size) bytes = sizeof values;  // known to the compiler: the copy is a few vector moves
  auto write = [&](void* to, const storage* results) {
    std::memcpy(static_cast<char*>(to) + at * sizeof(storage), results, bytes);
  };
  if constexpr (value) write(run.value, values);
  if constexpr (gradient) write(run.gradient, gradients);
  if constexpr (second_derivative) write(run.second_derivative, second_derivatives);
}

template <class Loss, class T, Wanted wanted, bool scaled>
void run_groups(const ContiguousRun& run) {
  using storage = typename T::storage;
  auto inputs = static_cast<const typename T::in_memory*>(run.inputs);
  auto targets = static_cast<const typename T::in_memory*>(run.targets);
  Parameters p = {run.parameters[0], run.parameters[1]};
  int64_t at = 0;
  for (; at + group_elements <= run.elements; at += group_elements)
    run_group<Loss, T, wanted, scaled, group_elements>(inputs + at, targets + at, p, run, at, group_elements);
  for (; at < run.elements; at += lanes) {
    int rest = int(std::min<int64_t>(lanes, run.elements - at));
    storage last_inputs[lanes] = {}, last_targets[lanes] = {};
    std::memcpy(last_inputs, inputs + at, rest * sizeof(storage));
    std::memcpy(last_targets, targets + at, rest * sizeof(storage));
    run_group<Loss, T, wanted, scaled, lanes>(last_inputs, last_targets, p, run, at, rest);
  }
}

template <class Loss, class T, Wanted wanted>
void run_contiguous(const ContiguousRun& run) {
  constexpr bool scalable = wanted == Wanted::sum_and_gradient || wanted == Wanted::gradient;
  if (scalable && run.gradient_scale != 1)
    run_groups<Loss, T, wanted, scalable>(run);
  else
    run_groups<Loss, T, wanted, false>(run);
}

}  // namespace
}  // namespace lossless
