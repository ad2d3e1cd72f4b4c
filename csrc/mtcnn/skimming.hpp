// How P-Net looks at a level: closely only where it may find something.
#pragma once

#include <cstdint>
#include <vector>

#include "mtcnn/convolution.hpp"

namespace ferengine::mtcnn {

// One pass over a level of the image pyramid, row by row.
//
// It skims: of each two rows and columns it looks at the first, and at the cells in between only beside one whose logit
// is `skim` or more. A face is seen by several cells, so that what is left out is nothing; the last convolutions are
// three fifths of the work.
class Skimming {
  public:
    virtual ~Skimming() = default;

    int rows() const { return rows_; }
    int columns() const { return columns_; }

  protected:
    // `pitch` floats a cell, the first of which is the logit. `skim` of minus infinity leaves nothing out.
    Skimming(int rows, int columns, int pitch, float skim)
        : rows_(rows),
          columns_(columns),
          pitch_(pitch),
          skim_(skim),
          cells_(3, columns, pitch),
          promising_(2, columns / 2 + 2, 1),
          near_(static_cast<size_t>(columns + 1) / 2 + 1) {}
    Skimming(const Skimming&) = default;
    Skimming& operator=(const Skimming&) = default;

    // The next row, rows() times; valid until the next call. Where it did not look, the logit is minus infinity.
    const float* next_cells();

    float* cell(int y, int x) { return cells_.row(y) + ptrdiff_t{x} * pitch_; }

    // Makes all that look() reads for row y; y never decreases.
    virtual void prepare(int y) = 0;
    // Fills `count` cells of row y, from x on in steps of `step`.
    virtual void look(int y, int x, int step, int count) = 0;

  private:
    void skim(int y);

    int rows_, columns_, pitch_;
    float skim_;
    RowBuffer<float> cells_;
    RowBuffer<uint8_t> promising_;  // of every second row and column, and a 0
    std::vector<uint8_t> near_;     // of two of its rows, either
    int row_ = 0, skimmed_count_ = 0;
};

}  // namespace ferengine::mtcnn
