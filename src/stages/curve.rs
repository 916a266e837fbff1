//! The curves and final numbers of a stage, as the ledger reads them: `curves.csv` and `metrics.json`.

use crate::cache::disk;
use crate::exec::StageError;
use serde_json::{Map, Value};
use std::path::Path;

/// Rows `benchmark,metric,step,value`, in the order in which they happened, and the final value of every metric.
#[derive(Debug, Default)]
pub struct Curve {
    rows: Vec<(String, String, u64, f64)>,
}

impl Curve {
    /// The rows that an interrupted run had saved.
    pub fn read(path: &Path) -> Result<Curve, StageError> {
        let bytes = disk::read(path)?;
        let rows = csv::Reader::from_reader(&bytes[..]).deserialize().collect::<Result<_, _>>()?;
        Ok(Curve { rows })
    }

    /// Adds a point. A value that is not finite has no place in a curve and is left out.
    pub fn push(&mut self, benchmark: &str, metric: &str, step: u64, value: f64) {
        if value.is_finite() {
            self.rows.push((benchmark.to_string(), metric.to_string(), step, value));
        }
    }

    pub fn write_csv(&self, path: &Path) -> Result<(), StageError> {
        let mut writer = csv::Writer::from_writer(vec![]);
        writer.write_record(["benchmark", "metric", "step", "value"])?;
        for (benchmark, metric, step, value) in &self.rows {
            let record = [benchmark.as_str(), metric.as_str(), &step.to_string(), &value.to_string()];
            writer.write_record(record)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(disk::write_note(path, &bytes)?)
    }

    /// Writes both files of an artifact. A metric's final value is that of its last point; `metric/benchmark` names it.
    /// The value at step 0 is kept beside it as `metric/benchmark@0`, if the curve goes on from there.
    pub fn write(&self, artifact: &Path) -> Result<(), StageError> {
        self.write_csv(&artifact.join("curves.csv"))?;
        let mut metrics = Map::new();
        for (benchmark, metric, step, value) in &self.rows {
            let name = if benchmark.is_empty() { metric.clone() } else { format!("{metric}/{benchmark}") };
            if *step == 0 {
                metrics.insert(format!("{name}@0"), Value::from(*value));
            }
            metrics.insert(name, Value::from(*value));
        }
        metrics.sort_keys();
        let text = serde_json::to_string_pretty(&Value::Object(metrics))?;
        disk::write_note(&artifact.join("metrics.json"), (text + "\n").as_bytes())?;
        Ok(())
    }
}
