//! Kernels on plain slices: safe Rust over fixed-size arrays and `mul_add`, which the compiler turns into vectors.
//!
//! Every kernel has one body. `vectorised!` compiles it twice, once for AVX2 with FMA and once for whatever the target
//! guarantees, and picks at run time; since a fused multiply-add rounds once wherever it runs, and no body leaves the order
//! of a sum to the compiler, both give the same bits. Without fused multiply-add in hardware the second is slow but right.
//!
//! The engine's only `unsafe` arithmetic is in that macro: the call of a function compiled for features just found present.

/// Defines functions whose body is compiled for AVX2+FMA as well, where the processor has them.
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
                fn wide($($arg: $kind),*) $(-> $out)? {
                    body($($arg),*)
                }
                if $crate::model::kernel::wide() {
                    // SAFETY: the features were just found to be present.
                    return unsafe { wide($($arg),*) };
                }
            }
            body($($arg),*)
        }
    )*};
}

/// Whether the processor has what the wide form of a kernel is compiled for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn wide() -> bool {
    if PORTABLE.load(std::sync::atomic::Ordering::Relaxed) {
        return false;
    }
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// Set while both forms of every kernel are compared, by tests and by `ablate doctor`.
pub static PORTABLE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

pub mod elementwise;
pub mod gemm;
pub mod head;
pub mod norm;
pub mod rope;
pub mod softmax;
