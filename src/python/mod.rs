//! The extension module `gateway_core._native`: a list of what Python sees.
//!
//! Conversions only, no decisions. `gateway_core/_native.pyi` is its manual.

use pyo3::prelude::*;

mod convert;
mod errors;
mod gateway;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::gateway::NativeGateway;
}
