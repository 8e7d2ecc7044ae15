//! Tables of text.

/// Which side of its column a cell leans to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[(&'static str, Align)]) -> Table {
        Table {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.headings.len(), String::new());
        self.rows.push(row);
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        widths
    }

    /// For a terminal: columns two blanks apart, a line under the headings.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let names: Vec<String> = self
            .headings
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let line: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        let mut text = String::new();
        for row in [&names, &line].into_iter().chain(&self.rows) {
            text.push_str(self.cells(row, &widths).join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let widths: Vec<usize> = self
            .widths()
            .into_iter()
            .map(|width| width.max(3))
            .collect();
        let names: Vec<String> = self
            .headings
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let line: Vec<String> = self
            .headings
            .iter()
            .zip(&widths)
            .map(|((_, align), width)| match align {
                Align::Left => "-".repeat(*width),
                Align::Right => format!("{}:", "-".repeat(*width - 1)),
            })
            .collect();
        let mut text = String::new();
        for row in [&names, &line].into_iter().chain(&self.rows) {
            text.push_str("| ");
            text.push_str(&self.cells(row, &widths).join(" | "));
            text.push_str(" |\n");
        }
        text
    }

    fn cells(&self, row: &[String], widths: &[usize]) -> Vec<String> {
        self.headings
            .iter()
            .zip(row)
            .zip(widths)
            .map(|(((_, align), cell), widest)| {
                let blanks = " ".repeat(widest.saturating_sub(width(cell)));
                match align {
                    Align::Left => format!("{cell}{blanks}"),
                    Align::Right => format!("{blanks}{cell}"),
                }
            })
            .collect()
    }
}

/// Columns that a text takes; colours take none.
fn width(text: &str) -> usize {
    let mut columns = 0;
    let mut in_colour = false;
    for c in text.chars() {
        match c {
            '\x1b' => in_colour = true,
            'm' if in_colour => in_colour = false,
            _ if in_colour => {}
            _ => columns += 1,
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("what", Align::Left), ("ms", Align::Right)]);
        table.row(["acquire".to_owned(), "\x1b[1m5.8\x1b[0m".to_owned()]);
        table.row(["é".to_owned()]);
        table
    }

    #[test]
    fn columns_line_up_whatever_the_colours() {
        assert_eq!(
            table().text(),
            "what      ms\n───────  ───\nacquire  \x1b[1m5.8\x1b[0m\né\n"
        );
    }

    #[test]
    fn markdown_says_which_side_cells_lean_to() {
        let text = table().markdown();
        assert!(text.contains("| ------- | --: |"), "{text}");
        assert!(text.contains("| é       |     |"), "{text}");
    }
}
