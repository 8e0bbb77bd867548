// The loops over elements. CMake compiles this file once for each instruction set, with LOSSLESS_INSTRUCTION_SET set
// to the name of the table; losses.inc, which it writes, includes the headers in losses/ and lists their names.
//
// The loops are plain and of known length, for the compiler to vectorise. Each group of elements is computed into
// local memory and then copied out, so that a result may take the place of an input.
#include "kernels/engine/kernels.h"

#include "kernels/arith/dtypes.h"
#include "kernels/engine/loss_concept.h"
#include "kernels/engine/sums.h"
#include "kernels/rows/cross_entropy.h"
#include "kernels/rows/cross_entropy_small.h"

#include "losses.inc"

namespace lossless {
namespace {

// Whether an element is undecided: as wide as what is compared to know it, so that vectors need not change their width.
template <class Loss>
using Flag = std::conditional_t<Loss::error == 0, uint64_t, int>;

template <class Flag, int size>
LOSSLESS_INLINE bool any(const Flag (&flags)[size]) {
  Flag all = 0;
  for (int i = 0; i < size; ++i) all |= flags[i];
  return all != 0;
}

// Rounds to T once. `undecided` tells that it may be to the wrong side: a rounding boundary may lie between what is
// rounded here and the true result.
template <class Loss, class T>
LOSSLESS_INLINE typename T::rounded round_once(Split x, Flag<Loss>& undecided) {
  if constexpr (sizeof(typename T::storage) == sizeof(double)) {
    return Loss::error == 0 ? nearest(x) : x.high;
  } else if constexpr (Loss::error == 0) {
    // A boundary has zeros below the last bit of a T. Unless `high` has them, or nearly so, sum and `high` are on one
    // side of each.
    constexpr uint64_t last_bits = (uint64_t(1) << 28) - 1, near = 1 << 8;
    uint64_t beside = (to_bits(x.high) + near) & last_bits;
    uint64_t low_without_sign = to_bits(x.low) << 1;
    undecided |= beside <= 2 * near ? low_without_sign : 0;
    return T::round(x.high);
  } else {
    double less = x.high * (1 - Loss::error), more = x.high * (1 + Loss::error);
    if constexpr (Loss::cancels) {
      less -= x.low;
      more += x.low;
    }
    auto below = T::round(less), above = T::round(more);
    undecided |= (below < above) | (below > above);   // a NaN is decided
    return Loss::cancels ? T::round(x.high) : below;  // infinity less infinity is a NaN
  }
}

// Whether so much has cancelled that the promised digits of a product with weights or a scale are not there.
template <class Loss, class T>
LOSSLESS_INLINE bool is_vague([[maybe_unused]] Split x) {
  if constexpr (Loss::error > 0 && sizeof(typename T::storage) < sizeof(double))
    return Loss::cancels && std::fabs(x.low) > 0x1p-45 * std::fabs(x.high);
  else
    return false;
}

template <class T>
LOSSLESS_INLINE typename T::rounded round_accurate(Split x) {
  return T::round(round_to_odd(x));
}

// A group of `size` elements in memory, of which `elements` are wanted.
template <class Loss, class T, Wanted wanted, bool scaled, int size>
LOSSLESS_INLINE void run_group(const typename T::in_memory* inputs, const typename T::in_memory* targets, Parameters p,
                               const Run& run, int64_t at, int elements) {
  using storage = typename T::storage;
  constexpr bool sum = wanted == Wanted::sum || wanted == Wanted::sum_and_gradient;
  constexpr bool value = wanted == Wanted::value || wanted == Wanted::value_and_gradient;
  constexpr bool gradient = wanted != Wanted::value && wanted != Wanted::sum;
  constexpr bool curvature = wanted == Wanted::gradient_and_curvature;
  storage values[size], gradients[size], curvatures[size];
  double terms[size];
  Flag<Loss> flags[size];

#pragma GCC unroll 4  // all of it, as GCC likes to, runs out of registers
  for (int i = 0; i < size; ++i) {
    Outcome outcome = Loss::template evaluate<T>(T::load(inputs[i]), T::load(targets[i]), p);
    Flag<Loss> undecided = 0;
    if constexpr (sum) terms[i] = outcome.value.high;
    if constexpr (value) values[i] = T::pack(round_once<Loss, T>(outcome.value, undecided));
    if constexpr (gradient && scaled) {
      gradients[i] = T::pack(T::round(outcome.gradient.high * run.gradient_scale));
      undecided |= is_vague<Loss, T>(outcome.gradient);
    }
    if constexpr (gradient && !scaled) gradients[i] = T::pack(round_once<Loss, T>(outcome.gradient, undecided));
    if constexpr (curvature) curvatures[i] = T::pack(round_once<Loss, T>(outcome.curvature, undecided));
    flags[i] = undecided;
  }
  if constexpr (Loss::error == 0 && sizeof(storage) < sizeof(double)) {
    if (__builtin_expect(any(flags), 0)) {
      for (int i = 0; i < size; ++i) {
        Outcome outcome = Loss::template evaluate<T>(T::load(inputs[i]), T::load(targets[i]), p);
        if constexpr (value) values[i] = T::pack(round_accurate<T>(outcome.value));
        if constexpr (gradient && !scaled) gradients[i] = T::pack(round_accurate<T>(outcome.gradient));
        if constexpr (curvature) curvatures[i] = T::pack(round_accurate<T>(outcome.curvature));
      }
    }
  } else if constexpr (sizeof(storage) < sizeof(double)) {
    if (__builtin_expect(any(flags), 0)) {
      for (int i = 0; i < elements; ++i) {
        double x = T::load(inputs[i]), t = T::load(targets[i]);
        Outcome outcome = Loss::template evaluate<T>(x, t, p);
        Flag<Loss> in_value = 0, in_gradient = 0, in_curvature = 0;
        if constexpr (value) round_once<Loss, T>(outcome.value, in_value);
        if constexpr (gradient && !scaled) round_once<Loss, T>(outcome.gradient, in_gradient);
        if constexpr (gradient && scaled) in_gradient = is_vague<Loss, T>(outcome.gradient);
        if constexpr (curvature) round_once<Loss, T>(outcome.curvature, in_curvature);
        if (!(in_value | in_gradient | in_curvature)) continue;
        outcome = Loss::evaluate_accurately(x, t, p);
        if (in_value) values[i] = T::pack(round_accurate<T>(outcome.value));
        if (in_gradient)
          gradients[i] = T::pack(scaled ? T::round(nearest(outcome.gradient) * run.gradient_scale)
                                        : round_accurate<T>(outcome.gradient));
        if (in_curvature) curvatures[i] = T::pack(round_accurate<T>(outcome.curvature));
      }
    }
  }
  if constexpr (sum) {
    for (int i = elements; i < size; ++i) terms[i] = 0;
    add_group<size>(terms, run.sums);
  }
  size_t bytes = elements * sizeof(storage);
  if (elements == size) bytes = sizeof values;  // known when compiling: a few vector moves
  if constexpr (value) std::memcpy(static_cast<char*>(run.value) + at * sizeof(storage), values, bytes);
  if constexpr (gradient) std::memcpy(static_cast<char*>(run.gradient) + at * sizeof(storage), gradients, bytes);
  if constexpr (curvature) std::memcpy(static_cast<char*>(run.curvature) + at * sizeof(storage), curvatures, bytes);
}

template <class Loss, class T, Wanted wanted, bool scaled>
void run_groups(const Run& run) {
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
void run_loss(const Run& run) {
  constexpr bool scalable = wanted == Wanted::sum_and_gradient || wanted == Wanted::gradient;
  if (scalable && run.gradient_scale != 1)
    run_groups<Loss, T, wanted, scalable>(run);
  else
    run_groups<Loss, T, wanted, false>(run);
}

// One result of a piece, for every element: the sums high + low, in arrays of their own for the sake of vectors.
struct Column {
  double high[piece_elements], low[piece_elements];
};

LOSSLESS_INLINE int whole_groups(int elements) { return (elements + group_elements - 1) / group_elements; }

// Weights, masks, sums, scales and rounds one result of a piece. `accurate(i)` computes element i again.
template <class Loss, class T, class Accurate>
LOSSLESS_INLINE void finish(const Piece& piece, Column& column, double scale, double* sums, void* out,
                            Accurate accurate) {
  using storage = typename T::storage;
  storage rounded[piece_elements];
  bool exact = !piece.weights && scale == 1;
  for (int group = 0; group < whole_groups(piece.elements); ++group) {
    int at = group * group_elements;
    double* high = column.high + at;
    double* low = column.low + at;
    if constexpr (Loss::error > 0) {
      int vague = 0;
      if (!exact)
        for (int i = 0; i < group_elements; ++i) vague |= is_vague<Loss, T>({high[i], low[i]});
      if (__builtin_expect(vague, 0))
        for (int i = 0; i < group_elements && at + i < piece.elements; ++i)
          if (is_vague<Loss, T>({high[i], low[i]})) high[i] = nearest(accurate(at + i));
    }
    if (piece.weights)
      for (int i = 0; i < group_elements; ++i)
        high[i] = (Loss::error > 0 ? high[i] : nearest({high[i], low[i]})) * piece.weights[at + i];
    if (piece.where)
      for (int i = 0; i < group_elements; ++i) {
        high[i] = piece.where[at + i] != 0 ? high[i] : 0;
        low[i] = piece.where[at + i] != 0 ? low[i] : 0;
      }
    if (sums) {
      for (int i = piece.elements - at; i < group_elements; ++i) high[i] = 0;
      add_group(high, sums);
    }
    if (!out) continue;
    if (!exact) {
      for (int i = 0; i < group_elements; ++i) rounded[at + i] = T::pack(T::round(high[i] * scale));
      // What is masked stays 0 where the scale of the others is NaN.
      if (piece.where && scale != scale)
        for (int i = 0; i < group_elements; ++i)
          if (piece.where[at + i] == 0) rounded[at + i] = 0;
      continue;
    }
    Flag<Loss> flags[group_elements] = {};
    for (int i = 0; i < group_elements; ++i)
      rounded[at + i] = T::pack(round_once<Loss, T>({high[i], low[i]}, flags[i]));
    if constexpr (Loss::error == 0 && sizeof(storage) < sizeof(double)) {
      if (__builtin_expect(any(flags), 0))
        for (int i = 0; i < group_elements; ++i) rounded[at + i] = T::pack(round_accurate<T>({high[i], low[i]}));
    } else if constexpr (sizeof(storage) < sizeof(double)) {
      if (__builtin_expect(any(flags), 0))
        for (int i = at; i < piece.elements && i < at + group_elements; ++i) {
          Flag<Loss> this_one = 0;
          round_once<Loss, T>({column.high[i], column.low[i]}, this_one);
          if (this_one) rounded[i] = T::pack(round_accurate<T>(accurate(i)));
        }
    }
  }
  if (out) std::memcpy(out, rounded, piece.elements * sizeof(storage));
}

template <class Loss, class T, bool curvature>
void piece_of(const Piece& piece) {
  auto parameters = [&](int i) {
    return Parameters{Loss::parameters > 0 ? piece.parameters[0][i] : 0,
                      Loss::parameters > 1 ? piece.parameters[1][i] : 0};
  };
  Column values, gradients, curvatures;
  for (int group = 0; group < whole_groups(piece.elements); ++group) {
    int at = group * group_elements;
    for (int i = at; i < at + group_elements; ++i) {
      Parameters p = parameters(i);
      Outcome outcome = Loss::template evaluate<T>(piece.inputs[i], piece.targets[i], p);
      bool valid = Loss::valid(p);
      values.high[i] = valid ? outcome.value.high : not_a_number;
      values.low[i] = outcome.value.low;
      gradients.high[i] = valid ? outcome.gradient.high : not_a_number;
      gradients.low[i] = outcome.gradient.low;
      if constexpr (curvature) {
        curvatures.high[i] = valid ? outcome.curvature.high : not_a_number;
        curvatures.low[i] = outcome.curvature.low;
      }
    }
  }
  auto accurate = [&](Split Outcome::* member) {
    return [&piece, parameters, member](int i) {
      if constexpr (Loss::error > 0)
        return Loss::evaluate_accurately(piece.inputs[i], piece.targets[i], parameters(i)).*member;
    };
  };
  if (piece.value || piece.sums) finish<Loss, T>(piece, values, 1, piece.sums, piece.value, accurate(&Outcome::value));
  if (piece.gradient || piece.gradient_sums)
    finish<Loss, T>(piece, gradients, piece.gradient_scale, piece.gradient_sums, piece.gradient,
                    accurate(&Outcome::gradient));
  if constexpr (curvature)
    finish<Loss, T>(piece, curvatures, piece.gradient_scale, nullptr, piece.curvature, accurate(&Outcome::curvature));
}

template <class Loss, class T>
void piece_loss(const Piece& piece) {
  if (piece.curvature)
    piece_of<Loss, T, true>(piece);
  else
    piece_of<Loss, T, false>(piece);
}

void count_piece(const Piece& piece) {
  for (int at = 0; at < piece.elements; at += group_elements) {
    double terms[group_elements];
    for (int i = 0; i < group_elements; ++i) terms[i] = piece.weights ? piece.weights[at + i] : 1;
    if (piece.where)
      for (int i = 0; i < group_elements; ++i) terms[i] = piece.where[at + i] != 0 ? terms[i] : 0;
    for (int i = piece.elements - at; i < group_elements; ++i) terms[i] = 0;
    add_group(terms, piece.sums);
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

void subtract(const float* inputs, const float* targets, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = inputs[i] - targets[i];
}

template <class Loss>
bool valid(const double* parameters) {
  return Loss::valid({parameters[0], parameters[1]});
}

void split(const Outcome& outcome, Splits& results) {
  const Split* splits[] = {&outcome.value, &outcome.gradient, &outcome.curvature};
  for (int i = 0; i < 3; ++i) {
    results[i][0] = splits[i]->high;
    results[i][1] = splits[i]->low;
  }
}

template <class Loss, class T>
void evaluate(double inputs, double targets, const double* parameters, Splits& results) {
  split(Loss::template evaluate<T>(inputs, targets, {parameters[0], parameters[1]}), results);
}

template <class Loss>
void evaluate_accurately(double inputs, double targets, const double* parameters, Splits& results) {
  if constexpr (Loss::error > 0)
    split(Loss::evaluate_accurately(inputs, targets, {parameters[0], parameters[1]}), results);
}

template <class Loss>
constexpr const char* const* parameter_names() {
  if constexpr (Loss::parameters > 0)
    return Loss::parameter_names;
  else
    return nullptr;
}

template <class Loss, class T, Wanted wanted>
constexpr auto run_of() -> void (*)(const Run&) {
  if constexpr (Loss::only_in_pieces)
    return nullptr;
  else
    return run_loss<Loss, T, wanted>;
}

#define LOSSLESS_RUNS(Loss, T)                                                         \
  {run_of<Loss, T, Wanted::value>(),    run_of<Loss, T, Wanted::value_and_gradient>(), \
   run_of<Loss, T, Wanted::sum>(),      run_of<Loss, T, Wanted::sum_and_gradient>(),   \
   run_of<Loss, T, Wanted::gradient>(), run_of<Loss, T, Wanted::gradient_and_curvature>()}
#define LOSSLESS_KERNELS(Loss)                                                                                    \
  {#Loss,                                                                                                         \
   Loss::parameters,                                                                                              \
   parameter_names<Loss>(),                                                                                       \
   Loss::of_residual,                                                                                             \
   valid<Loss>,                                                                                                   \
   {LOSSLESS_RUNS(Loss, float16), LOSSLESS_RUNS(Loss, bfloat16), LOSSLESS_RUNS(Loss, float32),                    \
    LOSSLESS_RUNS(Loss, float64)},                                                                                \
   {piece_loss<Loss, float16>, piece_loss<Loss, bfloat16>, piece_loss<Loss, float32>, piece_loss<Loss, float64>}, \
   Loss::error,                                                                                                   \
   {evaluate<Loss, float16>, evaluate<Loss, bfloat16>, evaluate<Loss, float32>, evaluate<Loss, float64>},         \
   Loss::error > 0 ? evaluate_accurately<Loss> : nullptr},

constexpr LossKernels losses[] = {LOSSLESS_FOR_EACH_LOSS(LOSSLESS_KERNELS)};

}  // namespace

extern const Kernels LOSSLESS_INSTRUCTION_SET;
const Kernels LOSSLESS_INSTRUCTION_SET = {
    losses,
    sizeof losses / sizeof *losses,
    count_piece,
    {load<float16>, load<bfloat16>, load<float32>, load<float64>, load<boolean>},
    subtract,
    {cross_entropy::row<float16>, cross_entropy::row<bfloat16>, cross_entropy::row<float32>,
     cross_entropy::row<float64>},
    {cross_entropy_of_few::rows<float16>, cross_entropy_of_few::rows<bfloat16>, cross_entropy_of_few::rows<float32>,
     nullptr},
};

}  // namespace lossless
