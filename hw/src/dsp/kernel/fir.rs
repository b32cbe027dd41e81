//! One step of an adaptive filter, for machines with AVX2: the same loop, compiled for them.
#![allow(unsafe_code)]

/// As [`crate::dsp::echo`] has it; `None` where the machine has no AVX2.
pub(in crate::dsp) fn step(weights: &mut [f32], gain: f32, old: &[f32], new: &[f32]) -> Option<f32> {
    if !(std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")) {
        return None;
    }
    // SAFETY: the lines above proved that this machine executes AVX2 and FMA.
    // JUSTIFICATION: most of the cost of a canceller; measured by `dataplane/examples/lines.rs` with `echo`.
    Some(unsafe { wide(weights, gain, old, new) })
}

const LANES: usize = 32;

#[target_feature(enable = "avx2,fma")]
fn wide(weights: &mut [f32], gain: f32, old: &[f32], new: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let weights = weights.as_chunks_mut::<LANES>().0;
    let (old, new) = (old.as_chunks::<LANES>().0, new.as_chunks::<LANES>().0);
    for ((w, o), n) in weights.iter_mut().zip(old).zip(new) {
        for i in 0..LANES {
            w[i] = gain.mul_add(o[i], w[i]);
            sums[i] = w[i].mul_add(n[i], sums[i]);
        }
    }
    sums.iter().sum()
}
