//! The one place where a Rust error becomes an exception.

use std::io;

use pyo3::PyErr;
use pyo3::import_exception;

use crate::error::UsageError;
use crate::reactor::Fatal;

mod exceptions {
    use super::import_exception;

    import_exception!(gateway_core.errors, AddressUnavailable);
    import_exception!(gateway_core.errors, GatewayError);
    import_exception!(gateway_core.errors, UsageError);
}

impl From<UsageError> for PyErr {
    fn from(error: UsageError) -> Self {
        exceptions::UsageError::new_err(error.0)
    }
}

impl From<Fatal> for PyErr {
    fn from(fatal: Fatal) -> Self {
        exceptions::GatewayError::new_err(fatal.0)
    }
}

/// The listening address cannot be bound, or the operating system is out of descriptors or threads.
pub fn cannot_listen(address: &str, error: &io::Error) -> PyErr {
    exceptions::AddressUnavailable::new_err(format!("cannot listen on {address}: {error}"))
}
