//! Tables for people: a head, columns as wide as their widest cell, numbers to the right. Cells are foreign
//! text and are cleaned here.

use crate::text;

/// How a column is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

use Align::{Left, Right};

/// A table on its way to standard output.
pub(crate) struct Table {
    head: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table; a column whose name begins with `>` is a number.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        let head = head
            .iter()
            .map(|name| name.strip_prefix('>').map_or((*name, Left), |name| (name, Right)))
            .collect();
        Self { head, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len(), "a cell for each column");
        self.rows.push(cells.iter().map(|cell| text::clean(cell).into_owned()).collect());
    }

    /// The lines, without spaces at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let head: Vec<String> = self.head.iter().map(|(name, _)| (*name).to_owned()).collect();
        let all = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        all()
            .map(|row| {
                let cells =
                    row.iter().zip(&self.head).zip(&widths).map(|((cell, (_, align)), width)| match align {
                        Left => format!("{cell:<width$}"),
                        Right => format!("{cell:>width$}"),
                    });
                cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_cleaned() {
        let mut table = Table::new(&["APP", ">MEM", "STATE"]);
        table.row(["notes".into(), "1.2 MB".into(), "idle".into()]);
        table.row(["x\x1b[31m".into(), "9 B".into(), "hibernated".into()]);
        assert_eq!(
            table.lines(),
            ["APP             MEM  STATE", "notes        1.2 MB  idle", "x\\u{1b}[31m     9 B  hibernated"]
        );
    }
}
