//! Rows of a Parquet file, only the columns that are asked for.

use super::pages::{Checked, Chunks};
use super::{Record, SourceError};
use crate::data::guard::guarded;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Table {
    path: PathBuf,
    rows: RowIter<'static>,
    row: u64,
}

impl Table {
    /// `columns` are names or paths; their first step is the table's column.
    pub fn open(path: &Path, columns: &[&str]) -> Result<Table, SourceError> {
        let file = File::open(path);
        let file = file.map_err(|source| SourceError::Io { doing: "open", path: path.to_path_buf(), source })?;
        let rows = guarded(BROKEN, || rows(file, columns));
        let rows = rows.map_err(|reason| SourceError::Unreadable { path: path.to_path_buf(), reason })?;
        Ok(Table { path: path.to_path_buf(), rows, row: 0 })
    }

    pub fn next(&mut self) -> Option<Result<Record, SourceError>> {
        self.row += 1;
        let value = guarded(BROKEN, || match self.rows.next() {
            Some(row) => row.map(|row| Some(row.to_json_value())).map_err(|error| error.to_string()),
            None => Ok(None),
        });
        match value {
            Ok(value) => value.map(|value| Ok(Record { line: self.row, value: Ok(value) })),
            Err(error) => {
                let reason = format!("row {}: {error}", self.row);
                Some(Err(SourceError::Unreadable { path: self.path.clone(), reason }))
            }
        }
    }
}

/// Rows of some columns of a file.
fn rows(file: File, columns: &[&str]) -> Result<RowIter<'static>, String> {
    let reader = SerializedFileReader::new(Chunks::new(file)?).map_err(|error| error.to_string())?;
    let metadata = reader.metadata();
    if !metadata.row_groups().iter().flat_map(RowGroupMetaData::columns).all(lies_in_a_file) {
        return Err("a column begins before the file or has a negative length".into());
    }
    let schema = metadata.file_metadata().schema();
    let wanted = |field: &Arc<Type>| {
        let name = field.name();
        columns.iter().any(|column| *column == name || column.split('.').next() == Some(name))
    };
    let fields: Vec<Arc<Type>> = schema.get_fields().iter().filter(|field| wanted(field)).cloned().collect();
    if fields.is_empty() {
        let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
        return Err(format!("there is no column `{}` (there are: {})", columns.join("`, `"), names.join(", ")));
    }
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build();
    let rows =
        projection.and_then(|projection| RowIter::from_file_into(Box::new(Checked(reader))).project(Some(projection)));
    rows.map_err(|error| error.to_string())
}

/// What the `parquet` crate panics at.
const BROKEN: &str = "a part of it is not what its header says";

/// Whether a column is where a file can have it; the `parquet` crate panics at one that isn't.
fn lies_in_a_file(column: &ColumnChunkMetaData) -> bool {
    column.dictionary_page_offset().unwrap_or(column.data_page_offset()) >= 0 && column.compressed_size() >= 0
}
