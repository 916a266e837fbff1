pub mod advantage;
pub mod objective;
