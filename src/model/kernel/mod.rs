//! Kernels on plain slices. The only module with vector intrinsics, and the only one of the engine with `unsafe`.
//!
//! Every kernel has one body. [`vectorised!`] compiles it twice, once for AVX2 with FMA and once for whatever the target
//! guarantees, and picks at run time; since bodies use `f32::mul_add` and sums in a stated order, both give the same bits.

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
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the features were just found to be present.
                    return unsafe { wide($($arg),*) };
                }
            }
            body($($arg),*)
        }
    )*};
}

pub mod elementwise;
pub mod gemm;
pub mod head;
pub mod norm;
pub mod rope;
pub mod softmax;
