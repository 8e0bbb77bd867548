#include "kernels/engine/pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "kernels/arith/float_environment.h"

namespace lossless {
namespace {

struct Task {
  const std::function<void(int64_t)>* work;  // the caller's: valid until every chunk is done
  int64_t chunks;
  std::atomic<int64_t> claimed{0};
  std::atomic<int64_t> done{0};
  std::mutex mutex;
  std::condition_variable all_done;

  void take_part() {
    FloatEnvironment environment;
    int64_t mine = 0;
    for (int64_t chunk; (chunk = claimed.fetch_add(1, std::memory_order_relaxed)) < chunks; ++mine) (*work)(chunk);
    if (mine && done.fetch_add(mine, std::memory_order_acq_rel) + mine == chunks) {
      std::lock_guard lock(mutex);
      all_done.notify_all();
    }
  }

  void wait() {
    for (int spin = 0; spin < 2000; ++spin) {
      if (done.load(std::memory_order_acquire) == chunks) return;
#if defined(__x86_64__)
      _mm_pause();
#endif
    }
    std::unique_lock lock(mutex);
    all_done.wait(lock, [&] { return done.load(std::memory_order_acquire) == chunks; });
  }
};

class Pool {
 public:
  // Asks `helpers` threads to take part, and starts those that are missing. Where the system gives no more threads,
  // fewer take part.
  void ask(const std::shared_ptr<Task>& task, int64_t helpers) {
    std::lock_guard lock(mutex_);
    try {
      for (; started_ < helpers; ++started_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      helpers = started_;
    }
    for (int64_t i = 0; i < helpers; ++i) asked_.push_back(task);
    if (helpers == 1)
      wake_.notify_one();
    else
      wake_.notify_all();
  }

 private:
  void serve() {
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !asked_.empty(); });
      std::shared_ptr<Task> task = std::move(asked_.front());
      asked_.pop_front();
      lock.unlock();
      task->take_part();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Task>> asked_;
  int64_t started_ = 0;
};

// Never destroyed: its threads run until the process ends. After fork() the child's pointer is null again.
std::atomic<Pool*> pool_pointer{nullptr};
std::atomic<int> thread_count{1};

Pool& pool() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { pool_pointer = nullptr; }); });
  Pool* current = pool_pointer.load(std::memory_order_acquire);
  if (current) return *current;
  Pool* fresh = new Pool;
  if (pool_pointer.compare_exchange_strong(current, fresh)) return *fresh;
  delete fresh;  // another thread was first; this one has started no threads
  return *current;
}

}  // namespace

int threads() { return thread_count; }

void set_threads(int count) { thread_count = std::max(count, 1); }

void parallel(int64_t chunks, const std::function<void(int64_t)>& work, int limit) {
  int64_t helpers = std::min<int64_t>(limit > 0 ? std::min(limit, threads()) : threads(), chunks) - 1;
  if (helpers < 1) {
    FloatEnvironment environment;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) work(chunk);
    return;
  }
  auto task = std::make_shared<Task>();
  task->work = &work;
  task->chunks = chunks;
  pool().ask(task, helpers);
  task->take_part();
  task->wait();
}

}  // namespace lossless
