//! Kernels on plain slices: safe Rust over fixed-size arrays and `mul_add`, which the compiler turns into vectors.
//!
//! Every kernel has one body. `vectorised!` compiles it three times, for AVX-512, for AVX2 with FMA and for whatever the
//! target guarantees, and picks at run time; since a fused multiply-add rounds once wherever it runs, and no body leaves the
//! order of a sum to the compiler, all give the same bits. Without fused multiply-add in hardware the last is slow but right.
//! On a Zen 4 core, which runs AVX-512 at half rate, it is worth 3% in training and 12–18% in sampling.
//!
//! The engine's only `unsafe` arithmetic is in that macro: the call of a function compiled for features just found present.

/// Defines functions whose body is compiled for AVX-512 and for AVX2+FMA as well, where the processor has them.
macro_rules! vectorised {
    ($($(#[$meta:meta])* pub fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name($($arg: $kind),*) $(-> $out)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($arg: $kind),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $kind),*) $(-> $out)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $kind),*) $(-> $out)? {
                    body($($arg),*)
                }
                match $crate::model::kernel::form() {
                    // SAFETY: `form` found the features of AVX-512 that the function is compiled for.
                    $crate::model::kernel::Form::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: `form` found AVX2 and FMA.
                    $crate::model::kernel::Form::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::model::kernel::Form::Portable => {}
                }
            }
            body($($arg),*)
        }
    )*};
}

/// Which form of a kernel runs.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Portable,
    Avx2,
    Avx512,
}

/// The widest form that the processor has the features for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn form() -> Form {
    static FORM: std::sync::OnceLock<Form> = std::sync::OnceLock::new();
    let form = *FORM.get_or_init(detect);
    match WIDEST.load(std::sync::atomic::Ordering::Relaxed) {
        0 => Form::Portable,
        1 if form == Form::Avx512 => Form::Avx2,
        _ => form,
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Form {
    use std::arch::is_x86_feature_detected as has;
    if !(has!("avx2") && has!("fma")) {
        Form::Portable
    } else if has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") {
        Form::Avx512
    } else {
        Form::Avx2
    }
}

/// The widest form that may run, while tests and `ablate doctor` compare them: 0 is the portable one, 1 AVX2, 2 AVX-512.
pub static WIDEST: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(2);

pub mod elementwise;
pub mod gemm;
pub mod head;
pub mod norm;
pub mod rope;
pub mod softmax;
