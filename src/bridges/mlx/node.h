// A node of MLX's lazy graph, on its CPU streams, that runs a kernel.
//
// A node computes some of value, gradient and second derivative, element by element or reduced over the last
// dimensions. Their first derivatives are nodes again. MLX differentiates the formulas for whatever else it needs:
// derivatives with respect to parameters and weights, forward mode, higher orders. The derived classes compute
// element-wise losses (module.cpp) and losses of rows (rows.cpp).
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

extern const CoreApi* core;

enum class Outputs : int { value, value_and_gradient, gradient, gradient_and_second_derivative, second_derivative };

// What a node computes. Its arrays are those of its loss, then weights, mask and cotangent if there are any. They
// broadcast to one shape, except that some do not have the last dimensions: the cotangent has only those of the value.
struct NodePlan {
  Outputs wanted;
  Reduction reduction;
  int reduced_dims;  // how many of the last dimensions the value does not have
  bool weights, where, cotangent;
  mx::Dtype dtype;

  bool operator==(const NodePlan&) const = default;
};

class Node : public mx::Primitive {
 public:
  Node(mx::Stream stream, const NodePlan& plan, bool skips_gradient)
      : Primitive(stream), plan_(plan), skips_gradient_(skips_gradient) {}

  // The results of this node for these arrays. If MLX traces the arrays, the node is one that can also compute the
  // gradient, in the same pass as the value. If the arrays are small and available, so are the results.
  Arrays call(const Arrays& arrays);

  // When a function is exported, MLX says that it cannot serialize this name, up to the first space.
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
  virtual Arrays make(const NodePlan& plan, const Arrays& inputs, bool skips_gradient = false) = 0;

  // Allocates memory for the results, and returns what computes them.
  virtual std::function<void()> prepare(const Arrays& inputs, Arrays& outputs) = 0;

  // The same results in MLX's own operations. The caller holds the GIL.
  virtual Arrays by_formulas(const Arrays& arrays, Outputs wanted) = 0;

  // The kernel computes the derivative with respect to the first array. 1: with respect to this array it is the same;
  // -1: its negative; 0: the formulas compute it.
  virtual int gradient_sign(int argument, const Arrays& cotangents) const = 0;

  // How many of the last dimensions this array does not have: it repeats along them.
  virtual int missing_trailing_dims(size_t place, size_t arrays) const {
    return plan_.cotangent && place + 1 == arrays ? plan_.reduced_dims : 0;
  }

  bool is_like(const Node& other) const { return plan_ == other.plan_ && skips_gradient_ == other.skips_gradient_; }

  // The shape that the arrays broadcast to.
  mx::Shape shape(const Arrays& inputs) const { return shape_without(inputs, std::vector<int>(inputs.size(), -1)); }

  // Fills in what jobs of all losses have: the operands that follow the loss's own, and memory for the results. Results
  // in the shape of all arrays may take the memory of one of the first `candidates` inputs. Null: the loss has no
  // kernel of a second derivative.
  void fill(CommonJob& job, Result* second_derivative, const Arrays& inputs, Arrays& outputs, int own_operands,
            int candidates) const;

  static Arrays outputs_of(const std::shared_ptr<Node>& node, const Arrays& inputs);

  const NodePlan plan_;
  // Of value and gradient, only the value is wanted so far. Until the node is evaluated, vjp() may need the gradient,
  // and clears this: then one pass computes both. Nodes that MLX built by replaying a compiled function share this
  // object. So whether one of them has skipped its gradient is read from the gradient, which then has no data, and not
  // from here.
  bool skips_gradient_;

 private:
  void compute_at_once(const Arrays& inputs, Arrays& outputs);
  mx::Shape shape_without(const Arrays& inputs, const std::vector<int>& axes) const;
  mx::array by_kernel(const Arrays& primals, const Arrays& cotangents, const Arrays& outputs, mx::Dtype dtype);
  std::function<Arrays(const Arrays&)> formula(const Arrays& primals, const std::vector<int>& places, Outputs wanted);
};

// A number becomes a double, whatever the dtype of the arrays: no digit of it is lost.
using Number = std::variant<double, mx::array>;

inline mx::array as_array(const Number& x) {
  if (auto number = std::get_if<double>(&x)) return mx::array(*number, mx::float64);
  return std::get<mx::array>(x);
}

}  // namespace lossless
