//! What a plan costs on the lab's accelerator, what it holds in memory, and what will not fit, in plain words.

use super::args;
use super::memory::installed;
use crate::exec::Prepared;
use crate::plan::cost::bytes;
use crate::plan::memory::{self, Memory};
use crate::recipe::{Backend, ModelShape};
use crate::spec::settings::Device;

/// Lines for people; none for labs without a device whose models are small.
pub fn lines(
    prepared: &Prepared,
    shapes: &[Option<ModelShape>],
    device: Option<&Device>,
    attached: args::Device,
    threads: usize,
) -> Vec<String> {
    let mut lines = Vec::new();
    let missing: Vec<usize> = prepared.missing().collect();
    if let Some(device) = device {
        let sum = |of: &dyn Fn(usize) -> f64| missing.iter().map(|node| of(*node)).sum::<f64>();
        let decode = sum(&|node| prepared.costs[node].decode_flops);
        let rest = sum(&|node| prepared.costs[node].flops) - decode;
        let seconds = rest / (device.flops * device.mfu) + decode / (device.flops * device.decode_mfu);
        let hours = seconds / 3600.0;
        lines.push(format!(
            "on {}: {hours:.1} GPU hours ({:.1} h on {}), taking {:.0}% of {:.0} TFLOP/s in training and {:.0}% in generation: a \
             price by arithmetic, not a measurement",
            device.name,
            hours / device.count as f64,
            device.count,
            100.0 * device.mfu,
            device.flops / 1e12,
            100.0 * device.decode_mfu
        ));
    }
    // The stage that holds the most, here and there.
    let worst = |of: &dyn Fn(usize) -> Option<Memory>| {
        let all = missing.iter().filter_map(|node| Some((*node, of(*node)?)));
        all.max_by(|a, b| a.1.total().total_cmp(&b.1.total()))
    };
    let of = |node: usize| shapes[node].as_ref().map(|shape| (&*prepared.graph.nodes[node].recipe, shape));
    let backend = attached.backend;
    let here = worst(&|node| of(node).and_then(|(recipe, shape)| memory::host(recipe, shape, threads, backend)));
    if let Some((node, held)) = here {
        let fits = match installed() {
            Some(room) if held.total() > room as f64 => format!("; {} may be used here: it will not fit", bytes(room)),
            _ => String::new(),
        };
        lines.push(format!("memory here, at most in {}: {}{fits}", prepared.name(node).name, parts(&held)));
    }
    if backend != Backend::Cpu
        && let Some((node, held)) = worst(&|node| of(node).and_then(|(recipe, shape)| memory::attached(recipe, shape)))
    {
        lines.push(format!("memory on {attached}, at most in {}: {}", prepared.name(node).name, parts(&held)));
    }
    if let Some(device) = device {
        let there = worst(&|node| {
            of(node).and_then(|(recipe, shape)| memory::there(recipe, shape, device.count, device.memory))
        });
        if let Some((node, held)) = there {
            let fits = if held.total() > device.memory {
                format!("; a device has {}: it will not fit", bytes(device.memory as u64))
            } else {
                String::new()
            };
            lines.push(format!(
                "memory of each of {} {}, at most in {}: {}{fits}",
                device.count,
                device.name,
                prepared.name(node).name,
                parts(&held)
            ));
        }
    }
    let unpriced = missing.iter().filter(|node| !prepared.costs[**node].known).count();
    if unpriced > 0 {
        lines.push(format!("{unpriced} stages have no known price: the sums are too low"));
    }
    lines
}

fn parts(memory: &Memory) -> String {
    let named = [
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("moments", memory.moments),
        ("activations", memory.activations),
    ];
    let mut parts: Vec<String> = named
        .iter()
        .filter(|(_, size)| *size > 0.0)
        .map(|(name, size)| format!("{name} {}", bytes(*size as u64)))
        .collect();
    if memory.sequences > 0.0 {
        let of = if memory.at_once < memory.sequences { format!(", of {}", memory.sequences) } else { String::new() };
        parts.push(format!("cache {} for {} sequences at once{of}", bytes(memory.cache as u64), memory.at_once));
    }
    format!("{} ({})", bytes(memory.total() as u64), parts.join(", "))
}
