// One pool of threads for every loss and every framework.
//
// Threads claim chunks from an atomic counter, and the caller takes part: a thread that is late, or never starts,
// holds nothing up. That also makes the pool safe after fork(): the child drops the parent's pool, whose threads it
// does not have, and starts its own when it first needs one.
#pragma once

#include <cstdint>
#include <functional>

namespace lossless {

int threads();
void set_threads(int count);  // at least 1, the caller included

// Calls work(chunk) for each chunk in [0, chunks), on at most threads() threads, and at most `limit` if that is not 0;
// returns when all have ended. `work` must not throw. Floating-point arithmetic inside it rounds to nearest and keeps
// subnormals, whatever the calling thread's settings, which are the same again afterwards.
void parallel(int64_t chunks, const std::function<void(int64_t)>& work, int limit = 0);

}  // namespace lossless
