//! Events and payloads to Python objects and back.

use std::os::fd::IntoRawFd;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::error::UsageError;
use crate::protocol::handshake::{HeadLimits, Request};
use crate::protocol::{Limits, Timeouts};
use crate::reactor::{Config, Event, MAX_REACTORS, RateLimits, Stats};

/// The classes of the objects that are made here, looked up once.
pub struct Classes {
    request: Py<PyAny>,
    opened: Py<PyAny>,
    received: Py<PyAny>,
    closed: Py<PyAny>,
    drained: Py<PyAny>,
    http_connection: Py<PyAny>,
    stats: Py<PyAny>,
    socket: Py<PyAny>,
}

impl Classes {
    /// Imports them.
    pub fn import(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("gateway_core.gateway")?;
        let class = |name| module.getattr(name).map(Bound::unbind);
        Ok(Self {
            request: class("Request")?,
            opened: class("Opened")?,
            received: class("Received")?,
            closed: class("Closed")?,
            drained: class("Drained")?,
            http_connection: class("HttpConnection")?,
            stats: class("GatewayStats")?,
            socket: py.import("socket")?.getattr("socket")?.unbind(),
        })
    }

    /// A list of the event objects of `gateway_core.gateway`.
    pub fn events<'py>(&self, py: Python<'py>, events: Vec<Event>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for event in events {
            list.append(self.event(py, event)?)?;
        }
        Ok(list)
    }

    fn event(&self, py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
        match event {
            Event::Received { id, payload, is_text } => self
                .received
                .call1(py, (id.to_u64(), PyBytes::new(py, &payload), is_text)),
            Event::Opened { id, request, peer } => self
                .opened
                .call1(py, (id.to_u64(), self.request(py, &request, &peer.to_string())?)),
            Event::Closed {
                id,
                code,
                reason,
                clean,
            } => self.closed.call1(py, (id.to_u64(), code, &*reason, clean)),
            Event::Drained { id, missed } => {
                let positions = PyDict::new(py);
                for (topic, position) in missed {
                    positions.set_item(&*topic, position)?;
                }
                self.drained.call1(py, (id.to_u64(), positions))
            }
            Event::Http { socket, data } => {
                // From here on the socket object closes the descriptor.
                let socket = self.socket.call1(py, (-1, -1, -1, socket.into_raw_fd()))?;
                socket.call_method1(py, "setblocking", (false,))?;
                self.http_connection.call1(py, (socket, PyBytes::new(py, &data)))
            }
            Event::Empty => Ok(py.None()),
        }
    }

    fn request(&self, py: Python<'_>, request: &Request, peer: &str) -> PyResult<Py<PyAny>> {
        let headers = PyTuple::new(py, &request.headers)?;
        let subprotocols = PyTuple::new(py, &request.subprotocols)?;
        self.request
            .call1(py, (&request.path, &request.query, headers, subprotocols, peer))
    }

    /// A `GatewayStats`.
    pub fn stats(&self, py: Python<'_>, stats: &Stats) -> PyResult<Py<PyAny>> {
        let fields = PyDict::new(py);
        for (name, value) in [
            ("connections", stats.connections),
            ("topics", stats.topics),
            ("outbox_bytes", stats.outbox_bytes),
            ("accepted", stats.accepted),
            ("refused", stats.refused),
            ("messages_in", stats.messages_in),
            ("messages_out", stats.messages_out),
            ("bytes_in", stats.bytes_in),
            ("bytes_out", stats.bytes_out),
            ("dropped", stats.dropped),
            ("slow_consumers", stats.slow_consumers),
            ("compressions", stats.compressions),
        ] {
            fields.set_item(name, value)?;
        }
        self.stats.call(py, (), Some(&fields))
    }
}

/// The bytes of a `str` or `bytes`, and whether it is text.
pub fn payload<'a>(payload: &'a Bound<'_, PyAny>) -> PyResult<(&'a [u8], bool)> {
    if let Ok(text) = payload.cast::<PyString>() {
        Ok((text.to_str()?.as_bytes(), true))
    } else if let Ok(bytes) = payload.cast::<PyBytes>() {
        Ok((bytes.as_bytes(), false))
    } else {
        Err(PyTypeError::new_err("a payload is bytes or str"))
    }
}

/// A number of 16 bits, if it is one.
pub fn code(code: i64) -> Result<u16, UsageError> {
    u16::try_from(code).map_err(|_| UsageError("a code or status has 16 bits"))
}

/// A place in a topic's history.
pub fn position(position: Option<&Bound<'_, PyAny>>) -> Result<Option<u64>, UsageError> {
    position
        .map(|n| {
            n.extract()
                .map_err(|_| UsageError("a position is between 0 and 2**64 - 1"))
        })
        .transpose()
}

/// Seconds; what cannot be one is none at all, or for ever.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(FOREVER)
}

/// Longer than any process lives, and far from the end of the clock.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A `GatewayConfig` in the engine's types.
pub fn config(config: &Bound<'_, PyAny>) -> PyResult<Config> {
    let number = |name: &str| config.getattr(name)?.extract::<usize>();
    let real = |name: &str| config.getattr(name)?.extract::<f32>();
    let time = |name: &str| Ok::<_, PyErr>(seconds(config.getattr(name)?.extract()?).min(FOREVER));
    let reactors = number("reactors")?;
    if reactors > MAX_REACTORS {
        return Err(UsageError("a gateway has at most 32 reactors").into());
    }
    Ok(Config {
        reactors,
        share_port: config.getattr("share_port")?.extract()?,
        backlog: i32::try_from(number("backlog")?).unwrap_or(i32::MAX),
        max_connections: number("max_connections")?,
        max_connections_per_address: number("max_connections_per_address")?,
        max_pending_handshakes: number("max_pending_handshakes")?,
        handshake_timeout: time("handshake_seconds")?,
        head: HeadLimits {
            max_header_bytes: number("max_header_bytes")?,
            max_headers: number("max_headers")?,
        },
        messages: Limits {
            max_message_bytes: number("max_message_bytes")?,
            max_empty_fragments: u8::try_from(number("max_empty_fragments")?).unwrap_or(u8::MAX),
            max_inflate_ratio: number("max_inflate_ratio")?,
            min_compress_bytes: number("min_compress_bytes")?,
        },
        timeouts: Timeouts {
            ping_interval: time("ping_interval_seconds")?,
            ping_timeout: time("ping_timeout_seconds")?,
            close_timeout: time("close_seconds")?,
            message_timeout: time("message_seconds")?,
        },
        rates: RateLimits {
            frames_per_second: real("max_messages_per_second")?,
            frames_burst: real("message_burst")?,
            bytes_per_second: real("max_bytes_per_second")?,
            bytes_burst: real("bytes_burst")?,
        },
        compression: config.getattr("compression")?.extract()?,
        soft_outbox_bytes: number("soft_outbox_bytes")?,
        max_outbox_bytes: number("max_outbox_bytes")?,
        slow_consumer_timeout: time("slow_consumer_seconds")?,
        max_events: number("max_events")?,
        ..Config::default()
    })
}
