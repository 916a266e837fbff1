//! Optimizer state: which rule moves which tensor, and what it remembers.
//!
//! Moments are f32 in the layout of the parameters. Each tensor is moved by one thread from start to end, so results don't
//! depend on how many there are. Deliberately absent: parameter groups. Which tensors decay, and which get Muon, follows
//! from the recipe and the tensors' names and shapes.

use super::{adamw, muon};
use crate::fault;
use crate::model::{ParamInfo, Params};
use crate::recipe::Optimizer;
use crate::recipe::optimizer::{AdamW, DecayMask};
use std::sync::Mutex;

/// What an optimizer remembers between steps.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerState {
    rule: Optimizer,
    layout: Vec<ParamInfo>,
    steps: u64,
    /// AdamW's first moment, or Muon's momentum.
    first: Vec<f32>,
    /// AdamW's second moment; stays zero under Muon.
    second: Vec<f32>,
}

/// One tensor with everything that its update touches.
struct Job<'a> {
    info: &'a ParamInfo,
    values: &'a mut [f32],
    gradients: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl OptimizerState {
    /// A state that has seen nothing.
    pub fn new(rule: &Optimizer, params: &Params) -> OptimizerState {
        let zeros = vec![0.0; params.flat().len()];
        OptimizerState { rule: *rule, layout: params.infos().to_vec(), steps: 0, first: zeros.clone(), second: zeros }
    }

    /// Updates made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One update on one thread; see [`OptimizerState::step_on`].
    pub fn step(&mut self, params: &mut Params, gradients: &Params, lr_scale: f64) {
        self.step_on(params, gradients, lr_scale, 1);
    }

    /// One update. `lr_scale` multiplies the recipe's learning rates (the schedule's value). The result has the same bits
    /// on any number of threads.
    ///
    /// Panics if the tensors are not those that the state was made for.
    pub fn step_on(&mut self, params: &mut Params, gradients: &Params, lr_scale: f64, threads: usize) {
        assert_eq!(params.infos(), self.layout, "an optimizer keeps to the parameters it was made for");
        assert_eq!(gradients.infos(), self.layout, "gradients have the layout of the parameters");
        self.steps += 1;
        let (rule, steps) = (self.rule, self.steps);
        let jobs = Mutex::new(
            jobs(&self.layout, params.flat_mut(), gradients.flat(), &mut self.first, &mut self.second).into_iter(),
        );
        let work = || {
            while let Some(job) = { jobs.lock().expect("no update panics").next() } {
                run(&rule, steps, lr_scale, job);
                fault::point("mid-optimizer-step");
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.max(1) {
                scope.spawn(work);
            }
            work();
        });
    }

    /// Named tensors of the state, for snapshots: `first.NAME`, and `second.NAME` where AdamW rules.
    pub(super) fn tensors(&self) -> Vec<(String, &[usize], &[f32])> {
        let mut tensors = Vec::new();
        for info in &self.layout {
            let range = info.offset..info.offset + info.len();
            tensors.push((format!("first.{}", info.name), &info.shape[..], &self.first[range.clone()]));
            if !self.is_muon(info) {
                tensors.push((format!("second.{}", info.name), &info.shape[..], &self.second[range]));
            }
        }
        tensors
    }

    /// Overwrites the state with named tensors; `tensor(name, shape, into)` fills a slice.
    pub(super) fn restore(
        &mut self,
        steps: u64,
        mut tensor: impl FnMut(&str, &[usize], &mut [f32]) -> Result<(), String>,
    ) -> Result<(), String> {
        for info in self.layout.clone() {
            let range = info.offset..info.offset + info.len();
            tensor(&format!("first.{}", info.name), &info.shape, &mut self.first[range.clone()])?;
            if !self.is_muon(&info) {
                tensor(&format!("second.{}", info.name), &info.shape, &mut self.second[range])?;
            }
        }
        self.steps = steps;
        Ok(())
    }

    fn is_muon(&self, info: &ParamInfo) -> bool {
        matches!(self.rule, Optimizer::Muon { .. }) && is_block_matrix(info)
    }
}

/// The 2-D matrices of the blocks: what Muon moves. Embeddings and head are matrices, but tables and not maps.
fn is_block_matrix(info: &ParamInfo) -> bool {
    info.is_matrix() && info.name.contains(".layers.")
}

fn jobs<'a>(
    layout: &'a [ParamInfo],
    mut values: &'a mut [f32],
    mut gradients: &'a [f32],
    mut first: &'a mut [f32],
    mut second: &'a mut [f32],
) -> Vec<Job<'a>> {
    let mut jobs = Vec::with_capacity(layout.len());
    for info in layout {
        let length = info.len();
        jobs.push(Job {
            info,
            values: values.split_off_mut(..length).expect("tensors lie end to end"),
            gradients: gradients.split_off(..length).expect("tensors lie end to end"),
            first: first.split_off_mut(..length).expect("tensors lie end to end"),
            second: second.split_off_mut(..length).expect("tensors lie end to end"),
        });
    }
    // The dearest first, so that no thread is left with one at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.values.len()));
    jobs
}

fn run(rule: &Optimizer, steps: u64, lr_scale: f64, job: Job) {
    let adamw = |rule: &AdamW, job: Job| {
        let decay = rule.decay == DecayMask::All || job.info.is_matrix();
        adamw::update(rule, rule.lr * lr_scale, decay, steps, job.values, job.gradients, [job.first, job.second]);
    };
    match rule {
        Optimizer::AdamW(rule) => adamw(rule, job),
        Optimizer::Muon { rest, .. } if !is_block_matrix(job.info) => adamw(rest, job),
        Optimizer::Muon { lr, momentum, weight_decay, newton_schulz_steps, .. } => {
            let rule = muon::Muon {
                lr: lr * lr_scale,
                momentum: *momentum,
                weight_decay: *weight_decay,
                newton_schulz_steps: *newton_schulz_steps,
            };
            let [rows, cols] = job.info.shape[..] else { unreachable!("a matrix has two dimensions") };
            muon::update(&rule, rows, cols, job.values, job.gradients, job.first);
        }
    }
}
