#include "mtcnn/skimming.hpp"

#include <algorithm>
#include <limits>

namespace ferengine::mtcnn {

// Looks at every second cell of the even row y, and notes which are promising.
void Skimming::skim(int y) {
    prepare(y);
    const int count = (columns_ + 1) / 2;
    look(y, 0, 2, count);
    uint8_t* const promising = promising_.row(y / 2);
    const float* logit = cell(y, 0);
    for (int i = 0; i < count; ++i, logit += ptrdiff_t{2} * pitch_) promising[i] = *logit >= skim_ ? 1 : 0;
    promising[count] = 0;
}

const float* Skimming::next_cells() {
    const int y = row_++, last = std::min(y + y % 2, rows_ - 1) / 2;
    for (; skimmed_count_ <= last; ++skimmed_count_) skim(2 * skimmed_count_);
    prepare(y);
    const uint8_t *const above = promising_.row(y / 2), *const below = promising_.row(last);
    uint8_t any = 0;
    for (size_t i = 0; i < near_.size(); ++i) any |= near_[i] = above[i] | below[i];

    float* const cells = cell(y, 0);
    const int first = y % 2 == 0 ? 1 : 0, step = y % 2 == 0 ? 2 : 1;
    // whether the cell x, which skimming leaves out, lies beside one that is promising
    const auto beside = [&](int x) {
        const auto i = static_cast<size_t>(x / 2);
        return any != 0 && (near_[i] | near_[i + static_cast<size_t>(x % 2)]) != 0;
    };
    for (int x = first; x < columns_;) {
        int end = x;
        while (end < columns_ && beside(end)) end += step;
        if (end > x) look(y, x, step, (end - x) / step);
        if (end < columns_) cells[ptrdiff_t{end} * pitch_] = -std::numeric_limits<float>::infinity();
        x = end + step;
    }
    return cells;
}

}  // namespace ferengine::mtcnn
