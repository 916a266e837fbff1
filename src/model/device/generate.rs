//! Sampling with a key-value cache on the device.
//!
//! A wave of sequences starts together: prompts are run once for all their samples, packed without padding, and every
//! sequence then grows by a token a step, so that new keys go to the same place in each row of the cache. Rows of sequences
//! that ended are dropped once they are half of the wave. The addressed generators are the host's, and logits stay where they
//! are (`draw`).
//!
//! Simpler than continuous batching with paged caches, and slower: a wave waits for its longest sequence, and each row holds a
//! copy of its prompt's keys. Which rows compute together is a matter of rounding, so the same device gives the same tokens
//! for the same prompts, but a greedy tie may fall otherwise than on the host.

use super::draw::Draws;
use super::forward::{Angles, HIDDEN, finish, linear, norm, project, scaled};
use super::weights::DeviceWeights;
use super::{OnDevice, Told, Work, micro_batches};
use crate::fault;
use crate::model::Decoder;
use crate::model::generate::{Completion, Job, Prompt, Sampling, StopReason, Watch, jobs};
use crate::recipe::Rng;
use candle_core::{DType, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

/// Room for new tokens that a cache starts with; it doubles as it fills.
const ROOM: usize = 128;

/// What all completions of one call share.
pub struct Sampler<'a> {
    pub decoder: &'a Decoder,
    pub on: &'a OnDevice,
    pub sampling: &'a Sampling,
    pub draw: &'a (dyn Fn(usize, usize) -> Rng + Sync),
    pub watch: &'a Watch<'a>,
}

/// One sequence of a wave: a row of its tensors until it is dropped.
struct Row {
    /// Which job of the wave.
    job: usize,
    sample: usize,
    /// Length of the prompt.
    prompt: usize,
    rng: Rng,
    completion: Completion,
    ended: bool,
}

/// Keys and values of the rows of a wave.
struct Cache {
    /// `[rows, kv_heads, prompt + room, head_dim]` of each layer, in the type of products.
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    /// [`HIDDEN`] between the end of a row's prompt and that of the longest, `[rows, prompt + room]`.
    mask: Tensor,
    /// Length of the longest prompt: new tokens follow there.
    prompt: usize,
    room: usize,
}

