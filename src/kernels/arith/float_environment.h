// Keeps the host's floating-point settings out of our bits: XLA's threads, for one, flush subnormals to zero.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lossless {

class FloatEnvironment {
 public:
  FloatEnvironment() : host_(get()) { set(defaults); }
  ~FloatEnvironment() { set(host_); }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t defaults = 0x1f80;  // MXCSR: all exceptions masked, to nearest, no flushing
  static uint64_t get() { return _mm_getcsr(); }
  static void set(uint64_t control) { _mm_setcsr(static_cast<unsigned>(control)); }
#elif defined(__aarch64__)
  static constexpr uint64_t defaults = 0;  // FPCR: the same
  static uint64_t get() {
    uint64_t control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
  }
  static void set(uint64_t control) { asm volatile("msr fpcr, %0" : : "r"(control)); }
#else
#error "FloatEnvironment: this processor's floating-point control register is not known here"
#endif
  uint64_t host_;
};

}  // namespace lossless
