//! Certificates of servers and clients, read from files and read again when
//! those change.
//!
//! Knows no protocol above TLS.
