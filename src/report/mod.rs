//! Figures, tables, pages: pure functions of results. Nothing is trained and no store is needed.
pub mod font;
pub mod metric;
pub mod palette;
pub mod png;
pub mod scale;
pub mod scene;
pub mod table;
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArmInput {
    pub id: String,
    pub levels: Vec<(String, String)>,
    pub label: String,
    pub baseline: bool,
}
impl ArmInput {
    pub fn level(&self, axis: &str) -> Option<&str> {
        self.levels.iter().find(|(n, _)| n == axis).map(|(_, l)| l.as_str())
    }
}
