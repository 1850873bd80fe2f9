//! Access: TLS, users and rights, over a broker with a listener of each kind (`config/kafka/kafka run --secured`).

mod check;
mod connection;
mod rights;
mod secured;
