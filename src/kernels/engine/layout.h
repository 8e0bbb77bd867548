// Steps through arrays of any strides in C order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lossless {

// The dimensions that several arrays have in common. The operands and results of a job are called views here. Two
// dimensions are merged into one if that leaves every view's elements in the same order and place.
template <int views>
class Layout {
 public:
  struct Dimension {
    int64_t size;
    int64_t strides[views];
  };

  // Takes the first `dimensions` of the shape and of each view's strides. Null: the job does not have this view.
  Layout(const std::vector<int64_t>& shape, size_t dimensions, const std::vector<int64_t>* const (&strides)[views]) {
    for (size_t d = dimensions; d-- > 0;) {
      if (shape[d] == 1) continue;
      Dimension outer = {shape[d], {}};
      for (int v = 0; v < views; ++v) outer.strides[v] = strides[v] ? (*strides[v])[d] : 0;
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

    int64_t offset(int view) const { return offsets_[view]; }
    int64_t stride(int view) const { return dimensions_[0].strides[view]; }

    // How many of the next elements, at most `wanted`, lie one stride apart in every view.
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
