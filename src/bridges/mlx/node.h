// A node of MLX's lazy graph, on its CPU streams, that runs a kernel.
//
// It computes some of value, gradient and second derivative, not reduced or reduced over the last dimensions. The first
// derivatives of these are nodes again; what else MLX may ask for (derivatives by parameters and weights, forward mode,
// higher orders) it differentiates itself, from the composed formulas. What is computed, and from which arrays, say the
// classes that are derived from this one: of element-wise losses (mlx.cpp) and of those of rows (mlx_rows.cpp).
#pragma once

#include <mlx/array.h>
#include <mlx/primitives.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bridges/core/core_api.h"
#include "bridges/mlx/arrays.h"

namespace lossless {

extern const Lent* lent;

enum class Outputs : int { value, value_and_gradient, gradient, gradient_and_curvature, curvature };

// What any loss needs. The arrays of a node are those of its loss, then weights, mask and cotangent if there are any.
// They broadcast to one shape, but for the last dimensions, which some lack: the cotangent those that the value lacks.
struct Plan {
  Outputs wanted;
  Reduction reduction;
  int reduced;  // the last so many dimensions, which the value lacks
  bool weights, where, cotangent;
  mx::Dtype dtype;

  bool operator==(const Plan&) const = default;
};

class Node : public mx::Primitive {
 public:
  Node(mx::Stream stream, const Plan& plan, bool skips_gradient)
      : Primitive(stream), plan_(plan), skips_gradient_(skips_gradient) {}

  // What this node computes of these arrays. If MLX traces them, the gradient may still come along with the value; if
  // they are few numbers that are there already, the results are, too.
  Arrays call(const Arrays& arrays);

  // MLX says that it cannot serialize this, up to the first space, when a function is exported.
  const char* name() const override { return "Lossless:to_export_use_lossless.composed()"; }

  std::vector<mx::Shape> output_shapes(const Arrays& inputs) override;
  void eval_cpu(const Arrays& inputs, Arrays& outputs) override;
  void eval_gpu(const Arrays&, Arrays&) override;
  Arrays vjp(const Arrays& primals, const Arrays& cotangents, const std::vector<int>& arguments,
             const Arrays& outputs) override;
  Arrays jvp(const Arrays& primals, const Arrays& tangents, const std::vector<int>& arguments) override;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& inputs, const std::vector<int>& axes) override;

 protected:
  // The results of a node for the same loss.
  virtual Arrays make(const Plan& plan, const Arrays& inputs, bool skips_gradient = false) = 0;

  // Allocates memory for the results, and returns what computes them.
  virtual std::function<void()> prepare(const Arrays& inputs, Arrays& outputs) = 0;

  // The same results in MLX's own operations. Python's lock is held.
  virtual Arrays by_formulas(const Arrays& arrays, Outputs wanted) = 0;

  // The derivative by this array is so many times that of the kernel, which is the one by the first array; 0: it is
  // that of the formulas.
  virtual int times_kernel(int argument, const Arrays& cotangents) const = 0;

  // How many of the last dimensions an array lacks, being the same along them.
  virtual int lacks(size_t place, size_t arrays) const {
    return plan_.cotangent && place + 1 == arrays ? plan_.reduced : 0;
  }

  bool is_like(const Node& other) const { return plan_ == other.plan_ && skips_gradient_ == other.skips_gradient_; }

  // The shape that the arrays broadcast to.
  mx::Shape shape(const Arrays& inputs) const { return shape_without(inputs, std::vector<int>(inputs.size(), -1)); }

  static Arrays outputs_of(const std::shared_ptr<Node>& node, const Arrays& inputs);

  const Plan plan_;
  // Of value and gradient, only the value is wanted so far. As long as the node waits, MLX may still ask for the
  // gradient, and vjp() clears this: then both come of one pass. Nodes that were built by replaying a compiled function
  // share this object, so what one of them did is not read from here, but from its results: a skipped one has no data.
  bool skips_gradient_;

 private:
  void compute_at_once(const Arrays& inputs, Arrays& outputs);
  mx::Shape shape_without(const Arrays& inputs, const std::vector<int>& axes) const;
  mx::array by_kernel(const Arrays& primals, const Arrays& cotangents, const Arrays& outputs, mx::Dtype dtype);
  std::function<Arrays(const Arrays&)> formula(const Arrays& primals, const std::vector<int>& places, Outputs wanted);
};

// A number becomes a double: whatever the arrays are, it counts in full.
using Number = std::variant<double, mx::array>;

inline mx::array as_array(const Number& x) {
  if (auto number = std::get_if<double>(&x)) return mx::array(*number, mx::float64);
  return std::get<mx::array>(x);
}

}  // namespace lossless
