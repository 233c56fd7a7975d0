//! Matrix products on the calling thread.
//!
//! `C += A·B`, in the usual three steps: `A` and `B` are packed into panels that the inner loop reads from
//! front to back, and a small tile of `C` is kept in registers while it runs over the inner dimension. The
//! inner loop is plain Rust with constant bounds, which the compiler turns into vector instructions.
//!
//! Each element of `C` is one sum over the inner dimension in ascending order, so neither the tile's size
//! nor the position of an element in it changes a bit of the result.

use crate::element::Element;

/// Rows of a tile. With [`TILE_COLUMNS`] it fills the sixteen vector registers of baseline x86-64 with
/// room for the operands, and it divides the channel counts that small networks use (10, 20, 50).
const TILE_ROWS: usize = 5;
/// Columns of a tile: two vector registers of `f32` on baseline x86-64.
const TILE_COLUMNS: usize = 8;

/// A matrix in memory: element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T: Element> Matrix<'a, T> {
    /// A matrix stored row by row.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        debug_assert_eq!(data.len(), rows * columns);
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transposed matrix, over the same memory.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Panels of `WIDTH` lanes by `depth`, padded with zeros: `[panel][depth][lane]`.
struct Panels<T, const WIDTH: usize> {
    data: Vec<[T; WIDTH]>,
    lanes: usize,
    depth: usize,
}

impl<T: Element, const WIDTH: usize> Panels<T, WIDTH> {
    fn new() -> Self {
        Self { data: Vec::new(), lanes: 0, depth: 0 }
    }

    /// Packs `lanes × depth` elements, element (lane, d) being `data[lane * lane_stride + d * depth_stride]`.
    fn pack(&mut self, data: &[T], lanes: usize, depth: usize, lane_stride: usize, depth_stride: usize) {
        (self.lanes, self.depth) = (lanes, depth);
        self.data.clear();
        self.data.resize(lanes.div_ceil(WIDTH) * depth, [T::ZERO; WIDTH]);
        if depth == 0 {
            return;
        }
        for (panel, rows) in self.data.chunks_exact_mut(depth).enumerate() {
            let first = panel * WIDTH;
            let width = WIDTH.min(lanes - first);
            if lane_stride == 1 && width == WIDTH {
                for (d, row) in rows.iter_mut().enumerate() {
                    let from = d * depth_stride + first;
                    row.copy_from_slice(&data[from..from + WIDTH]);
                }
            } else {
                for lane in 0..width {
                    let from = &data[(first + lane) * lane_stride..];
                    for (row, value) in rows.iter_mut().zip(from.iter().step_by(depth_stride)) {
                        row[lane] = *value;
                    }
                }
            }
        }
    }

    fn panels(&self) -> impl Iterator<Item = &[[T; WIDTH]]> {
        // `max(1)`: with an inner dimension of zero there is no data, hence no panel and nothing to add.
        self.data.chunks_exact(self.depth.max(1))
    }
}

/// The left factor of a product, packed once and used for many right factors.
pub(crate) struct Left<T>(Panels<T, TILE_ROWS>);

impl<T: Element> Left<T> {
    pub(crate) fn new() -> Self {
        Self(Panels::new())
    }

    pub(crate) fn pack(&mut self, a: Matrix<'_, T>) -> &Self {
        self.0.pack(a.data, a.rows, a.columns, a.row_stride, a.column_stride);
        self
    }
}

/// The right factor of a product, packed.
pub(crate) struct Right<T>(Panels<T, TILE_COLUMNS>);

impl<T: Element> Right<T> {
    pub(crate) fn new() -> Self {
        Self(Panels::new())
    }

    pub(crate) fn pack(&mut self, b: Matrix<'_, T>) -> &Self {
        self.0.pack(b.data, b.columns, b.rows, b.column_stride, b.row_stride);
        self
    }
}

/// `C += A·B`, with `C` stored row by row as `[A's rows, B's columns]`.
pub(crate) fn multiply_add<T: Element>(a: &Left<T>, b: &Right<T>, c: &mut [T]) {
    let (a, b) = (&a.0, &b.0);
    debug_assert_eq!(a.depth, b.depth);
    debug_assert_eq!(c.len(), a.lanes * b.lanes);
    let columns = b.lanes;
    if columns == 0 {
        return;
    }
    for (column_panel, b_panel) in b.panels().enumerate() {
        let first_column = column_panel * TILE_COLUMNS;
        let width = TILE_COLUMNS.min(columns - first_column);
        for (a_panel, c_rows) in a.panels().zip(c.chunks_mut(TILE_ROWS * columns)) {
            let tile = multiply_tile(a_panel, b_panel);
            for (sums, row) in tile.iter().zip(c_rows.chunks_exact_mut(columns)) {
                for (c, sum) in row[first_column..first_column + width].iter_mut().zip(sums) {
                    *c += *sum;
                }
            }
        }
    }
}

/// One tile of the product: every lane of a panel of `A` with every lane of a panel of `B`.
#[inline(always)]
fn multiply_tile<T: Element>(
    a: &[[T; TILE_ROWS]],
    b: &[[T; TILE_COLUMNS]],
) -> [[T; TILE_COLUMNS]; TILE_ROWS] {
    let mut tile = [[T::ZERO; TILE_COLUMNS]; TILE_ROWS];
    for (a, b) in a.iter().zip(b) {
        for (sums, a) in tile.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += *a * *b;
            }
        }
    }
    tile
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(a: &Matrix<'_, f64>, b: &Matrix<'_, f64>, c: &mut [f64]) {
        for i in 0..a.rows {
            for j in 0..b.columns {
                let sum: f64 = (0..a.columns)
                    .map(|k| {
                        a.data[i * a.row_stride + k * a.column_stride]
                            * b.data[k * b.row_stride + j * b.column_stride]
                    })
                    .sum();
                c[i * b.columns + j] += sum;
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_definition(m in 0_usize..24, k in 0_usize..40, n in 0_usize..24, flip_a: bool, flip_b: bool) {
            // Small integers: the sums are exact, so the comparison is too.
            let values = |count: usize, salt: usize| -> Vec<f64> {
                (0..count).map(|i| ((i * 7 + salt) % 11) as f64 - 5.0).collect()
            };
            let (a, b) = (values(m * k, 3), values(k * n, 5));
            let a = if flip_a { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
            let b = if flip_b { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
            let mut expected = values(m * n, 1);
            let mut got = expected.clone();
            naive(&a, &b, &mut expected);
            multiply_add(Left::new().pack(a), Right::new().pack(b), &mut got);
            prop_assert_eq!(got, expected);
        }
    }
}