impl Sampler<'_> {
    /// Completions of each prompt, of which at most `live` are drawn at once.
    pub fn run(&self, prompts: &[Prompt], live: usize) -> Told<Vec<Vec<Completion>>> {
        let shape = self.decoder.shape();
        let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or(0) + self.sampling.max_new;
        let row = 2 * shape.layers * shape.kv_width() * longest;
        let limits = self.on.limits;
        let together = live.min(limits.live).min(limits.cache / row.max(1)).max(1);
        let mut completions: Vec<Vec<Completion>> = prompts.iter().map(|_| vec![]).collect();
        let jobs = jobs(prompts, together);
        let mut rest = &jobs[..];
        if rest.is_empty() {
            return Ok(completions);
        }
        let weights = self.on.weights(shape, self.decoder.weights())?;
        while !rest.is_empty() {
            let (mut count, mut rows) = (1, rest[0].len());
            while rest.get(count).is_some_and(|job| rows + job.len() <= together) {
                rows += rest[count].len();
                count += 1;
            }
            let (wave, after) = rest.split_at(count);
            let prompt = wave.iter().map(|job| prompts[job.prompt].ids.len()).max().unwrap_or(0);
            let work = Work::Draw { sequences: rows, prompt, new: self.sampling.max_new };
            let drawn = self.wave(&weights, prompts, wave).map_err(self.on.tell(work))?;
            for (job, drawn) in wave.iter().zip(drawn) {
                completions[job.prompt].extend(drawn);
            }
            rest = after;
        }
        Ok(completions)
    }

    /// Completions of some jobs.
    fn wave(&self, weights: &DeviceWeights, prompts: &[Prompt], jobs: &[Job]) -> Result<Vec<Vec<Completion>>> {
        let mut rows: Vec<Row> = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            rows.extend(job.samples.clone().enumerate().map(|(sample, number)| Row {
                job: index,
                sample,
                prompt: prompts[job.prompt].ids.len(),
                rng: (self.draw)(job.prompt, number),
                completion: Completion { tokens: vec![], logprobs: vec![], entropy: vec![], stop: StopReason::Length },
                ended: false,
            }));
        }
        let mut done: Vec<Vec<(usize, Completion)>> = jobs.iter().map(|_| vec![]).collect();
        if self.sampling.max_new == 0 {
            rows.drain(..).for_each(|row| done[row.job].push((row.sample, row.completion)));
            let tell = |(job, drawn): (&Job, &Vec<_>)| {
                (self.watch.done)(job.prompt, job.samples.start, &in_order(drawn.clone()));
            };
            jobs.iter().zip(&done).for_each(tell);
        } else {
            let ids: Vec<&[u32]> = jobs.iter().map(|job| &prompts[job.prompt].ids[..]).collect();
            let (mut cache, logits) = self.prefill(weights, &ids, &rows)?;
            let draws = Draws::new(self.sampling, self.decoder.shape().vocab, &self.on.device)?;
            self.draw_all(&mut rows, &draws, &logits)?;
            let mut new = 0;
            loop {
                self.retire(&mut rows, &mut cache, &mut done, jobs)?;
                if rows.is_empty() {
                    break;
                }
                fault::point("mid-rollout");
                let logits = self.step(weights, &rows, &mut cache, new)?;
                self.draw_all(&mut rows, &draws, &logits)?;
                new += 1;
            }
        }
        Ok(done.into_iter().map(in_order).collect())
    }

    /// Runs the prompts; the rows' cache, and the logits that follow, `[rows, vocab]`.
    fn prefill(&self, weights: &DeviceWeights, prompts: &[&[u32]], rows: &[Row]) -> Result<(Cache, Tensor)> {
        let (shape, host, device) = (self.decoder.shape(), self.decoder.weights(), &self.on.device);
        let ids = prompts.concat();
        let mut starts = vec![0];
        starts.extend(prompts.iter().scan(0, |end, prompt| {
            *end += prompt.len();
            Some(*end)
        }));
        let mut logits = vec![];
        // Of each layer, of each part.
        let mut keys: Vec<Vec<Tensor>> = vec![vec![]; shape.layers];
        let mut values = keys.clone();
        for part in micro_batches(&starts, self.on.limits.tokens) {
            let local = part.local();
            let pass = self.on.pass(shape, host, weights, &ids[part.tokens()], &local)?;
            let mut layer = 0;
            let x = pass.run(|_, k, v| {
                keys[layer].push(k.to_dtype(weights.head.dtype())?);
                values[layer].push(v.to_dtype(weights.head.dtype())?);
                layer += 1;
                Ok(())
            })?;
            let last: Vec<u32> = local[1..].iter().map(|end| *end as u32 - 1).collect();
            let hidden = pass.hidden(&x.index_select(&Tensor::new(last, device)?, 0)?)?;
            logits.push(linear(&hidden, &weights.head)?);
        }
        // Every row has its own copy of its prompt, padded with whatever follows.
        let prompt = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let room = self.sampling.max_new.min(ROOM);
        let token = |row: &Row, at: usize| (starts[row.job] + at).min(ids.len() - 1) as u32;
        let tokens: Vec<u32> = rows.iter().flat_map(|row| (0..prompt).map(move |at| token(row, at))).collect();
        let tokens = Tensor::new(tokens, device)?;
        let cached = |parts: Vec<Tensor>| {
            let all = Tensor::cat(&parts, 0)?.index_select(&tokens, 0)?;
            let all = all.reshape((rows.len(), prompt, shape.kv_heads, shape.head_dim))?.transpose(1, 2)?;
            all.contiguous()?.pad_with_zeros(2, 0, room)
        };
        let hidden = |row: &Row, at: usize| if (row.prompt..prompt).contains(&at) { HIDDEN } else { 0.0 };
        let mask: Vec<f32> = rows.iter().flat_map(|row| (0..prompt + room).map(move |at| hidden(row, at))).collect();
        let cache = Cache {
            keys: keys.into_iter().map(cached).collect::<Result<_>>()?,
            values: values.into_iter().map(cached).collect::<Result<_>>()?,
            mask: Tensor::from_vec(mask, (rows.len(), prompt + room), device)?,
            prompt,
            room,
        };
        let of_rows = Tensor::new(rows.iter().map(|row| row.job as u32).collect::<Vec<_>>(), device)?;
        Ok((cache, Tensor::cat(&logits, 0)?.index_select(&of_rows, 0)?))
    }

    /// Runs the newest token of every row, the `new`-th of the cache's; logits `[rows, vocab]`.
    fn step(&self, weights: &DeviceWeights, rows: &[Row], cache: &mut Cache, new: usize) -> Result<Tensor> {
        let (shape, device) = (self.decoder.shape(), &self.on.device);
        if new == cache.room {
            cache.grow(self.sampling.max_new)?;
        }
        let (n, seen, dtype) = (rows.len(), cache.prompt + new + 1, weights.head.dtype());
        let (heads, dim, group) = (shape.kv_heads, shape.head_dim, shape.heads / shape.kv_heads);
        let positions: Vec<usize> = rows.iter().map(|row| row.prompt + new).collect();
        let angles = Angles::new(self.decoder.weights(), &positions, device)?;
        let newest = |row: &Row| *row.completion.tokens.last().expect("a token was drawn");
        let ids = Tensor::new(rows.iter().map(newest).collect::<Vec<u32>>(), device)?;
        let mask = cache.mask.narrow(1, 0, seen)?.reshape((n, 1, 1, seen))?;
        let mut x = weights.embed.index_select(&ids, 0)?;
        for (index, layer) in weights.layers.iter().enumerate() {
            let [q, k, v] = project(shape, layer, &x, &angles)?;
            for (all, newest) in [(&cache.keys[index], k), (&cache.values[index], v)] {
                all.slice_set(&newest.to_dtype(dtype)?.unsqueeze(2)?.contiguous()?, 2, seen - 1)?;
            }
            let (keys, values) = (cache.keys[index].narrow(2, 0, seen)?, cache.values[index].narrow(2, 0, seen)?);
            let q = scaled(&q)?.reshape((n, heads, group, dim))?.to_dtype(dtype)?;
            let scores = q.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
            let shares = softmax_last_dim(&scores.broadcast_add(&mask)?)?.to_dtype(dtype)?;
            let attended = shares.matmul(&values)?.to_dtype(DType::F32)?.reshape((n, shape.q_width()))?;
            x = finish(shape, layer, &x, &attended)?;
        }
        let hidden = norm(&x, &weights.norm.value, shape)?;
        linear(&hidden, &weights.head)
    }

    /// Draws a token for every row that has not ended.
    fn draw_all(&self, rows: &mut [Row], draws: &Draws, logits: &Tensor) -> Result<()> {
        let uniforms: Vec<f32> = rows.iter_mut().map(|row| if row.ended { 0.0 } else { row.rng.f32() }).collect();
        for (row, drawn) in rows.iter_mut().zip(draws.tokens(logits, &uniforms)?).filter(|(row, _)| !row.ended) {
            let completion = &mut row.completion;
            completion.tokens.push(drawn.token);
            completion.logprobs.push(drawn.logprob);
            completion.entropy.push(drawn.entropy);
            if drawn.token == self.sampling.eos {
                completion.stop = StopReason::Eos;
            }
        }
        Ok(())
    }

    /// Marks rows that have ended, tells of jobs that are done, and drops ended rows once they are half.
    fn retire(
        &self,
        rows: &mut Vec<Row>,
        cache: &mut Cache,
        done: &mut [Vec<(usize, Completion)>],
        jobs: &[Job],
    ) -> Result<()> {
        for row in rows.iter_mut().filter(|row| !row.ended) {
            let (tokens, stop) = (&row.completion.tokens, row.completion.stop);
            row.ended = stop == StopReason::Eos || tokens.len() >= self.sampling.max_new || (self.watch.ends)(tokens);
            if row.ended {
                let job = &mut done[row.job];
                job.push((row.sample, row.completion.clone()));
                if job.len() == jobs[row.job].len() {
                    (self.watch.done)(jobs[row.job].prompt, jobs[row.job].samples.start, &in_order(job.clone()));
                }
            }
        }
        let live: Vec<u32> = (0..rows.len() as u32).filter(|row| !rows[*row as usize].ended).collect();
        if live.len() * 2 <= rows.len() {
            rows.retain(|row| !row.ended);
            if !live.is_empty() {
                cache.keep(&Tensor::new(live, &self.on.device)?)?;
            }
        }
        Ok(())
    }
}

impl Cache {
    /// Makes room for more new tokens.
    fn grow(&mut self, most: usize) -> Result<()> {
        let more = self.room.min(most - self.room);
        for tensor in self.keys.iter_mut().chain(&mut self.values) {
            *tensor = tensor.pad_with_zeros(2, 0, more)?;
        }
        self.mask = self.mask.pad_with_zeros(1, 0, more)?;
        self.room += more;
        Ok(())
    }

    /// Keeps some rows.
    fn keep(&mut self, rows: &Tensor) -> Result<()> {
        for tensor in self.keys.iter_mut().chain(&mut self.values).chain([&mut self.mask]) {
            *tensor = tensor.index_select(rows, 0)?;
        }
        Ok(())
    }
}

/// Completions by their place among a job's samples.
fn in_order(mut drawn: Vec<(usize, Completion)>) -> Vec<Completion> {
    drawn.sort_by_key(|(sample, _)| *sample);
    drawn.into_iter().map(|(_, completion)| completion).collect()
}
