//! The stages of all trials, each key once.
//!
//! Nodes stand in the order in which the trials first need them. That order is topological (a trial lists a stage after its
//! inputs), the same on every machine, and finishes the first trials first, so that results appear early. Building it
//! visits every stage of every trial exactly once.

use super::trial::TrialPlan;
use crate::recipe::{Init, Key, ModelShape, Recipe};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One artifact to have.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub key: Key,
    pub recipe: Arc<Recipe>,
    /// Indices of the nodes it reads; all smaller than its own.
    pub inputs: Vec<usize>,
    /// Indices of the nodes that read it; all larger than its own.
    pub consumers: Vec<usize>,
    /// Indices of the trials that want it, ascending.
    pub trials: Vec<usize>,
    /// What trials call it, each name once, in order of appearance.
    pub names: Vec<String>,
}

/// Artifacts and what they are made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// In topological order.
    pub nodes: Vec<Node>,
    /// For each trial, its stages' nodes in the order of its plan.
    pub stages: Vec<Vec<usize>>,
    /// How many stages were looked at while building: the number of stages in all trials.
    pub visits: usize,
}

/// A plan that is not a graph. Lowering never makes one; this is the net under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error(
        "failed to order the stages of arm `{arm}`: `{stage}` reads {}, which no earlier stage of the arm makes", input.short()
    )]
    UnknownInput { arm: String, stage: String, input: Key },
    #[error("failed to order the stages of arm `{arm}`: two stages are named `{stage}`")]
    TwoOfAName { arm: String, stage: String },
}

impl Graph {
    /// Merges equal keys over trials.
    pub fn new(trials: &[TrialPlan]) -> Result<Graph, GraphError> {
        let mut graph = Graph::default();
        // Only looked up, never walked: its order does not matter.
        let mut by_key: HashMap<Key, usize> = HashMap::new();
        for (trial_index, trial) in trials.iter().enumerate() {
            let mut stages: Vec<usize> = Vec::with_capacity(trial.stages.len());
            for (position, stage) in trial.stages.iter().enumerate() {
                graph.visits += 1;
                if trial.stages[..position].iter().any(|earlier| earlier.name == stage.name) {
                    return Err(GraphError::TwoOfAName { arm: trial.arm.clone(), stage: stage.name.clone() });
                }
                let index = match by_key.get(&stage.key) {
                    Some(index) => *index,
                    None => {
                        let mut inputs = vec![];
                        for input in stage.recipe.inputs() {
                            let found = stages.iter().find(|index| graph.nodes[**index].key == input);
                            inputs.push(*found.ok_or_else(|| GraphError::UnknownInput {
                                arm: trial.arm.clone(),
                                stage: stage.name.clone(),
                                input,
                            })?);
                        }
                        let index = graph.nodes.len();
                        for input in &inputs {
                            graph.nodes[*input].consumers.push(index);
                        }
                        by_key.insert(stage.key, index);
                        graph.nodes.push(Node {
                            key: stage.key,
                            recipe: stage.recipe.clone(),
                            inputs,
                            consumers: vec![],
                            trials: vec![],
                            names: vec![],
                        });
                        index
                    }
                };
                let node = &mut graph.nodes[index];
                if node.trials.last() != Some(&trial_index) {
                    node.trials.push(trial_index);
                }
                if !node.names.contains(&stage.name) {
                    node.names.push(stage.name.clone());
                }
                stages.push(index);
            }
            graph.stages.push(stages);
        }
        Ok(graph)
    }

