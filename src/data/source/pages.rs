//! What stands between the `parquet` crate and a file that lies about itself: the crate believes some counts that are not so.

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as Parsed};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};

/// A file whose end can be reached a few times only: the `parquet` crate skips what a broken header counts, millions of
/// numbers, say, whether or not they are there.
pub struct Chunks(pub File);

pub struct Ending {
    inner: BufReader<File>,
    ends: u32,
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = Ending;

    fn get_read(&self, start: u64) -> Parsed<Ending> {
        Ok(Ending { inner: self.0.get_read(start)?, ends: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Parsed<Bytes> {
        self.0.get_bytes(start, length)
    }
}

impl Read for Ending {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        if count == 0 && !into.is_empty() {
            self.ends += 1;
            if self.ends > 100 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(count)
    }
}

/// A file whose dictionaries have no more values than bytes: the crate makes room for what their header counts.
pub struct Checked(pub SerializedFileReader<Chunks>);

struct Group<'a>(Box<dyn RowGroupReader + 'a>);

struct Pages(Box<dyn PageReader>);

impl FileReader for Checked {
    fn metadata(&self) -> &ParquetMetaData {
        self.0.metadata()
    }

    fn num_row_groups(&self) -> usize {
        self.0.num_row_groups()
    }

    fn get_row_group(&self, i: usize) -> Parsed<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(Group(self.0.get_row_group(i)?)))
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Parsed<RowIter<'_>> {
        RowIter::from_file(projection, self)
    }
}

impl RowGroupReader for Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.0.metadata()
    }

    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    fn get_column_page_reader(&self, i: usize) -> Parsed<Box<dyn PageReader>> {
        Ok(Box::new(Pages(self.0.get_column_page_reader(i)?)))
    }

    fn get_column_bloom_filter(&self, i: usize) -> Option<&Sbbf> {
        self.0.get_column_bloom_filter(i)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Parsed<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

impl Iterator for Pages {
    type Item = Parsed<Page>;

    fn next(&mut self) -> Option<Parsed<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Parsed<Option<Page>> {
        match self.0.get_next_page()? {
            Some(Page::DictionaryPage { buf, num_values, .. }) if num_values as usize > buf.len() => {
                let (count, bytes) = (num_values, buf.len());
                Err(ParquetError::General(format!("a dictionary of {count} values has {bytes} bytes")))
            }
            page => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Parsed<Option<PageMetadata>> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Parsed<()> {
        self.0.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Parsed<bool> {
        self.0.at_record_boundary()
    }
}
