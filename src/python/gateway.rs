//! The class `NativeGateway`: a `reactor::Gateway` for Python.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::reactor::{ConnectionId, Gateway};

use super::convert::{self, Classes};
use super::errors::cannot_listen;

/// See `_native.pyi`. The lock is never contended: all calls come from one thread, save the last `join`.
#[pyclass(frozen, module = "gateway_core._native")]
pub struct NativeGateway {
    gateway: Mutex<Gateway>,
    classes: Classes,
}

impl NativeGateway {
    fn lock(&self) -> MutexGuard<'_, Gateway> {
        self.gateway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl NativeGateway {
    #[new]
    fn new(py: Python<'_>, config: &Bound<'_, PyAny>, ip: &str, port: u16) -> PyResult<Self> {
        let ip: IpAddr = ip
            .parse()
            .map_err(|_| PyValueError::new_err("ip is no IP address"))?;
        let address = SocketAddr::new(ip, port);
        let gateway = Gateway::start(convert::config(config)?, address)
            .map_err(|error| cannot_listen(&address.to_string(), &error))?;
        Ok(Self {
            gateway: Mutex::new(gateway),
            classes: Classes::import(py)?,
        })
    }

    #[getter]
    fn address(&self) -> (String, u16) {
        let address = self.lock().address();
        (address.ip().to_string(), address.port())
    }

    fn fileno(&self) -> RawFd {
        self.lock().events_fd()
    }

    fn take_events<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Bound<'py, PyList>> {
        let events = self.lock().take_events(max)?;
        self.classes.events(py, events)
    }

    fn flush(&self) {
        self.lock().flush();
    }

    fn accept(&self, connection: u64, subprotocol: Option<&str>, encoding: &str) -> PyResult<bool> {
        Ok(self
            .lock()
            .accept(ConnectionId::from_u64(connection), subprotocol, encoding)?)
    }

    #[expect(clippy::needless_pass_by_value, reason = "pyo3 extracts owned strings")]
    fn reject(
        &self,
        connection: u64,
        status: i64,
        headers: Vec<(String, String)>,
        body: &[u8],
    ) -> PyResult<bool> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let status = convert::code(status)?;
        Ok(self
            .lock()
            .reject(ConnectionId::from_u64(connection), status, &headers, body)?)
    }

    fn send(&self, connection: u64, payload: &Bound<'_, PyAny>) -> PyResult<bool> {
        let (payload, is_text) = convert::payload(payload)?;
        Ok(self
            .lock()
            .send(ConnectionId::from_u64(connection), payload, is_text)?)
    }

    fn close(&self, connection: u64, code: i64, reason: &str) -> PyResult<bool> {
        Ok(self
            .lock()
            .close(ConnectionId::from_u64(connection), convert::code(code)?, reason)?)
    }

    fn subscribe(&self, connection: u64, topic: &str) -> PyResult<bool> {
        Ok(self.lock().subscribe(ConnectionId::from_u64(connection), topic)?)
    }

    fn unsubscribe(&self, connection: u64, topic: &str) -> PyResult<bool> {
        Ok(self
            .lock()
            .unsubscribe(ConnectionId::from_u64(connection), topic)?)
    }

    #[pyo3(signature = (topic, variants, position, exclude))]
    fn publish(
        &self,
        topic: &str,
        variants: &Bound<'_, PyDict>,
        position: Option<&Bound<'_, PyAny>>,
        exclude: Vec<u64>,
    ) -> PyResult<()> {
        let position = convert::position(position)?;
        let variants: Vec<(String, Bound<'_, PyAny>)> = variants
            .iter()
            .map(|(encoding, payload)| Ok((encoding.extract()?, payload)))
            .collect::<PyResult<_>>()?;
        let mut messages = Vec::with_capacity(variants.len());
        for (encoding, payload) in &variants {
            let (bytes, is_text) = convert::payload(payload)?;
            messages.push((encoding.as_str(), bytes, is_text));
        }
        Ok(self.lock().publish(topic, messages, position, exclude)?)
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let stats = self.lock().stats();
        self.classes.stats(py, &stats)
    }

    fn drain(&self, code: i64, reason: &str, seconds: f64) -> PyResult<()> {
        Ok(self
            .lock()
            .drain(convert::code(code)?, reason, convert::seconds(seconds))?)
    }

    fn stop_draining(&self) {
        self.lock().stop_draining();
    }

    fn is_drained(&self) -> bool {
        self.lock().is_drained()
    }

    fn shut_down(&self, py: Python<'_>) {
        let threads = self.lock().shut_down();
        py.detach(|| threads.into_iter().for_each(|thread| drop(thread.join())));
    }
}
