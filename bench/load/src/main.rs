//! Load for WebSocket servers, thin enough not to be the bottleneck, that checks what it receives.
//!
//! Standard output carries JSON lines: `open` when all connections stand (the harness then reads the
//! server's memory and answers with a line on standard input), and `report` at the end.

mod chat;
mod engine;
mod raw;
mod report;
mod tally;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The server, as address:port.
    #[arg(long)]
    target: SocketAddr,
    /// Handshakes under way at once.
    #[arg(long, default_value_t = 256)]
    handshakes: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Messages a second, in all; without it as fast as answers come.
    #[arg(long)]
    rate: Option<f64>,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Any server that sends what it gets to all its connections, or back.
    Raw {
        /// Sockets to open; the last one publishes.
        #[arg(long)]
        connections: usize,
        /// Bytes a message, at least 16.
        #[arg(long, default_value_t = 128)]
        payload_bytes: usize,
        /// Broadcasts under way at once.
        #[arg(long, default_value_t = 1)]
        window: u64,
        /// The server sends back instead of to all.
        #[arg(long)]
        echo: bool,
        /// Offer permessage-deflate.
        #[arg(long)]
        deflate: bool,
        /// So many sockets never read.
        #[arg(long, default_value_t = 0)]
        slow: usize,
    },
    /// A chat-gateway node.
    Chat {
        /// JSON lines {"token": …, "rooms": [ids …]}, a connection each.
        #[arg(long)]
        users: PathBuf,
        /// Bytes of text a message.
        #[arg(long, default_value_t = 1024)]
        text_bytes: usize,
        /// Without a rate: so many users publish, each waiting for its acknowledgement.
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        /// Connections cut each second; they come back and resume.
        #[arg(long, default_value_t = 0.0)]
        cuts: f64,
    },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let host = arguments.target.to_string();
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let mut sockets = engine::Sockets::new(arguments.target)?;
    let report = match arguments.mode {
        Mode::Raw {
            connections,
            payload_bytes,
            window,
            echo,
            deflate,
            slow,
        } => {
            let plan = raw::Plan {
                host,
                connections,
                handshakes: arguments.handshakes,
                payload_bytes,
                window,
                rate: arguments.rate,
                echo,
                deflate,
                duration,
                slow,
            };
            let mut scenario = raw::Raw::new(plan);
            engine::run(&mut sockets, &mut scenario)?;
            scenario.tally.report()
        }
        Mode::Chat {
            users,
            text_bytes,
            publishers,
            cuts,
        } => {
            let lines = std::fs::read_to_string(users)?;
            let users = lines
                .lines()
                .map(serde_json::from_str)
                .collect::<Result<Vec<chat::User>, _>>()?;
            let plan = chat::Plan {
                host,
                users,
                handshakes: arguments.handshakes,
                text_bytes,
                rate: arguments.rate,
                publishers,
                duration,
                cuts,
            };
            let mut scenario = chat::Chat::new(plan);
            engine::run(&mut sockets, &mut scenario)?;
            scenario.tally.report()
        }
    };
    report::emit("report", &report);
    Ok(())
}
