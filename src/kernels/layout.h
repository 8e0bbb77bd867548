// Where the elements of a job lie: the way through arrays of any strides, in C order.
#pragma once

#include <algorithm>
#include <vector>

#include "sweep.h"

namespace lossless {

// The dimensions of a job, with those merged that every operand and result steps through as through one.
class Layout {
 public:
  enum View { inputs, targets, first, second, weights, where, cotangent, value, gradient, curvature, views };

  struct Dimension {
    int64_t size;
    int64_t strides[views];
  };

  explicit Layout(const Job& job) {
    const std::vector<int64_t>* strides[views] = {
        &job.inputs.strides,   &job.targets.strides,  &job.parameters[0].strides, &job.parameters[1].strides,
        &job.weights.strides,  &job.where.strides,    &job.cotangent.strides,     nullptr,
        &job.gradient.strides, &job.curvature.strides};
    const void* data[views] = {job.inputs.data,   job.targets.data,  job.parameters[0].data, job.parameters[1].data,
                               job.weights.data,  job.where.data,    job.cotangent.data,     nullptr,
                               job.gradient.data, job.curvature.data};
    if (job.reduction == Reduction::none) {
      strides[value] = &job.value.strides;
      data[value] = job.value.data;
    }
    for (size_t d = job.shape.size(); d-- > 0;) {
      if (job.shape[d] == 1) continue;
      Dimension outer = {job.shape[d], {}};
      for (int v = 0; v < views; ++v) outer.strides[v] = data[v] ? (*strides[v])[d] : 0;
      bool merges = !dimensions_.empty();
      for (int v = 0; v < views && merges; ++v)
        merges = outer.strides[v] == dimensions_.back().strides[v] * dimensions_.back().size;
      if (merges)
        dimensions_.back().size *= outer.size;
      else
        dimensions_.push_back(outer);
    }
    if (dimensions_.empty()) dimensions_.push_back({1, {}});
  }

  // Steps through the elements in C order.
  class Cursor {
   public:
    Cursor(const Layout& layout, int64_t element) : dimensions_(layout.dimensions_), index_(dimensions_.size()) {
      for (size_t d = 0; d < dimensions_.size(); ++d) {
        index_[d] = element % dimensions_[d].size;
        element /= dimensions_[d].size;
        for (int v = 0; v < views; ++v) offsets_[v] += index_[d] * dimensions_[d].strides[v];
      }
    }

    int64_t offset(View view) const { return offsets_[view]; }
    int64_t stride(View view) const { return dimensions_[0].strides[view]; }

    // How many of the next elements lie one stride apart, at most `wanted`.
    int run(int wanted) const { return int(std::min<int64_t>(wanted, dimensions_[0].size - index_[0])); }

    void advance(int elements) {
      move(0, elements);
      for (size_t d = 0; d + 1 < dimensions_.size() && index_[d] == dimensions_[d].size; ++d) {
        move(d, -dimensions_[d].size);
        move(d + 1, 1);
      }
    }

   private:
    void move(size_t d, int64_t steps) {
      index_[d] += steps;
      for (int v = 0; v < views; ++v) offsets_[v] += steps * dimensions_[d].strides[v];
    }

    const std::vector<Dimension>& dimensions_;  // innermost first
    std::vector<int64_t> index_;
    int64_t offsets_[views] = {};
  };

 private:
  std::vector<Dimension> dimensions_;
};

}  // namespace lossless
