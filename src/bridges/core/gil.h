// The GIL, given up and taken back, also while the interpreter ends.
//
// A thread that asks for the GIL then never gets it. Python 3.14 lets it sleep until the process has ended. Earlier
// ones end it by pthread_exit, which with glibc unwinds its stack by force: destructors run without the GIL, and the
// first function that is noexcept, as destructors and nanobind's functions are, calls std::terminate. So whatever may
// ask for the GIL, which all Python code does now and then, runs inside of `without_being_unwound`.
#pragma once

#include <Python.h>
#include <unistd.h>

#include <utility>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace lossless {

// What `function` returns or throws; where its thread is ended inside of it, that sleeps here, as in Python 3.14, and
// all that it holds stays as it is. The function has no objects of its own that would be destroyed on the way.
template <class Function>
auto without_being_unwound(Function&& function) {
#ifdef __GLIBCXX__
  try {
    return std::forward<Function>(function)();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
#else  // pthread_exit does not unwind
  return std::forward<Function>(function)();
#endif
}

// Other threads of Python run while this is alive.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    without_being_unwound([this] { PyEval_RestoreThread(state_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

// Holds the GIL, whether or not this thread did before.
class WithGil {
 public:
  WithGil() : state_(without_being_unwound(PyGILState_Ensure)) {}
  ~WithGil() { PyGILState_Release(state_); }
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyGILState_STATE state_;
};

}  // namespace lossless
