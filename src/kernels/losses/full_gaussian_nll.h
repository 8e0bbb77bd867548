// The negative logarithm of a normal density with its constant: gaussian_nll.h has it all.
#pragma once

#include "kernels/losses/gaussian_nll.h"

namespace lossless {
namespace {

using full_gaussian_nll = normal_density<true>;

}  // namespace
}  // namespace lossless
