// Makes the table of kernels. CMake compiles this file once for each instruction set, with LOSSLESS_INSTRUCTION_SET set
// to the name of the table. CMake also writes losses.inc, which includes the headers in losses/ and rows/ and lists the
// names of the losses.
//
// The loops are plain and of a length that the compiler knows, so that it vectorises them.
#include "kernels/loops/kernels.h"

#include "kernels/loops/contiguous.h"
#include "kernels/loops/gathered.h"
#include "losses.inc"

namespace lossless {
namespace {

void subtract(const float* inputs, const float* targets, float* out, int64_t elements) {
  for (int64_t i = 0; i < elements; ++i) out[i] = inputs[i] - targets[i];
}

template <class Loss>
bool valid(const double* parameters) {
  return Loss::valid({parameters[0], parameters[1]});
}

template <class Loss, class T>
ValueAndDerivatives evaluate(double inputs, double targets, const double* parameters) {
  return Loss::template evaluate<T>(inputs, targets, {parameters[0], parameters[1]});
}

template <class Loss>
ValueAndDerivatives evaluate_accurately(double inputs, double targets, const double* parameters) {
  return Loss::evaluate_accurately(inputs, targets, {parameters[0], parameters[1]});
}

template <class Loss>
constexpr const char* const* parameter_names() {
  if constexpr (Loss::parameters > 0)
    return Loss::parameter_names;
  else
    return nullptr;
}

template <class Loss, class T, Wanted wanted>
constexpr auto contiguous() -> void (*)(const ContiguousRun&) {
  if constexpr (Loss::only_gathered)
    return nullptr;
  else
    return run_contiguous<Loss, T, wanted>;
}

template <class Loss>
constexpr auto accurate_evaluation() -> decltype(LossProof::evaluate_accurately) {
  if constexpr (Loss::error > 0)
    return evaluate_accurately<Loss>;
  else
    return nullptr;
}

#define LOSSLESS_CONTIGUOUS(Loss, T)                                                           \
  {contiguous<Loss, T, Wanted::value>(),    contiguous<Loss, T, Wanted::value_and_gradient>(), \
   contiguous<Loss, T, Wanted::sum>(),      contiguous<Loss, T, Wanted::sum_and_gradient>(),   \
   contiguous<Loss, T, Wanted::gradient>(), contiguous<Loss, T, Wanted::gradient_and_second_derivative>()}
#define LOSSLESS_KERNELS(Loss)                                                                                   \
  {#Loss,                                                                                                        \
   Loss::parameters,                                                                                             \
   parameter_names<Loss>(),                                                                                      \
   Loss::uses_difference_only,                                                                                   \
   valid<Loss>,                                                                                                  \
   {LOSSLESS_CONTIGUOUS(Loss, float16), LOSSLESS_CONTIGUOUS(Loss, bfloat16), LOSSLESS_CONTIGUOUS(Loss, float32), \
    LOSSLESS_CONTIGUOUS(Loss, float64)},                                                                         \
   {run_gathered<Loss, float16>, run_gathered<Loss, bfloat16>, run_gathered<Loss, float32>,                      \
    run_gathered<Loss, float64>}},
#define LOSSLESS_PROOF(Loss)                                                                              \
  {Loss::error,                                                                                           \
   {evaluate<Loss, float16>, evaluate<Loss, bfloat16>, evaluate<Loss, float32>, evaluate<Loss, float64>}, \
   accurate_evaluation<Loss>()},
#define LOSSLESS_ROW_KERNELS(Loss)                                                          \
  {#Loss,                                                                                   \
   Loss::parameters,                                                                        \
   parameter_names<Loss>(),                                                                 \
   {Loss::row<float16>, Loss::row<bfloat16>, Loss::row<float32>, Loss::row<float64>},       \
   {Loss::small_rows<float16>(), Loss::small_rows<bfloat16>(), Loss::small_rows<float32>(), \
    Loss::small_rows<float64>()}},

constexpr LossKernels losses[] = {LOSSLESS_FOR_EACH_LOSS(LOSSLESS_KERNELS)};
constexpr LossProof proofs[] = {LOSSLESS_FOR_EACH_LOSS(LOSSLESS_PROOF)};
constexpr RowLossKernels row_losses[] = {LOSSLESS_FOR_EACH_ROW_LOSS(LOSSLESS_ROW_KERNELS)};

}  // namespace

extern const Kernels LOSSLESS_INSTRUCTION_SET;
const Kernels LOSSLESS_INSTRUCTION_SET = {
    losses,
    proofs,
    sizeof losses / sizeof *losses,
    row_losses,
    sizeof row_losses / sizeof *row_losses,
    count_tile,
    {load<float16>, load<bfloat16>, load<float32>, load<float64>, load<boolean>},
    subtract,
};

}  // namespace lossless
