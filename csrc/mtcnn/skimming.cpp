#include "mtcnn/skimming.hpp"

#include <algorithm>
#include <limits>

namespace ferengine::mtcnn {

// Whether the cell (x, y), which skimming leaves out, lies beside one that is promising.
bool Skimming::promising(int y, int x) {
    for (int row = y - y % 2; row <= std::min(y + y % 2, rows_ - 1); row += 2)
        for (int column = x - x % 2; column <= std::min(x + x % 2, columns_ - 1); column += 2)
            if (*cell(row, column) >= skim_) return true;
    return false;
}

const float* Skimming::next_cells() {
    const int y = row_++;
    for (; 2 * skimmed_count_ <= std::min(y + y % 2, rows_ - 1); ++skimmed_count_) {
        prepare(2 * skimmed_count_);
        look(2 * skimmed_count_, 0, 2, (columns_ + 1) / 2);
    }
    prepare(y);
    const int first = y % 2 == 0 ? 1 : 0, step = y % 2 == 0 ? 2 : 1;
    for (int x = first; x < columns_;) {
        int end = x;
        while (end < columns_ && promising(y, end)) end += step;
        if (end > x) look(y, x, step, (end - x) / step);
        if (end < columns_) *cell(y, end) = -std::numeric_limits<float>::infinity();
        x = end + step;
    }
    return cell(y, 0);
}

}  // namespace ferengine::mtcnn
