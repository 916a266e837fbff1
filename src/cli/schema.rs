//! `ablate schema`: what editors complete experiment and lab files from.

use super::args::{SchemaArgs, SchemaOf};
use super::failure::Failure;
use crate::spec::schema;

pub fn schema(args: &SchemaArgs) -> Result<(), Failure> {
    let schema = match args.of {
        SchemaOf::Experiment => schema::experiment(),
        SchemaOf::Lab => schema::lab(),
    };
    println!("{}", serde_json::to_string_pretty(&schema)?);
    Ok(())
}
