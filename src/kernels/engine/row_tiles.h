// Rows that the kernels cannot read or write in place are copied to tiles and back.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace lossless {
namespace {

// Memory for the rows of a chunk. There is one tile for each thread.
class Tiles {
 public:
  Tiles(int64_t bytes, int64_t count) {
    for (int64_t i = 0; i < (bytes ? count : 0); ++i) free_.emplace_back(new char[bytes]);
  }

  std::unique_ptr<char[]> take() {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;  // the job needs no tiles
    auto tile = std::move(free_.back());
    free_.pop_back();
    return tile;
  }

  void put_back(std::unique_ptr<char[]> tile) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(tile));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<char[]>> free_;
};

// From one row to the next, and from one element of a row to the next, in bytes.
struct RowStrides {
  int64_t row, element;

  bool is_closer_across() const { return std::abs(row) < std::abs(element); }
};

template <class Storage>
void copy_rows_of(const char* from, RowStrides from_strides, char* to, RowStrides to_strides, int64_t rows,
                  int64_t elements) {
  auto copy = [=](int64_t row, int64_t i) {
    std::memcpy(to + row * to_strides.row + i * to_strides.element,
                from + row * from_strides.row + i * from_strides.element, sizeof(Storage));
  };
  // The inner loop goes along the shorter stride. In a tile this is that from element to element.
  if (from_strides.is_closer_across() || to_strides.is_closer_across()) {
    for (int64_t i = 0; i < elements; ++i)
      for (int64_t row = 0; row < rows; ++row) copy(row, i);
  } else {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t i = 0; i < elements; ++i) copy(row, i);
  }
}

// Copies rows between an array and a tile. `size` is that of an element, in bytes: 2, 4 or 8.
inline void copy_rows(const char* from, RowStrides from_strides, char* to, RowStrides to_strides, int64_t rows,
                      int64_t elements, int64_t size) {
  auto function = size == 2 ? copy_rows_of<uint16_t> : size == 4 ? copy_rows_of<uint32_t> : copy_rows_of<uint64_t>;
  function(from, from_strides, to, to_strides, rows, elements);
}

}  // namespace
}  // namespace lossless
