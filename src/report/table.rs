//! Tables: exactly what a figure draws, as CSV.

/// A named table of text cells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), rows: vec![] }
    }

    pub fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// The bytes of the CSV file. Text cells that a spreadsheet would run as a formula get a leading apostrophe; numbers,
    /// negative ones too, are left as they are.
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(vec![]);
        writer.write_record(&self.columns).expect("memory takes every row");
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| defuse(cell))).expect("memory takes every row");
        }
        let bytes = writer.into_inner().expect("memory takes every row");
        String::from_utf8(bytes).expect("cells are text")
    }
}

/// A number in its shortest exact form; nothing where there is none.
pub fn cell(value: impl Into<Option<f64>>) -> String {
    value.into().map(|v| v.to_string()).unwrap_or_default()
}

fn defuse(cell: &str) -> String {
    let risky = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if risky && cell.parse::<f64>().is_err() { format!("'{cell}") } else { cell.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_defused_and_numbers_left_alone() {
        let mut table = Table::new(&["arm", "value"]);
        table.push(vec!["=cmd|' /C calc'!A0".into(), cell(-0.5)]);
        table.push(vec!["@sum(1)".into(), cell(None)]);
        table.push(vec!["a, \"b\"".into(), cell(1e-7)]);
        assert_eq!(table.csv(), "arm,value\n'=cmd|' /C calc'!A0,-0.5\n'@sum(1),\n\"a, \"\"b\"\"\",0.0000001\n");
    }
}