    /// The shape of the model that each node holds or works on; `checkpoints` gives those of outside weights.
    /// `None` for corpora, and where a checkpoint's shape is not given.
    pub fn shapes(&self, checkpoints: &BTreeMap<Key, ModelShape>) -> Vec<Option<ModelShape>> {
        let mut shapes: Vec<Option<ModelShape>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of = |weights: &Key| {
                let input = node.inputs.iter().find(|input| self.nodes[**input].key == *weights);
                input.and_then(|input| shapes[*input].clone())
            };
            shapes.push(match &*node.recipe {
                Recipe::Corpus(_) | Recipe::Contamination(_) => None,
                Recipe::Checkpoint(_) => checkpoints.get(&node.key).cloned(),
                Recipe::Train(train) => match &train.init {
                    Init::Random { shape, .. } => Some(shape.clone()),
                    Init::From { weights } => of(weights),
                },
                Recipe::Rl(rl) => of(&rl.policy),
                Recipe::Eval(eval) => of(&eval.model),
            });
        }
        shapes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    #[test]
    fn equal_keys_are_one_node_and_inputs_stand_before_their_consumers() {
        let trials = [sample::trial("a", 1, 0), sample::trial("b", 2, 0), sample::trial("b", 2, 1)];
        let graph = Graph::new(&trials).unwrap();
        let shared: Vec<&Node> = graph.nodes.iter().filter(|node| node.trials == [0, 1, 2]).collect();
        assert_eq!(
            shared.iter().map(|node| node.names[0].as_str()).collect::<Vec<_>>(),
            ["corpus:web", "base", "eval:base"]
        );
        for (index, node) in graph.nodes.iter().enumerate() {
            assert!(node.inputs.iter().all(|input| *input < index));
            assert!(node.inputs.iter().all(|input| graph.nodes[*input].consumers.contains(&index)));
        }
        for (trial, stages) in trials.iter().zip(&graph.stages) {
            assert_eq!(trial.stages.len(), stages.len());
        }
    }

    #[test]
    fn the_first_trial_comes_first() {
        let trials = [sample::trial("a", 1, 0), sample::trial("b", 2, 0)];
        let graph = Graph::new(&trials).unwrap();
        assert_eq!(graph.stages[0], (0..trials[0].stages.len()).collect::<Vec<_>>());
        assert_eq!(graph, Graph::new(&trials).unwrap());
    }

    #[test]
    fn ten_thousand_arms_are_visited_once_each() {
        let first = sample::trial("arm0", 0, 0);
        let arm = |arm: u64| {
            let mut trial = TrialPlan { arm: format!("arm{arm}"), ..first.clone() };
            let Recipe::Train(mut mid) = (*trial.stages[4].recipe).clone() else { unreachable!() };
            mid.tokens.0 += 64 * arm;
            trial.stages[4] = sample::stage("mid", Recipe::Train(mid));
            trial.stages[6] = sample::stage("rl", Recipe::Rl(sample::rl(trial.stages[4].key, 0)));
            trial.stages.remove(5);
            trial
        };
        let trials: Vec<TrialPlan> = (0..10_000).map(arm).collect();
        let graph = Graph::new(&trials).unwrap();
        let stages: usize = trials.iter().map(|trial| trial.stages.len()).sum();
        assert_eq!(graph.visits, stages);
        assert_eq!(graph.nodes.len(), 4 + 2 * trials.len());
        let edges: usize = graph.nodes.iter().map(|node| node.inputs.len()).sum();
        assert!(edges <= 3 * stages, "{edges} edges for {stages} stages");
    }

    #[test]
    fn shapes_follow_the_weights() {
        let graph = Graph::new(&[sample::trial("a", 1, 0)]).unwrap();
        let shapes = graph.shapes(&BTreeMap::new());
        for (node, shape) in graph.nodes.iter().zip(&shapes) {
            assert_eq!(shape.is_some(), !matches!(*node.recipe, Recipe::Corpus(_)), "{:?}", node.names);
        }
    }

    #[test]
    fn a_stage_without_its_input_and_a_name_used_twice_are_refused() {
        let mut trial = sample::trial("a", 1, 0);
        trial.stages.remove(0);
        let error = Graph::new(&[trial.clone()]).unwrap_err().to_string();
        assert!(error.contains("arm `a`") && error.contains("`base` reads"), "{error}");
        let mut trial = sample::trial("a", 1, 0);
        let again = trial.stages[0].clone();
        trial.stages.push(again);
        assert!(matches!(Graph::new(&[trial]), Err(GraphError::TwoOfAName { .. })));
    }
}
